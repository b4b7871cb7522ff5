/**
 * The tuned matrix product: one WGSL generator with parameters (after the register tiles of jax-js and tinygrad,
 * and the shared-memory tiles of every GPU text book). A thread owns `rows` × `cols` outputs; what differs is how
 * the operands reach it:
 *
 *  - `quad`: four neighbouring lanes load one element of X each and hand them round with quad swaps. For CPUs that
 *    pose as a GPU: in SwiftShader's code a load is a chain of 50 instructions, `subgroupBroadcast` takes 20, a swap 1.
 *  - `direct`: every thread loads its own operands. Needs nothing of the adapter.
 *  - `shared`: a workgroup stages tiles of both operands in workgroup memory: for real GPUs.
 *
 * In `quad`, lane q of a quad (q = subgroup lane modulo 4) holds after swap number r what lane q ^ r had loaded. So its
 * accumulator number r belongs to row q ^ r of the four, or, with a single row, it takes the four k in the order q ^ r.
 * That needs no assumption on how lanes map to threads, nor on the subgroup's size, beyond 4 lanes: all lanes of a
 * workgroup are on the same rows, and every lane has its own columns.
 *
 * Nothing is ever read or written out of bounds: rows and columns beyond the end are clamped for loads and skipped
 * by stores. `rows` is a uniform, so a new prompt length compiles nothing; `inner` and `cols` are constants of
 * the source, because arrays of a known size make bounds checks cheaper where the adapter insists on them.
 *
 * With `xTransposed` the sum runs over the rows of both operands, Xᵀ · W: the gradient of a weight. Its `inner` is the
 * number of tokens, and so a uniform.
 */

import { repeat } from '../core/kernel.js';
import { type StoredWeights, storedWgsl, weight4, weightArray, weightTypes } from '../core/stored.js';

/** How the outputs are dealt to threads. */
export interface Tile {
  readonly path: 'quad' | 'direct' | 'shared';
  /** Outputs of a thread: rows × columns. Columns are a multiple of 4; with `quad` so are rows, or there is 1. */
  readonly rows: number;
  readonly cols: number;
  /** Threads of a workgroup, along the columns and (`shared` only) along the rows. */
  readonly width: number;
  readonly height: number;
  /**
   * `shared`: elements of k staged at a time. `direct`: threads that share a column's sum, each with its part of k. `quad`
   * with a single row: fours of k in one go, so that more of W is on its way at the same time.
   */
  readonly depth: number;
}

/** What a product computes; `cols` is a multiple of 4, and so, but for `quad`, are `inner` or with `xTransposed` `rows`. */
export interface Product extends StoredWeights {
  /** Terms of a sum, null with `xTransposed`: it is a uniform there. */
  readonly inner: number | null;
  readonly cols: number;
  /** X is stored [inner, rows]. */
  readonly xTransposed: boolean;
  /** WGSL that defines `fn act(x: f32) -> f32`, or null. */
  readonly act: string | null;
  readonly bias: boolean;
  readonly residual: boolean;
  /** R multiplies instead of being added. */
  readonly times?: boolean;
  /** Y += … */
  readonly accumulate: boolean;
  /** W is rows `first` … of a matrix of `rows` rows, all of which is bound. */
  readonly window?: { readonly first: number; readonly rows: number } | null;
}

/** Part of a kernel's name: `quad-8x4-16x1x1`. */
export const tileName = ({ path, rows, cols, width, height, depth }: Tile): string =>
  `${path}-${rows}x${cols}-${width}x${height}x${depth}`;

/** Rows and columns of a workgroup. */
export const tileSpan = (t: Tile): { rows: number; cols: number } => ({
  rows: t.rows * (t.path === 'shared' ? t.height : 1),
  cols: t.cols * t.width,
});

const X4 = ['x', 'y', 'z', 'w'];

/** Y[rows, cols] (+)= act(X[rows, inner] · W[inner, cols] + b) + R, or · R: the source of one tile. */
export function tiledWgsl(p: Product, t: Tile): string {
  const body = { quad, direct: p.xTransposed ? directTransposed : direct, shared }[t.path](p, t);
  return `${t.path === 'quad' ? 'enable subgroups;\n' : ''}${bindings(p, t)}\n${body}`;
}

function bindings(
  { inner, cols, act, bias, residual, times, window, stored = 'f32' }: Product,
  { path }: Tile,
): string {
  const operands = [
    `var<storage, read> X: array<${path === 'quad' ? 'f32' : 'vec4f'}>`,
    `var<storage, read> W: ${inner ? weightArray(stored, (window?.rows ?? inner) * cols) : `array<${weightTypes(stored).four}>`}`,
    ...(bias ? [`var<storage, read> B: array<vec4f, ${cols / 4}>`] : []),
    ...(residual || times ? ['var<storage, read> R: array<vec4f>'] : []),
    'var<storage, read_write> Y: array<vec4f>',
  ];
  return `${operands.map((o, i) => `@group(0) @binding(${i}) ${o};`).join('\n')}
struct Params {
  rows: u32,${inner ? '' : '\n  inner: u32,'}${window ? '\n  first: u32,' : ''}
}
@group(1) @binding(0) var<uniform> params: Params;
${storedWgsl(stored, 'W')}
${act ? `${act}\nfn act4(v: vec4f) -> vec4f { return vec4f(act(v.x), act(v.y), act(v.z), act(v.w)); }` : ''}`;
}

/** WGSL: vec4 number i of W. */
const weight = ({ stored = 'f32', window, cols }: Product, i: string): string =>
  weight4(stored, 'W', window ? `params.first * ${cols / 4}u + ${i}` : i);

/** Columns of this thread: vec4 number `c0`, `c1` …, a workgroup's width apart, so that neighbours load neighbours. */
const columns = (p: Product, t: Tile, lane: string): string =>
  repeat(
    t.cols / 4,
    (j) => /* wgsl */ `
  let c${j} = wg.x * ${(t.width * t.cols) / 4}u + ${lane} + ${j * t.width}u;
  let n${j} = min(c${j}, ${p.cols / 4 - 1}u);`,
  );

const zeros = (t: Tile): string =>
  repeat(t.rows, (i) => `  ${repeat(t.cols / 4, (j) => `var y${i}_${j} = vec4f();`, ' ')}`);

/** y[i][·] += x · w[·] */
const multiplyAdd = (t: Tile, i: number, x: string, w: (j: number) => string): string =>
  `{ let x = vec4f(${x}); ${repeat(t.cols / 4, (j) => `y${i}_${j} = fma(x, ${w(j)}, y${i}_${j});`, ' ')} }`;

/** Epilogue and store of this thread's outputs; output row i belongs to row `rowOf(i)` of the tile. */
function store(
  { cols, bias, act, residual, times, accumulate }: Product,
  t: Tile,
  rowOf = (i: number) => `${i}u`,
): string {
  const output = (i: number, j: number) => {
    const sum = bias ? `y${i}_${j} + B[n${j}]` : `y${i}_${j}`;
    const value = act ? `act4(${sum})` : times ? `(${sum})` : sum;
    const more = `${times ? ` * R[at + c${j}]` : ''}${residual ? ` + R[at + c${j}]` : ''}${accumulate ? ` + Y[at + c${j}]` : ''}`;
    return `if (c${j} < ${cols / 4}u) { Y[at + c${j}] = ${value}${more}; }`;
  };
  return repeat(
    t.rows,
    (i) => /* wgsl */ `
  if (row + ${rowOf(i)} < params.rows) {
    let at = (row + ${rowOf(i)}) * ${cols / 4}u;
    ${repeat(t.cols / 4, (j) => output(i, j), '\n    ')}
  }`,
  );
}

/** The rows of a tile that the accumulators `s${i}_…` of `quadSums` belong to, with q = lane of the quad. */
export const quadRow = (rows: number, i: number): string =>
  rows === 1 ? '0u' : `${i & ~3}u + (q ^ ${i & 3}u)`;

/**
 * WGSL that sums s{i}_{c} = Σ X · w over k < end, for `rows` rows. `x` gives what lane q loads of X for rows 4g … 4g + 3
 * and some k; `load` gives the statements that load some rows of W; `w` names the one numbered u, column c.
 * With a single row lane q loads k + q, and W's rows are k + (q ^ u).
 * Scalar accumulators and four k in one go, because that is what SwiftShader's compiler keeps in registers.
 * @param o.fours with a single row: fours of k in one go. Default 1
 * @param o.tail whether `end` may be no multiple of 4: a second loop takes the last terms one by one
 */
export function quadSums(o: {
  rows: number;
  cols: number;
  end: string;
  tail: boolean;
  x: (g: number, k: string) => string;
  load: (ks: string[]) => string;
  w: (u: number, c: number) => string;
  fours?: number;
}): string {
  const { rows, cols, end, tail, x, load, w, fours = 1 } = o;
  const span = 4 * fours;
  const swaps = (a: (r: number) => string, from: string) =>
    `    let ${a(0)} = ${from}; let ${a(1)} = quadSwapX(${a(0)}); let ${a(2)} = quadSwapY(${a(0)}); let ${a(3)} = quadSwapY(${a(1)});`;
  const sums = (i: number, steps: number, a: (u: number) => string) =>
    repeat(
      cols,
      (c) => `    ${repeat(steps, (u) => `s${i}_${c} = fma(${a(u)}, ${w(u, c)}, s${i}_${c});`, ' ')}`,
    );
  const group = (g: number, steps: number) =>
    `${repeat(steps, (u) => swaps((r) => `a${g}_${r}_${u}`, x(g, `(k + ${u}u)`)))}
${repeat(4, (r) => sums(4 * g + r, steps, (u) => `a${g}_${r}_${u}`))}`;
  const body = (steps: number) => {
    if (rows > 1)
      return `${load(Array.from({ length: steps }, (_, u) => `(k + ${u}u)`))}
${repeat(rows / 4, (g) => group(g, steps))}`;
    if (steps === 1) return `${load(['k'])}\n    let a0 = ${x(0, 'k')};\n${sums(0, 1, () => 'a0')}`;
    // Number u of a four next to number u of the others: their cache lines are far apart and fetched at the same time.
    const order = Array.from({ length: span }, (_, i) => 4 * (i % fours) + Math.floor(i / fours));
    return `${load(order.map((u) => `(k + (${u & ~3}u + (q ^ ${u & 3}u)))`))}
${repeat(fours, (f) => swaps((r) => `a${order.indexOf(4 * f + r)}`, x(0, `(k + ${4 * f}u + q)`)))}
${sums(0, span, (i) => `a${i}`)}`;
  };
  const whole = tail ? `(${end} / ${span}u * ${span}u)` : end;
  return /* wgsl */ `
${repeat(rows, (i) => `  ${repeat(cols, (c) => `var s${i}_${c} = 0f;`, ' ')}`)}
  for (var k = 0u; k < ${whole}; k += ${span}u) {
${body(4)}
  }
${tail ? `  for (var k = ${whole}; k < ${end}; k++) {\n${body(1)}\n  }` : ''}`;
}

/** WGSL for the rows of X [·, inner] that a lane loads: x{g} is where they begin, x(g, k) the element. */
export const quadX = (rows: number, inner: number) => ({
  declare:
    rows === 1
      ? `  let x0 = row * ${inner}u;`
      : repeat(rows / 4, (g) => `  let x${g} = min(row + ${4 * g}u + q, last) * ${inner}u;`),
  x: (g: number, k: string) => `X[x${g} + ${k}]`,
});

function quad(p: Product, t: Tile): string {
  const { declare, x } = p.inner
    ? quadX(t.rows, p.inner)
    : {
        declare: repeat(t.rows / 4, (g) => `  let x${g} = min(row + ${4 * g}u + q, last);`),
        x: (g: number, k: string) => `X[${k} * params.rows + x${g}]`,
      };
  return /* wgsl */ `
@compute @workgroup_size(${t.width})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32,
        @builtin(subgroup_invocation_id) sid: u32) {
  let row = wg.y * ${t.rows}u;
  let last = params.rows - 1u;
  let q = sid & 3u;
${columns(p, t, 'lane')}
${declare}
${quadSums({
  ...t,
  fours: t.rows === 1 ? t.depth : 1,
  end: p.inner ? `${p.inner}u` : 'params.inner',
  tail: !p.inner || p.inner % (t.rows === 1 ? 4 * t.depth : 4) > 0,
  x,
  load: (ks) =>
    ks
      .map((k, u) =>
        repeat(t.cols / 4, (j) => `    let w${u}_${j} = ${weight(p, `${k} * ${p.cols / 4}u + n${j}`)};`),
      )
      .join('\n'),
  w: (u, c) => `w${u}_${c >> 2}.${X4[c & 3]}`,
})}
${repeat(t.rows, (i) => repeat(t.cols / 4, (j) => `  let y${i}_${j} = vec4f(${repeat(4, (e) => `s${i}_${4 * j + e}`, ', ')});`))}
${store(p, t, (i) => quadRow(t.rows, i))}
}`;
}

function direct(p: Product, t: Tile): string {
  const steps = p.inner! / 4;
  const part = Math.ceil(steps / t.depth);
  const split = t.depth > 1;
  const sums = t.rows * (t.cols / 4);
  const sum = (n: number) => `y${Math.floor(n / (t.cols / 4))}_${n % (t.cols / 4)}`;
  const meet = /* wgsl */ `
${repeat(sums, (n) => `  partial[(part * ${sums}u + ${n}u) * ${t.width}u + lane] = ${sum(n)};`)}
  workgroupBarrier();
  if (part > 0u) { return; }
  for (var s = 1u; s < ${t.depth}u; s++) {
${repeat(sums, (n) => `    ${sum(n)} += partial[(s * ${sums}u + ${n}u) * ${t.width}u + lane];`)}
  }`;
  return /* wgsl */ `
${split ? `var<workgroup> partial: array<vec4f, ${t.depth * sums * t.width}>;` : ''}
@compute @workgroup_size(${t.width}, ${t.depth})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let lane = local.x;
  let part = local.y;
  let row = wg.y * ${t.rows}u;
  let last = params.rows - 1u;
${columns(p, t, 'lane')}
${repeat(t.rows, (i) => `  let x${i} = min(row + ${i}u, last) * ${steps}u;`)}
${zeros(t)}
  let end = ${split ? `min((part + 1u) * ${part}u, ${steps}u)` : `${steps}u`};
  for (var k = ${split ? `part * ${part}u` : '0u'}; k < end; k++) {
${repeat(t.rows, (i) => `    let a${i} = X[x${i} + k];`)}
${repeat(
  4,
  (q) => `    {
${repeat(t.cols / 4, (j) => `      let w${j} = ${weight(p, `(4u * k + ${q}u) * ${p.cols / 4}u + n${j}`)};`)}
${repeat(t.rows, (i) => `      ${multiplyAdd(t, i, `a${i}.${X4[q]}`, (j) => `w${j}`)}`)}
    }`,
)}
  }
${split ? meet : ''}
${store(p, t)}
}`;
}

/** The rows of a thread lie side by side in X [inner, rows]. */
function directTransposed(p: Product, t: Tile): string {
  const x = (i: number) => `a${i >> 2}.${X4[i & 3]}`;
  return /* wgsl */ `
@compute @workgroup_size(${t.width})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = wg.y * ${t.rows}u;
  let rows4 = params.rows / 4u;
${columns(p, t, 'lane')}
${repeat(t.rows / 4, (g) => `  let x${g} = min(row / 4u + ${g}u, rows4 - 1u);`)}
${zeros(t)}
  for (var k = 0u; k < params.inner; k++) {
${repeat(t.cols / 4, (j) => `    let w${j} = W[k * ${p.cols / 4}u + n${j}];`)}
${repeat(t.rows / 4, (g) => `    let a${g} = X[k * rows4 + x${g}];`)}
${repeat(t.rows, (i) => `    ${multiplyAdd(t, i, x(i), (j) => `w${j}`)}`)}
  }
${store(p, t)}
}`;
}

/** Both tiles are staged: X so that a thread's rows lie side by side, W as it is. Beyond the last k, X counts as 0. */
function shared(p: Product, t: Tile): string {
  const rows = t.rows * t.height;
  const cols4 = (t.cols * t.width) / 4;
  const threads = t.width * t.height;
  const fetch = (count: number, f: (id: string) => string) =>
    repeat(Math.ceil(count / threads), (n) => {
      const guard = (n + 1) * threads > count ? `if (id < ${count}u) ` : '';
      return `    { let id = thread + ${n * threads}u; ${guard}{ ${f('id')} } }`;
    });
  const fetchX = (id: string) =>
    p.xTransposed
      ? `let k = ${id} / ${rows / 4}u; let r = ${id} % ${rows / 4}u;
      var v = vec4f(); if (k0 + k < inner) { v = X[(k0 + k) * (params.rows / 4u) + min(top + 4u * r, last) / 4u]; }
      ${repeat(4, (e) => `Xs[k * ${rows}u + 4u * r + ${e}u] = v.${X4[e]};`, ' ')}`
      : `let r = ${id} / ${t.depth / 4}u; let q = ${id} % ${t.depth / 4}u;
      var v = vec4f(); if (k0 / 4u + q < inner / 4u) { v = X[min(top + r, last) * (inner / 4u) + k0 / 4u + q]; }
      ${repeat(4, (e) => `Xs[(4u * q + ${e}u) * ${rows}u + r] = v.${X4[e]};`, ' ')}`;
  return /* wgsl */ `
var<workgroup> Xs: array<f32, ${t.depth * rows}>;  // [depth, rows]
var<workgroup> Ws: array<vec4f, ${t.depth * cols4}>;  // [depth, cols / 4]
@compute @workgroup_size(${t.width}, ${t.height})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) local: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let inner = ${p.inner ? `${p.inner}u` : 'params.inner'};
  let top = wg.y * ${rows}u;
  let row = top + local.y * ${t.rows}u;
  let last = params.rows - 1u;
${columns(p, t, 'local.x')}
${zeros(t)}
  for (var k0 = 0u; k0 < inner; k0 += ${t.depth}u) {
${fetch((t.depth / 4) * rows, fetchX)}
${fetch(
  t.depth * cols4,
  (id) => `let k = k0 + ${id} / ${cols4}u; let c = wg.x * ${cols4}u + ${id} % ${cols4}u;
      Ws[${id}] = ${weight(p, `min(k, inner - 1u) * ${p.cols / 4}u + min(c, ${p.cols / 4 - 1}u)`)};`,
)}
    workgroupBarrier();
    for (var k = 0u; k < ${t.depth}u; k++) {
${repeat(t.cols / 4, (j) => `      let w${j} = Ws[k * ${cols4}u + local.x + ${j * t.width}u];`)}
${repeat(t.rows, (i) => `      ${multiplyAdd(t, i, `Xs[k * ${rows}u + local.y * ${t.rows}u + ${i}u]`, (j) => `w${j}`)}`)}
    }
    workgroupBarrier();
  }
${store(p, t)}
}`;
}
