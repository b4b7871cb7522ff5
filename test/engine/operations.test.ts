/**
 * Every operation on tensors and its gradient against float64, on random shapes: broadcast, and in rows of
 * unequal length. The reference is written from the definitions (nd.ts); its derivatives are central
 * differences. Values of many cases are read back at once. GLASSBOX_CASES=200 tries so many shapes of each.
 */

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tape } from '../../engine/tensor/tape.js';
import { Gpu, Tensor } from '../../index.js';
import { allClose, type Rng, rng } from '../helpers.js';
import { givenBack } from '../memory.js';
import { along, broadcast, build, einsum, get, map, type Nd, reduce, size } from './nd.js';

const CASES = Number(process.env.GLASSBOX_CASES ?? 4);
const gpu = await Gpu.open();

/** What an operation is tried on: shapes, what it does on the GPU, and by definition. */
interface Case {
  readonly inputs: readonly Nd[];
  readonly run: (...t: Tensor[]) => Tensor | Tensor<'u32'>;
  readonly ref: (...a: Nd[]) => Nd;
  /** Inputs that no gradient is asked of. */
  readonly constant?: readonly number[];
}

/** Different numbers, apart from each other and from 0, so that no maximum is near a tie. */
function numbers(r: Rng, shape: readonly number[], low = -3, high = 3): Nd {
  const n = size(shape);
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = r.int(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  const shift = 0.3 + 0.4 * r.uniform();
  return { shape, data: order.map((k) => Math.fround(low + ((k + shift) / n) * (high - low) + 0.00137)) };
}
const shapeOf = (r: Rng, least = 1, most = 4): number[] =>
  Array.from({ length: least + r.int(most - least + 1) }, () => 1 + r.int(4));
/** Two or more shapes that broadcast together. */
const together = (r: Rng, n: number): number[][] => {
  const whole = shapeOf(r);
  return Array.from({ length: n }, () =>
    whole.slice(r.int(2) * r.int(whole.length)).map((d) => (r.int(3) ? d : 1)),
  );
};

const unary =
  (name: keyof Tensor, f: (x: number) => number, low = -3, high = 3) =>
  (r: Rng): Case => ({
    inputs: [numbers(r, shapeOf(r), low, high)],
    run: (x) => (x[name] as () => Tensor).call(x),
    ref: (x) => map(f, x),
  });
const binary =
  (name: keyof Tensor, f: (a: number, b: number) => number, low = -3) =>
  (r: Rng): Case => {
    const [a, b] = together(r, 2);
    const number = r.int(4) === 0;
    const value = 1.7 * (r.int(2) ? 1 : low < 0 ? -1 : 1);
    const inputs = [numbers(r, a, low), numbers(r, number ? [] : b, low, 2.7)];
    if (!number)
      return {
        inputs,
        run: (x, y) => (x[name] as (y: Tensor) => Tensor).call(x, y),
        ref: (x, y) => map(f, x, y),
      };
    return {
      inputs: inputs.slice(0, 1),
      run: (x) => (x[name] as (y: number) => Tensor).call(x, value),
      ref: (x) => map((v) => f(v, value), x),
    };
  };
/** One axis, several, or all; kept or not. */
const axesOf = (r: Rng, rank: number) => {
  const all = Array.from({ length: rank }, (_, i) => i);
  const some = all.filter(() => r.int(2));
  const axes = r.int(4) ? (some.length ? some : [r.int(rank)]) : null;
  return {
    axes,
    keep: r.int(2) === 1,
    given: axes?.length === 1 ? axes[0] - (r.int(2) ? rank : 0) : (axes ?? undefined),
  };
};
const reduction =
  (name: keyof Tensor, f: (x: number[]) => number, low = -3, more: object = {}) =>
  (r: Rng): Case => {
    const shape = shapeOf(r).map((d, i) => (i ? d : d + 2));
    const { axes, keep, given } = axesOf(r, shape.length);
    return {
      inputs: [numbers(r, shape, low)],
      run: (x) => (x[name] as (a: unknown, o: object) => Tensor).call(x, given, { keepDims: keep, ...more }),
      ref: (x) => reduce(x, axes, keep, f),
    };
  };
const line =
  (name: keyof Tensor, f: (x: number[]) => number[], drop = false, arg?: (axis: number) => unknown[]) =>
  (r: Rng): Case => {
    const shape = shapeOf(r).map((d) => d + 1);
    const axis = r.int(shape.length);
    return {
      inputs: [numbers(r, shape)],
      run: (x) => {
        const given = (x[name] as (...a: unknown[]) => unknown).apply(x, arg?.(axis) ?? [axis]);
        return given instanceof Tensor ? given : (given as { values: Tensor }).values;
      },
      ref: (x) => {
        const y = along(x, axis, f);
        return drop ? { ...y, shape: y.shape.filter((_, i) => i !== axis) } : y;
      },
    };
  };

const sum = (x: number[]) => x.reduce((a, b) => a + b, 0);
const mean = (x: number[]) => sum(x) / x.length;
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const squares = (x: number[]) => sum(x.map((v) => (v - mean(x)) ** 2));
const lse = (x: number[]) => Math.log(sum(x.map(Math.exp)));
const erf = (x: number): number => {
  let [term, total] = [x, x];
  for (let n = 1; n < 80; n++) {
    term *= -(x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
};
const product = (r: Rng, pattern: string, sizes: Readonly<Record<string, number>>): Case => {
  const [from, to] = pattern.split('->');
  const terms = from.split(',');
  return {
    inputs: terms.map((t) =>
      numbers(
        r,
        [...t].map((c) => sizes[c]),
        -1,
        1,
      ),
    ),
    run: (...t) => Tensor.einsum(pattern, ...t),
    ref: (...a) => einsum(terms, to, a),
  };
};

/** How each operation is tried. */
export const operations: Readonly<Record<string, (r: Rng) => Case>> = {
  add: binary('add', (a, b) => a + b),
  sub: binary('sub', (a, b) => a - b),
  mul: binary('mul', (a, b) => a * b),
  div: binary('div', (a, b) => a / b, 0.4),
  pow: binary('pow', (a, b) => a ** b, 0.2),
  maximum: binary('maximum', Math.max),
  minimum: binary('minimum', Math.min),
  gt: binary('gt', (a, b) => Number(a > b)),
  ge: binary('ge', (a, b) => Number(a >= b)),
  lt: binary('lt', (a, b) => Number(a < b)),
  le: binary('le', (a, b) => Number(a <= b)),
  eq: (r) => ({
    ...binary('eq', (a, b) => Number(a === b))(r),
    inputs: together(r, 2).map((s) => build(s, () => r.int(2))),
    run: (a, b) => a.eq(b),
    ref: (a, b) => map((x, y) => Number(x === y), a, b),
  }),
  ne: (r) => ({
    inputs: together(r, 2).map((s) => build(s, () => r.int(2))),
    run: (a, b) => a.ne(b),
    ref: (a, b) => map((x, y) => Number(x !== y), a, b),
  }),
  neg: unary('neg', (x) => -x),
  abs: unary('abs', Math.abs),
  square: unary('square', (x) => x * x),
  sqrt: unary('sqrt', Math.sqrt, 0.1),
  rsqrt: unary('rsqrt', (x) => 1 / Math.sqrt(x), 0.1),
  exp: unary('exp', Math.exp),
  log: unary('log', Math.log, 0.05),
  log1p: unary('log1p', Math.log1p, -0.9),
  sign: unary('sign', Math.sign),
  round: unary('round', Math.round),
  floor: unary('floor', Math.floor),
  ceil: unary('ceil', Math.ceil),
  relu: unary('relu', (x) => Math.max(x, 0)),
  gelu: unary('gelu', (x) => (x / 2) * (1 + erf(x / Math.SQRT2))),
  geluNew: unary(
    'geluNew',
    (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  ),
  silu: unary('silu', (x) => x * sigmoid(x)),
  tanh: unary('tanh', Math.tanh),
  sigmoid: unary('sigmoid', sigmoid),
  softplus: unary('softplus', (x) => Math.log1p(Math.exp(x))),
  map: (r) => ({ ...unary('exp', Math.exp)(r), run: (x) => x.map('exp') }),
  clamp: (r) => ({
    inputs: [numbers(r, shapeOf(r))],
    run: (x) => x.clamp(-1, 2),
    ref: (x) => map((v) => Math.min(Math.max(v, -1), 2), x),
  }),
  to: (r) => ({
    inputs: [numbers(r, shapeOf(r), 0, 9)],
    run: (x) => x.to('u32'),
    ref: (x) => map(Math.trunc, x),
  }),
  where: (r) => {
    const [m, a, b] = together(r, 3);
    return {
      inputs: [build(m, () => r.int(2)), numbers(r, a), numbers(r, b)],
      run: (mask, x, y) => Tensor.where(mask, x, y),
      ref: (...all) => map((c, x, y) => (c ? x : y), ...all),
      constant: [0],
    };
  },
  sum: reduction('sum', sum),
  mean: reduction('mean', mean),
  max: reduction('max', (x) => Math.max(...x)),
  min: reduction('min', (x) => Math.min(...x)),
  prod: reduction('prod', (x) => x.reduce((a, b) => a * b, 1), -1.2),
  variance: (r) => {
    const shape = [2 + r.int(4), 1 + r.int(3), 2 + r.int(3)];
    const [axes, keep, correction] = [[[0], [2], [0, 2], [1, 2]][r.int(4)], r.int(2) === 1, r.int(2)];
    return {
      inputs: [numbers(r, shape)],
      run: (x) => x.variance(axes, { keepDims: keep, correction }),
      ref: (x) => reduce(x, axes, keep, (v) => squares(v) / (v.length - correction)),
    };
  },
  std: (r) => {
    const [shape, axis] = [[3, 1 + r.int(4), 2 + r.int(4)], [0, 2][r.int(2)]];
    return {
      inputs: [numbers(r, shape)],
      run: (x) => x.std(axis),
      ref: (x) => reduce(x, [axis], false, (v) => Math.sqrt(squares(v) / (v.length - 1))),
    };
  },
  norm: (r) => {
    const order = [1, 2, Number.POSITIVE_INFINITY][r.int(3)] as 1 | 2;
    const by = {
      1: (x: number[]) => sum(x.map(Math.abs)),
      2: (x: number[]) => Math.sqrt(sum(x.map((v) => v * v))),
    };
    return reduction('norm', by[order] ?? ((x) => Math.max(...x.map(Math.abs))), -3, { order })(r);
  },
  logSumExp: reduction('logSumExp', lse),
  cumsum: line('cumsum', (x) => x.map((_, i) => sum(x.slice(0, i + 1)))),
  softmax: line('softmax', (x) => x.map((v) => Math.exp(v - lse(x)))),
  logSoftmax: line('logSoftmax', (x) => x.map((v) => v - lse(x))),
  argmax: line('argmax', (x) => [x.indexOf(Math.max(...x))], true),
  argmin: line('argmin', (x) => [x.indexOf(Math.min(...x))], true),
  topk: line(
    'topk',
    (x) => [...x].sort((a, b) => b - a).slice(0, 2),
    false,
    (axis) => [2, axis],
  ),
  sort: (r) => {
    const descending = r.int(2) === 1;
    return line(
      'sort',
      (x) => [...x].sort((a, b) => (descending ? b - a : a - b)),
      false,
      (axis) => [{ axis, descending }],
    )(r);
  },
  flip: line('flip', (x) => [...x].reverse()),
  roll: (r) => {
    const by = r.int(9) - 4;
    return line(
      'roll',
      (x) => x.map((_, i) => x[(((i - by) % x.length) + x.length) % x.length]),
      false,
      (axis) => [by, axis],
    )(r);
  },
  repeat: (r) => {
    const each = r.int(2) === 1;
    const f = (x: number[]) => (each ? x.flatMap((v) => [v, v, v]) : [...x, ...x, ...x]);
    return line('repeat', f, false, (axis) => [3, axis, { each }])(r);
  },
  split: (r) => {
    const [shape, axis] = [[5, 2 + r.int(3), 5], [0, 2][r.int(2)]];
    return {
      inputs: [numbers(r, shape)],
      run: (x) => x.split([2, 3], axis)[1],
      ref: (x) => along(x, axis, (v) => v.slice(2)),
    };
  },
  take: (r) => {
    const [shape, axis] = [[3, 4, 3], r.int(3)];
    const ids = Array.from({ length: 1 + r.int(5) }, () => r.int(3));
    return {
      inputs: [numbers(r, shape)],
      run: (x) => x.take(r.int(2) ? ids : ids.map((i) => i - shape[axis]), axis),
      ref: (x) => along(x, axis, (v) => ids.map((i) => (v.length === shape[axis] ? v[i] : 0))),
    };
  },
  gather: (r) => {
    const [shape, axis] = [[2, 4, 3], r.int(3)];
    const own = build(
      shape.map((d, i) => (i === axis ? 3 : d)),
      () => r.int(shape[axis]),
    );
    const ids = Tensor.from<'u32'>(gpu, Uint32Array.from(own.data), own.shape);
    return {
      inputs: [numbers(r, shape)],
      run: (x) => x.gather(ids, axis),
      ref: (x) =>
        build(own.shape, (at) =>
          get(
            x,
            at.map((i, a) => (a === axis ? get(own, at) : i)),
          ),
        ),
    };
  },
  scatter: (r) => {
    const [shape, axis, add] = [[2, 4, 3], r.int(3), r.int(2) === 1];
    const ids = [1, 0];
    const source = shape.map((d, i) => (i === axis ? 2 : d));
    return {
      inputs: [numbers(r, shape), numbers(r, source)],
      run: (x, y) => x.scatter(ids, y, { axis, add }),
      ref: (x, y) =>
        build(shape, (at) => {
          const k = ids.indexOf(at[axis]);
          const put =
            k < 0
              ? 0
              : get(
                  y,
                  at.map((i, a) => (a === axis ? k : i)),
                );
          return k < 0 ? get(x, at) : put + (add ? get(x, at) : 0);
        }),
    };
  },
  slice: (r) => ({
    inputs: [numbers(r, [3, 4, 2 + r.int(3)])],
    run: (x) => x.slice([null, -1, [1, 2]]),
    ref: (x) => build([3, 1], ([i]) => get(x, [i, 3, 1])),
  }),
  set: (r) => ({
    inputs: [numbers(r, [3, 4]), numbers(r, [2])],
    run: (x, y) => x.set([[0, 2], 1], y),
    ref: (x, y) => build([3, 4], ([i, j]) => (i < 2 && j === 1 ? y.data[i] : get(x, [i, j]))),
  }),
  diagonal: (r) => {
    const [shape, k] = [[2, 3, 5], r.int(5) - 2];
    return {
      inputs: [numbers(r, shape)],
      run: (x) => x.diagonal(k),
      ref: (x) =>
        build([2, Math.min(3 + Math.min(k, 0), 5 - Math.max(k, 0))], ([b, i]) =>
          get(x, [b, i + Math.max(-k, 0), i + Math.max(k, 0)]),
        ),
    };
  },
  tril: (r) => {
    const k = r.int(7) - 3;
    return {
      inputs: [numbers(r, [2, 3, 4])],
      run: (x) => x.tril(k),
      ref: (x) => build(x.shape, (at) => (at[2] - at[1] <= k ? get(x, at) : 0)),
    };
  },
  triu: (r) => {
    const k = r.int(7) - 3;
    return {
      inputs: [numbers(r, [2, 3, 4])],
      run: (x) => x.triu(k),
      ref: (x) => build(x.shape, (at) => (at[2] - at[1] >= k ? get(x, at) : 0)),
    };
  },
  concat: (r) => {
    const [axis, lengths] = [r.int(3), [1 + r.int(3), 1 + r.int(3), 1 + r.int(3)]];
    const inputs = lengths.map((n) =>
      numbers(
        r,
        [2, 3, 2].map((d, i) => (i === axis ? n : d)),
      ),
    );
    return {
      inputs,
      run: (...t) => Tensor.concat(t, axis),
      ref: (...all) =>
        along(all[0], axis, () => Array(sum(lengths)).fill(0)) &&
        build(
          [2, 3, 2].map((d, i) => (i === axis ? sum(lengths) : d)),
          (at) => {
            let [which, k] = [0, at[axis]];
            while (k >= lengths[which]) k -= lengths[which++];
            return get(
              all[which],
              at.map((i, a) => (a === axis ? k : i)),
            );
          },
        ),
    };
  },
  stack: (r) => {
    const [shape, axis] = [shapeOf(r, 1, 3), 0];
    const at = r.int(shape.length + 1) + axis;
    return {
      inputs: [numbers(r, shape), numbers(r, shape)],
      run: (...t) => Tensor.stack(t, at),
      ref: (...all) =>
        build([...shape.slice(0, at), 2, ...shape.slice(at)], (i) =>
          get(
            all[i[at]],
            i.filter((_, a) => a !== at),
          ),
        ),
    };
  },
  matmul: (r) => {
    const [m, k, n, b, c] = [1 + r.int(5), 1 + r.int(6), 1 + r.int(5), 1 + r.int(3), 1 + r.int(3)];
    const [x, y] = [
      [
        [m, k],
        [k, n],
      ],
      [
        [b, m, k],
        [k, n],
      ],
      [
        [b, m, k],
        [b, k, n],
      ],
      [
        [b, 1, m, k],
        [c, k, n],
      ],
      [[k], [k, n]],
      [[b, m, k], [k]],
      [[k], [k]],
      [
        [m, k],
        [b, c, k, n],
      ],
      [
        [1, c, m, k],
        [b, 1, k, n],
      ],
    ][r.int(9)];
    const rows = (s: readonly number[]) => (s.length > 1 ? s.at(-2)! : 1);
    return {
      inputs: [numbers(r, x, -1, 1), numbers(r, y, -1, 1)],
      run: (p, q) => p.matmul(q),
      ref: (p, q) => {
        const [wide, high] = [x.length > 1, y.length > 1];
        const lead = broadcast(x.slice(0, -2), y.slice(0, -2));
        const full = build([...lead, rows(x), high ? n : 1], (at) =>
          sum(
            Array.from(
              { length: k },
              (_, i) =>
                get(p, wide ? [...at.slice(0, -1), i] : [i]) *
                get(q, high ? [...at.slice(0, -2), i, at.at(-1)!] : [i]),
            ),
          ),
        );
        return { shape: [...lead, ...(wide ? [rows(x)] : []), ...(high ? [n] : [])], data: full.data };
      },
    };
  },
  einsum: (r) => {
    const sizes = { a: 1 + r.int(3), b: 1 + r.int(4), c: 1 + r.int(3), d: 1 + r.int(4), e: 2 };
    const patterns = [
      'ab,bc->ac',
      'abc,cd->abd',
      'abc,bcd->acd',
      'ab,ab->',
      'a,b->ab',
      'abc->ca',
      'abc->b',
      'aab->b',
      'aa->a',
      'ab,cd->da',
      'abe,ebd,dc->ac',
      'ab,ac,ad->abcd',
      'abc,cab->ab',
      'ab->',
      'ab,b->ab',
    ];
    return product(r, patterns[r.int(patterns.length)], sizes);
  },
  reshape: (r) => ({
    inputs: [numbers(r, [2, 6])],
    run: (x) => x.transpose().reshape([3, -1]),
    ref: (x) =>
      build([3, 4], ([i, j]) => {
        const at = i * 4 + j;
        return get(x, [at % 2, Math.floor(at / 2)]);
      }),
  }),
  transpose: (r) => ({
    inputs: [numbers(r, [2, 3, 4])],
    run: (x) => x.transpose([2, 0, 1]),
    ref: (x) => build([4, 2, 3], ([i, j, k]) => get(x, [j, k, i])),
  }),
  expand: (r) => ({
    inputs: [numbers(r, [2, 1, 3])],
    run: (x) => x.expand([2, 4, 3]),
    ref: (x) => build([2, 4, 3], ([i, , k]) => get(x, [i, 0, k])),
  }),
};

/** What was computed, to be read later, beside what is expected. */
const results: { what: string; t: Tensor; expected: readonly number[]; gradient: boolean }[] = [];

/** Runs a case, forward and backward, and keeps what it gives. */
async function tryCase(
  what: string,
  { inputs, run, ref, constant = [] }: Case,
  tensors?: readonly Tensor[],
): Promise<void> {
  const tape = new Tape();
  const uploaded = tensors ?? inputs.map((a) => Tensor.from(gpu, Float32Array.from(a.data), a.shape));
  const watched = uploaded.map((t, i) => tape.watch(t, `${i}`, tape.scope));
  const y = run(...watched);
  const expected = ref(...inputs);
  if (!tensors) assert.equal(y.shape, expected.shape, `${what}: shape`);
  results.push({
    what,
    t: y.to('f32').reshape([y.size]).copy().keep(),
    expected: expected.data,
    gradient: false,
  });
  if (y.dtype === 'f32') {
    const weights = Array.from({ length: y.size }, (_, i) => Math.sin(1 + 3 * i));
    const seed = Tensor.from(gpu, Float32Array.from(weights), y.shape);
    const grads = new Map<string, Tensor>();
    await tape.backward([[y as Tensor, seed]], {
      at: (name, g) => {
        grads.set(name, g.reshape([g.size]).copy().keep());
        return g;
      },
    });
    seed.dispose();
    const value = (all: Nd[]) => ref(...all).data.reduce((s, v, i) => s + v * weights[i], 0);
    inputs.forEach((a, i) => {
      const g = grads.get(`${i}`);
      if (constant.includes(i)) return;
      assert.ok(g, `${what}: input ${i} has a gradient`);
      const h = 1e-5;
      const moved = (k: number, d: number) =>
        value(
          inputs.map((b, j) => (j === i ? { ...b, data: b.data.map((v, m) => (m === k ? v + d : v)) } : b)),
        );
      results.push({
        what: `${what}: gradient of input ${i}`,
        t: g!,
        expected: a.data.map((_, k) => (moved(k, h) - moved(k, -h)) / (2 * h)),
        gradient: true,
      });
    });
  } else tape.close();
  tape.scope.close();
  for (const t of [...watched, ...uploaded, y]) t.dispose();
}

/** Reads everything at once, and compares. */
async function compare(): Promise<number> {
  const all = results.splice(0);
  const joined = Tensor.concat(all.map(({ t }) => t));
  const data = await joined.data();
  joined.dispose();
  let at = 0;
  for (const { what, t, expected, gradient } of all) {
    t.dispose();
    const f32 = Array.from(expected, Math.fround);
    allClose(data.subarray(at, (at += expected.length)), gradient ? expected : f32, {
      what,
      atol: gradient ? 1e-4 : 2e-5,
      rtol: 1e-4,
    });
  }
  return all.length;
}

for (const [name, make] of Object.entries(operations))
  test(`${name}, and its gradient, on ${CASES} shapes`, async () => {
    const r = rng(100 + name.length * 7 + name.charCodeAt(0));
    for (let i = 0; i < CASES; i++) {
      const one = make(r);
      await tryCase(`${name} of ${one.inputs.map((a) => `[${a.shape}]`).join(', ')}`, one);
      if (results.length > 300) await compare();
    }
    await compare();
  });

// ---- rows of unequal length
// --------------------------------------------------------------------------------------

const LENGTHS = [3, 1, 4];
const TOKENS = LENGTHS.reduce((a, b) => a + b, 0);
const PACKED = {
  axes: ['pos'],
  rows: LENGTHS.map((n, i) => ({ start: LENGTHS.slice(0, i).reduce((a, b) => a + b, 0), lengths: [n] })),
};
/** Rows of 3, 1 and 4 positions, [tokens, head, d], as activations of a batch are. */
const ragged = (a: Nd): Tensor => {
  const t = Tensor.from(gpu, Float32Array.from(a.data), a.shape);
  t.named = { names: [null, 'head', 'd'], packed: PACKED };
  return t;
};
/** Row i of what is packed so, [pos, head, d]. */
const rowsOf = (a: Nd): Nd[] =>
  PACKED.rows.map(({ start, lengths: [n] }) => {
    const width = size(a.shape.slice(1));
    return { shape: [n, ...a.shape.slice(1)], data: a.data.slice(start * width, (start + n) * width) };
  });
const perRow =
  (f: (...rows: Nd[]) => Nd) =>
  (...all: Nd[]): Nd => {
    const made = PACKED.rows.map((_, i) => f(...all.map((a) => rowsOf(a)[i])));
    return { shape: [], data: made.flatMap(({ data }) => data) };
  };
const flat =
  (f: (...all: Nd[]) => Nd) =>
  (...all: Nd[]) =>
    f(...all);

/** Operations on packed rows: what they give is the rows' results, one after another. */
const onRows: Readonly<
  Record<string, [run: (...t: Tensor[]) => Tensor | Tensor<'u32'>, ref: (...a: Nd[]) => Nd]>
> = {
  'x times a row of weights': [
    (x) => x.mul(x.sum('d', { keepDims: true })),
    perRow((x) => map((a, b) => a * b, x, reduce(x, [2], true, sum))),
  ],
  'x plus itself, of other rows': [
    (x, y) => x.add(y).relu(),
    flat((x, y) => map((a, b) => Math.max(a + b, 0), x, y)),
  ],
  'a mean over positions': [(x) => x.mean('pos'), perRow((x) => reduce(x, [0], false, mean))],
  'a mean over positions and heads': [
    (x) => x.mean(['pos', 'head']),
    perRow((x) => reduce(x, [0, 1], false, mean)),
  ],
  'a mean over everything but heads': [
    (x) => x.mean(['batch', 'pos', 'd']),
    flat((x) => reduce(x, [0, 2], false, mean)),
  ],
  'a sum over heads': [(x) => x.sum('head'), perRow((x) => reduce(x, [1], false, sum))],
  'a variance over heads and d': [
    (x) => x.variance(['head', 'd']),
    perRow((x) => reduce(x, [1, 2], false, (v) => squares(v) / (v.length - 1))),
  ],
  'a norm over positions': [
    (x) => x.norm('pos'),
    perRow((x) => reduce(x, [0], false, (v) => Math.sqrt(sum(v.map((a) => a * a))))),
  ],
  'a largest entry': [(x) => x.max('pos'), perRow((x) => reduce(x, [0], false, (v) => Math.max(...v)))],
  'a log of sums of exponentials over positions': [
    (x) => x.logSumExp('pos'),
    perRow((x) => reduce(x, [0], false, lse)),
  ],
  'a softmax over positions': [
    (x) => x.softmax('pos'),
    perRow((x) => along(x, 0, (v) => v.map((a) => Math.exp(a - lse(v))))),
  ],
  'its logarithm': [(x) => x.logSoftmax('pos'), perRow((x) => along(x, 0, (v) => v.map((a) => a - lse(v))))],
  'running sums over positions': [
    (x) => x.cumsum('pos'),
    perRow((x) => along(x, 0, (v) => v.map((_, i) => sum(v.slice(0, i + 1))))),
  ],
  'running sums over d': [
    (x) => x.cumsum('d'),
    perRow((x) => along(x, 2, (v) => v.map((_, i) => sum(v.slice(0, i + 1))))),
  ],
  'the largest over positions': [
    (x) => x.topk(1, 'pos').values,
    perRow((x) => along(x, 0, (v) => [Math.max(...v)])),
  ],
  'positions in order': [
    (x) => x.sort('pos').values,
    perRow((x) => along(x, 0, (v) => [...v].sort((a, b) => a - b))),
  ],
  'the last first': [(x) => x.flip('pos'), perRow((x) => along(x, 0, (v) => [...v].reverse()))],
  'positions moved': [
    (x) => x.roll(1, 'pos'),
    perRow((x) => along(x, 0, (v) => [v.at(-1)!, ...v.slice(0, -1)])),
  ],
  'positions twice': [(x) => x.repeat(2, 'pos'), perRow((x) => along(x, 0, (v) => [...v, ...v]))],
  'the first and the last': [
    (x) => x.take([0, -1], 'pos'),
    perRow((x) => along(x, 0, (v) => [v[0], v.at(-1)!])),
  ],
  'one behind the other': [
    (x, y) => Tensor.concat([x, y], 'pos'),
    perRow((x, y) => ({ shape: [], data: [...x.data, ...y.data] })),
  ],
  'two heads of each': [(x) => x.take({ head: [1, 0] }), perRow((x) => along(x, 1, (v) => [v[1], v[0]]))],
  'a stack along a new axis behind': [
    (x, y) => Tensor.stack([x, y], -1),
    perRow((x, y) => build([...x.shape, 2], (at) => get(at[3] ? y : x, at.slice(0, 3)))),
  ],
  'split heads, the second part': [
    (x) => x.split([1, 1], 'head')[1],
    perRow((x) => along(x, 1, (v) => [v[1]])),
  ],
  'a triangle of heads and d': [
    (x) => x.triu(1),
    perRow((x) => build(x.shape, (at) => (at[2] - at[1] >= 1 ? get(x, at) : 0))),
  ],
  'scores of positions': [
    (x, y) => Tensor.einsum('bqhd,bkhd->bhqk', x, y),
    perRow((x, y) => einsum(['qhd', 'khd'], 'hqk', [x, y])),
  ],
  'a sum over rows': [(x) => Tensor.einsum('bphd->hd', x), flat((x) => reduce(x, [0], false, sum))],
};
for (const [what, [run, ref]] of Object.entries(onRows))
  test(`rows of unequal length: ${what}`, async () => {
    const r = rng(what.length);
    const inputs = [0, 1].slice(0, run.length).map(() => numbers(r, [TOKENS, 2, 3]));
    await tryCase(what, { inputs, run, ref }, inputs.map(ragged));
    await compare();
  });

test('products of rows of unequal length with matrices', async () => {
  const r = rng(5);
  const [x, w] = [numbers(r, [TOKENS, 2, 3]), numbers(r, [3, 4])];
  const t = Tensor.from(gpu, Float32Array.from(w.data), w.shape);
  const run = (a: Tensor, b: Tensor) => a.matmul(b);
  await tryCase('matmul', { inputs: [x, w], run, ref: (a, b) => einsum(['thd', 'de'], 'the', [a, b]) }, [
    ragged(x),
    t,
  ]);
  await compare();
  const packed = ragged(x);
  const [made, words] = [
    Tensor.einsum('batch pos head d, head d e -> batch pos e', packed, Tensor.ones(gpu, [2, 3, 4])),
    Tensor.einsum('...d,de->...e', packed, Tensor.ones(gpu, [3, 4])),
  ];
  assert.equal(made.axes, ['batch', 'pos', 'e']);
  assert.equal(words.shape, [TOKENS, 2, 4]);
});

// ---- what numbers are not
// ----------------------------------------------------------------------------------------

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;
const list = (data: readonly number[], shape: readonly number[] = [data.length]) =>
  Tensor.from(gpu, Float32Array.from(data), shape);
const read = async (t: Tensor | Tensor<'u32'>) => Array.from(await t.data());

test('reductions of zeros, infinities and NaN are what IEEE says', async () => {
  const x = list([0, -inf, 1, inf, 2, 3, nan, 1, 1, -inf, -inf, -inf], [4, 3]);
  assert.equal(await read(x.sum(1)), [-inf, inf, nan, -inf]);
  assert.equal(await read(x.max(1)), [1, inf, nan, -inf]);
  assert.equal(await read(x.min(1)), [-inf, 2, nan, -inf]);
  assert.equal(await read(x.prod(1)), [nan, inf, nan, -inf]);
  assert.equal(
    (await read(x.logSumExp(1))).map((v) => Number(v.toFixed(5))),
    [1.31326, inf, nan, -inf],
  );
  assert.equal(
    (await read(x.logSoftmax(1))).slice(0, 3).map((v) => v.toFixed(5)),
    ['-1.31326', '-Infinity', '-0.31326'],
  );
  assert.equal(await read(x.argmin(1)), [1, 1, 0, 0]);
  assert.equal(await read(x.cumsum(1)), [0, -inf, -inf, inf, inf, inf, nan, nan, nan, -inf, -inf, -inf]);
  assert.equal(await read(list([4]).variance()), [nan]);
  assert.equal(await read(list([4]).variance(0, { correction: 0 })), [0]);
  assert.equal(await read(list([1, nan, 0]).gt(0)), [1, 0, 0]);
  assert.equal(await read(list([nan, 1]).eq(nan)), [0, 0]);
  assert.equal(await read(list([1, nan]).maximum(list([nan, 0]))), [nan, nan]);
  assert.equal(await read(list([-3.7, 3.7, nan, inf]).to('u32')), [0, 3, 0, 4294967040]);
});

test('gradients where a derivative does not exist are numbers', async () => {
  const gradient = async (x: Tensor, f: (x: Tensor) => Tensor) => {
    const tape = new Tape();
    const y = f(tape.watch(x, 'x', tape.scope)).sum();
    let found: number[] = [];
    const kept: Tensor[] = [];
    await tape.backward([[y, Tensor.ones(gpu, [1]).reshape([])]], {
      at: (_, g) => {
        kept.push(g.clone());
        return g;
      },
    });
    found = await read(kept[0]);
    tape.scope.close();
    return found;
  };
  assert.equal(await gradient(list([0, 0]), (x) => x.norm()), [0, 0]);
  assert.equal(await gradient(list([3, 3, 3]), (x) => x.std()), [0, 0, 0]);
  assert.equal(await gradient(list([0, 2, 3]), (x) => x.prod()), [6, 0, 0]);
  assert.equal(await gradient(list([0, 0, 3]), (x) => x.prod()), [0, 0, 0]);
  assert.equal(await gradient(list([-1, 0, 2]), (x) => x.relu()), [0, 0, 1]);
  assert.equal(await gradient(list([1, 2]), (x) => x.maximum(1)), [0.5, 1]);
  assert.equal(await gradient(list([0, 1]), (x) => x.pow(2)), [0, 2]);
  // no NaN from what `where` leaves out
  assert.equal(await gradient(list([0, 4]), (x) => Tensor.where(x.gt(0), x.sqrt(), 0)), [nan, 0.25]);
  assert.equal(await gradient(list([1, 5, 2]), (x) => x.round()), [0, 0, 0]);
});

test('tensors made of nothing, with the numbers of NumPy', async () => {
  assert.equal(await read(Tensor.arange(gpu, 2, 8, 3)), [2, 5]);
  assert.equal(await Tensor.eye(gpu, 2, 3).toArray(), [
    [1, 0, 0],
    [0, 1, 0],
  ]);
  assert.equal(await Tensor.oneHot(gpu, [2, 0], 3).toArray(), [
    [0, 0, 1],
    [1, 0, 0],
  ]);
  assert.equal(await read(Tensor.full(gpu, [2], 7)), [7, 7]);
  assert.equal(await read(Tensor.zeros(list([1, 2]), [2])), [0, 0]);
  // np.random.RandomState(0).randn(2), .uniform(size=2)
  assert.equal(
    (await read(Tensor.randn(gpu, [2], 0))).map((x) => x.toFixed(5)),
    ['1.76405', '0.40016'],
  );
  assert.equal(
    (await read(Tensor.rand(gpu, [2], 0))).map((x) => x.toFixed(5)),
    ['0.54881', '0.71519'],
  );
});

test('a mask picks entries, or whole rows', async () => {
  const x = list([1, 5, 2, 7, 0, 9], [3, 2]);
  assert.equal(await read(await x.select(x.gt(3))), [5, 7, 9]);
  assert.equal(await (await x.select(list([1, 0, 1]))).toArray(), [
    [1, 5],
    [0, 9],
  ]);
});

test('a tensor prints its shape, its axes and its first numbers', async () => {
  const x = Tensor.arange(gpu, 8).reshape([2, 4]).withAxes(['pos', null]);
  assert.is(`${list([1, 2.5])}`, 'tensor f32 [2]: 1, 2.5');
  assert.is(await x.show(), 'tensor f32 [pos 2, 4]: 0, 1, 2, 3, 4, 5, …');
  x.dispose();
  assert.match(`${x}`, /\[pos 2, 4\], disposed of/);
});

test('sorting many numbers, and picking many of them', async () => {
  const x = Tensor.randn(gpu, [3, 700], 4);
  const { values, indices } = x.sort({ descending: true });
  const data = await x.data();
  const rows = [0, 1, 2].map((i) => data.slice(i * 700, (i + 1) * 700));
  assert.equal(
    Array.from(await values.data()),
    rows.flatMap((row) => Array.from(row).sort((a, b) => b - a)),
  );
  const at = await indices.data();
  assert.equal(
    Array.from(at.subarray(0, 700), (i) => rows[0][i]),
    Array.from(await values.data()).slice(0, 700),
  );
  assert.equal(
    await read(x.topk(300).values),
    rows.flatMap((row) =>
      Array.from(row)
        .sort((a, b) => b - a)
        .slice(0, 300),
    ),
  );
  assert.equal(await read(list([2, nan, 1, 2]).sort().indices), [2, 0, 3, 1]);
});

test('operations give their memory back', async () => {
  const { bytes } = gpu.memory();
  {
    using x = Tensor.randn(gpu, [4, 6], 1);
    using w = Tensor.randn(gpu, [6, 3], 2);
    for (const t of [
      x.std(0),
      x.norm(),
      x.logSoftmax(),
      x.logSoftmax(0),
      x.logSumExp([0, 1]),
      x.variance(1),
      x.argmin(),
      x.argmax(0),
      x.mean([0]),
      x.matmul(w),
      x.take([1, 2]),
      Tensor.einsum('ab,bc->ca', x, w),
      Tensor.einsum('ab->', x),
      x.flip(),
      x.roll(1),
      x.repeat(2),
      x.diagonal(),
      x.tril(),
      x.scatter([0, 1], 3),
      x.gather([1, 1]),
      Tensor.stack([x, x]),

      Tensor.oneHot(gpu, [1], 3),
      x.cumsum(0),
      x.prod(0),
      x.slice([0]),
      x.gt(0),
      x.softmax(0),
    ])
      t.dispose();
  }
  givenBack(gpu, bytes);
});

test('docs/tensors.md lists every operation, and each that it lists is there, and was tried', () => {
  const page = readFileSync(new URL('../../docs/tensors.md', import.meta.url), 'utf8');
  const rows = page.split('\n').filter((line) => line.startsWith('|'));
  const listed = new Set<string>();
  let computes = false;
  for (const row of rows) {
    const [first, second] = row.split(/(?<!\\)\|/).slice(1);
    if (first.includes('**')) computes = /Element|Along|Products|Parts/.test(first);
    for (const [, name] of `${first}`.matchAll(/`(?:Tensor\.|model\.)?(\w+)/g)) {
      listed.add(name);
      assert.ok(name in Tensor.prototype || name in Tensor || name === 'tensor', `${name} of ${second}`);
      if (computes && name !== 'select') assert.ok(name in operations, `${name} is not tried here`);
    }
  }
  const internal = /^(constructor|empty|ids|binding|weights|renamed|window|dense|view|copy|make|holds)$/;
  const there = new Set(
    Object.getOwnPropertyNames(Tensor).filter((n) => typeof (Tensor as never)[n] === 'function'),
  );
  there.delete('result'); // internal
  for (let of = Tensor.prototype as object; of !== Object.prototype; of = Object.getPrototypeOf(of))
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(of)))
      if (typeof value === 'function' && !internal.test(name)) there.add(name);
  assert.equal(
    [...there].filter((name) => !listed.has(name)),
    [],
  );
});

test.run();
