/**
 * Changing weights by TransformerLens' names: what a name means among the tensors on the GPU, there and back.
 */

import { Scope } from '../../engine/gpu/storage.js';
import { type NestedNumbers, numbersOf } from '../../engine/numbers.js';
import { showShape } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { mapWeights } from '../../engine/transformer/map-weights.js';
import type { GpuWeights, WeightTensors } from '../../engine/transformer/weights.js';
import { suggestion } from '../../weights/checks/spellings.js';
import type { Config } from '../../weights/config.js';

/** New numbers of a weight, in TransformerLens' layout, or a function of the old ones. */
export type WeightChange = Tensor | NestedNumbers | ((weight: Tensor) => Tensor);

/** A weight by TransformerLens' name. */
interface Weight {
  /** As TransformerLens has it. */
  readonly shape: readonly number[];
  /** The tensor that holds it; of a table in chunks without the number of the chunk. */
  readonly tensor: string;
  /** Of a part of the tensor's columns. */
  readonly columns?: readonly [first: number, end: number];
  /** The tensor has its rows and columns exchanged. */
  readonly turned?: boolean;
}

/**
 * Every weight of a model by its name in TransformerLens' `state_dict`: `embed.W_E`, `blocks.0.attn.W_Q`,
 * `ln_final.w` …
 */
export function weightsByName(weights: WeightTensors, config: Config): Map<string, Weight> {
  const { nHeads, nKeyValueHeads, dHead, dModel } = config;
  const out = new Map<string, Weight>();
  const q = nHeads * dHead;
  const kv = nKeyValueHeads * dHead;
  const heads = [
    ['Q', nHeads, 0, q],
    ['K', nKeyValueHeads, q, q + kv],
    ['V', nKeyValueHeads, q + kv, q + 2 * kv],
  ] as const;
  mapWeights(weights, (t, name) => {
    const tensor = name.replace(/\[\d+\]$/, '');
    const [, block, local] = /^(blocks\.\d+\.)?(.*)$/.exec(tensor)!;
    const at = block ?? '';
    const put = (own: string, weight: Omit<Weight, 'tensor'>) => out.set(at + own, { ...weight, tensor });
    if (local === 'W_E') put('embed.W_E', { shape: [weights.W_E.rows, dModel] });
    else if (local === 'W_pos') put('pos_embed.W_pos', { shape: [weights.W_pos!.rows, dModel] });
    else if (local === 'W_U') put('unembed.W_U', { shape: [dModel, weights.W_U.rows], turned: true });
    else if (local === 'b_U') put('unembed.b_U', { shape: t.shape });
    else if (local === 'W_QKV')
      for (const [x, n, first, end] of heads)
        put(`attn.W_${x}`, { shape: [n, dModel, dHead], columns: [first, end] });
    else if (local === 'b_QKV')
      for (const [x, n, first, end] of heads)
        put(`attn.b_${x}`, { shape: [n, dHead], columns: [first, end] });
    else if (local === 'W_O') put('attn.W_O', { shape: [nHeads, dHead, dModel] });
    else if (local === 'b_O') put('attn.b_O', { shape: t.shape });
    else if (/^[Wb]_(in|out|gate)$/.test(local)) put(`mlp.${local}`, { shape: t.shape });
    else put(local, { shape: t.shape });
    return t;
  });
  // Tied: the unembedding is the embedding until one of them is changed.
  if (weights.W_U === weights.W_E)
    out.set('unembed.W_U', { shape: [dModel, weights.W_E.rows], turned: true, tensor: 'W_U' });
  return out;
}

/**
 * The weights with some changed; all others are shared. @throws when there is no such weight, or a shape does
 * not fit.
 */
export function changedWeights(
  weights: GpuWeights,
  config: Config,
  changes: Readonly<Record<string, WeightChange>>,
): { weights: GpuWeights; changed: readonly string[] } {
  const known = weightsByName(weights, config);
  const whole = new Map<string, Tensor>(); // by the names of `mapWeights`
  const scope = new Scope();
  try {
    for (const [name, change] of Object.entries(changes)) {
      const weight = known.get(name);
      if (!weight) {
        const meant = suggestion(name, [...known.keys()]);
        throw new Error(
          `withWeights: this model has no weight "${name.slice(0, 60)}"${meant ? `: did you mean "${meant}"?` : `; it has ${[...known.keys()].slice(0, 8).join(', ')}, …`}`,
        );
      }
      applyChange(weights, weight, name, change, whole, scope);
    }
    const untied = [...whole.keys()].some((name) => /^W_[EU]/.test(name));
    const used = new Map([...whole].map(([name, t]) => [name, t.keep()]));
    return { weights: weights.copy((name) => used.get(name) ?? null, untied), changed: [...whole.keys()] };
  } catch (e) {
    for (const t of whole.values()) t.dispose();
    throw e;
  } finally {
    scope.close();
  }
}

interface Piece {
  /** As `mapWeights` calls it. */
  readonly name: string;
  readonly tensor: Tensor;
}

/** The tensors that hold a weight: several where a table is in chunks. */
function piecesOf(weights: WeightTensors, tensor: string): Piece[] {
  const found: Piece[] = [];
  const untied = { ...weights, W_U: { ...weights.W_U } };
  mapWeights(untied, (t, name) => {
    if (name === tensor || name.startsWith(`${tensor}[`)) found.push({ name, tensor: t });
    return t;
  });
  return found;
}

/** Puts the changed tensors of one weight into `whole`; everything else it makes is in `scope`. */
function applyChange(
  weights: GpuWeights,
  { shape, tensor, columns, turned }: Weight,
  name: string,
  change: WeightChange,
  whole: Map<string, Tensor>,
  scope: Scope,
): void {
  const pieces = piecesOf(weights, tensor);
  const parts = pieces.map((piece) => (whole.get(piece.name) ?? piece.tensor).detach(scope));
  const all = parts.length > 1 ? Tensor.concat(parts) : parts[0].slice([]);
  const region = columns ? (all.shape.length > 1 ? [null, [...columns]] : [[...columns]]) : [];
  const own = all.slice(region as never); // [rows, columns], or one axis
  const [rows] = all.shape;
  const perHead = shape.length === 3 && columns !== undefined;
  const given = turned
    ? own.transpose().slice([])
    : perHead
      ? own.reshape([rows, shape[0], shape[2]]).transpose([1, 0, 2]).slice([])
      : own.reshape([...shape]);
  const made = newNumbers(given, name, change, scope);
  const back = turned
    ? made.transpose()
    : perHead
      ? made
          .transpose([1, 0, 2])
          .slice([])
          .reshape([rows, shape[0] * shape[2]])
      : made.reshape([...own.shape]);
  const filled = columns ? all.set(region as never, back) : back;
  let from = 0;
  for (const { name, tensor: t } of pieces) {
    const piece = pieces.length > 1 ? filled.slice([[from, from + t.shape[0]]]) : filled.slice([]);
    from += t.shape[0];
    whole.set(name, piece);
  }
}

/** What a change makes of a weight, in `scope`. @throws unless it has the weight's shape. */
function newNumbers(given: Tensor, name: string, change: WeightChange, scope: Scope): Tensor {
  const made = typeof change === 'function' ? change(given) : change;
  const expected = `the shape ${showShape(given.shape)} is needed`;
  if (made instanceof Tensor) {
    if (made.disposed) throw new Error(`withWeights: "${name}": the tensor was disposed of`);
    if (made.shape.join() !== given.shape.join())
      throw new Error(`withWeights: "${name}": a tensor of shape ${showShape(made.shape)}: ${expected}`);
    return made.detach(scope);
  }
  if (typeof change === 'function')
    throw new Error(`withWeights: "${name}": the function gave no tensor: (w) => w.mul(0) is one that does`);
  const { values, shape } = numbersOf(made as NestedNumbers, `withWeights: "${name}"`);
  if (values.length !== given.size || (shape.length > 1 && shape.join() !== given.shape.join()))
    throw new Error(`withWeights: "${name}": numbers of shape ${showShape(shape)}: ${expected}`);
  return Tensor.from(given.gpu, values, given.shape, { label: name, scope });
}
