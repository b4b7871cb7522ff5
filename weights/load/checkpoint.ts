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
import { type LoadProgress, type OnLoadProgress, progressCounter } from '../files/progress.js';
import { countLayers, findBeside } from '../formats/prefix.js';
import { brokenBlock, QuantisedTensor } from '../formats/quantised.js';
import { elements, type TensorSource } from '../formats/tensors.js';
import type { BlockWeights, FinalWeights, HostTensor, ModelPart, NormWeights } from '../formats/types.js';
import { type NormPlace, normWeightsAt } from '../norm.js';
import {
  type Processing,
  processBlock,
  processEmbed,
  processFinal,
  readsOwnUnembed,
} from '../processing/processing.js';
import { called, checkNames, findPrefix, HEAD } from './check-names.js';
import { hasGpt2Names, inModelNames } from './model-names.js';
import { inGpt2Names } from './transformer-lens.js';

/** Watching and stopping a read. */
export interface ReadOptions {
  onProgress?: OnLoadProgress;
  signal?: AbortSignal;
  /**
   * Which matrices stay in the blocks of a quantised file, by their format; `table`: embedding and unembedding. None by default.
   * Only unprocessed ones can.
   */
  keep?: (format: string, table: boolean) => boolean;
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
  { onProgress, signal, keep }: ReadOptions = {},
): AsyncGenerator<ModelPart> {
  const { source, foreign } = inModelNames(checkpoint, config);
  const names = checkNames(source, config);
  if (foreign.length) onProgress?.(notRead(config, source, foreign));
  const total = [...names.values()].reduce((sum, name) => sum + 4 * elements(source.shape(name)!), 0);
  const event = { name: config.name, file: source.name, total };
  onProgress?.({ status: 'initiate', ...event, loaded: 0, progress: 0 });
  const counter = progressCounter(onProgress, event);

  const read = async (key: string): Promise<HostTensor> => {
    signal?.throwIfAborted();
    const name = names.get(key)!;
    const shape = source.shape(name)!;
    const table = /^(wte|lm_head)\./.test(key);
    const blocks =
      keep && (table || /\.c_\w+\.weight$/.test(key))
        ? ((await source.blocks?.(name, (format) => keep(format, table))) ?? null)
        : null;
    if (blocks) {
      const at = brokenBlock(blocks);
      if (at >= 0) throw corrupt(source, name, `a scale that is no number in block ${at}`);
      counter.add(4 * elements(shape));
      return new QuantisedTensor(shape, blocks, !table);
    }
    const data = await source.read(name);
    checkFinite(data, name, source);
    counter.add(4 * data.length);
    return { shape, data };
  };
  const readNorm = async (key: string, place: NormPlace): Promise<NormWeights | null> => {
    const { gain } = normWeightsAt(config, place);
    if (!gain) return null;
    const bias = names.has(`${key}.bias`) ? read(`${key}.bias`) : null;
    const [w, b] = await Promise.all([read(`${key}.weight`), bias]);
    // An RMS norm whose file has zeros for a bias has none.
    return { w, b: b && (normWeightsAt(config, place).bias || b.data.some((x) => x !== 0)) ? b : null };
  };

  const optional = (key: string) => (names.has(key) ? read(key) : null);
  const readLinear = (key: string) => Promise.all([read(`${key}.weight`), optional(`${key}.bias`)]);
  const [W_E, W_pos] = await Promise.all([read('wte.weight'), optional('wpe.weight')]);
  yield { kind: 'embed', weights: processEmbed({ W_E, W_pos }, config, processing) };

  for (let layer = 0; layer < config.nLayers; layer++) {
    const at = `h.${layer}`;
    const mlp = `${at}.mlp`;
    const { attnOnly, actFn } = config;
    // Together, so that over a network their latencies do not add up.
    const [ln1, attn, qNorm, kNorm, o, ln1Post, ln2, gate, into, ln, out, ln2Post] = await Promise.all([
      readNorm(`${at}.ln_1`, 'ln1'),
      readLinear(`${at}.attn.c_attn`),
      readNorm(`${at}.attn.q_norm`, 'attn.q_norm'),
      readNorm(`${at}.attn.k_norm`, 'attn.k_norm'),
      readLinear(`${at}.attn.c_proj`),
      readNorm(`${at}.ln_1_post`, 'ln1_post'),
      attnOnly ? null : readNorm(`${at}.ln_2`, 'ln2'),
      config.gatedMlp && !attnOnly ? readLinear(`${mlp}.c_gate`) : null,
      attnOnly ? null : readLinear(`${mlp}.c_fc`),
      actFn === 'solu_ln' && !attnOnly ? readNorm(`${mlp}.ln`, 'mlp.ln') : null,
      attnOnly ? null : readLinear(`${mlp}.c_proj`),
      attnOnly ? null : readNorm(`${at}.ln_2_post`, 'ln2_post'),
    ]);
    const block: BlockWeights = {
      ln1,
      W_QKV: attn[0],
      b_QKV: attn[1],
      ...(qNorm && { qNorm, kNorm }),
      W_O: o[0],
      b_O: o[1],
      ...(ln1Post && { ln1Post }),
      ln2,
      mlp: into &&
        out && {
          ...(gate && { W_gate: gate[0], b_gate: gate[1] }),
          W_in: into[0],
          b_in: into[1],
          ln,
          W_out: out[0],
          b_out: out[1],
        },
      ...(ln2Post && { ln2Post }),
    };
    yield { kind: 'block', layer, weights: processBlock(block, config, processing) };
  }

  const lnFinal = await readNorm('ln_f', 'ln_final');
  const head = names.has('lm_head.weight') ? await read('lm_head.weight') : null;
  const b_U = names.has('lm_head.bias') ? await read('lm_head.bias') : null;
  const untied = head !== null && !equal(head, W_E) ? head : null;
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
  if (source === checkpoint && !hasGpt2Names(source)) return {};
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

/** Tells that tensors beside the model's are not read. */
function notRead({ name }: Config, source: TensorSource, foreign: readonly string[]): LoadProgress {
  const some = foreign.slice(0, 3).map((tensor) => quoted(tensor, 40));
  const more = foreign.length > 3 ? ` and ${foreign.length - 3} more` : '';
  const message = `not read, since they are no tensors of the model: ${some.join(', ')}${more}`;
  return { status: 'warning', name, file: source.name, message };
}

function checkFinite(data: Float32Array, name: string, source: TensorSource): void {
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue;
    throw corrupt(source, name, `${data[i]} at index ${i}`);
  }
}

const corrupt = (source: TensorSource, name: string, what: string): Error =>
  fileError(
    source.file(name),
    `tensor ${quoted(called(source, name))} holds ${what}; the checkpoint is corrupt`,
  );

function equal(one: HostTensor, other: HostTensor): boolean {
  const both = one.blocks && other.blocks;
  if (both && one.blocks?.format !== other.blocks?.format) return false;
  const [a, b] = both ? [one.blocks!.bytes, other.blocks!.bytes] : [one.data, other.data];
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
