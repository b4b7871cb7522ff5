/**
 * How well a model predicts a long text: the mean −log p of its tokens, and its exponential. The text is read
 * as a stream and cut into windows that the model can read, so that a file of any size takes the same memory.
 *
 * With the beginning-of-text token (the default) it stands before every window, as in TransformerLens'
 * `tokenize_and_concatenate`, and every token of the text is predicted exactly once. Without, all but the
 * first are. The first tokens of a window have little before them: a smaller `stride` gives each at least
 * `window − stride` tokens of context, at window / stride times the work, as in Hugging Face's recipe for
 * models of fixed length.
 */

import { is, options, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { logProbsOf } from '../../hooks/texts/score.js';
import { type EncodedPiece, encodeStream, type TextStream } from '../../hooks/texts/token-stream.js';
import { provenance } from '../results/provenance.js';

export type { TextStream } from '../../hooks/texts/token-stream.js';

/** How far it is. */
export interface PerplexityProgress {
  /** Characters (UTF-16) of the text up to there. */
  readonly characters: number;
  /** Tokens predicted. */
  readonly tokens: number;
  /** Their mean loss. */
  readonly loss: number;
}

/** Options of `perplexity`. */
export interface PerplexityOptions {
  /** Default true. */
  readonly prependBos?: boolean;
  /**
   * Tokens that the model reads at once, the beginning-of-text token included. Default, and at most: its
   * context.
   */
  readonly window?: number;
  /** New tokens a window. Default: as many as fit, the cheapest. */
  readonly stride?: number;
  /** Called after every few windows. */
  readonly onProgress?: (progress: PerplexityProgress) => void;
  readonly signal?: AbortSignal;
}

/** What `perplexity` gives. */
export interface Perplexity {
  /** Tokens predicted. */
  readonly tokens: number;
  /** Characters (UTF-16) of the text. */
  readonly characters: number;
  /** Mean −log p of a token, in nats. */
  readonly loss: number;
  /** exp(loss) */
  readonly perplexity: number;
  readonly window: number;
  readonly stride: number;
  readonly meta: Readonly<Record<string, unknown>>;
}

/** Tokens of the windows that are scored together. */
const TOKENS_AT_ONCE = 4096;

/** A window, and how many of its last tokens count. */
interface Window {
  readonly tokens: readonly number[];
  readonly counted: number;
  /** Characters of the text up to its end, about. */
  readonly characters: number;
}

const PERPLEXITY = options<PerplexityOptions>({
  prependBos: is.boolean,
  window: is.count,
  stride: is.count,
  onProgress: is.callback,
  signal: is.signal,
});

const takes = signatures({
  perplexity: { model: is.model, text: is.either(is.text, is.iterable), options: PERPLEXITY },
});

/**
 * The perplexity of a text, or of what a stream of strings gives one after another
 * (`fs.createReadStream(file, 'utf8')`).
 * @throws without a tokenizer, when window or stride do not fit, or when there is nothing to predict.
 */
export const perplexity = takes.perplexity(async function perplexity(
  model: Model,
  text: TextStream,
  options: PerplexityOptions = {},
): Promise<Perplexity> {
  const { prependBos = model.config.defaultPrependBos, onProgress, signal } = options;
  const { tokenizer, config } = model;
  if (!tokenizer) throw new Error('perplexity: this model has no tokenizer.json, so it cannot read text');
  const head = prependBos ? model.toTokens('', { prependBos })[0] : [];
  const { window = config.nCtx } = options;
  checkSize('window', window, 2, config.nCtx);
  const room = window - head.length;
  const most = prependBos ? room : room - 1; // a token that follows nothing is not predicted
  const { stride = most } = options;
  checkSize('stride', stride, 1, most);

  let [tokens, sum, characters] = [0, 0, 0];
  const score = async (batch: readonly Window[]) => {
    signal?.throwIfAborted();
    const rows = await logProbsOf(
      model,
      batch.map((w) => w.tokens),
      { signal },
    );
    rows.forEach((row, i) => {
      for (const x of row.subarray(row.length - batch[i].counted)) sum -= x;
      tokens += batch[i].counted;
    });
    characters = batch.at(-1)!.characters;
    onProgress?.({ characters, tokens, loss: sum / tokens });
  };
  let batch: Window[] = [];
  let held = 0;
  for await (const w of windows(encodeStream(tokenizer, text), head, room, stride)) {
    batch.push(w);
    held += w.tokens.length;
    if (held < TOKENS_AT_ONCE) continue;
    await score(batch);
    [batch, held] = [[], 0];
  }
  if (batch.length) await score(batch);
  if (!tokens) throw new Error('perplexity: the text is too short, there is nothing to predict');
  const loss = sum / tokens;
  const meta = provenance(model, { method: 'perplexity', bos: prependBos, window, stride });
  return { tokens, characters, loss, perplexity: Math.exp(loss), window, stride, meta };
});

/** Windows of `room` tokens of the text, `stride` of them new but for the first, whose tokens are all new. */
async function* windows(
  stream: AsyncIterable<EncodedPiece>,
  head: readonly number[],
  room: number,
  stride: number,
): AsyncGenerator<Window> {
  let tokens: number[] = []; // of the current window
  let [fresh, before] = [0, 0];
  const made = (characters: number): Window => ({
    tokens: [...head, ...tokens],
    counted: fresh === tokens.length && !head.length ? fresh - 1 : fresh,
    characters,
  });
  for await (const piece of stream) {
    for (const [i, token] of piece.tokens.entries()) {
      if (tokens.length === room) {
        yield made(before + Math.round((piece.characters * i) / piece.tokens.length));
        tokens = tokens.slice(stride);
        fresh = 0;
      }
      tokens.push(token);
      fresh++;
    }
    before += piece.characters;
  }
  const last = made(before);
  if (last.counted > 0) yield last;
}

function checkSize(name: string, value: number, least: number, most: number): void {
  if (!Number.isInteger(value) || value < least || value > most)
    throw new Error(`perplexity: ${name} ${value}: a whole number from ${least} to ${most} is needed`);
}
