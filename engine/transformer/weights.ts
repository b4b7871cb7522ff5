/** The weights on the GPU, uploaded part by part. */

import type { Config } from '../../weights/config.js';
import type { BlockWeights, HostTensor, ModelPart, NormWeights } from '../../weights/formats/types.js';
import { type NormPlace, normAt } from '../../weights/norm.js';
import type { Gpu } from '../gpu/gpu.js';
import { Storage } from '../gpu/storage.js';
import { Tensor } from '../tensor/tensor.js';
import { Norm } from './parts/norm.js';

/** A [rows, width] matrix in pieces that each fit one binding: GPT-2's embedding is 154 MB, many adapters bind 128. */
export interface Table {
  readonly rows: number;
  readonly width: number;
  readonly chunks: readonly { readonly row0: number; readonly rows: number; readonly tensor: Tensor }[];
}

/** One block; shapes as in `BlockWeights`. Norms are null in models that have none. */
export interface GpuBlock {
  readonly ln1: Norm | null;
  readonly W_QKV: Tensor;
  readonly b_QKV: Tensor;
  readonly W_O: Tensor;
  readonly b_O: Tensor;
  readonly ln2: Norm | null;
  readonly mlp: {
    readonly W_in: Tensor;
    readonly b_in: Tensor;
    readonly ln: Norm | null;
    readonly W_out: Tensor;
    readonly b_out: Tensor;
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
}

/** The norm whose hook points begin with `name` (`ln_final`, `blocks.3.ln1`, `blocks.3.mlp.ln`); null in models without norms. */
export function normNamed({ blocks, lnFinal }: WeightTensors, name: string): Norm | null {
  if (name === 'ln_final') return lnFinal;
  const [, layer, place] = /^blocks\.(\d+)\.(ln1|ln2|mlp\.ln)$/.exec(name)!;
  const block = blocks[Number(layer)];
  return place === 'mlp.ln' ? (block.mlp?.ln ?? null) : block[place as 'ln1' | 'ln2'];
}

/** The weights of a model that was loaded. */
export class GpuWeights implements WeightTensors {
  W_E!: Table;
  W_pos: Table | null = null;
  readonly blocks: GpuBlock[] = [];
  lnFinal: Norm | null = null;
  W_U!: Table;
  b_U: Tensor | null = null;
  readonly #gpu: Gpu;
  readonly #all: Tensor[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Uploads one part; parts come in the order embed, blocks, final. */
  add(part: ModelPart, config: Config): void {
    if (part.kind === 'embed') {
      this.W_E = this.#table(part.weights.W_E, 'W_E');
      this.W_pos = part.weights.W_pos && this.#table(part.weights.W_pos, 'W_pos');
    } else if (part.kind === 'block') {
      this.blocks[part.layer] = this.#block(part.weights, `blocks.${part.layer}`, config);
    } else {
      const { lnFinal, W_U, b_U } = part.weights;
      this.lnFinal = this.#norm(config, 'ln_final', lnFinal, 'ln_final');
      this.W_U = W_U ? this.#table(W_U, 'W_U') : this.W_E;
      this.b_U = b_U && this.#tensor(b_U, 'b_U');
      if (this.W_U.rows !== config.dVocabOut)
        throw new Error(`W_U has ${this.W_U.rows} rows for a vocabulary of ${config.dVocabOut}`);
    }
    // Staging memory of the uploads is given back at a submit only (Dawn).
    this.#gpu.reclaim();
  }

  dispose(): void {
    for (const t of this.#all.splice(0)) t.dispose();
  }

  #block(w: BlockWeights, at: string, config: Config): GpuBlock {
    const t = (h: HostTensor, name: string) => this.#tensor(h, `${at}.${name}`);
    const bias = (b: HostTensor | null, { shape: [, n] }: HostTensor, name: string) =>
      t(b ?? { shape: [n], data: new Float32Array(n) }, name);
    const norm = (place: NormPlace, n: NormWeights | null) => this.#norm(config, place, n, `${at}.${place}`);
    return {
      ln1: norm('ln1', w.ln1),
      W_QKV: t(w.W_QKV, 'W_QKV'),
      b_QKV: bias(w.b_QKV, w.W_QKV, 'b_QKV'),
      W_O: t(w.W_O, 'W_O'),
      b_O: bias(w.b_O, w.W_O, 'b_O'),
      ln2: w.mlp && norm('ln2', w.ln2),
      mlp: w.mlp && {
        W_in: t(w.mlp.W_in, 'W_in'),
        b_in: bias(w.mlp.b_in, w.mlp.W_in, 'b_in'),
        ln: config.actFn === 'solu_ln' ? norm('mlp.ln', w.mlp.ln ?? null) : null,
        W_out: t(w.mlp.W_out, 'W_out'),
        b_out: bias(w.mlp.b_out, w.mlp.W_out, 'b_out'),
      },
    };
  }

  #norm(config: Config, place: NormPlace, n: NormWeights | null, at: string): Norm | null {
    const facts = normAt(config, place);
    const tensor = (t: HostTensor | null | undefined, name: string) =>
      t ? this.#tensor(t, `${at}.${name}`) : null;
    return facts && new Norm(facts, { w: tensor(n?.w, 'w'), b: tensor(n?.b, 'b') });
  }

  #tensor({ data, shape, halves }: HostTensor, label: string): Tensor {
    const t = halves
      ? halfTensor(this.#gpu, halves, shape, label)
      : Tensor.from(this.#gpu, data, shape, { label, exact: true });
    this.#all.push(t);
    return t;
  }

  #table({ data, halves, shape: [rows, width] }: HostTensor, label: string): Table {
    const most = Math.floor(this.#gpu.adapter.maxBindingBytes / (halves ? 2 : 4) / width);
    const fit = most >= rows ? rows : Math.floor(most / 64) * 64; // so that b_U can be bound from there
    const chunks = [];
    for (let row0 = 0; row0 < rows; row0 += fit) {
      const n = Math.min(fit, rows - row0);
      const [from, to] = [row0 * width, (row0 + n) * width];
      const part = {
        data: data.subarray(from, to),
        shape: [n, width],
        halves: halves?.subarray(from, to),
      };
      const tensor = this.#tensor(part, label);
      chunks.push({ row0, rows: n, tensor });
    }
    return { rows, width, chunks };
  }
}

/** A matrix as float16 bit patterns, of an even number: operations see float32. */
function halfTensor(gpu: Gpu, bits: Uint16Array, shape: readonly number[], label: string): Tensor {
  const words = new Uint32Array(bits.buffer, bits.byteOffset, bits.length / 2);
  return new Tensor({
    storage: new Storage(gpu, gpu.upload(words, label, { exact: true }), true),
    shape,
    label,
  });
}
