/** The weights on the GPU back to the host, as they were uploaded: after training. */

import type { BlockWeights, HostTensor, ModelWeights, NormWeights } from '../../weights/formats/types.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Norm } from './parts/norm.js';
import type { GpuBlock, GpuWeights, Table } from './weights.js';

/** Every weight of a model. `final.W_U` is null where it is W_E itself. */
export async function readWeights(weights: GpuWeights): Promise<ModelWeights> {
  const { W_E, W_pos, lnFinal, W_U, b_U } = weights;
  const embed = { W_E: await readTable(W_E), W_pos: W_pos && (await readTable(W_pos)) };
  const blocks: BlockWeights[] = [];
  for (const block of weights.blocks) blocks.push(await readBlock(block));
  return {
    embed,
    blocks,
    final: {
      lnFinal: await readNorm(lnFinal),
      W_U: W_U === W_E ? null : await readTable(W_U),
      b_U: b_U && (await read(b_U)),
    },
  };
}

async function readBlock({ ln1, W_QKV, b_QKV, W_O, b_O, ln2, mlp }: GpuBlock): Promise<BlockWeights> {
  return {
    ln1: await readNorm(ln1),
    W_QKV: await read(W_QKV),
    b_QKV: await read(b_QKV),
    W_O: await read(W_O),
    b_O: await read(b_O),
    ln2: await readNorm(ln2),
    mlp: mlp && {
      W_in: await read(mlp.W_in),
      b_in: await read(mlp.b_in),
      ln: await readNorm(mlp.ln),
      W_out: await read(mlp.W_out),
      b_out: await read(mlp.b_out),
    },
  };
}

const read = async (t: Tensor): Promise<HostTensor> => ({ shape: t.shape, data: await t.data() });

const readNorm = async (norm: Norm | null): Promise<NormWeights | null> =>
  norm?.w ? { w: await read(norm.w), b: norm.b && (await read(norm.b)) } : null;

async function readTable({ rows, width, chunks }: Table): Promise<HostTensor> {
  const data = new Float32Array(rows * width);
  for (const { row0, tensor } of chunks) data.set(await tensor.data(), row0 * width);
  return { shape: [rows, width], data };
}
