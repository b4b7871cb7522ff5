/**
 * The tuned matrix product: one WGSL generator with parameters (after the register tiles of jax-js and tinygrad,
 * and the shared-memory tiles of every GPU text book). A thread owns `rows` × `cols` outputs; what differs is how
 * the operands reach it:
 *
 *  - `broadcast`: the lanes of a subgroup work on the same rows, each lane loads one element of X (4 lanes: 4
 *    consecutive k) and `subgroupBroadcast` hands it round. On a CPU posing as a GPU, where a load costs 30 times
 *    a multiply-add, this is worth 1.5 to 2 times.
 *  - `direct`: every thread loads its own operands. Needs nothing of the adapter.
 *  - `shared`: a workgroup stages tiles of both operands in workgroup memory: for real GPUs.
 *
 * A lane's subgroup number need not follow its index in the workgroup, and subgroups vary from 4 to 64 lanes: the
 * broadcast is right all the same, because a workgroup is one row of threads, so all its lanes share their rows, and
 * lanes with equal `sid % 4` load the same element.
 *
 * Nothing is ever read or written out of bounds: rows and columns beyond the end are clamped for loads and skipped
 * by stores. `rows` is a uniform, so a new prompt length compiles nothing; `inner` and `cols` are constants of
 * the source, because arrays of a known size make bounds checks cheaper where the adapter insists on them.
 */

import { repeat } from './kernel.js';

export interface Tile {
  readonly path: 'broadcast' | 'direct' | 'shared';
  /** Outputs of a thread: rows × columns; columns come as vec4, so they are a multiple of 4. */
  readonly rows: number;
  readonly cols: number;
  /** Threads of a workgroup, along the columns and (`shared` only) along the rows. */
  readonly width: number;
  readonly height: number;
  /** `shared`: elements of k staged at a time. `direct`: threads that share a column's sum, each with its part of k. */
  readonly depth: number;
}

/** What a product computes; `inner` and `cols` are multiples of 4. */
export interface Product {
  readonly inner: number;
  readonly cols: number;
  /** WGSL that defines `fn act(x: f32) -> f32`, or null. */
  readonly act: string | null;
  readonly bias: boolean;
  readonly residual: boolean;
}

export const tileName = ({ path, rows, cols, width, height, depth }: Tile): string =>
  `${path}-${rows}x${cols}-${width}x${height}x${depth}`;

/** Rows and columns of a workgroup. */
export const tileSpan = (t: Tile): { rows: number; cols: number } => ({
  rows: t.rows * (t.path === 'shared' ? t.height : 1),
  cols: t.cols * t.width,
});

const X4 = ['x', 'y', 'z', 'w'];

/** Y[rows, cols] = act(X[rows, inner] · W[inner, cols] + b) + R: the source of one tile. */
export function tiledWgsl(p: Product, t: Tile): string {
  const body = { broadcast, direct, shared }[t.path](p, t);
  return `${t.path === 'broadcast' ? 'enable subgroups;\n' : ''}${bindings(p, t)}\n${body}`;
}

function bindings({ inner, cols, act, bias, residual }: Product, { path }: Tile): string {
  const operands = [
    `var<storage, read> X: array<${path === 'broadcast' ? 'f32' : 'vec4f'}>`,
    `var<storage, read> W: array<vec4f, ${(inner * cols) / 4}>`,
    ...(bias ? [`var<storage, read> B: array<vec4f, ${cols / 4}>`] : []),
    ...(residual ? ['var<storage, read> R: array<vec4f>'] : []),
    'var<storage, read_write> Y: array<vec4f>',
  ];
  return `${operands.map((o, i) => `@group(0) @binding(${i}) ${o};`).join('\n')}
struct Params {
  rows: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${act ? `${act}\nfn act4(v: vec4f) -> vec4f { return vec4f(act(v.x), act(v.y), act(v.z), act(v.w)); }` : ''}`;
}

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

/** Epilogue and store of this thread's outputs. */
function store({ cols, bias, act, residual }: Product, t: Tile): string {
  const output = (i: number, j: number) => {
    const sum = bias ? `y${i}_${j} + B[n${j}]` : `y${i}_${j}`;
    const value = act ? `act4(${sum})` : sum;
    return `if (c${j} < ${cols / 4}u) { Y[at + c${j}] = ${value}${residual ? ` + R[at + c${j}]` : ''}; }`;
  };
  return repeat(
    t.rows,
    (i) => /* wgsl */ `
  if (row + ${i}u < params.rows) {
    let at = (row + ${i}u) * ${cols / 4}u;
    ${repeat(t.cols / 4, (j) => output(i, j), '\n    ')}
  }`,
  );
}

function broadcast(p: Product, t: Tile): string {
  return /* wgsl */ `
@compute @workgroup_size(${t.width})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32,
        @builtin(subgroup_invocation_id) sid: u32) {
  let row = wg.y * ${t.rows}u;
  let last = params.rows - 1u;
${columns(p, t, 'lane')}
${repeat(t.rows, (i) => `  let x${i} = min(row + ${i}u, last) * ${p.inner}u + (sid & 3u);`)}
${zeros(t)}
  for (var k = 0u; k < ${p.inner}u; k += 4u) {
${repeat(t.rows, (i) => `    let a${i} = X[x${i} + k];`)}
${repeat(4, (q) => repeat(t.cols / 4, (j) => `    let w${q}_${j} = W[(k + ${q}u) * ${p.cols / 4}u + n${j}];`))}
${repeat(t.rows, (i) => repeat(4, (q) => `    ${multiplyAdd(t, i, `subgroupBroadcast(a${i}, ${q}u)`, (j) => `w${q}_${j}`)}`))}
  }
${store(p, t)}
}`;
}

function direct(p: Product, t: Tile): string {
  const steps = p.inner / 4;
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
${repeat(t.cols / 4, (j) => `      let w${j} = W[(4u * k + ${q}u) * ${p.cols / 4}u + n${j}];`)}
${repeat(t.rows, (i) => `      ${multiplyAdd(t, i, `a${i}.${X4[q]}`, (j) => `w${j}`)}`)}
    }`,
)}
  }
${split ? meet : ''}
${store(p, t)}
}`;
}

/**
 * Both tiles are staged as vec4: X transposed (so that a thread's rows lie side by side), W as it is.
 */
function shared(p: Product, t: Tile): string {
  const rows = t.rows * t.height;
  const cols4 = (t.cols * t.width) / 4;
  const threads = t.width * t.height;
  const fetch = (count: number, f: (id: string) => string) =>
    repeat(Math.ceil(count / threads), (n) => {
      const guard = (n + 1) * threads > count ? `if (id < ${count}u) ` : '';
      return `    { let id = thread + ${n * threads}u; ${guard}{ ${f('id')} } }`;
    });
  const steps = p.inner / 4;
  return /* wgsl */ `
var<workgroup> Xs: array<f32, ${t.depth * rows}>;  // [depth, rows]
var<workgroup> Ws: array<vec4f, ${t.depth * cols4}>;  // [depth, cols / 4]
@compute @workgroup_size(${t.width}, ${t.height})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_id) local: vec3u,
        @builtin(local_invocation_index) thread: u32) {
  let top = wg.y * ${rows}u;
  let row = top + local.y * ${t.rows}u;
  let last = params.rows - 1u;
${columns(p, t, 'local.x')}
${zeros(t)}
  for (var k0 = 0u; k0 < ${p.inner}u; k0 += ${t.depth}u) {
${fetch(
  (t.depth / 4) * rows,
  (id) => `let r = ${id} / ${t.depth / 4}u; let q = ${id} % ${t.depth / 4}u;
      var v = vec4f(); if (k0 / 4u + q < ${steps}u) { v = X[min(top + r, last) * ${steps}u + k0 / 4u + q]; }
      ${repeat(4, (e) => `Xs[(4u * q + ${e}u) * ${rows}u + r] = v.${X4[e]};`, ' ')}`,
)}
${fetch(
  t.depth * cols4,
  (id) => `let k = k0 + ${id} / ${cols4}u; let c = wg.x * ${cols4}u + ${id} % ${cols4}u;
      Ws[${id}] = W[min(k, ${p.inner - 1}u) * ${p.cols / 4}u + min(c, ${p.cols / 4 - 1}u)];`,
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
