/**
 * Products with W as it lies, X · Wᵀ: logits from the last residual, with W as the embedding has it, [vocabulary,
 * d_model]; and the gradient of a linear layer's input (linear-backward.ts).
 */

import { type Caps, type Launch, lineIndex, repeat } from '../core/kernel.js';
import {
  type StoredWeights,
  storedName,
  storedWgsl,
  weight1,
  weight4,
  weightArray,
  weightTypes,
} from '../core/stored.js';
import { kernel, perElement, WG } from '../core/wgsl.js';
import { cappedWgsl } from '../pointwise/soft-cap.js';
import { bindings, cheapest } from './linear.js';
import { quadRow, quadSums, quadX } from './matmul-tiled.js';

/** Sizes of an unembedding. */
export interface Unembed extends StoredWeights {
  readonly rows: number;
  readonly inner: number;
  /** Columns of this chunk of the vocabulary, the first of them, and the columns of a row of Y. */
  readonly cols: number;
  readonly col0: number;
  readonly stride: number;
  readonly bias?: boolean;
  /** A function of each sum and its bias: WGSL that defines `fn act(x: f32) -> f32`, and its name. */
  readonly act?: { readonly name: string; readonly code: string } | null;
  /** Y += R, or with `times` Y *= R, R as Y. */
  readonly residual?: boolean;
  readonly times?: boolean;
  /** Y += … */
  readonly accumulate?: boolean;
  /** W is rows `first` … of a matrix of `rows` rows, which is bound as a whole: parts of quantised matrices cannot be bound. */
  readonly window?: { readonly first: number; readonly rows: number } | null;
  /** Logits x become softCap · tanh(x / softCap). */
  readonly softCap?: number | null;
  /** A factor on each sum: WGSL that defines `fn slope(p: f32) -> f32`, and its name. */
  readonly slope?: { readonly name: string; readonly code: string } | null;
}

/** What the shader needs to know of it. */
type Source = Omit<Unembed, 'rows' | 'col0' | 'stride'>;

/** How a thread gets its operands (see matmul-tiled.ts), its outputs (rows × columns), threads of a workgroup. */
export interface UnembedTile {
  readonly path: 'quad' | 'direct';
  readonly rows: number;
  readonly cols: number;
  readonly width: number;
}

const tile = (path: UnembedTile['path'], rows: number, cols: number, width: number): UnembedTile => ({
  path,
  rows,
  cols,
  width,
});

const TILES = {
  software: [
    tile('quad', 1, 4, 16),
    tile('quad', 4, 4, 16),
    tile('quad', 8, 4, 16),
    tile('quad', 12, 4, 16),
    tile('direct', 1, 4, 16),
    tile('direct', 4, 4, 16),
    tile('direct', 8, 4, 16),
  ],
  hardware: [tile('direct', 1, 1, 64), tile('direct', 4, 1, 64), tile('direct', 8, 2, 64)],
};

/** Whether `caps` can run a tile at all. */
const runs = (t: UnembedTile, caps: Caps): boolean =>
  t.path === 'direct' || (caps.subgroups && caps.subgroupMinSize >= 4);

/** Every tile that this adapter can run: for the examples. */
export const unembedTilesFor = (caps: Caps): UnembedTile[] =>
  [...TILES.software, ...TILES.hardware].filter((t) => runs(t, caps));

/** The tile, or null: the plain kernel. On hardware the lowest that takes all rows, else the tallest. */
export function chooseUnembedTile(
  { rows, inner }: Pick<Unembed, 'rows' | 'inner'>,
  caps: Caps,
): UnembedTile | null {
  if (inner % 4) return null;
  const able = TILES[caps.adapterClass].filter((t) => runs(t, caps));
  if (caps.adapterClass === 'software') return cheapest(able, rows, caps);
  return able.find((t) => t.rows >= rows) ?? able.at(-1) ?? null;
}

/**
 * Y[r, col0 + c] (+)= (X[r, :] · W[c, :] + b[col0 + c]) · slope(P[r, col0 + c]): the unembedding, or a chunk of its vocabulary where the whole does
 * not fit one binding. W is the embedding, [cols, inner]: tied weights need no transposed copy.
 * Buffers: X, W (the chunk), b (whole; with `bias`), P (with `slope`), R (with `residual` or `times`), Y; P, R and Y [rows, stride].
 */
export function unembed(o: Unembed, caps: Caps): Launch {
  return unembedWith(o, chooseUnembedTile(o, caps));
}

/** `unembed` with a tile of your choice; null is the plain kernel. */
export function unembedWith(o: Unembed, t: UnembedTile | null): Launch {
  const { rows, inner, cols, col0, stride } = o;
  const how = t ? `${t.path}-${t.rows}x${t.cols}-${t.width}` : 'plain';
  const epilogue = [
    o.bias && 'bias',
    o.act?.name,
    o.softCap && 'cap',
    o.slope?.name,
    o.residual && 'residual',
    o.times && 'times',
    o.accumulate && 'accumulate',
    o.window && `of-${o.window.rows}`,
  ]
    .filter(Boolean)
    .join('+');
  const name = `unembed/${how}/${cols}x${inner}${epilogue && `/${epilogue}`}${storedName(o.stored)}`;
  const params = {
    rows,
    col0,
    stride,
    ...(o.softCap && { softCap: o.softCap }),
    ...(o.window && { first: o.window.first }),
  };
  if (!t) return { kernel: kernel(name, () => plainUnembedWgsl(o)), params, grid: perElement(rows * cols) };
  const grid = [Math.ceil(cols / (t.cols * t.width)), Math.ceil(rows / t.rows), 1] as const;
  return { kernel: kernel(name, () => tiledUnembedWgsl(o, t)), params, grid };
}

const unembedHead = (
  x: string,
  w: string,
  { bias, softCap, slope, act, residual, times, window, stored = 'f32' }: Source,
) => /* wgsl */ `
${bindings([
  `var<storage, read> X: array<${x}>`,
  `var<storage, read> W: ${w}`,
  bias === true && 'var<storage, read> B: array<f32>',
  slope != null && 'var<storage, read> P: array<f32>',
  (residual === true || times === true) && 'var<storage, read> R: array<f32>',
  'var<storage, read_write> Y: array<f32>',
])}
struct Params {
  rows: u32,
  col0: u32,
  stride: u32,
${softCap ? '  softCap: f32,\n' : ''}${window ? '  first: u32,\n' : ''}}
@group(1) @binding(0) var<uniform> params: Params;
${storedWgsl(stored, 'W')}
${act?.code ?? ''}
${slope?.code ?? ''}`;

/** Stores `sum`, of `row` and column `c` of the whole. */
const storeSum = (sum: string, row: string, p: Source): string => {
  const biased = p.bias ? `(${sum} + B[c])` : sum;
  const active = p.act ? `act(${biased})` : biased;
  const whole = p.softCap ? cappedWgsl(active, 'params.softCap') : active;
  const factors = `${p.slope ? ' * slope(P[at])' : ''}${p.times ? ' * R[at]' : ''}`;
  const more = `${p.residual ? ' + R[at]' : ''}${p.accumulate ? ' + Y[at]' : ''}`;
  return `let at = (${row}) * params.stride + c; Y[at] = ${whole}${factors}${more};`;
};

/** Row of W that belongs to column `c` of the chunk. */
const rowOfW = (c: string, { window }: Source): string => (window ? `(params.first + ${c})` : c);

const plainUnembedWgsl = (p: Source) => /* wgsl */ `
${unembedHead('f32', `array<${weightTypes(p.stored ?? 'f32').one}>`, p)}
@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i >= params.rows * ${p.cols}u) { return; }
  let row = i / ${p.cols}u;
  let col = i % ${p.cols}u;
  var sum = 0f;
  for (var k = 0u; k < ${p.inner}u; k++) {
    sum = fma(X[row * ${p.inner}u + k], ${weight1(p.stored ?? 'f32', 'W', `${rowOfW('col', p)} * ${p.inner}u + k`)}, sum);
  }
  let c = params.col0 + col;
  ${storeSum('sum', 'row', p)}
}`;

const tiledUnembedWgsl = (p: Source, t: UnembedTile) => {
  const { inner, cols } = p;
  const quad = t.path === 'quad';
  const output = (i: number, j: number) => {
    const row = `row + ${quad ? quadRow(t.rows, i) : `${i}u`}`;
    return `    if (${row} < params.rows) { ${storeSum(`s${i}_${j}`, row, p)} }`;
  };
  return /* wgsl */ `${quad ? 'enable subgroups;' : ''}
${unembedHead(quad ? 'f32' : 'vec4f', weightArray(p.stored ?? 'f32', (p.window?.rows ?? cols) * inner), p)}
@compute @workgroup_size(${t.width})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32${quad ? ', @builtin(subgroup_invocation_id) sid: u32' : ''}) {
  let row = wg.y * ${t.rows}u;
  let last = params.rows - 1u;
  ${quad ? 'let q = sid & 3u;' : ''}
${repeat(
  t.cols,
  (j) => `  let c${j} = wg.x * ${t.cols * t.width}u + lane + ${j * t.width}u;
  let n${j} = ${rowOfW(`min(c${j}, ${cols - 1}u)`, p)} * ${inner / 4}u;`,
)}
${quad && t.rows > 1 ? quadUnembed(p, t) : directUnembed(p, t)}
${repeat(
  t.cols,
  (j) => `  if (c${j} < ${cols}u) {
    let c = params.col0 + c${j};
${repeat(t.rows, (i) => output(i, j))}
  }`,
)}
}`;
};

const quadUnembed = ({ inner, stored = 'f32' }: Source, { rows, cols }: UnembedTile): string => {
  const { declare, x } = quadX(rows, inner);
  return `${declare}
${quadSums({
  rows,
  cols,
  end: `${inner}u`,
  tail: false,
  x,
  load: () => repeat(cols, (c) => `    let w${c} = ${weight4(stored, 'W', `n${c} + k / 4u`)};`),
  w: (u, c) => `w${c}.${'xyzw'[u]}`,
})}`;
};

/** Every thread loads vec4s along k; with `quad` (a single row) a quad loads X once for its four lanes. */
const directUnembed = ({ inner, stored = 'f32' }: Source, { path, rows, cols }: UnembedTile): string => {
  const quad = path === 'quad';
  const sum = (i: number, j: number) =>
    `s${i}_${j} = fma(v.w, w${j}.w, fma(v.z, w${j}.z, fma(v.y, w${j}.y, fma(v.x, w${j}.x, s${i}_${j}))));`;
  const step = inner / 4;
  const x = (i: number) =>
    quad
      ? `let a = X[x${i} + 4u * k]; let v = vec4f(${repeat(4, (u) => `quadBroadcast(a, ${u}u)`, ', ')});`
      : `let v = X[x${i} + k];`;
  return /* wgsl */ `
${repeat(rows, (i) => `  let x${i} = min(row + ${i}u, last) * ${quad ? `${inner}u + q` : `${step}u`};`)}
${repeat(rows, (i) => `  ${repeat(cols, (j) => `var s${i}_${j} = 0f;`, ' ')}`)}
  for (var k = 0u; k < ${step}u; k++) {
${repeat(cols, (j) => `    let w${j} = ${weight4(stored, 'W', `n${j} + k`)};`)}
${repeat(rows, (i) => `    { ${x(i)} ${repeat(cols, (j) => sum(i, j), ' ')} }`)}
  }`;
};

/** Float64 reference: Y as a whole; zero, or what it held, where the chunk has no columns. */
export function unembedReference(
  { rows, inner, cols, col0, stride, softCap }: Unembed,
  {
    x,
    w,
    b,
    y: before,
    slope,
  }: Record<'x' | 'w', ArrayLike<number>> &
    Partial<Record<'b' | 'y', ArrayLike<number>>> & { slope?: (i: number) => number },
): Float64Array {
  const y = before ? Float64Array.from(before) : new Float64Array(rows * stride);
  for (let i = 0; i < rows; i++)
    for (let c = 0; c < cols; c++) {
      let sum = b?.[col0 + c] ?? 0;
      for (let k = 0; k < inner; k++) sum += x[i * inner + k] * w[c * inner + k];
      const at = i * stride + col0 + c;
      const value = softCap ? softCap * Math.tanh(sum / softCap) : sum;
      y[at] += value * (slope?.(at) ?? 1);
    }
  return y;
}
