/** The same work in TensorFlow.js with its WebGPU backend, on the same kind of adapter. */

import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import type * as Tf from '@tensorflow/tfjs-core';
import { gpuProvider } from '../../../engine/gpu/adapter.js';
import type { RandomModel } from '../model.js';
import { operands, type ProductCandidate, type Shape } from '../products.js';
import { provideNavigator, withBoundsChecks } from './navigator.js';
import type { Peer } from './peer.js';

type TfLibrary = typeof Tf;

/** TensorFlow.js on an adapter of its own, chosen as ours is. */
export async function openTfjs(): Promise<Peer> {
  provideNavigator();
  const tf = await import('@tensorflow/tfjs-core');
  tf.env().set('IS_BROWSER', true); // it registers its backend in browsers only
  await import('@tensorflow/tfjs-backend-webgpu');
  // Its matrix product reads a row beyond the end of the embedding: without bounds checks the process may
  // crash.
  const opened = await withBoundsChecks(() => tf.setBackend('webgpu'));
  if (!opened) throw new Error('TensorFlow.js found no WebGPU adapter');
  await tf.ready();
  return {
    id: 'tfjs',
    name: 'TensorFlow.js',
    version: '4.22.0',
    product: async (s) => tfProduct(tf, s),
    forward: async (model, tokens, maxBindingBytes) => tfForward(tf, model, tokens, maxBindingBytes),
  };
}

/** Until the GPU is done, without burning a core meanwhile. */
async function finish(tf: TfLibrary): Promise<void> {
  const backend = tf.backend() as WebGPUBackend;
  (backend as unknown as { endComputePassEncoder(): void }).endComputePassEncoder(); // private, but submitting needs it
  backend.submitQueue();
  await gpuProvider().wait(backend.device.queue.onSubmittedWorkDone());
}

/** A result of `call`, computed again and again; the operands are `inputs`. */
function candidate(tf: TfLibrary, inputs: readonly Tf.Tensor[], call: () => Tf.Tensor): ProductCandidate {
  return {
    name: 'TensorFlow.js',
    async run(repeats) {
      const results = Array.from({ length: repeats }, call);
      await finish(tf);
      for (const r of results) r.dispose();
    },
    async result() {
      const y = call();
      const data = (await gpuProvider().wait(y.data())) as Float32Array;
      y.dispose();
      return data;
    },
    dispose() {
      for (const t of inputs) t.dispose();
    },
  };
}

function tfProduct(tf: TfLibrary, s: Shape): ProductCandidate {
  const { x, w, b } = operands(s);
  const [X, W, B] = [
    tf.tensor2d(x, [s.rows, s.inner]),
    tf.tensor2d(w, s.unembed ? [s.cols, s.inner] : [s.inner, s.cols]),
    tf.tensor1d(b),
  ];
  return candidate(tf, [X, W, B], () =>
    s.unembed ? tf.matMul(X, W, false, true) : tf.fused.matMul({ a: X, b: W, bias: B }),
  );
}

/**
 * GPT-2's forward pass on `tokens`, all logits. The embedding is looked up on the host, which is in its
 * favour.
 */
function tfForward(
  tf: TfLibrary,
  { config, tensors }: RandomModel,
  tokens: readonly number[],
  maxBindingBytes: number,
): ProductCandidate {
  const { nLayers, nHeads, dModel, dVocab, eps } = config;
  const T = tokens.length;
  const params: Record<string, Tf.Tensor> = {};
  for (const [name, { shape, data }] of Object.entries(tensors))
    if (!/^w[tp]e/.test(name)) params[name] = tf.tensor(data, shape);
  const wte = tensors['wte.weight'].data;
  const wpe = tensors['wpe.weight'].data;
  // Where the embedding is too large for one binding: parts of the vocabulary, joined afterwards.
  const each = Math.ceil(dVocab / Math.ceil((4 * dVocab * dModel) / maxBindingBytes));
  const parts: Tf.Tensor[] = [];
  for (let row = 0; row < dVocab; row += each) {
    const n = Math.min(each, dVocab - row);
    parts.push(tf.tensor2d(wte.subarray(row * dModel, (row + n) * dModel), [n, dModel]));
  }
  const x0 = new Float32Array(T * dModel);
  for (let i = 0; i < x0.length; i++)
    x0[i] = wte[tokens[Math.floor(i / dModel)] * dModel + (i % dModel)] + wpe[i];
  const input = tf.tensor2d(x0, [T, dModel]);
  const mask = tf.tensor2d(
    Float32Array.from({ length: T * T }, (_, i) => (i % T <= Math.floor(i / T) ? 0 : -1e9)),
    [T, T],
  );

  const norm = (x: Tf.Tensor, name: string): Tf.Tensor => {
    const c = tf.sub(x, tf.mean(x, -1, true));
    const scale = tf.rsqrt(tf.add(tf.mean(tf.square(c), -1, true), eps));
    return tf.add(tf.mul(tf.mul(c, scale), params[`${name}.weight`]), params[`${name}.bias`]);
  };
  const layer = (x: Tf.Tensor, name: string): Tf.Tensor =>
    tf.fused.matMul({ a: x, b: params[`${name}.weight`], bias: params[`${name}.bias`] });
  const gelu = (x: Tf.Tensor): Tf.Tensor => {
    const cubic = tf.mul(tf.mul(tf.mul(x, x), x), 0.044715);
    const inner = tf.mul(tf.add(x, cubic), Math.sqrt(2 / Math.PI));
    return tf.mul(tf.mul(x, 0.5), tf.add(tf.tanh(inner), 1));
  };
  const block = (x: Tf.Tensor, l: number): Tf.Tensor => {
    const qkv = layer(norm(x, `h.${l}.ln_1`), `h.${l}.attn.c_attn`);
    const [q, k, v] = tf
      .split(qkv, 3, 1)
      .map((a) => tf.transpose(tf.reshape(a, [T, nHeads, dModel / nHeads]), [1, 0, 2]));
    const scores = tf.mul(tf.matMul(q, k, false, true), 1 / Math.sqrt(dModel / nHeads));
    const z = tf.transpose(tf.matMul(tf.softmax(tf.add(scores, mask)), v), [1, 0, 2]);
    const mid = tf.add(x, layer(tf.reshape(z, [T, dModel]), `h.${l}.attn.c_proj`));
    const hidden = gelu(layer(norm(mid, `h.${l}.ln_2`), `h.${l}.mlp.c_fc`));
    return tf.add(mid, layer(hidden, `h.${l}.mlp.c_proj`));
  };
  const forward = () =>
    tf.tidy(() => {
      let x: Tf.Tensor = input;
      for (let l = 0; l < nLayers; l++) x = block(x, l);
      const last = norm(x, 'ln_f');
      return tf.concat(
        parts.map((w) => tf.matMul(last, w, false, true)),
        1,
      );
    });
  return candidate(tf, [...Object.values(params), ...parts, input, mask], forward);
}
