/** The model a user holds: text in, logits and activations out, with hooks on the way. */

import type { Gpu } from '../../engine/gpu/gpu.js';
import { currentScope, type UserScope } from '../../engine/gpu/user-scope.js';
import type { Tensor } from '../../engine/tensor/tensor.js';
import { type TextInput, toText } from '../../engine/tokens/text.js';
import type { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { parameters } from '../../engine/training/parameters.js';
import { type Points, pointsOf } from '../../engine/transformer/model-points.js';
import type { GpuWeights } from '../../engine/transformer/weights.js';
import type { AdapterFacts } from '../../weights/adapters/load.js';
import type { Config } from '../../weights/config.js';
import { type Saveable, saveable } from '../../weights/load/save.js';
import { noProcessing, type Processed } from '../../weights/processing/processing.js';
import type { WeightViews } from '../../weights/processing/views.js';
import { forward, runWithCache, runWithResidual } from '../cache/cached-run.js';
import { type NestedTokens, residualDirections } from '../cache/residual-directions.js';
import type { CachedRun, CacheOptions, RunOptions } from '../cache/run-options.js';
import { checkedMethods, is, signature } from '../input/check.js';
import type { HookEntry } from '../input/hook.js';
import type { InputOptions, ModelInput } from '../input/input.js';
import type { Model } from '../input/model.js';
import type { NameFilter, SpelledOptions } from '../input/names.js';
import type { Counterfactual, SpelledEdits } from '../interventions/interventions.js';
import type { ModelEdits } from '../interventions/model-edits.js';
import type { Differentiable } from '../metrics/measure.js';
import { logitsOfResidual } from '../run/run.js';
import { type PrefixOptions, type StoredPrefix, storePrefix } from '../texts/prefix.js';
import { logProbsOf, type ScoreOptions } from '../texts/score.js';
import { KnownWeights, readState, type WeightState } from '../weights/weight-state.js';
import { changedWeights, type WeightChange, weightsByName } from '../weights/with-weights.js';
import { editsJson } from './edits-json.js';
import { type GenerateOptions, type GenerateStep, generateAll, generateSteps } from './generate.js';
import { type GradientOptions, type GradientRun, runWithGrads } from './gradients.js';
import { type IntervenedRun, type InterventionOptions, runWithInterventions } from './intervene.js';
import {
  type Loaded,
  type LoadOptions,
  loadPretrained,
  loadWeights,
  type ModelSource,
  type TensorMap,
} from './load.js';
import { LOADERS, MODEL } from './model-arguments.js';
import { TextModel } from './text-model.js';
import { type EditOptions, editsWith, type MadeFrom } from './with.js';

export type { CachedRun, CacheOptions, RunOptions } from '../cache/run-options.js';

const made = signature('HookedTransformer', { loaded: is.model });

/** A language model on the GPU whose every activation is a hook point. */
export class HookedTransformer extends TextModel implements Model {
  readonly config: Config;
  /** Its hook points: names, axes, and what a change there reaches. */
  readonly points: Points;
  readonly gpu: Gpu;
  readonly tokenizer: Tokenizer | null;
  /** How the weights were processed when they were loaded. */
  readonly processing: Processed;
  /** The adapter that was merged into the weights; null: none. */
  readonly adapterWeights: AdapterFacts | null;
  /** Internal: the tokenizer's files, for saving, and the weights on the GPU. */
  readonly tokenizerFiles: Readonly<Record<string, object>>;
  readonly gpuWeights: GpuWeights;
  /** What is changed in every run of an edited model (see `with`); null: nothing. */
  readonly edits: ModelEdits | null;
  /** Internal: the `scope` that an edited model ends with. */
  owner: UserScope | null = null;
  readonly #known: KnownWeights;
  readonly #ownsWeights: boolean;

  /** Use `fromPretrained` or `fromWeights`. */
  constructor(loaded: Loaded & Partial<MadeFrom>, ...more: []) {
    super();
    made(loaded, ...more);
    this.config = loaded.config;
    this.points = pointsOf(loaded.config);
    this.gpu = loaded.gpu;
    this.tokenizer = loaded.tokenizer;
    this.tokenizerFiles = loaded.tokenizerFiles;
    this.processing = loaded.processing;
    this.adapterWeights = loaded.adapterWeights ?? null;
    this.gpuWeights = loaded.gpuWeights;
    this.edits = loaded.edits ?? null;
    this.#known = loaded.known ?? new KnownWeights({ hash: loaded.hash, views: loaded.views });
    this.#ownsWeights = loaded.ownsWeights ?? true;
  }

  /**
   * Loads a model: `'tiny'` and `'tiny-llama'` (shipped), `'gpt2'` … `'gpt2-xl'`, TransformerLens' toy models (`'attn-only-2l'`, …),
   * `'owner/name'` on the Hugging Face Hub, a folder, a GGUF, .pth or .safetensors file, a URL, or Blobs by name (docs/families.md says
   * which families). Weights are processed as TransformerLens does by default.
   * @throws an Error that says what is missing or damaged, and where.
   */
  static async fromPretrained(source: ModelSource, options: LoadOptions = {}): Promise<HookedTransformer> {
    return new HookedTransformer(await loadPretrained(source, options));
  }

  /** `fromPretrained` with the weights as they are (the five processing flags false). */
  static async fromPretrainedNoProcessing(source: ModelSource, options: LoadOptions = {}) {
    return HookedTransformer.fromPretrained(source, { ...options, ...noProcessing });
  }

  /**
   * A model from arrays in Hugging Face's GPT-2 names or TransformerLens': `{ 'wte.weight': { shape, data }, ... }`.
   * @param config our names (`nLayers`, `nHeads`, ...), or a `config.json` of either; sizes may be left to the arrays.
   */
  static async fromWeights(
    config: Partial<Config> | Record<string, unknown>,
    tensors: TensorMap,
    options: LoadOptions = {},
  ): Promise<HookedTransformer> {
    return new HookedTransformer(await loadWeights(config, tensors, options));
  }

  /**
   * A model that is changed in every run, and that every method takes: heads ablated, a direction added. It shares the weights,
   * and holds no memory but the tensors of its edits, which `dispose()` gives back, and nothing else. Edits nest, each on top
   * of those before it; hooks and interventions of a run come after them.
   * @throws when an edit is wrong whatever the prompt; when it does not fit a prompt, that run throws.
   * @example const ablated = model.with({ interventions: [{ at: 'blocks.9.attn.hook_z', head: 6, zero: true }] })
   */
  with<const I extends Counterfactual, const H extends readonly HookEntry[]>(
    edits: SpelledOptions<EditOptions, never, H> & { readonly interventions?: I & SpelledEdits<I> },
  ): HookedTransformer {
    const own = editsWith(this, edits as EditOptions);
    return this.#made({ edits: own, known: this.#known, ownsWeights: false, gpuWeights: this.gpuWeights });
  }

  /**
   * A model with some weights changed, by TransformerLens' names and in its layouts; what is unchanged is shared. It has its own hash,
   * the same tokenizer and edits, and can be saved. Dispose of it like of any other.
   * @throws when there is no such weight, or numbers of another shape are given
   * @example const changed = model.withWeights({ 'blocks.3.attn.W_O': (w) => w.mul(0) })
   */
  withWeights(changes: Readonly<Record<string, WeightChange>>): HookedTransformer {
    const { weights, changed } = changedWeights(this.gpuWeights, this.config, changes);
    const before = this.#known;
    const known = KnownWeights.later(async () => {
      await before.settled;
      const { views } = before.state;
      const { state } = await readState(weights, this.config, views?.parts, changed);
      return views ? state : { ...state, views: null };
    });
    return this.#made({ edits: this.edits, known, ownsWeights: true, gpuWeights: weights });
  }

  #made(from: MadeFrom & { readonly gpuWeights: GpuWeights }): HookedTransformer {
    const { config, points, gpu, tokenizer, tokenizerFiles, processing } = this;
    const adapterWeights = this.adapterWeights ?? undefined;
    const shared = { config, points, gpu, tokenizer, tokenizerFiles, processing, adapterWeights };
    const made = new HookedTransformer({ ...shared, ...from.known.state, ...from });
    currentScope()?.add(made);
    return made;
  }

  /** What `JSON.stringify` writes of a model: its name, hash and edits. @throws where these are functions or hold tensors. */
  toJSON(_key?: string): object {
    return { model: this.config.name, hash: this.hash, ...JSON.parse(editsJson(this)) };
  }

  /** Every weight by TransformerLens' name, with its shape: `blocks.0.attn.W_Q` [head, dModel, dHead], … */
  weightShapes(): Record<string, readonly number[]> {
    const found = [...weightsByName(this.gpuWeights, this.config)];
    return Object.fromEntries(found.map(([name, { shape }]) => [name, shape]));
  }

  /** How many numbers all weights are together; a tied unembedding is not counted twice. */
  get nParams(): number {
    return parameters(this.gpuWeights).reduce((n, { tensor }) => n + tensor.size, 0);
  }

  /**
   * Tells weights apart: a hash of them as they run, 16 hexadecimal digits. Training changes it. Of weights that `withWeights` changed it
   * is known after the first run, or `loadWeights()`; until then it begins with `pending`.
   */
  get hash(): string {
    return this.#known.state.hash;
  }

  /** Waits until `hash` and `weights` are those of weights that were changed on the GPU. */
  async loadWeights(): Promise<WeightViews> {
    await this.#known.settled;
    return this.weights;
  }

  /** Internal: settles when `hash` and `weights` are known; null: they are. */
  get settled(): Promise<void> | null {
    return this.#known.settled;
  }

  /** Internal: `Trainer` says what the weights are now. */
  set trained(state: WeightState) {
    this.#known.state = state;
  }

  /** The weights on the host, in TransformerLens' layout: `W_E`, `W_Q[l]` [head, dModel, dHead], `W_U` [dModel, dVocab], ... */
  get weights(): WeightViews {
    const { views } = this.#known.state;
    if (this.settled)
      throw new Error('the weights were changed on the GPU and are not read back: await model.loadWeights()');
    if (!views)
      throw new Error('the weights were not kept on the host: load the model without `hostWeights: false`');
    return views;
  }

  /**
   * The weights in Hugging Face's GPT-2 names, with `config.json`: what `saveModel` (Node) writes to a folder. Python's
   * GPT2LMHeadModel computes the same logits from it, processed or not.
   */
  checkpoint(): Saveable {
    return saveable(this.weights.parts, this.config, this.processing);
  }

  /** Gives the weights' GPU memory back; of an edited model only the tensors of its own edits. */
  dispose(): void {
    this.owner?.remove(this);
    if (this.#ownsWeights) this.gpuWeights.dispose();
    else this.edits!.dispose();
  }

  /** The same as `dispose()`, for `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  // ---- running -----------------------------------------------------------------------------------------------

  /** Logits [batch, pos, dVocab] ([tokens, dVocab] in ragged rows); with `stopAtLayer`, the stream [batch, pos, dModel]. */
  async forward<const H extends readonly HookEntry[]>(
    input: ModelInput,
    options: SpelledOptions<RunOptions, never, H> = {},
  ): Promise<Tensor> {
    return forward(this, input, options as RunOptions);
  }

  /** `forward` with hooks: `[[points, (activation, hook) => replacement or nothing], ...]`, called in order. */
  async runWithHooks<const H extends readonly HookEntry[]>(
    input: ModelInput,
    options: SpelledOptions<RunOptions, never, H> & { readonly hooks: H },
  ): Promise<Tensor> {
    return forward(this, input, options as RunOptions);
  }

  /** Logits and activations, as they are after all hooks. */
  async runWithCache<const N extends NameFilter, const H extends readonly HookEntry[]>(
    input: ModelInput,
    options: SpelledOptions<CacheOptions, N, H> = {},
  ): Promise<CachedRun> {
    return runWithCache(this, input, options as CacheOptions);
  }

  /**
   * One run with interventions as data: `[{ at: 'blocks.3.attn.hook_z', head: 5, pos: 10, set: { from: 'clean' } }]`, with
   * `sources: { clean: ... }`. `names` says which activations to keep; what cannot change anything is reported.
   */
  async runWithInterventions<const I extends Counterfactual, const N extends NameFilter>(
    input: TextInput,
    interventions: I & SpelledEdits<I>,
    options: SpelledOptions<InterventionOptions, N, InterventionOptions['hooks']> = {},
  ): Promise<IntervenedRun> {
    return runWithInterventions(this, input, interventions, options as InterventionOptions);
  }

  /** `runWithCache` without the logits: the run ends with the last block. */
  async runWithResidual(
    input: ModelInput,
    options: Omit<CacheOptions, 'stopAtLayer'> = {},
  ): Promise<Omit<CachedRun, 'logits'>> {
    return runWithResidual(this, input, options);
  }

  /**
   * A run, a metric of it, and the metric's gradient at every hook point asked for: `{ value, cache, grads }`.
   * @param metric `logitDiff(…)` and the like, or a function of the logits that gives a tensor with one number
   * @example const { grads } = await model.runWithGrads('The cat', loss(), { names: 'resid_pre' })
   */
  async runWithGrads<const N extends NameFilter, const H extends readonly HookEntry[]>(
    input: ModelInput,
    metric: Differentiable,
    options?: SpelledOptions<GradientOptions, N, H>,
  ): Promise<GradientRun> {
    return runWithGrads(this, input, metric, options as GradientOptions | undefined);
  }

  /** Per row, the log-probability of each token given those before it: one number less than the row has tokens. */
  async logProbs(input: TextInput, options: InputOptions & ScoreOptions = {}): Promise<Float32Array[]> {
    return logProbsOf(this, input, options);
  }

  /** Mean of −log p(next token) over all predictions of all rows. */
  async loss(input: TextInput, options: InputOptions & ScoreOptions = {}): Promise<number> {
    const rows = await this.logProbs(input, options);
    const n = rows.reduce((n, r) => n + r.length, 0);
    if (!n) throw new Error('loss: there is nothing to predict in rows of one token');
    return -rows.reduce((sum, r) => r.reduce((s, x) => s + x, sum), 0) / n;
  }

  /**
   * Runs a text once and keeps its keys and values: rows of later runs continue after it (`{ prefix }`), prefixes too, in `room`
   * for so many tokens. Dispose of the first one when done.
   */
  async prefix(input: string | readonly number[], options: PrefixOptions = {}): Promise<StoredPrefix> {
    return storePrefix(this, input, options);
  }

  /**
   * Continues a prompt, up to `maxNewTokens` or the end of the text. The result includes the prompt: text, or with
   * `returnType: 'tokens'` all token ids (the one that ended the text included).
   */
  async generate(
    prompt: string | readonly number[],
    options: GenerateOptions & { returnType: 'tokens' },
  ): Promise<number[]>;
  async generate(
    prompt: string | readonly number[],
    options?: GenerateOptions & { returnType?: 'text' },
  ): Promise<string>;
  async generate(
    prompt: string | readonly number[],
    { returnType = 'text', ...options }: GenerateOptions & { returnType?: 'text' | 'tokens' } = {},
  ): Promise<string | number[]> {
    const { tokens, continued } = await generateAll(this, prompt, options);
    return returnType === 'tokens' ? [...tokens] : toText(this.tokenizer, continued);
  }

  /** `generate`, token by token. */
  stream(prompt: string | readonly number[], options: GenerateOptions = {}): AsyncGenerator<GenerateStep> {
    return generateSteps(this, prompt, options);
  }

  /**
   * Reads a residual stream [..., dModel] as if it were the last: final layer norm (its statistics computed from the
   * stream itself), W_U and b_U. Logits [..., dVocab]; the caller disposes of them.
   */
  async logitsOfResidual(residual: Tensor): Promise<Tensor> {
    return logitsOfResidual(this, residual);
  }

  /** Columns of W_U, [1, dModel] of one token, as text or id; of nested lists [..., dModel], of pairs of answers [prompts, 2, dModel]. */
  tokensToResidualDirections(tokens: NestedTokens): Tensor {
    return residualDirections(this, typeof tokens === 'object' ? tokens : [tokens]);
  }
}

checkedMethods<typeof HookedTransformer>(HookedTransformer, LOADERS);
checkedMethods(HookedTransformer.prototype, MODEL);
