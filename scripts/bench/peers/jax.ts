/**
 * The same work in jax-js (@jax-js/jax), on the same kind of adapter: one jitted function for a product, one
 * for the whole forward pass. Arrays are consumed by use there, hence `.ref` for another use.
 */

import type * as Jax from '@jax-js/jax';
import { gpuProvider } from '../../../engine/gpu/adapter.js';
import type { RandomModel } from '../model.js';
import { operands, type ProductCandidate, type Shape } from '../products.js';
import { provideNavigator } from './navigator.js';
import type { Peer } from './peer.js';

type JaxLibrary = typeof Jax;
type Arr = Jax.numpy.Array;

/** jax-js on an adapter of its own, chosen as ours is. */
export async function openJax(): Promise<Peer> {
  provideNavigator();
  addIteratorHelpers();
  const jax = await import('@jax-js/jax');
  if (!(await jax.init('webgpu')).includes('webgpu')) throw new Error('jax-js found no WebGPU adapter');
  jax.defaultDevice('webgpu');
  return {
    id: 'jax',
    name: 'jax-js',
    version: '0.1.25',
    product: (s) => jaxProduct(jax, s),
    forward: async (model, tokens, maxBindingBytes) => jaxForward(jax, model, tokens, maxBindingBytes),
  };
}

/** It uses the iterator helpers of Node 22. */
function addIteratorHelpers(): void {
  const prototype = Object.getPrototypeOf(Object.getPrototypeOf([][Symbol.iterator]()));
  prototype.map ??= function* (this: Iterable<unknown>, f: (x: unknown, i: number) => unknown) {
    let i = 0;
    for (const x of this) yield f(x, i++);
  };
  prototype.filter ??= function* (this: Iterable<unknown>, f: (x: unknown, i: number) => boolean) {
    let i = 0;
    for (const x of this) if (f(x, i++)) yield x;
  };
  prototype.toArray ??= function (this: Iterable<unknown>) {
    return [...this];
  };
}

/** Awaits as the engine does, without burning a core: otherwise the comparison would be unfair to jax-js. */
const wait = <T>(p: Promise<T>): Promise<T> => gpuProvider().wait(p);

/** A matrix product, with its bias as ours has it. */
async function jaxProduct(jax: JaxLibrary, s: Shape): Promise<ProductCandidate> {
  const { numpy: np } = jax;
  const { x, w, b } = operands(s);
  const arrays = [
    np.array(x).reshape([s.rows, s.inner]),
    np.array(w).reshape(s.unembed ? [s.cols, s.inner] : [s.inner, s.cols]),
    ...(s.unembed ? [] : [np.array(b)]),
  ];
  const f = s.unembed
    ? jax.jit(([x, w]: Arr[]) => np.matmul(x, np.transpose(w)))
    : jax.jit(([x, w, b]: Arr[]) => np.matmul(x, w).add(b));
  const call = () => f(arrays.map((a) => a.ref)) as Arr;
  return {
    name: 'jax-js',
    async run(repeats) {
      const results = Array.from({ length: repeats }, call);
      await wait(jax.blockUntilReady(results));
      for (const r of results) r.dispose();
    },
    result: async () => (await wait(call().data())) as Float32Array,
    dispose() {
      for (const a of arrays) a.dispose();
    },
  };
}

/**
 * GPT-2's forward pass on `tokens`, all logits. The embedding is looked up on the host, which is in its
 * favour.
 */
function jaxForward(
  jax: JaxLibrary,
  { config, tensors }: RandomModel,
  tokens: readonly number[],
  maxBindingBytes: number,
): ProductCandidate {
  const { numpy: np, nn } = jax;
  const { nLayers, nHeads, dModel, dVocab, eps } = config;
  const T = tokens.length;
  const params: Record<string, Arr> = {};
  for (const [name, { shape, data }] of Object.entries(tensors))
    if (!/^w[tp]e/.test(name)) params[name] = np.array(data).reshape([...shape]);
  const wte = tensors['wte.weight'].data;
  const wpe = tensors['wpe.weight'].data;
  // Where the embedding is too large for one binding: parts of the vocabulary, joined afterwards.
  const parts = Math.ceil((4 * dVocab * dModel) / maxBindingBytes);
  const each = Math.ceil(dVocab / parts);
  for (let i = 0; i < parts; i++) {
    const part = wte.slice(i * each * dModel, Math.min(dVocab, (i + 1) * each) * dModel);
    params[`wte.${i}`] = np.array(part).reshape([part.length / dModel, dModel]);
  }
  const x0 = new Float32Array(T * dModel);
  for (let i = 0; i < x0.length; i++)
    x0[i] = wte[tokens[Math.floor(i / dModel)] * dModel + (i % dModel)] + wpe[i];

  const forward = jax.jit((x: Arr, p: Record<string, Arr>) => {
    const norm = (x: Arr, name: string): Arr => {
      const c = x.ref.sub(np.mean(x, -1, { keepdims: true }));
      const variance = np.mean(c.ref.mul(c.ref), -1, { keepdims: true });
      return c
        .mul(np.reciprocal(np.sqrt(variance.add(eps))))
        .mul(p[`${name}.weight`])
        .add(p[`${name}.bias`]);
    };
    const layer = (x: Arr, name: string): Arr => np.matmul(x, p[`${name}.weight`]).add(p[`${name}.bias`]);
    for (let l = 0; l < nLayers; l++) {
      const qkv = layer(norm(x.ref, `h.${l}.ln_1`), `h.${l}.attn.c_attn`);
      const [q, k, v] = np
        .split(qkv.reshape([T, 3, nHeads, dModel / nHeads]), 3, 1)
        .map((a) => a.reshape([T, nHeads, dModel / nHeads]));
      const z = nn.dotProductAttention(q, k, v, { isCausal: true }).reshape([T, dModel]);
      x = x.add(layer(z, `h.${l}.attn.c_proj`));
      const hidden = nn.gelu(layer(norm(x.ref, `h.${l}.ln_2`), `h.${l}.mlp.c_fc`));
      x = x.add(layer(hidden, `h.${l}.mlp.c_proj`));
    }
    const last = norm(x, 'ln_f');
    const logits = Array.from({ length: parts }, (_, i) =>
      np.matmul(i < parts - 1 ? last.ref : last, np.transpose(p[`wte.${i}`])),
    );
    return parts === 1 ? logits[0] : np.concatenate(logits, 1);
  });
  const call = () =>
    forward(
      np.array(x0).reshape([T, dModel]),
      Object.fromEntries(Object.entries(params).map(([name, a]) => [name, a.ref])),
    ) as Arr;
  return {
    name: 'jax-js',
    async run(repeats) {
      for (let i = 0; i < repeats; i++) {
        const logits = call();
        await wait(jax.blockUntilReady([logits]));
        logits.dispose();
      }
    },
    result: async () => (await wait(call().data())) as Float32Array,
    dispose() {
      for (const a of Object.values(params)) a.dispose();
    },
  };
}
