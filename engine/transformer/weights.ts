/** The weights on the GPU, uploaded part by part. */

import { blockWords, wordsFor } from '../../kernels/core/stored.js';
import type { Config } from '../../weights/config.js';
import { blockFacts } from '../../weights/facts.js';
import { QuantisedTensor } from '../../weights/formats/quantised.js';
import type { BlockWeights, HostTensor, ModelPart, NormWeights } from '../../weights/formats/types.js';
import { type NormPlace, normAt } from '../../weights/norm.js';
import { type RotaryTable, rotaryAngles } from '../../weights/rotary.js';
import type { Gpu } from '../gpu/gpu.js';
import { Storage } from '../gpu/storage.js';
import type { Table } from '../tensor/launches.js';
import { Tensor } from '../tensor/tensor.js';
import { mapWeights } from './map-weights.js';
import { Norm } from './parts/norm.js';
import { splitName } from './points.js';

/** One block; shapes as in `BlockWeights`. What a model has not (norms, biases, gates) is null. */
export interface GpuBlock {
  readonly ln1: Norm | null;
  readonly ln1Post: Norm | null;
  readonly W_QKV: Tensor;
  readonly b_QKV: Tensor | null;
  readonly qNorm: Norm | null;
  readonly kNorm: Norm | null;
  /** Rotary positions: cosines, then sines of every position, [nCtx, dims]; layers may share one. */
  readonly angles: Tensor | null;
  readonly W_O: Tensor;
  readonly b_O: Tensor | null;
  readonly ln2: Norm | null;
  readonly ln2Post: Norm | null;
  readonly mlp: {
    readonly W_gate: Tensor | null;
    readonly b_gate: Tensor | null;
    readonly W_in: Tensor;
    readonly b_in: Tensor | null;
    readonly ln: Norm | null;
    readonly W_out: Tensor;
    readonly b_out: Tensor | null;
  } | null;
}

/** A whole model. `W_U` has one row a token ([dVocab, dModel]) and is `W_E` itself where they are tied. */
export interface WeightTensors {
  readonly W_E: Table;
  /** Null where positions are not embedded. */
  readonly W_pos: Table | null;
  readonly blocks: readonly GpuBlock[];
  readonly lnFinal: Norm | null;
  readonly W_U: Table;
  readonly b_U: Tensor | null;
  /** Their memory was given back. */
  readonly disposed?: boolean;
}

/** Properties of a block's norms by their names among the hook points. */
const NORMS = {
  ln1: 'ln1',
  ln1_post: 'ln1Post',
  ln2: 'ln2',
  ln2_post: 'ln2Post',
  'attn.q_norm': 'qNorm',
  'attn.k_norm': 'kNorm',
} as const;

/** The norm whose hook points begin with `name` (`ln_final`, `blocks.3.ln1`, `blocks.3.mlp.ln`); null in models without norms. */
export function normNamed({ blocks, lnFinal }: WeightTensors, name: string): Norm | null {
  if (name === 'ln_final') return lnFinal;
  const { layer, local: place } = splitName(name);
  const block = blocks[layer!];
  return place === 'mlp.ln' ? (block.mlp?.ln ?? null) : block[NORMS[place as keyof typeof NORMS]];
}

/** The weights of a model that was loaded. */
export class GpuWeights implements WeightTensors {
  W_E!: Table;
  W_pos: Table | null = null;
  readonly blocks: GpuBlock[] = [];
  lnFinal: Norm | null = null;
  W_U!: Table;
  b_U: Tensor | null = null;
  disposed = false;
  readonly #gpu: Gpu;
  readonly #all: Tensor[] = [];
  /** Tensors to fill again, in the order in which they were made; null while they are made. */
  #again: Iterator<Tensor> | null = null;
  #forget: () => void = () => {};
  #unshare: () => void = () => {};
  /** Models that have some of the tensors. */
  #sharers = 0;
  readonly #angles = new Map<RotaryTable, Tensor>();

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Uploads one part; parts come in the order embed, blocks, final. */
  add(part: ModelPart, config: Config): void {
    if (part.kind === 'embed') {
      this.W_E = this.#table(part.weights.W_E, 'W_E');
      this.W_pos = part.weights.W_pos && this.#table(part.weights.W_pos, 'W_pos');
    } else if (part.kind === 'block') {
      this.blocks[part.layer] = this.#block(part.weights, part.layer, config);
    } else {
      const { lnFinal, W_U, b_U } = part.weights;
      this.lnFinal = this.#norm(config, 'ln_final', lnFinal, 'ln_final');
      const softCap = config.outputLogitsSoftCap;
      if (W_U) this.W_U = { ...this.#table(W_U, 'W_U'), softCap };
      else this.W_U = this.W_E = { ...this.W_E, softCap };
      this.b_U = b_U && this.#tensor(b_U, 'b_U');
      if (this.W_U.rows !== config.dVocabOut)
        throw new Error(`W_U has ${this.W_U.rows} rows for a vocabulary of ${config.dVocabOut}`);
    }
    // Staging memory of the uploads is given back at a submit only (Dawn).
    this.#gpu.reclaim();
  }

  /**
   * Tells where the weights come from: when the device is lost and another is opened, they are uploaded again into the same
   * tensors. `parts` may throw an Error that says why they cannot be.
   */
  comeFrom(config: Config, parts: () => Iterable<ModelPart> | AsyncIterable<ModelPart>): void {
    this.#forget();
    this.#forget = this.#gpu.onRestore(async () => {
      this.#again = this.#all[Symbol.iterator]();
      this.#angles.clear();
      try {
        for await (const part of parts()) this.add(part, config);
      } finally {
        this.#again = null;
      }
    });
  }

  /** Other models have some of these tensors, too: training would change those models. */
  get shared(): boolean {
    return this.#sharers > 0;
  }

  /**
   * The same weights with some replaced; the others are shared. Dispose of it, too.
   * @param replace by the names of `mapWeights`: null where a tensor is shared
   */
  copy(replace: (name: string) => Tensor | null, untied: boolean): GpuWeights {
    const out = new GpuWeights(this.#gpu);
    const own = (t: Tensor): Tensor => {
      out.#all.push(t);
      return t;
    };
    const from = untied && this.W_U === this.W_E ? { ...this.parts(), W_U: { ...this.W_U } } : this.parts();
    const { blocks, ...rest } = mapWeights(from, (t, name) => own(replace(name) ?? t.detach()));
    Object.assign(out, rest);
    const angles = new Map<Tensor, Tensor>();
    for (const block of blocks) {
      const given = block.angles;
      if (given && !angles.has(given)) angles.set(given, own(given.detach()));
      out.blocks.push({ ...block, angles: given && angles.get(given)! });
    }
    this.#sharers++;
    out.#sharers++;
    out.#unshare = () => {
      this.#sharers--;
    };
    return out;
  }

  /** Internal: just the tensors. */
  parts(): WeightTensors {
    const { W_E, W_pos, blocks, lnFinal, W_U, b_U } = this;
    return { W_E, W_pos, blocks, lnFinal, W_U, b_U };
  }

  /** They were changed on the GPU, as by training: a loss of the device takes them. */
  changed(): void {
    this.#forget();
    this.#forget = this.#gpu.onRestore(() => {
      throw new Error(
        'the GPU device was lost, and with it the weights of a model in training, which were nowhere else: go on from the last state that was saved',
      );
    });
  }

  dispose(): void {
    this.disposed = true;
    this.#forget();
    this.#unshare();
    this.#unshare = () => {};
    for (const t of this.#all.splice(0)) t.dispose();
  }

  #block(w: BlockWeights, layer: number, config: Config): GpuBlock {
    const at = `blocks.${layer}`;
    const { positions } = blockFacts(config, layer);
    const t = (h: HostTensor, name: string) => this.#tensor(h, `${at}.${name}`);
    const norm = (place: NormPlace, n: NormWeights | null | undefined) =>
      this.#norm(config, place, n ?? null, `${at}.${place}`);
    const bias = (h: HostTensor | null | undefined, name: string) => (h ? t(h, name) : null);
    return {
      ln1: norm('ln1', w.ln1),
      ln1Post: norm('ln1_post', w.ln1Post),
      W_QKV: t(w.W_QKV, 'W_QKV'),
      b_QKV: bias(w.b_QKV, 'b_QKV'),
      qNorm: norm('attn.q_norm', w.qNorm),
      kNorm: norm('attn.k_norm', w.kNorm),
      angles: positions.kind === 'rotary' ? this.#anglesOf(positions.table, config.nCtx) : null,
      W_O: t(w.W_O, 'W_O'),
      b_O: bias(w.b_O, 'b_O'),
      ln2: w.mlp && norm('ln2', w.ln2),
      ln2Post: w.mlp && norm('ln2_post', w.ln2Post),
      mlp: w.mlp && {
        W_gate: w.mlp.W_gate ? t(w.mlp.W_gate, 'W_gate') : null,
        b_gate: bias(w.mlp.b_gate, 'b_gate'),
        W_in: t(w.mlp.W_in, 'W_in'),
        b_in: bias(w.mlp.b_in, 'b_in'),
        ln: config.actFn === 'solu_ln' ? norm('mlp.ln', w.mlp.ln) : null,
        W_out: t(w.mlp.W_out, 'W_out'),
        b_out: bias(w.mlp.b_out, 'b_out'),
      },
    };
  }

  /** Angles of every position, made in float64; one table for all layers with the same frequencies. */
  #anglesOf(table: RotaryTable, positions: number): Tensor {
    let angles = this.#angles.get(table);
    if (!angles) {
      const { data, shape } = rotaryAngles(table, positions);
      this.#angles.set(table, (angles = this.#tensor({ data, shape }, 'angles')));
    }
    return angles;
  }

  #norm(config: Config, place: NormPlace, n: NormWeights | null, at: string): Norm | null {
    const facts = normAt(config, place);
    const tensor = (t: HostTensor | null | undefined, name: string) =>
      t ? this.#tensor(t, `${at}.${name}`) : null;
    return facts && new Norm(facts, { w: tensor(n?.w, 'w'), b: tensor(n?.b, 'b') });
  }

  #tensor(given: HostTensor, label: string): Tensor {
    const { shape, halves, blocks } = given;
    const words = blocks ? blockWords(blocks.format, blocks.bytes) : halves && wordsOf(halves);
    if (this.#again) {
      const t = this.#again.next().value as Tensor;
      t.storage.buffer = this.#gpu.upload(words ?? given.data, label, { exact: true });
      return t;
    }
    const t = words
      ? new Tensor({
          storage: new Storage(
            this.#gpu,
            this.#gpu.upload(words, label, { exact: true }),
            blocks ? blocks.format : 'f16',
          ),
          shape,
          ...(given.turned && { strides: [1, shape[0]] }),
          label,
        })
      : Tensor.from(this.#gpu, given.data, shape, { label, exact: true });
    this.#all.push(t);
    return t;
  }

  #table(table: HostTensor, label: string): Table {
    const { halves, blocks } = table;
    const [rows, width] = table.shape;
    const stored = blocks?.format ?? (halves ? 'f16' : 'f32');
    const most = Math.floor(this.#gpu.adapter.maxBindingBytes / ((4 * wordsFor(stored, 64 * width)) / 64));
    const fit = most >= rows ? rows : Math.floor(most / 64) * 64; // so that b_U can be bound from there
    const chunks = [];
    for (let row0 = 0; row0 < rows; row0 += fit) {
      const n = Math.min(fit, rows - row0);
      const tensor = this.#tensor(n === rows ? table : rowsOf(table, row0, n), label);
      chunks.push({ row0, rows: n, tensor });
    }
    return { rows, width, chunks };
  }
}

/** Rows `first` … `first + n` of a matrix. */
function rowsOf(table: HostTensor, first: number, n: number): HostTensor {
  const [rows, width] = table.shape;
  const cut = <T extends Float32Array | Uint16Array | Uint8Array>(all: T): T => {
    const each = all.length / rows;
    return all.subarray(first * each, (first + n) * each) as T;
  };
  const { blocks, halves } = table;
  const shape = [n, width];
  if (blocks) return new QuantisedTensor(shape, { ...blocks, bytes: cut(blocks.bytes) }, false);
  return { shape, data: cut(table.data), ...(halves && { halves: cut(halves) }) };
}

/** Float16 bit patterns, of an even number. */

const wordsOf = (bits: Uint16Array): Uint32Array =>
  new Uint32Array(bits.buffer, bits.byteOffset, bits.length / 2);
