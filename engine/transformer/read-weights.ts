/** The weights on the GPU back to the host, as they were uploaded: after training. */

import type {
  BlockWeights,
  EmbedWeights,
  FinalWeights,
  HostTensor,
  ModelWeights,
  NormWeights,
} from '../../weights/formats/types.js';
import type { Table } from '../tensor/launches.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Norm } from './parts/norm.js';
import type { GpuBlock, WeightTensors } from './weights.js';

/** Every weight of a model. `final.W_U` is null where it is W_E itself. */
export async function readWeights(weights: WeightTensors): Promise<ModelWeights> {
  const blocks: BlockWeights[] = [];
  for (const block of weights.blocks) blocks.push(await readBlock(block));
  return { embed: await readEmbed(weights), blocks, final: await readFinal(weights) };
}

/** What comes before the blocks. */
export const readEmbed = async ({ W_E, W_pos }: WeightTensors): Promise<EmbedWeights> => ({
  W_E: await readTable(W_E),
  W_pos: W_pos && (await readTable(W_pos)),
});

/** What comes after the blocks. */
export const readFinal = async ({ W_E, lnFinal, W_U, b_U }: WeightTensors): Promise<FinalWeights> => ({
  lnFinal: await readNorm(lnFinal),
  W_U: W_U === W_E ? null : await readTable(W_U),
  b_U: b_U && (await read(b_U)),
});

/** One block. */
export async function readBlock(block: GpuBlock): Promise<BlockWeights> {
  const { ln1, ln1Post, W_QKV, b_QKV, qNorm, kNorm, W_O, b_O, ln2, ln2Post, mlp } = block;
  return {
    ln1: await readNorm(ln1),
    ...(ln1Post && { ln1Post: await readNorm(ln1Post) }),
    W_QKV: await read(W_QKV),
    b_QKV: await readMaybe(b_QKV),
    ...(qNorm && { qNorm: await readNorm(qNorm), kNorm: await readNorm(kNorm) }),
    W_O: await read(W_O),
    b_O: await readMaybe(b_O),
    ln2: await readNorm(ln2),
    ...(ln2Post && { ln2Post: await readNorm(ln2Post) }),
    mlp: mlp && {
      ...(mlp.W_gate && {
        W_gate: await read(mlp.W_gate),
        b_gate: await readMaybe(mlp.b_gate),
      }),
      W_in: await read(mlp.W_in),
      b_in: await readMaybe(mlp.b_in),
      ln: await readNorm(mlp.ln),
      W_out: await read(mlp.W_out),
      b_out: await readMaybe(mlp.b_out),
    },
  };
}

const readMaybe = async (t: Tensor | null): Promise<HostTensor | null> => t && read(t);

const read = async (t: Tensor): Promise<HostTensor> => ({ shape: t.shape, data: await t.data() });

const readNorm = async (norm: Norm | null): Promise<NormWeights | null> =>
  norm?.w ? { w: await read(norm.w), b: norm.b && (await read(norm.b)) } : null;

async function readTable({ rows, width, chunks }: Table): Promise<HostTensor> {
  const data = new Float32Array(rows * width);
  for (const { row0, tensor } of chunks) data.set(await tensor.data(), row0 * width);
  return { shape: [rows, width], data };
}
