/** AdamW and Muon do on the GPU what their papers say, in float64. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Gpu } from '../../engine/gpu/gpu.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import { Optimizer, parameterGroups } from '../../engine/training/optimizer.js';
import '../../index.js';
import { adamWReference } from '../../kernels/training/optimizer.js';
import { allClose, rng, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const gpu = await Gpu.open('auto');
type Matrix = number[][];

const upload = (data: ArrayLike<number>, shape: number[]) =>
  Tensor.from(gpu, Float32Array.from(data), shape, { label: 'parameter' });
const product = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => b[0].map((_, j) => row.reduce((sum, x, k) => sum + x * b[k][j], 0)));
const transpose = (a: Matrix): Matrix => a[0].map((_, j) => a.map((row) => row[j]));
const matrix = (data: ArrayLike<number>, rows: number, cols: number): Matrix =>
  Array.from({ length: rows }, (_, i) => Array.from({ length: cols }, (_, j) => data[i * cols + j]));

/** Newton–Schulz as Muon's authors have it. */
function orthogonal(g: Matrix): Matrix {
  if (g.length > g[0].length) return transpose(orthogonal(transpose(g)));
  const norm = Math.sqrt(g.flat().reduce((s, x) => s + x * x, 0)) + 1e-7;
  let x = g.map((row) => row.map((v) => v / norm));
  for (let i = 0; i < 5; i++) {
    const gram = product(x, transpose(x));
    const squared = product(gram, gram);
    const b = gram.map((row, r) => row.map((v, c) => -4.775 * v + 2.0315 * squared[r][c]));
    const bx = product(b, x);
    x = x.map((row, r) => row.map((v, c) => 3.4445 * v + bx[r][c]));
  }
  return x;
}

test('three steps of AdamW on vectors and matrices, clipped together, with decay on matrices only', async () => {
  const random = rng(1);
  const shapes: Record<string, number[]> = { W_E: [7, 5], 'blocks.0.W_O': [4, 8], 'blocks.0.b_O': [8] };
  const names = Object.keys(shapes);
  const size = (name: string) => shapes[name].reduce((a, b) => a * b, 1);
  const zeros = (name: string) => new Float64Array(size(name));
  const state = new Map<string, Record<'w' | 'm' | 'v', ArrayLike<number>>>(
    names.map((n) => [n, { w: random.array(size(n)), m: zeros(n), v: zeros(n) }]),
  );
  const tensors = names.map((name) => ({ name, tensor: upload(state.get(name)!.w, shapes[name]) }));
  const optimizer = new Optimizer(parameterGroups(tensors, { weightDecay: 0.1, beta2: 0.95 }));
  for (let step = 1; step <= 3; step++) {
    const lr = 0.01 * step;
    const gradients = new Map(names.map((name) => [name, random.array(size(name))]));
    const given = new Map([...gradients].map(([name, g]) => [name, upload(g, shapes[name])]));
    optimizer.step(given, { lr, maxNorm: 1 });
    const squares = [...gradients.values()].flatMap((g) => [...g]).reduce((sum, x) => sum + x * x, 0);
    for (const name of names) {
      const weightDecay = shapes[name].length > 1 ? 0.1 : 0;
      const o = { step, lr, beta2: 0.95, weightDecay, maxNorm: 1 };
      state.set(name, adamWReference(o, { g: gradients.get(name)!, ...state.get(name)! }, squares));
    }
    for (const t of given.values()) t.dispose();
  }
  assert.is(optimizer.steps, 3);
  for (const { name, tensor } of tensors) {
    allClose(await tensor.data(), state.get(name)!.w, { atol: 1e-6, rtol: 1e-5, what: name });
    tensor.dispose();
  }
  optimizer.dispose();
});

test('Muon makes the momentum orthogonal; queries, keys and values each by themselves', async () => {
  const random = rng(2);
  const [lr, weightDecay, beta] = [0.02, 0.1, 0.9];
  for (const [name, rows, columns] of [
    ['blocks.0.W_in', 8, [20]],
    ['blocks.0.W_out', 20, [8]],
    ['blocks.0.W_O', 13, [7]],
    ['blocks.0.W_QKV', 12, [12, 12, 12]],
    // Four heads of queries that share two of keys and values.
    ['blocks.1.W_QKV', 12, [16, 8, 8]],
  ] as const) {
    const cols = columns.reduce((a, b) => a + b, 0);
    let w = matrix(random.array(rows * cols), rows, cols);
    let m = w.map((row) => row.map(() => 0));
    const tensor = upload(w.flat(), [rows, cols]);
    const optimizer = new Optimizer(
      parameterGroups([{ name, tensor, columns }], { method: 'muon', weightDecay, momentum: beta }),
    );
    for (let step = 0; step < 2; step++) {
      const g = matrix(random.array(rows * cols), rows, cols);
      const gradient = upload(g.flat(), [rows, cols]);
      optimizer.step(new Map([[name, gradient]]), { lr });
      gradient.dispose();
      m = m.map((row, i) => row.map((v, j) => beta * v + (1 - beta) * g[i][j]));
      const direction = m.map((row, i) => row.map((v, j) => beta * v + (1 - beta) * g[i][j]));
      const next = w.map((row) => row.map((v) => (1 - lr * weightDecay) * v));
      let first = 0;
      for (const width of columns) {
        const made = orthogonal(direction.map((row) => row.slice(first, first + width)));
        const rate = lr * 0.2 * Math.sqrt(Math.max(rows, width));
        made.forEach((row, i) => {
          row.forEach((v, j) => {
            next[i][first + j] -= rate * v;
          });
        });
        first += width;
      }
      w = next;
    }
    allClose(await tensor.data(), w.flat(), { atol: 2e-6, rtol: 1e-4, what: name });
    tensor.dispose();
    optimizer.dispose();
  }
});

test('what an optimiser remembers goes to another one; it owns nothing afterwards', async () => {
  const { bytes } = gpu.memory();
  const random = rng(3);
  const g = upload(random.array(24), [4, 6]);
  const start = random.array(24);
  const name = 'blocks.0.W_O';
  for (const method of ['adamw', 'muon'] as const) {
    const [a, b] = [upload(start, [4, 6]), upload(start, [4, 6])];
    const first = new Optimizer(parameterGroups([{ name, tensor: a }], { method }));
    first.step(new Map([[name, g]]), { lr: 0.1 });
    const other = new Optimizer(parameterGroups([{ name, tensor: b }], { method }));
    gpu.write(b.storage.buffer, 0, await a.data());
    other.restore(await first.state());
    for (const o of [first, other]) o.step(new Map([[name, g]]), { lr: 0.1 });
    assert.equal(await a.data(), await b.data());
    throws(() => other.restore({ steps: 1, tensors: {} }), /lacks .*another model or method/);
    throws(() => other.step(new Map(), { lr: 0.1 }), /gradient of blocks.0.W_O \[4, 6\] is missing/);
    for (const t of [first, other, a, b]) t.dispose();
  }
  g.dispose();
  givenBack(gpu, bytes);
  const vector = upload([1], [1]);
  throws(
    () => new Optimizer([{ method: 'muon', parameters: [{ name: 'b', tensor: vector }] }]),
    /not a matrix/,
  );
  vector.dispose();
});

test.run();
