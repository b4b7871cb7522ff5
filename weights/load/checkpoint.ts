/**
 * GPT-2 checkpoints in Hugging Face's names and layout, read part by part.
 *
 *     wte.weight [dVocab, dModel]   wpe.weight [nCtx, dModel]
 *     h.{l}.ln_1.weight|bias [dModel]
 *     h.{l}.attn.c_attn.weight [dModel, 3·nHeads·dHead]   .bias       (Conv1D: y = x·W + b, columns q, k, v)
 *     h.{l}.attn.c_proj.weight [nHeads·dHead, dModel]     .bias
 *     h.{l}.ln_2.weight|bias [dModel]
 *     h.{l}.mlp.c_fc.weight [dModel, dMlp]                .bias
 *     h.{l}.mlp.ln.weight|bias [dMlp]                                  (solu_ln; our name: GPT-2 has no such norm)
 *     h.{l}.mlp.c_proj.weight [dMlp, dModel]              .bias
 *     ln_f.weight|bias [dModel]                                        (RMS norms, our addition, have no bias)
 *     lm_head.weight [dVocab, dModel]   lm_head.bias [dVocab]          (both optional; without, W_U is wte; or wte is missing
 *                                                                       and the same matrix as lm_head)
 *
 * All may have a prefix (`transformer.`), the head that of a wrapper or none (`module.`, where the others have
 * `module.transformer.`); see `prefix.ts`. The causal masks `h.{l}.attn.bias` and `.masked_bias` that old
 * checkpoints carry are ignored, and so are tensors outside the blocks that GPT-2 does not have (classifier heads).
 * Checkpoints in TransformerLens' names are seen through `transformer-lens.ts`.
 */

import { fileError, quoted } from '../checks/messages.js';
import type { Config } from '../config.js';
import { type OnLoadProgress, progressCounter } from '../files/progress.js';
import { countLayers, findBeside, nearestPrefix } from '../formats/prefix.js';
import { elements, showShape, type TensorSource } from '../formats/tensors.js';
import type { BlockWeights, FinalWeights, HostTensor, ModelPart, NormWeights } from '../formats/types.js';
import { type NormPlace, normWeightsAt } from '../norm.js';
import {
  type Processing,
  processBlock,
  processEmbed,
  processFinal,
  readsOwnUnembed,
} from '../processing/processing.js';
import { checkNoQuantisedTensors } from '../quantised.js';
import { inGpt2Names } from './transformer-lens.js';

/** Watching and stopping a read. */
export interface ReadOptions {
  onProgress?: OnLoadProgress;
  signal?: AbortSignal;
}

/**
 * Reads a model: the embedding, each block, the final norm and unembedding, in this order, each processed as `processing`
 * says. The parts fit `processedConfig(config, processing)`. Before anything is read, all names and shapes are checked.
 * @throws an error that names tensor and file when a tensor is missing, has another shape than `config` says, is not part
 * of such a model, or holds a NaN or an infinity.
 */
export async function* readModel(
  checkpoint: TensorSource,
  config: Config,
  processing: Processing,
  { onProgress, signal }: ReadOptions = {},
): AsyncGenerator<ModelPart> {
  const { source } = inGpt2Names(checkpoint);
  const names = checkNames(source, config);
  const total = [...names.values()].reduce((sum, name) => sum + 4 * elements(source.shape(name)!), 0);
  const event = { name: config.name, file: source.name, total };
  onProgress?.({ status: 'initiate', ...event, loaded: 0, progress: 0 });
  const counter = progressCounter(onProgress, event);

  const read = async (key: string): Promise<HostTensor> => {
    signal?.throwIfAborted();
    const name = names.get(key)!;
    const data = await source.read(name);
    checkFinite(data, name, source);
    counter.add(4 * data.length);
    return { shape: source.shape(name)!, data };
  };
  const readNorm = async (key: string, place: NormPlace): Promise<NormWeights | null> => {
    const { gain } = normWeightsAt(config, place);
    if (!gain) return null;
    const bias = names.has(`${key}.bias`) ? read(`${key}.bias`) : null;
    const [w, b] = await Promise.all([read(`${key}.weight`), bias]);
    // An RMS norm whose file has zeros for a bias has none.
    return { w, b: b && (normWeightsAt(config, place).bias || b.data.some((x) => x !== 0)) ? b : null };
  };
  const readLinear = (key: string) => Promise.all([read(`${key}.weight`), read(`${key}.bias`)]);

  const [W_E, W_pos] = await Promise.all([read('wte.weight'), read('wpe.weight')]);
  yield { kind: 'embed', weights: processEmbed({ W_E, W_pos }, config, processing) };

  for (let layer = 0; layer < config.nLayers; layer++) {
    const at = `h.${layer}`;
    // Together, so that over a network their latencies do not add up.
    const [ln1, [W_QKV, b_QKV], [W_O, b_O], ln2, mlp] = await Promise.all([
      readNorm(`${at}.ln_1`, 'ln1'),
      readLinear(`${at}.attn.c_attn`),
      readLinear(`${at}.attn.c_proj`),
      config.attnOnly ? null : readNorm(`${at}.ln_2`, 'ln2'),
      config.attnOnly
        ? null
        : Promise.all([
            readLinear(`${at}.mlp.c_fc`),
            config.actFn === 'solu_ln' ? readNorm(`${at}.mlp.ln`, 'mlp.ln') : null,
            readLinear(`${at}.mlp.c_proj`),
          ]).then(([[W_in, b_in], ln, [W_out, b_out]]) => ({ W_in, b_in, ln, W_out, b_out })),
    ]);
    const block: BlockWeights = { ln1, W_QKV, b_QKV, W_O, b_O, ln2, mlp };
    yield { kind: 'block', layer, weights: processBlock(block, config, processing) };
  }

  const lnFinal = await readNorm('ln_f', 'ln_final');
  const head = names.has('lm_head.weight') ? await read('lm_head.weight') : null;
  const b_U = names.has('lm_head.bias') ? await read('lm_head.bias') : null;
  const untied = head !== null && !equal(head.data, W_E.data) ? head : null;
  const W_U = untied ?? (readsOwnUnembed(config, processing) ? W_E : null);
  const final: FinalWeights = { lnFinal, W_U, b_U };
  yield { kind: 'final', weights: processFinal(final, config, processing) };
  onProgress?.({ status: 'done', ...event, loaded: total, progress: 100 });
}

/**
 * What a checkpoint's shapes tell of its configuration: nLayers, dModel, dVocab, nCtx, dMlp, attnOnly. The number of heads
 * can be seen in TransformerLens' layout only.
 */
export function inferConfig(checkpoint: TensorSource): Partial<Config> {
  const { source, inferred } = inGpt2Names(checkpoint);
  const prefix = findPrefix(source);
  const axis = (key: string, i: number) => source.shape(prefix + key)?.[i];
  const nLayers = countLayers(source, prefix, /^h\.(\d+)\./);
  const dMlp = axis('h.0.mlp.c_fc.weight', 1);
  const head = source.shape(findBeside(source, prefix, HEAD) ?? '');
  const attnOnly = nLayers > 0 && !source.names().some((name) => name.includes('.mlp.'));
  return {
    nLayers,
    dModel: axis('wte.weight', 1) ?? axis('wpe.weight', 1),
    dVocab: axis('wte.weight', 0) ?? head?.[0],
    ...(head && { dVocabOut: head[0] }),
    nCtx: axis('wpe.weight', 0),
    dMlp: attnOnly ? 0 : dMlp,
    attnOnly,
    ...inferred,
  };
}

/**
 * Every tensor of a model with its shape, by its name without prefix; lm_head excepted.
 * @param optional also those that may be missing: biases of RMS norms
 */
export function expectedShapes(config: Config, { optional = false } = {}): Map<string, readonly number[]> {
  const { nLayers, dModel, dMlp, nCtx, dVocab, attnOnly } = config;
  const dAttn = config.nHeads * config.dHead;
  const shapes = new Map<string, readonly number[]>();
  const linear = (key: string, dIn: number, dOut: number) => {
    shapes.set(`${key}.weight`, [dIn, dOut]).set(`${key}.bias`, [dOut]);
  };
  const norm = (key: string, place: NormPlace, width = dModel) => {
    const { gain, bias } = normWeightsAt(config, place);
    if (gain) shapes.set(`${key}.weight`, [width]);
    if (gain && (bias || optional)) shapes.set(`${key}.bias`, [width]);
  };
  shapes.set('wte.weight', [dVocab, dModel]).set('wpe.weight', [nCtx, dModel]);
  for (let layer = 0; layer < nLayers; layer++) {
    norm(`h.${layer}.ln_1`, 'ln1');
    linear(`h.${layer}.attn.c_attn`, dModel, 3 * dAttn);
    linear(`h.${layer}.attn.c_proj`, dAttn, dModel);
    if (attnOnly) continue;
    norm(`h.${layer}.ln_2`, 'ln2');
    linear(`h.${layer}.mlp.c_fc`, dModel, dMlp);
    if (config.actFn === 'solu_ln') norm(`h.${layer}.mlp.ln`, 'mlp.ln', dMlp);
    linear(`h.${layer}.mlp.c_proj`, dMlp, dModel);
  }
  norm('ln_f', 'ln_final');
  return shapes;
}

const HEAD = 'lm_head.weight';

/** Checks names and shapes; gives each tensor's name in the source by its name without prefix. */
function checkNames(source: TensorSource, config: Config): Map<string, string> {
  const held = source.names();
  const prefix = findPrefix(source);
  if (config.nLayers > held.length)
    throw fileError(
      source.name,
      `the configuration says ${config.nLayers} layers, but there are ${held.length} tensors`,
    );
  const shapes = expectedShapes(config);
  const names = new Map<string, string>();
  const missing: string[] = [];
  const known = expectedShapes(config, { optional: true });
  for (const key of known.keys()) {
    const name = prefix + key;
    if (source.shape(name)) names.set(key, name);
    else if (shapes.has(key)) missing.push(name);
  }
  const { dVocab, dVocabOut, dModel, tieWordEmbeddings } = config;
  const head = findBeside(source, prefix, HEAD);
  if (head !== null && missing[0] === `${prefix}wte.weight` && tieWordEmbeddings !== false) {
    names.set('wte.weight', head); // one matrix, saved under its other name
    missing.shift();
  } else if (head !== null) names.set(HEAD, head);
  else if (tieWordEmbeddings !== true) checkNoOtherHead(source, config, prefix, known);
  checkNoQuantisedTensors(held, source.name);
  checkNothingElse(source, config, prefix, known);
  if (missing.length > 0) throw missingTensors(source, config, missing);
  if (tieWordEmbeddings === false && head === null)
    throw fileError(
      source.name,
      `there is no tensor "${called(source, HEAD)}", and the configuration does not say tie_word_embeddings: true`,
    );
  const bias = findBeside(source, prefix, 'lm_head.bias');
  if (bias !== null) names.set('lm_head.bias', bias);
  for (const [key, shape] of [
    ...known,
    [HEAD, [dVocabOut, dModel]],
    ['lm_head.bias', [dVocabOut]],
  ] as const) {
    const name = names.get(key);
    if (name !== undefined) checkShape(source, name, shape);
  }
  if (dVocabOut !== dVocab && !names.has('lm_head.weight'))
    throw fileError(
      source.name,
      `the configuration says ${dVocabOut} outputs and ${dVocab} tokens, and there is no unembedding ("${called(source, HEAD)}"), so that the embedding would be used`,
    );
  return names;
}

/** What stands before `wpe.weight`: '' or 'transformer.' or whatever a wrapper made of it. */
function findPrefix(source: TensorSource): string {
  const found = nearestPrefix(source, ['wte.weight', 'wpe.weight']);
  if (found !== null) return found;
  const names = source.names();
  checkNoQuantisedTensors(names, source.name);
  const some = names.slice(0, 3).map((name) => quoted(name, 40));
  throw fileError(
    source.name,
    'no tensor "wte.weight" or "transformer.wte.weight", and no "embed.W_E", so this is not a GPT-2 checkpoint' +
      (some.length ? ` (it has ${names.length} tensors: ${some.join(', ')}, ...)` : ' (it has no tensors)'),
  );
}

function missingTensors(source: TensorSource, config: Config, missing: string[]): Error {
  const some = missing.slice(0, 3).map((name) => quoted(called(source, name)));
  const more = missing.length > 3 ? ` and ${missing.length - 3} more` : '';
  const hint = missing.every((name) => /ln(_1|_2|_f)?\./.test(name))
    ? ". For a model without layer norm weights set normalization: 'none', 'LNPre' or 'RMSPre'"
    : missing.every((name) => /\.(mlp|ln_2)\./.test(name))
      ? '. For an attention-only model set attnOnly: true'
      : '';
  return fileError(
    source.name,
    `${missing.length} of the tensors of a model with ${config.nLayers} layers are missing: ` +
      `${some.join(', ')}${more}${hint}`,
  );
}

/** A tensor inside the blocks that such a model has no place for means that config and checkpoint disagree. */
function checkNothingElse(
  source: TensorSource,
  config: Config,
  prefix: string,
  shapes: ReadonlyMap<string, readonly number[]>,
): void {
  for (const name of source.names()) {
    const layer = layerOf(name, prefix);
    const inFinalNorm = name.startsWith(`${prefix}ln_f.`);
    if ((layer === undefined && !inFinalNorm) || shapes.has(name.slice(prefix.length))) continue;
    if (/\.attn\.(bias|masked_bias)$/.test(name)) continue;
    const why =
      Number(layer) >= config.nLayers
        ? `the configuration says ${config.nLayers} layers (0–${config.nLayers - 1})`
        : config.attnOnly && /\.(mlp|ln_2)\./.test(name)
          ? 'the configuration says attnOnly'
          : name.includes('.mlp.ln.') && config.actFn !== 'solu_ln'
            ? `the configuration says actFn '${config.actFn}'; only 'solu_ln' has a norm in its MLP`
            : !['LN', 'RMS'].includes(config.normalization) && /\.?ln(_1|_2|_f)?\./.test(name)
              ? `the configuration says normalization '${config.normalization}'`
              : 'GPT-2 has no such tensor';
    throw fileError(source.file(name), `unexpected tensor ${quoted(called(source, name))}: ${why}`);
  }
}

/** A head under another name must not be lost: the embedding would be used in its place. */
function checkNoOtherHead(
  source: TensorSource,
  { dVocabOut, dModel }: Config,
  prefix: string,
  known: ReadonlyMap<string, unknown>,
): void {
  const shapes = [
    [dVocabOut, dModel],
    [dModel, dVocabOut],
  ].map(showShape);
  const other = source.names().find((name) => {
    const ours = name.startsWith(prefix) && known.has(name.slice(prefix.length));
    const embedding = name.endsWith('wte.weight'); // of another model deeper down
    return (
      !ours &&
      !embedding &&
      layerOf(name, prefix) === undefined &&
      shapes.includes(showShape(source.shape(name)!))
    );
  });
  if (other !== undefined)
    throw fileError(
      source.file(other),
      `tensor ${quoted(called(source, other))} has the shape of an unembedding, and there is no "${HEAD}": ` +
        'rename it if it is the head, else remove it or set tie_word_embeddings: true',
    );
}

/** The file's own name for a tensor. */
const called = (source: TensorSource, name: string): string => source.original?.(name) ?? name;

/** The layer number in a block tensor's name, as text; undefined for other tensors. */
function layerOf(name: string, prefix: string): string | undefined {
  if (!name.startsWith(`${prefix}h.`)) return undefined;
  return /^\d+(?=\.)/.exec(name.slice(prefix.length + 2))?.[0];
}

function checkShape(source: TensorSource, name: string, expected: readonly number[]): void {
  const found = source.shape(name)!;
  if (showShape(found) === showShape(expected)) return;
  const transposed = showShape([...found].reverse()) === showShape(expected);
  throw fileError(
    source.file(name),
    `tensor ${quoted(called(source, name))} has shape ${showShape(found)}, the configuration says ${showShape(expected)}` +
      (transposed ? ' (it is transposed: nn.Linear stores [out, in], GPT-2 checkpoints [in, out])' : ''),
  );
}

function checkFinite(data: Float32Array, name: string, source: TensorSource): void {
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue;
    throw fileError(
      source.file(name),
      `tensor ${quoted(called(source, name))} holds ${data[i]} at index ${i}; the checkpoint is corrupt`,
    );
  }
}

function equal(a: Float32Array, b: Float32Array): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
