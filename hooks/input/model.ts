/**
 * What methods take: a model is something that can be run. `HookedTransformer` is one, and so is what its
 * `with` gives, a model that is edited in every run. Whatever reads weights, the tokenizer or activations
 * asks this interface.
 */

import type { Gpu } from '../../engine/gpu/gpu.js';
import type { NestedNumbers } from '../../engine/numbers.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import type { TextInput, ToTokensOptions } from '../../engine/tokens/text.js';
import type { Tokenizer } from '../../engine/tokens/tokenizer.js';
import type { Row } from '../../engine/transformer/batch.js';
import type { Points } from '../../engine/transformer/model-points.js';
import type { WeightTensors } from '../../engine/transformer/weights.js';
import type { AdapterFacts } from '../../weights/adapters/load.js';
import type { Config } from '../../weights/config.js';
import type { Processing } from '../../weights/processing/processing.js';
import type { WeightViews } from '../../weights/processing/views.js';
import type { HookEntry } from './hook.js';

/** What a run needs of a model. */
export interface Runnable {
  readonly gpu: Gpu;
  readonly config: Config;
  /** Its hook points. */
  readonly points: Points;
  readonly gpuWeights: WeightTensors;
  /** What is changed in every run; left out or null: nothing. */
  readonly edits?: RunEdits | null;
  /**
   * Settles when the hash of weights that were changed on the GPU is known; null: it is. Runs wait for it.
   */
  readonly settled?: Promise<void> | null;
}

/** A model: configuration, tokenizer, norms and weights as they act, and what is changed in its runs. */
export interface Model extends Runnable {
  readonly tokenizer: Tokenizer | null;
  /** How the weights were processed when they were loaded. */
  readonly processing: Processing;
  /** The adapter that was merged into the weights; left out or null: none. */
  readonly adapterWeights?: AdapterFacts | null;
  /** Tells weights apart: a hash of them as they run, 16 hexadecimal digits. */
  readonly hash: string;
  /** The weights on the host, in TransformerLens' layout. @throws when they were not kept there. */
  readonly weights: WeightViews;
  readonly edits: RunEdits | null;

  /**
   * Token ids, one array a row, never padded; text gets the beginning-of-text token unless `prependBos` is
   * false.
   */
  toTokens(input: TextInput, options?: ToTokensOptions): number[][];
  /** One string a token. */
  toStrTokens(input: string | readonly number[], options?: ToTokensOptions): string[];
  /** The exact text of tokens, or of one; of several rows, one text each. */
  toString(tokens?: number | ArrayLike<number>): string;
  toString(tokens: readonly ArrayLike<number>[]): string[];
  /** The id of a text that is exactly one token, like `' Mary'`. @throws when it is not. */
  toSingleToken(text: string): number;
  /**
   * The tokens [start, end) that contain the first occurrence of a text; `typed`: their prompt. @throws when
   * there is none.
   */
  tokenRange(text: string, tokens: readonly number[], typed?: string): [start: number, end: number];
  /** Uploads numbers; the caller disposes of the tensor. */
  tensor(data: NestedNumbers, shape?: readonly number[]): Tensor;
}

/** How long the prompt of a row is, where the row's own last token is not its end. */
export interface PromptLength {
  /** Tokens that were given: positions count in them. */
  readonly length: number;
  /** Most tokens that the text will have when what is generated is added. */
  readonly total: number;
  /** Only the beginning of prompts that are not known yet: nothing can count from their end. */
  readonly open?: boolean;
}

/** What an edited model changes in each of its runs, forward and back. */
export interface RunEdits {
  /** Runs what values come from, once; awaited before `hooks`. @throws when the edits were disposed of. */
  ready(): Promise<void>;
  /**
   * The edits as hooks of a batch, in order; each is for one hook point, by its full name.
   * @param prompts of each row, where its own tokens are not all of its prompt
   * @throws when an edit does not fit a prompt
   */
  hooks(rows: readonly Row[], prompts?: readonly PromptLength[]): readonly HookEntry[];
  /** @throws when an edit does not fit prompts of these lengths. After `ready`. */
  check(lengths: readonly number[]): void;
  /** Functions that are called with gradients on the way back, before those of the run. */
  readonly gradHooks: readonly HookEntry[];
  /** Full names of the hook points that are changed. */
  readonly names: ReadonlySet<string>;
  /** Those at which functions are called. A function is called with whole rows, of all prompts. */
  readonly called: ReadonlySet<string>;
  /** Whether what happens at a position is the same whatever comes behind it and whichever row it is in. */
  readonly local: boolean;
  /** One line an edit, for provenance and print. */
  readonly lines: readonly string[];
  /** Everything that is data, and the source text of functions: the same for edits that are the same. */
  text(): Promise<string>;
}
