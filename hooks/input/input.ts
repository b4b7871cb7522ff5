/** From what a user gives (text, texts, tokens, a residual stream) to the rows of a batch, checked. */

import { showShape } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { type TextInput, toTokens } from '../../engine/tokens/text.js';
import type { Tokenizer } from '../../engine/tokens/tokenizer.js';
import type { RowInput } from '../../engine/transformer/batch.js';
import type { Prefix } from '../../engine/transformer/kv.js';
import { isList, shownValue } from '../../weights/checks/kinds.js';
import type { Config } from '../../weights/config.js';

/** Text, texts, token ids, rows of token ids (of any lengths); or a residual stream with `startAtLayer`. */
export type ModelInput = TextInput | Tensor;

/** How an input is read. */
export interface InputOptions {
  /**
   * Prepend the beginning-of-text token to text (ids are taken as they are). Default true; false after a
   * `prefix`.
   */
  prependBos?: boolean;
  /** Keys and values of what comes before every row, from `model.prefix(...)`. */
  prefix?: Prefix;
}

/** Rows of a batch, and what they start from. */
export interface Rows {
  readonly inputs: readonly RowInput[];
  /** The residual stream [tokens, dModel] to start from, or null: start from the tokens. */
  readonly residual: Tensor | null;
  /** Token ids of each row, without the prefix; empty lists when the run starts from a residual stream. */
  readonly tokens: readonly (readonly number[])[];
}

/** What reading an input needs of a model. */
interface Reader {
  readonly config: Config;
  readonly tokenizer: Tokenizer | null;
  readonly gpuWeights?: object;
  readonly edits?: object | null;
}

/**
 * @throws on empty prompts, ids outside the vocabulary, rows longer than the context, residuals of a wrong
 * shape.
 */
export function readInput(model: Reader, input: ModelInput, { prependBos, prefix }: InputOptions = {}): Rows {
  const { config, tokenizer } = model;
  const made = prefix?.madeBy;
  if (made && (made.weights !== model.gpuWeights || made.edits !== (model.edits ?? null)))
    throw new Error(
      'prefix: it was stored by a model with other weights or other edits, whose keys and values are not those of this one: store it with `prefix` of this model',
    );
  if (input instanceof Tensor) return readResidual(config, input, prefix);
  if (typeof input !== 'string' && !isList(input))
    throw new Error(`input is ${shownValue(input)}: give text, texts, token ids or rows of token ids`);
  const tokens = toTokens(tokenizer, input, { prependBos: prependBos ?? (prefix ? false : undefined) });
  tokens.forEach((row, i) => {
    checkTokens(row, config, tokens.length > 1 ? `row ${i}` : 'the prompt');
    checkLength(row.length, prefix, config, tokens.length > 1 ? `row ${i}` : 'the prompt');
  });
  return { inputs: tokens.map((t) => ({ tokens: t, prefix })), residual: null, tokens };
}

function readResidual(config: Config, t: Tensor, prefix?: Prefix): Rows {
  if (t.shape.length !== 3 || t.shape[2] !== config.dModel)
    throw new Error(
      `a residual stream has shape [batch, pos, ${config.dModel}], this one ${showShape(t.shape)}`,
    );
  const [batch, pos] = t.shape;
  checkLength(pos, prefix, config, 'the residual stream');
  const inputs = Array.from({ length: batch }, () => ({ tokens: pos, prefix }));
  return { inputs, residual: t, tokens: inputs.map(() => []) };
}

/** @throws unless all are ids of the vocabulary. */
export function checkTokens(
  tokens: readonly number[],
  { dVocab }: Pick<Config, 'dVocab'>,
  what: string,
): void {
  const bad = tokens.findIndex((t) => !Number.isInteger(t) || t < 0 || t >= dVocab);
  if (bad >= 0)
    throw new Error(
      `${what}: token id ${tokens[bad]} at position ${bad}, but the vocabulary is 0–${dVocab - 1}`,
    );
}

/** @throws unless all are logits of the model: tokens, where its vocabularies are the same. */
export const checkOutputs = (tokens: readonly number[], { dVocabOut }: Config, what: string): void =>
  checkTokens(tokens, { dVocab: dVocabOut }, what);

/** @throws where outputs are not tokens, or later tokens are seen. `what` is refused then. */
export function needLanguageModel({ dVocab, dVocabOut, attentionDir }: Config, what: string): void {
  if (attentionDir === 'bidirectional')
    throw new Error(
      `${what}: this model's attention is bidirectional, so it predicts no next token from those before`,
    );
  if (dVocab !== dVocabOut)
    throw new Error(
      `${what}: this model reads ${dVocab} tokens and has ${dVocabOut} outputs, so these are not next tokens`,
    );
}

function checkLength(length: number, prefix: Prefix | undefined, { nCtx }: Config, what: string): void {
  const before = prefix?.length ?? 0;
  if (before + length > nCtx)
    throw new Error(
      `${what} has ${length} tokens${before ? ` after a prefix of ${before}` : ''}: this model reads at most ${nCtx}; shorten it by ${before + length - nCtx}`,
    );
}

/** Layers `[from, to)` that a run goes through; `to` is null when it goes on to the logits. */
export interface LayerRange {
  readonly from: number;
  readonly to: number | null;
}

/** @throws unless 0 ≤ start ≤ stop ≤ nLayers (negatives count from the end), and an input fits the start. */
export function layerRange(
  { nLayers }: Config,
  startAtLayer: number | undefined,
  stopAtLayer: number | undefined,
  fromResidual: boolean,
): LayerRange {
  const resolve = (value: number, name: string) => {
    const l = value < 0 ? value + nLayers : value;
    if (!Number.isInteger(value) || l < 0 || l > nLayers)
      throw new Error(
        `${name} ${value}: this model has ${nLayers} layers (0–${nLayers}, or negative from the end)`,
      );
    return l;
  };
  if (startAtLayer === undefined && fromResidual)
    throw new Error('the input is a residual stream: say with startAtLayer which block reads it first');
  if (startAtLayer !== undefined && !fromResidual)
    throw new Error('startAtLayer needs a residual stream [batch, pos, dModel] as input, not tokens');
  const from = startAtLayer === undefined ? 0 : resolve(startAtLayer, 'startAtLayer');
  const to = stopAtLayer === undefined ? null : resolve(stopAtLayer, 'stopAtLayer');
  if (to !== null && to < from) throw new Error(`stopAtLayer ${to} lies before startAtLayer ${from}`);
  return { from, to };
}
