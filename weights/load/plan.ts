/** What a model's weights take on the GPU, told from its configuration or a GGUF file's header: nothing is read. */

import type { Config } from '../config.js';
import { blockFacts } from '../facts.js';
import { formatNamed } from '../formats/blocks.js';
import { elements } from '../formats/tensors.js';
import { type Processing, readsOwnUnembed } from '../processing/processing.js';
import { DTYPES, type Dtype, formatOf, keepsBlocks } from '../processing/stored.js';

/** What weights take, in bytes. */
export interface WeightSize {
  readonly device: number;
  /** The largest matrix that must lie in one binding (embeddings may be cut), by name. */
  readonly largest: { readonly name: string; readonly bytes: number };
  /** The copy on the host, for `model.weights`. */
  readonly host: number;
}

/** A matrix as kernels sum: rows lie along what a layer sums over. */
interface Matrix {
  readonly name: string;
  readonly rows: number;
  readonly width: number;
  readonly table: boolean;
}

function matricesOf(config: Config, processing: Processing): Matrix[] {
  const { dModel, dHead, dMlp, nHeads, nKeyValueHeads, nLayers, dVocab, dVocabOut } = config;
  const own = config.tieWordEmbeddings === false || readsOwnUnembed(config, processing);
  const matrix = (name: string, width: number, rows: number, table = false) => ({ name, rows, width, table });
  const out = [matrix('W_E', dModel, dVocab, true)];
  if (own || dVocabOut !== dVocab) out.push(matrix('W_U', dModel, dVocabOut, true));
  for (let l = 0; l < nLayers; l++) {
    const at = `blocks.${l}`;
    out.push(matrix(`${at}.W_QKV`, dModel, (nHeads + 2 * nKeyValueHeads) * dHead));
    out.push(matrix(`${at}.W_O`, nHeads * dHead, dModel));
    if (!blockFacts(config, l).mlp) continue;
    out.push(matrix(`${at}.W_in`, dModel, dMlp), matrix(`${at}.W_out`, dMlp, dModel));
    if (config.gatedMlp) out.push(matrix(`${at}.W_gate`, dModel, dMlp));
  }
  return out;
}

/** Position embeddings or tables of angles, biases and norms: float32 always. */
function small(config: Config): number {
  const { dModel, dMlp, nCtx, nLayers, nHeads, nKeyValueHeads, dHead, positionEmbedding, rotary } = config;
  const positions =
    positionEmbedding === 'rotary'
      ? nCtx * (rotary?.dims ?? dHead) * (rotary?.windowed ? 2 : 1)
      : positionEmbedding === 'none'
        ? 0
        : nCtx * dModel;
  const block = 8 * dModel + (nHeads + 2 * nKeyValueHeads) * dHead + dMlp;
  return 4 * (positions + nLayers * block);
}

/** Numbers of a model's matrices. */
export const matrixNumbers = (config: Config, processing: Processing): number =>
  matricesOf(config, processing).reduce((n, { rows, width }) => n + rows * width, 0);

/** What the weights of a model take in a format. */
export function weightSize(config: Config, dtype: Dtype, processing: Processing): WeightSize {
  let [device, host] = [small(config), small(config)];
  let largest = { name: '', bytes: 0 };
  for (const { name, rows, width, table } of matricesOf(config, processing)) {
    const format = formatOf(dtype, width, table);
    const n = rows * width;
    const bytes = sizeOf(format, n);
    device += bytes;
    host += format === 'f32' ? bytes : format === 'f16' ? bytes + 4 * n : bytes;
    if (!table && bytes > largest.bytes) largest = { name, bytes };
  }
  return { device, host, largest };
}

const sizeOf = (format: string, n: number): number => {
  if (format === 'f32' || format === 'f16') return (format === 'f32' ? 4 : 2) * n;
  const { elements: each, bytes } = formatNamed(format);
  return (n / each) * bytes;
};

/** A quantised file, as planning sees it: the format and shape of every tensor. */
export interface QuantisedFile {
  readonly formats: ReadonlyMap<string, string>;
  readonly tensors: { shape(name: string): readonly number[] | undefined };
}

/** What the weights of a quantised file take: null as a dtype leaves its blocks as they are. */
export function fileSize(
  config: Config,
  { formats, tensors }: QuantisedFile,
  dtype: Dtype | null,
): WeightSize {
  let [device, host] = [small(config), small(config)];
  let largest = { name: '', bytes: 0 };
  for (const [name, format] of formats) {
    const shape = tensors.shape(name)!;
    if (shape.length < 2 || /^position_embd/.test(name)) continue;
    const n = elements(shape);
    const table = /^(token_embd|output)\./.test(name);
    const kept = keepsBlocks(dtype, format, table);
    const into = kept ? format : formatOf(dtype ?? 'f32', shape.at(-1)!, table);
    const bytes = sizeOf(into, n);
    device += bytes;
    host += into === 'f16' ? bytes + 4 * n : bytes;
    if (!table && bytes > largest.bytes) largest = { name, bytes };
  }
  return { device, host, largest };
}

/** By dtype, what weights take. */
export const sizes = (
  config: Config,
  processing: Processing,
  file: QuantisedFile | null,
): Record<Dtype, WeightSize> =>
  Object.fromEntries(
    DTYPES.map((dtype) => [
      dtype,
      file ? fileSize(config, file, dtype) : weightSize(config, dtype, processing),
    ]),
  ) as Record<Dtype, WeightSize>;
