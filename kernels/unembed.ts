/**
 * The unembedding: logits from the last residual, with W as the embedding has it, [vocabulary, d_model].
 */

import { type Caps, type Launch, lineIndex } from './kernel.js';
import { bindings } from './linear.js';
import { kernel, perElement, WG } from './wgsl.js';

export interface Unembed {
  readonly rows: number;
  readonly inner: number;
  /** Columns of this chunk of the vocabulary, the first of them, and the columns of a row of Y. */
  readonly cols: number;
  readonly col0: number;
  readonly stride: number;
  readonly bias?: boolean;
}

/** How a thread gets its operands (see matmul-tiled.ts), its outputs (rows × columns), threads of a workgroup. */
export interface UnembedTile {
  readonly path: 'broadcast' | 'direct';
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
  software: {
    one: [tile('broadcast', 1, 4, 16), tile('direct', 1, 4, 16)],
    few: [tile('broadcast', 4, 4, 16), tile('direct', 4, 4, 16)],
    many: [tile('broadcast', 8, 4, 16), tile('direct', 8, 4, 16)],
  },
  hardware: {
    one: [tile('direct', 1, 1, 64)],
    few: [tile('direct', 4, 1, 64)],
    many: [tile('direct', 8, 2, 64)],
  },
};

const runs = (t: UnembedTile, caps: Caps): boolean =>
  t.path === 'direct' || (caps.subgroups && caps.subgroupMinSize >= 4);

/** Every tile that this adapter can run: for the examples. */
export const unembedTilesFor = (caps: Caps): UnembedTile[] =>
  Object.values(TILES)
    .flatMap((byRows) => Object.values(byRows).flat())
    .filter((t) => runs(t, caps));

function chooseUnembedTile({ rows, inner }: Unembed, caps: Caps): UnembedTile | null {
  if (inner % 4) return null;
  const kind = rows === 1 ? 'one' : rows <= 4 ? 'few' : 'many';
  return TILES[caps.adapterClass][kind].find((t) => runs(t, caps)) ?? null;
}

/**
 * Y[r, col0 + c] = X[r, :] · W[c, :] + b[col0 + c]: the unembedding, or a chunk of its vocabulary where the whole does
 * not fit one binding. W is the embedding, [cols, inner]: tied weights need no transposed copy.
 * Buffers: X, W (the chunk), b (whole; with `bias`), Y [rows, stride].
 */
export function unembed(o: Unembed, caps: Caps): Launch {
  return unembedWith(o, chooseUnembedTile(o, caps));
}

/** `unembed` with a tile of your choice; null is the plain kernel. */
export function unembedWith(o: Unembed, t: UnembedTile | null): Launch {
  const { rows, inner, cols, col0, stride, bias = false } = o;
  const how = t ? `${t.path}-${t.rows}x${t.cols}-${t.width}` : 'plain';
  const name = `unembed/${how}/${cols}x${inner}${bias ? '/bias' : ''}`;
  const params = { rows, col0, stride };
  if (!t)
    return {
      kernel: kernel(name, () => plainUnembedWgsl({ inner, cols, bias })),
      params,
      grid: perElement(rows * cols),
    };
  const grid = [Math.ceil(cols / (t.cols * t.width)), Math.ceil(rows / t.rows), 1] as const;
  return { kernel: kernel(name, () => tiledUnembedWgsl({ inner, cols, bias }, t)), params, grid };
}

const unembedHead = (x: string, w: string, bias: boolean) => /* wgsl */ `
${bindings([
  `var<storage, read> X: array<${x}>`,
  `var<storage, read> W: array<${w}>`,
  bias && 'var<storage, read> B: array<f32>',
  'var<storage, read_write> Y: array<f32>',
])}
struct Params {
  rows: u32,
  col0: u32,
  stride: u32,
}
@group(1) @binding(0) var<uniform> params: Params;`;

const plainUnembedWgsl = ({
  inner,
  cols,
  bias,
}: {
  inner: number;
  cols: number;
  bias: boolean;
}) => /* wgsl */ `
${unembedHead('f32', 'f32', bias)}
@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i >= params.rows * ${cols}u) { return; }
  let row = i / ${cols}u;
  let col = i % ${cols}u;
  var sum = 0f;
  for (var k = 0u; k < ${inner}u; k++) {
    sum = fma(X[row * ${inner}u + k], W[col * ${inner}u + k], sum);
  }
  Y[row * params.stride + params.col0 + col] = sum${bias ? ' + B[params.col0 + col]' : ''};
}`;

const tiledUnembedWgsl = (
  { inner, cols, bias }: { inner: number; cols: number; bias: boolean },
  t: UnembedTile,
) => {
  const steps = inner / 4;
  const lanes = t.path === 'broadcast';
  const each = (f: (i: number) => string) => Array.from({ length: t.rows }, (_, i) => f(i)).join('\n');
  const eachCol = (f: (j: number) => string, join = '\n') =>
    Array.from({ length: t.cols }, (_, j) => f(j)).join(join);
  const row = (i: number) =>
    lanes
      ? `    { let a = X[x${i} + 4u * k]; let v = vec4f(subgroupBroadcast(a, 0u), subgroupBroadcast(a, 1u), subgroupBroadcast(a, 2u), subgroupBroadcast(a, 3u));`
      : `    { let v = X[x${i} + k];`;
  return /* wgsl */ `${lanes ? 'enable subgroups;' : ''}
${unembedHead(lanes ? 'f32' : 'vec4f', `vec4f, ${cols * steps}`, bias)}
@compute @workgroup_size(${t.width})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32${lanes ? ', @builtin(subgroup_invocation_id) sid: u32' : ''}) {
  let row = wg.y * ${t.rows}u;
  let last = params.rows - 1u;
${eachCol((j) => `  let c${j} = wg.x * ${t.cols * t.width}u + lane + ${j * t.width}u; let w${j} = min(c${j}, ${cols - 1}u) * ${steps}u;`)}
${each((i) => `  let x${i} = min(row + ${i}u, last) * ${lanes ? `${inner}u + (sid & 3u)` : `${steps}u`}; ${eachCol((j) => `var y${i}_${j} = 0f;`, ' ')}`)}
  for (var k = 0u; k < ${steps}u; k++) {
${eachCol((j) => `    let b${j} = W[w${j} + k];`)}
${each((i) => `${row(i)} ${eachCol((j) => `y${i}_${j} = fma(v.w, b${j}.w, fma(v.z, b${j}.z, fma(v.y, b${j}.y, fma(v.x, b${j}.x, y${i}_${j}))));`, ' ')} }`)}
  }
${eachCol(
  (j) => `  if (c${j} < ${cols}u) {
    let c = params.col0 + c${j};
    ${bias ? 'let b = B[c];' : ''}
${each((i) => `    if (row + ${i}u < params.rows) { Y[(row + ${i}u) * params.stride + c] = y${i}_${j}${bias ? ' + b' : ''}; }`)}
  }`,
)}
}`;
};

/** Float64 reference: Y as a whole, zero where the chunk has no columns. */
export function unembedReference(
  { rows, inner, cols, col0, stride }: Unembed,
  { x, w, b }: { x: ArrayLike<number>; w: ArrayLike<number>; b?: ArrayLike<number> },
): Float64Array {
  const y = new Float64Array(rows * stride);
  for (let i = 0; i < rows; i++)
    for (let c = 0; c < cols; c++) {
      let sum = b?.[col0 + c] ?? 0;
      for (let k = 0; k < inner; k++) sum += x[i * inner + k] * w[c * inner + k];
      y[i * stride + col0 + c] = sum;
    }
  return y;
}
