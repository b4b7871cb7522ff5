/**
 * Attribution patching from its definition, gradient times (clean − corrupted), agrees with what autograd in
 * float64 makes of it, in every variant; the sums are taken here, number by number.
 */

import { test } from 'uvu';
import {
  type ActivationCache,
  type HookContext,
  type HookedTransformer,
  logitDiff,
  type Tensor,
} from '../../index.js';
import { allClose } from '../helpers.js';
import { oracleModel } from '../interp/oracle.js';
import { givenBack } from '../memory.js';
import { agreesWith, gradientsOracle, type Held } from './gradients-oracle.js';

type Arrays = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

for (const oracle of gradientsOracle('attribution')) {
  const {
    model: about,
    clean,
    corrupted,
    correct,
    wrong,
    cleanValue,
    corruptedValue,
    edges,
    arrays,
  } = oracle;
  const { nLayers: L, nHeads: H, dModel, attnOnly } = about.config;
  const [B, P] = [clean.length, clean[0].length];
  const gap = cleanValue - corruptedValue;
  const layers = Array.from({ length: L }, (_, l) => l);
  const rest = attnOnly ? [] : ['mlp_out'];
  const attn = (l: number, x: string) => `blocks.${l}.attn.hook_${x}`;
  const block = (l: number, x: string) => `blocks.${l}.hook_${x}`;
  const stream = layers.flatMap((l) =>
    attnOnly ? [block(l, 'resid_pre')] : [block(l, 'resid_pre'), block(l, 'resid_mid')],
  );
  stream.push(block(L - 1, 'resid_post'));

  /** Activations and gradients by name, and gradient times difference. */
  const differentiate = async (
    input: number[][],
    names: string | string[],
    options: Pick<Parameters<HookedTransformer['runWithGrads']>[2] & object, 'hooks' | 'gradHooks'> & {
      constant?: readonly Held[];
    } = {},
  ) => {
    const model = await oracleModel(about);
    const { bytes } = model.gpu.memory();
    const { value, cache, grads } = await model.runWithGrads(input, logitDiff(correct, wrong), {
      names,
      ...options,
    });
    const found = { value, acts: await toHost(cache), g: await toHost(grads) };
    cache.dispose();
    grads.dispose();
    givenBack(model.gpu, bytes);
    return found;
  };
  const expect = (name: string, values: ArrayLike<number>) => {
    // Metrics are normalised, and so are gradients.
    const normalised = Array.from(values, (x) => x / gap);
    agreesWith(normalised, arrays[name].values, name);
  };
  const always = [
    ...['hook_embed', 'hook_pos_embed'],
    ...layers.flatMap((l) => ['q', 'k', 'v', 'z', 'pattern', 'result'].map((x) => attn(l, x))),
    ...layers.flatMap((l) => ['attn_out', ...rest].map((x) => block(l, x))),
    ...stream,
  ];
  const inputs = [
    ...layers.flatMap((l) => ['q', 'k', 'v'].map((x) => block(l, `${x}_input`))),
    ...(attnOnly ? [] : layers.map((l) => block(l, 'mlp_in'))),
    block(L - 1, 'resid_post'),
  ];
  /** Of the clean run less those of the corrupted one. */
  let difference: Arrays;
  const gD = (g: Arrays, name: string) => product(g, difference, name);
  const rows = (g: Arrays, names: readonly string[]) => names.flatMap((n) => sums(gD(g, n), [1]));
  const heads = (g: Arrays, x: string) => layers.flatMap((l) => sums(gD(g, attn(l, x)), [2, 1]));
  const vectors = (g: Arrays) => ['k', 'q', 'v', 'z'].flatMap((x) => heads(g, x));

  test(`${about.config.name}: all variants of attribution patching`, async () => {
    const one = await differentiate(clean, always);
    const other = await differentiate(corrupted, always);
    allClose([one.value, other.value], [cleanValue, corruptedValue]);
    difference = minus(one.acts, other.acts);
    const { g } = other;

    const patterns = layers.map((l) => sums(product(one.g, one.acts, attn(l, 'pattern')), [0, 1, 2, 3]));
    const size = H * P * P;
    expect(
      'attention',
      clean.flatMap((_, b) => patterns.flatMap((x) => x.slice(b * size, (b + 1) * size))),
    );
    expect('residual', rows(g, stream));
    const outputs = layers.flatMap((l) => ['attn_out', ...rest].map((x) => block(l, x)));
    expect('layerOutputs', rows(g, ['hook_embed', 'hook_pos_embed', ...outputs]));
    expect('headOutputs', heads(g, 'result'));
    expect('headVectors', vectors(g));
    expect(
      'headPattern',
      layers.flatMap((l) => sums(gD(g, attn(l, 'pattern')), [1, 2, 3])),
    );
    expect(
      'everyByBlock',
      ['resid_pre', 'attn_out', ...rest].flatMap((x) =>
        rows(
          g,
          layers.map((l) => block(l, x)),
        ),
      ),
    );
    const every = (vector: number[], pattern: number[]) => [
      ...['z', 'q', 'k', 'v'].flatMap((x) => layers.flatMap((l) => sums(gD(g, attn(l, x)), vector))),
      ...layers.flatMap((l) => sums(gD(g, attn(l, 'pattern')), pattern)),
    ];
    expect('everyByHead', every([2], [1]));
    expect('everyByHeadByPos', every([1, 2], [2, 1]));
    for (const [name, constant] of [
      ['constantPattern', 'pattern'],
      ['constantScale', 'scale'],
    ] as const) {
      const { g } = await differentiate(corrupted, stream, { constant: [constant] });
      expect(name, rows(g, stream));
    }
  });

  test(`${about.config.name}: paths from head to head, and edges`, async () => {
    const D = (l: number) => difference.get(attn(l, 'result'))!.data; // [prompt, pos, head, dModel]
    const path = (g: Arrays) => {
      const out: number[] = [];
      for (const l of layers)
        for (let r = 0; r < H; r++)
          for (const x of ['q', 'k', 'v']) {
            const into = g.get(block(l, `${x}_input`))!.data;
            for (const from of layers)
              for (let s = 0; s < H; s++)
                for (let p = 0; p < P; p++) {
                  let sum = 0;
                  for (let b = 0; b < B && from < l; b++)
                    sum += dot(
                      into,
                      ((b * P + p) * H + r) * dModel,
                      D(from),
                      ((b * P + p) * H + s) * dModel,
                      dModel,
                    );
                  out.push(sum);
                }
          }
      return out;
    };
    const full = await differentiate(corrupted, inputs);
    expect('headPathFull', path(full.g));
    const { g } = await differentiate(corrupted, inputs, { constant: ['scale'] });
    expect('headPathScale', path(g));

    /** One vector a prompt and position: [prompt, pos, dModel]. */
    const head = ({ data }: { data: Float32Array }, h: number) =>
      data.filter((_, i) => Math.floor(i / dModel) % H === h);
    const sent = (name: string) => {
      if (name === 'input') {
        const positions = difference.get('hook_pos_embed')!.data;
        return difference.get('hook_embed')!.data.map((x, i) => x + positions[i]);
      }
      const [layer, h] = name.match(/\d+/g)!.map(Number);
      return name[0] === 'm'
        ? difference.get(block(layer, 'mlp_out'))!.data
        : head(difference.get(attn(layer, 'result'))!, h);
    };
    const received = (g: Arrays, name: string) => {
      if (name === 'logits') return g.get(block(L - 1, 'resid_post'))!.data;
      const [layer, h] = name.match(/\d+/g)!.map(Number);
      return name[0] === 'm'
        ? g.get(block(layer, 'mlp_in'))!.data
        : head(g.get(block(layer, `${name.at(-2)}_input`))!, h);
    };
    const scores = (g: Arrays) =>
      edges.map(([from, to]) => dot(sent(from), 0, received(g, to), 0, B * P * dModel));
    expect('eap', scores(full.g));

    const steps = [0.1, 0.3, 0.5, 0.7, 0.9];
    const start = block(0, 'resid_pre');
    const mean = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const a of steps) {
      const hook = async (x: Tensor, { tensor }: HookContext) => {
        const from = await x.data();
        const { data } = difference.get(start)!;
        return tensor(
          from.map((v, i) => v + a * data[i]),
          x.shape,
        );
      };
      const { g } = await differentiate(corrupted, [...inputs, start], { hooks: [[start, hook]] });
      for (const [name, { shape, data }] of g) {
        const sum = mean.get(name)?.data ?? new Float32Array(data.length);
        mean.set(name, { shape, data: sum.map((x, i) => x + data[i] / steps.length) });
      }
    }
    expect('eapIg', scores(mean));
    expect('integrated', sums(gD(mean, start), [0, 1]));
  });

  test(`${about.config.name}: a gradient hook that stops a layer's gradient drops the layer`, async () => {
    const all: number[] = [];
    for (const l of layers) {
      const names = layers.flatMap((l) => ['q', 'k', 'v', 'z'].map((x) => attn(l, x)));
      const outputs = ['attn_out', ...rest].map((x) => block(l, x));
      const { g } = await differentiate(corrupted, names, { gradHooks: [[outputs, (dy) => dy.mul(0)]] });
      all.push(...vectors(g));
    }
    expect('gradDrop', all);
  });
}

async function toHost(cache: ActivationCache): Promise<Arrays> {
  const out = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const name of cache.names()) {
    const t = cache.get(name);
    out.set(name, { shape: t.shape, data: await t.data() });
  }
  return out;
}

const minus = (a: Arrays, b: Arrays): Arrays =>
  new Map(
    [...a].map(([n, { shape, data }]) => [n, { shape, data: data.map((x, i) => x - b.get(n)!.data[i]) }]),
  );

function product(a: Arrays, b: Arrays, name: string) {
  const { shape, data } = a.get(name)!;
  const other = b.get(name)!.data;
  return { shape, data: data.map((x, i) => x * other[i]) };
}

/** Sums over all axes but those kept, in the order in which they are named. */
function sums(
  { shape, data }: { shape: readonly number[]; data: Float32Array },
  keep: readonly number[],
): number[] {
  const out = new Array<number>(keep.reduce((n, axis) => n * shape[axis], 1)).fill(0);
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  data.forEach((x, i) => {
    let place = 0;
    for (const axis of keep) place = place * shape[axis] + (Math.floor(i / strides[axis]) % shape[axis]);
    out[place] += x;
  });
  return out;
}

function dot(a: Float32Array, i: number, b: Float32Array, j: number, n: number): number {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += a[i + k] * b[j + k];
  return sum;
}

test.run();
