/** A block's tensors in the names and layout of a family: the reverse of family-names.ts. */

import type { Config } from '../config.js';
import { transpose } from '../formats/tensors.js';
import type { BlockWeights, HostTensor, NormWeights } from '../formats/types.js';
import type { TensorNames } from '../keys/names.js';

/**
 * Names behind the block's prefix, and tensors.
 * @param fits whether the family has a place for everything; else the names are GPT-2's, with those of
 * family-names.ts for the rest
 */
export function blockTensors(
  block: BlockWeights,
  config: Config,
  { parts, matrices, fused }: TensorNames,
  fits: boolean,
): [name: string, tensor: HostTensor][] {
  const out: [string, HostTensor][] = [];
  const put = (name: string | undefined, tensor: HostTensor | null | undefined) => {
    if (name !== undefined && tensor) out.push([name, tensor]);
  };
  const norm = (stem: string | undefined, weights: NormWeights | null | undefined) => {
    put(stem && `${stem}.weight`, weights?.w);
    put(stem && `${stem}.bias`, weights?.b);
  };
  const turned = (W: HostTensor) => (matrices === 'out,in' ? transpose(W) : W);
  /** A bias where the family has one, be it zero. */
  const bias = (b: HostTensor | null | undefined, width: number, has: boolean): HostTensor | null =>
    b && (has || !fits) ? b : has ? { shape: [width], data: new Float32Array(width) } : null;
  const linear = (stem: string | undefined, W: HostTensor | null | undefined, b: HostTensor | null) => {
    put(stem && `${stem}.weight`, W && turned(W));
    put(stem && `${stem}.bias`, b);
  };
  const { nHeads, nKeyValueHeads, dHead, dModel, dMlp, qkvBias, outBias, mlpBias } = config;
  const widths = [nHeads * dHead, nKeyValueHeads * dHead, nKeyValueHeads * dHead];
  const total = widths.reduce((a, b) => a + b);
  const own = fits ? {} : { ln1Post: 'ln_1_post', ln2Post: 'ln_2_post', gate: 'mlp.c_gate' };
  const more = fits ? {} : { qNorm: 'attn.q_norm', kNorm: 'attn.k_norm' };
  const names = { ...parts, ...own, ...more };

  norm(names.ln1, block.ln1);
  const b_QKV = bias(block.b_QKV, total, qkvBias);
  if (names.qkv && fused !== 'heads') linear(names.qkv, block.W_QKV, b_QKV);
  else {
    let first = 0;
    const pieces = widths.map((width) => {
      const W = columns(block.W_QKV, first, width);
      const b = b_QKV && { shape: [width], data: b_QKV.data.slice(first, first + width) };
      first += width;
      return { W, b };
    });
    if (names.qkv) {
      put(
        `${names.qkv}.weight`,
        byHead(
          pieces.map(({ W }) => transpose(W)),
          nHeads,
          dHead * dModel,
          [total, dModel],
        ),
      );
      if (b_QKV)
        put(
          `${names.qkv}.bias`,
          byHead(
            pieces.map(({ b }) => b!),
            nHeads,
            dHead,
            [total],
          ),
        );
    } else
      for (const [i, stem] of [names.q, names.k, names.v].entries()) linear(stem, pieces[i].W, pieces[i].b);
  }
  norm(names.qNorm, block.qNorm);
  norm(names.kNorm, block.kNorm);
  linear(names.o, block.W_O, bias(block.b_O, dModel, outBias));
  norm(names.ln1Post, block.ln1Post);
  const { mlp } = block;
  if (!mlp) return out;
  norm(names.ln2, block.ln2);
  const b_gate = bias(mlp.b_gate, dMlp, mlpBias && config.gatedMlp);
  const b_in = bias(mlp.b_in, dMlp, mlpBias);
  if (names.gateUp) {
    const [gate, up] = [transpose(mlp.W_gate!), transpose(mlp.W_in)];
    put(`${names.gateUp}.weight`, { shape: [2 * dMlp, dModel], data: joined(gate.data, up.data) });
    if (b_gate && b_in)
      put(`${names.gateUp}.bias`, { shape: [2 * dMlp], data: joined(b_gate.data, b_in.data) });
  } else {
    linear(names.gate, mlp.W_gate, b_gate);
    linear(names.up, mlp.W_in, b_in);
  }
  norm(names.mlpLn, mlp.ln);
  linear(names.down, mlp.W_out, bias(mlp.b_out, dModel, mlpBias));
  norm(names.ln2Post, block.ln2Post);
  return out;
}

/** Columns `first` … of a matrix. */
function columns({ shape: [rows, width], data }: HostTensor, first: number, n: number): HostTensor {
  const out = new Float32Array(rows * n);
  for (let i = 0; i < rows; i++) out.set(data.subarray(i * width + first, i * width + first + n), i * n);
  return { shape: [rows, n], data: out };
}

/** Queries, keys and values of one head after another; `size` numbers each. */
function byHead(parts: readonly HostTensor[], nHeads: number, size: number, shape: number[]): HostTensor {
  const out = new Float32Array(3 * nHeads * size);
  for (let head = 0; head < nHeads; head++)
    parts.forEach(({ data }, part) => {
      out.set(data.subarray(head * size, (head + 1) * size), (3 * head + part) * size);
    });
  return { shape, data: out };
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const out = new Float32Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
