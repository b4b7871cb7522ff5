/**
 * The references that the gradient kernels are held against are themselves derivatives of the forward
 * references: by central differences, in float64. No GPU.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  productsBackwardReference,
  scoresBackwardReference,
  valuesBackwardReference,
} from '../../kernels/attention/attention-backward-examples.js';
import { attentionReference, patternReference } from '../../kernels/attention/attention-examples.js';
import { noise } from '../../kernels/core/kernel.js';
import { soluReference } from '../../kernels/pointwise/activation.js';
import { slopeReference, soluBackwardReference } from '../../kernels/pointwise/activation-backward.js';
import { ACTIVATIONS, activate } from '../../kernels/pointwise/activation-functions.js';
import { layernormReference } from '../../kernels/pointwise/layernorm.js';
import { layernormBackwardReference } from '../../kernels/pointwise/layernorm-backward.js';
import { softmaxBackwardReference } from '../../kernels/pointwise/reduce-backward.js';
import { softmaxReference } from '../../kernels/pointwise/softmax.js';
import { linearReference } from '../../kernels/products/linear.js';
import { inputGradientReference, weightGradientReference } from '../../kernels/products/linear-backward.js';
import { adamWReference } from '../../kernels/training/optimizer.js';

const doubles = (n: number, seed: number, scale = 1) => Float64Array.from(noise(n, seed, scale));
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, x, i) => sum + x * b[i], 0);

/** Asserts that `gradient` is that of f at x. */
function isGradient(
  x: Float64Array,
  f: (x: Float64Array) => number,
  gradient: ArrayLike<number>,
  what: string,
) {
  const h = 1e-5;
  x.forEach((v, i) => {
    const at = (value: number) => f(Float64Array.from(x, (old, j) => (j === i ? value : old)));
    const slope = (at(v + h) - at(v - h)) / (2 * h);
    assert.ok(
      Math.abs(slope - gradient[i]) < 1e-7 * (1 + Math.abs(slope)),
      `${what}, ${i}: ${gradient[i]}, but by differences ${slope}`,
    );
  });
}

test('linear layers: dX through an activation function, and dW', () => {
  const o = { rows: 3, inner: 5, cols: 4 };
  const [pre, w, dy] = [doubles(15, 1, 2), doubles(20, 2), doubles(12, 3)];
  for (const act of ACTIVATIONS) {
    const value = (p: Float64Array) => dot(dy, linearReference(o, { x: p.map((v) => activate(act, v)), w }));
    isGradient(pre, value, inputGradientReference({ ...o, act }, { dy, w, pre }), `pre of ${act}`);
    const xs = doubles(200, 4, 6);
    isGradient(
      xs,
      (x) => x.reduce((a, v) => a + activate(act, v), 0),
      xs.map((v) => slopeReference(act, v)),
      act,
    );
  }
  isGradient(
    w,
    (w) => dot(dy, linearReference(o, { x: pre, w })),
    weightGradientReference(o, { x: pre, dy }),
    'W',
  );
});

test('frozen gates: what is left of the derivative is act(x) / x', () => {
  for (const act of ACTIVATIONS)
    for (const x of doubles(50, 5, 5))
      assert.ok(
        Math.abs(slopeReference(act, x, 'frozen') * x - activate(act, x) + activate(act, 0)) < 1e-12,
        act,
      );
});

test('SoLU, softmax: of each row', () => {
  const [x, dy] = [doubles(7, 1, 3), doubles(7, 2)];
  const frozen = softmaxReference(Array.from(x));
  isGradient(
    x,
    (x) => dot(dy, soluReference(Array.from(x))),
    soluBackwardReference(Array.from(x), Array.from(dy), 'live'),
    'solu',
  );
  isGradient(
    x,
    (x) =>
      dot(
        dy,
        x.map((v, i) => v * frozen[i]),
      ),
    soluBackwardReference(Array.from(x), Array.from(dy), 'frozen'),
    'solu, gate frozen',
  );
  isGradient(
    x,
    (x) => dot(dy, softmaxReference(Array.from(x))),
    softmaxBackwardReference(frozen, dy),
    'softmax',
  );
});

test('layer norm: its input and its scale, differentiated, frozen or given', () => {
  const [width, eps] = [5, 1e-5];
  const [x, w, b, dy] = [doubles(15, 1, 2), doubles(5, 2), doubles(5, 3), doubles(15, 4)];
  const dScale = doubles(3, 5);
  for (const rms of [false, true]) {
    const norm = (x: Float64Array, scale?: ArrayLike<number>) =>
      layernormReference(x, width, eps, { w, b }, { rms, scale });
    const o = { eps, rms, w, dy };
    const about = rms ? 'rms' : 'layer norm';
    const both = (x: Float64Array) => dot(dy, norm(x).y) + dot(dScale, norm(x).scale);
    isGradient(x, both, layernormBackwardReference(x, width, { ...o, dScale }).dx, about);
    const own = norm(x).scale;
    const frozen = layernormBackwardReference(x, width, { ...o, frozenScale: true }).dx;
    isGradient(x, (x) => dot(dy, norm(x, own).y), frozen, `${about}, frozen`);
    const scale = doubles(3, 6).map((s) => s + 2);
    const given = layernormBackwardReference(x, width, { ...o, scale });
    isGradient(x, (x) => dot(dy, norm(x, scale).y), given.dx, `${about}, given`);
    isGradient(scale, (s) => dot(dy, norm(x, s).y), given.dScale, `scale of ${about}`);
    const alone = layernormBackwardReference(x, width, { eps, rms, dScale }).dx;
    isGradient(x, (x) => dot(dScale, norm(x).scale), alone, `scale alone of ${about}`);
  }
});

test('attention over ragged rows and stored prefixes: q, and own k and v', () => {
  const [heads, dHead] = [2, 3];
  const width = heads * dHead;
  const rows = [
    { start: 0, length: 3, prefixSlots: [] },
    { start: 3, length: 2, prefixSlots: [4, 1] },
    { start: 5, length: 1, prefixSlots: [] },
  ];
  const parts = [1, 2, 3].map((seed) => doubles(6 * width, seed, 1.5));
  const [store, dz] = [doubles(5 * 2 * width, 4), doubles(6 * width, 5)];
  const input = ([q, k, v]: Float64Array[]) => {
    const at = (data: Float64Array) => ({ data, stride: width, offset: 0 });
    return { rows, heads, dHead, scale: 0.7, q: at(q), k: at(k), v: at(v), store };
  };
  const o = input(parts);
  const { pattern } = patternReference(o);
  const { dp, dv } = valuesBackwardReference(o, pattern, dz);
  const { dq, dk } = productsBackwardReference(o, scoresBackwardReference(o, pattern, dp));
  [dq, dk, dv].forEach((gradient, part) => {
    const value = (x: Float64Array) => {
      const changed = input(parts.map((p, i) => (i === part ? x : p)));
      return dot(dz, attentionReference(changed, patternReference(changed).pattern));
    };
    isGradient(parts[part], value, gradient, 'qkv'[part]);
  });
});

test('AdamW with clipping takes the steps that PyTorch takes', () => {
  let state: Record<'w' | 'm' | 'v', Float64Array> = {
    w: Float64Array.of(0.5, -1.25, 3),
    m: new Float64Array(3),
    v: new Float64Array(3),
  };
  const o = { lr: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-6, weightDecay: 0.2, maxNorm: 1 };
  const gradients = [
    [0.3, -2, 0],
    [1.5, 0.25, -0.125],
    [0.01, 0.02, 0.03],
  ];
  gradients.forEach((g, i) => {
    state = adamWReference({ ...o, step: i + 1 }, { ...state, g }, dot(g, g));
  });
  const torch = [0.228313255998022, -0.9855276926028785, 2.927551621414593]; // PyTorch 1.13, float64
  for (let i = 0; i < 3; i++) assert.ok(Math.abs(state.w[i] - torch[i]) < 1e-12, `${state.w}`);
});

test.run();
