/**
 * A linear layer with everything that follows it: bias, activation, residual. The plain kernel, one output a thread, is
 * right for every shape; where the sizes are multiples of 4, `linear` takes a tile out of matmul-tiled.ts.
 */

import { type Caps, type Launch, lineIndex } from '../core/kernel.js';
import {
  type Stored,
  type StoredWeights,
  storedName,
  storedWgsl,
  weight1,
  weightTypes,
} from '../core/stored.js';
import { kernel, perElement, WG } from '../core/wgsl.js';
import { type Activation, activate, activationWgsl } from '../pointwise/activation-functions.js';
import { type Tile, tiledWgsl, tileName, tileSpan } from './matmul-tiled.js';

/** Sizes of a linear layer, and what follows the product. */
export interface Linear extends StoredWeights {
  readonly rows: number;
  readonly inner: number;
  readonly cols: number;
  readonly bias?: boolean;
  readonly act?: Activation | null;
  readonly residual?: boolean;
  /** What the product is multiplied with at last is an input: the other half of a gated MLP. */
  readonly times?: boolean;
  /** Y += … */
  readonly accumulate?: boolean;
  /** W is rows `first` … of a matrix of `rows` rows, which is bound as a whole: parts of quantised matrices cannot be bound. */
  readonly window?: { readonly first: number; readonly rows: number } | null;
}

const tile = (
  path: Tile['path'],
  rows: number,
  cols: number,
  width: number,
  height = 1,
  depth = 1,
): Tile => ({
  path,
  rows,
  cols,
  width,
  height,
  depth,
});

/** The tiles in use: for each kind of adapter the best first. */
const TILES = {
  software: [
    tile('quad', 1, 4, 16, 1, 2),
    tile('quad', 1, 4, 16),
    tile('quad', 4, 4, 16),
    tile('quad', 8, 4, 16),
    tile('quad', 12, 4, 16),
    tile('direct', 1, 4, 16),
    tile('direct', 4, 4, 16),
    tile('direct', 8, 8, 16),
  ],
  hardware: [
    tile('shared', 4, 4, 16, 16, 16),
    tile('direct', 1, 4, 16, 1, 16),
    tile('direct', 4, 4, 16, 1, 8),
    tile('direct', 1, 4, 16),
    tile('direct', 4, 4, 16),
  ],
};

/** Whether `caps` can run a tile at all. */
function runs(t: Tile, caps: Caps): boolean {
  const { rows, cols } = tileSpan(t);
  const threads = t.width * t.height * (t.path === 'direct' ? t.depth : 1);
  const words = t.path === 'shared' ? t.depth * (rows + cols) : t.depth > 1 ? t.depth * t.rows * cols : 0;
  return (
    threads <= caps.maxInvocations &&
    4 * words <= caps.maxWorkgroupStorage &&
    (t.path !== 'quad' || (caps.subgroups && caps.subgroupMinSize >= 4))
  );
}

/** Every tile that this adapter can run, those for other adapters included: for the examples. */
export function tilesFor(caps: Caps): Tile[] {
  const all = [...TILES.software, ...TILES.hardware];
  return [...new Map(all.map((t) => [tileName(t), t])).values()].filter((t) => runs(t, caps));
}

/**
 * The tile for a product, or null: the plain kernel.
 *
 * A CPU posing as a GPU: the fewest loads and multiply-adds. A tile of t rows costs about t + 5 (the columns' operands
 * are loaded once for all its rows), and rows beyond the end are computed in vain. The tile of 12 rows, and eight k in one
 * go for a single row (1.2–1.3 × where W is 7 MB or more), pay only with subgroups of 4 (SwiftShader); with 8 (lavapipe)
 * the accumulators no longer fit.
 * A real GPU (by the literature: none was at hand): shared tiles of 64×64 where there are rows enough; where not, it
 * wants threads, so 8 or 16 of them split the sum of a column.
 */
export function chooseTile(
  { rows, inner, cols }: Pick<Linear, 'rows' | 'inner' | 'cols'>,
  caps: Caps,
): Tile | null {
  if (cols % 4) return null;
  const able = TILES[caps.adapterClass].filter(
    (t) => runs(t, caps) && (t.rows === 1) === (rows === 1) && (t.path === 'quad' || inner % 4 === 0),
  );
  if (caps.adapterClass === 'hardware')
    return able.find((t) => (t.path === 'shared') === rows >= 32) ?? able.at(-1) ?? null;
  const narrow = caps.subgroupMaxSize <= 4;
  return cheapest(
    able.filter((t) => t.rows > 1 || t.depth === 1 || narrow),
    rows,
    caps,
  );
}

/** On a CPU posing as a GPU: the tile that does `rows` rows with the fewest loads and multiply-adds. */
export function cheapest<T extends { path: string; rows: number }>(
  able: readonly T[],
  rows: number,
  caps: Caps,
): T | null {
  const path = able.some((t) => t.path === 'quad') ? 'quad' : 'direct';
  const tallest = path === 'quad' && caps.subgroupMaxSize <= 4 ? 12 : 8;
  const cost = (t: T) => Math.ceil(rows / t.rows) * (t.rows + 5);
  return able
    .filter((t) => t.path === path && t.rows <= tallest)
    .reduce<T | null>((best, t) => (best && cost(best) <= cost(t) ? best : t), null);
}

/**
 * Y[rows, cols] (+)= act(X[rows, inner] · W[inner, cols] + b[cols]) + R[rows, cols], or with `times` · R.
 * Buffers in order: X, W, b (with `bias`), R (with `residual` or `times`), Y.
 */
export function linear(o: Linear, caps: Caps): Launch {
  return linearWith(o, chooseTile(o, caps));
}

/** `linear` with a tile of your choice; null is the plain kernel. */
export function linearWith(o: Linear, t: Tile | null): Launch {
  const {
    rows,
    inner,
    cols,
    bias = false,
    act = null,
    residual = false,
    times = false,
    accumulate = false,
    stored = 'f32',
    window = null,
  } = o;
  const epilogue =
    [
      bias && 'bias',
      act,
      residual && 'residual',
      times && 'times',
      accumulate && 'accumulate',
      window && `of-${window.rows}`,
    ]
      .filter(Boolean)
      .join('+') || 'none';
  const name = `matmul/${t ? tileName(t) : 'plain'}/${inner}x${cols}/${epilogue}${storedName(stored)}`;
  const product = {
    inner,
    cols,
    xTransposed: false,
    bias,
    residual,
    times,
    accumulate,
    stored,
    window,
    act: act && activationWgsl(act),
  };
  const params = { rows, ...(window && { first: window.first }) };
  if (!t) return { kernel: kernel(name, () => plainWgsl(product)), params, grid: perElement(rows * cols) };
  const span = tileSpan(t);
  const grid = [Math.ceil(cols / span.cols), Math.ceil(rows / span.rows), 1] as const;
  return { kernel: kernel(name, () => tiledWgsl(product, t)), params, grid };
}

/** WGSL of group 0: the declarations in order, those that are not `false`. */
export const bindings = (declarations: (string | false)[]): string =>
  declarations
    .filter(Boolean)
    .map((d, i) => `@group(0) @binding(${i}) ${d};`)
    .join('\n');

/** One output a thread. */
const plainWgsl = (p: {
  inner: number;
  cols: number;
  bias: boolean;
  residual: boolean;
  times: boolean;
  accumulate: boolean;
  stored: Stored;
  window: Linear['window'];
  act: string | null;
}) => /* wgsl */ `
${bindings([
  'var<storage, read> X: array<f32>',
  `var<storage, read> W: array<${weightTypes(p.stored).one}>`,
  p.bias && 'var<storage, read> B: array<f32>',
  (p.residual || p.times) && 'var<storage, read> R: array<f32>',
  'var<storage, read_write> Y: array<f32>',
])}
struct Params {
  rows: u32,
${p.window ? '  first: u32,\n' : ''}}
@group(1) @binding(0) var<uniform> params: Params;
${storedWgsl(p.stored, 'W')}
${p.act ?? ''}
@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i >= params.rows * ${p.cols}u) { return; }
  let row = i / ${p.cols}u;
  let col = i % ${p.cols}u;
  var sum = 0f;
  for (var k = 0u; k < ${p.inner}u; k++) {
    sum = fma(X[row * ${p.inner}u + k], ${weight1(p.stored, 'W', `${p.window ? '(params.first + k)' : 'k'} * ${p.cols}u + col`)}, sum);
  }
  ${p.bias ? 'sum += B[col];' : ''}
  ${p.act ? 'sum = act(sum);' : ''}
  Y[i] = sum${p.residual ? ' + R[i]' : ''}${p.times ? ' * R[i]' : ''}${p.accumulate ? ' + Y[i]' : ''};
}`;

/** Float64 reference. */
export function linearReference(
  { rows, inner, cols, act, times }: Linear,
  {
    x,
    w,
    b,
    r,
    y: before,
  }: Record<'x' | 'w', ArrayLike<number>> & Partial<Record<'b' | 'r' | 'y', ArrayLike<number>>>,
): Float64Array {
  const y = new Float64Array(rows * cols);
  for (let i = 0; i < rows; i++)
    for (let k = 0; k < inner; k++) {
      const a = x[i * inner + k];
      for (let j = 0; j < cols; j++) y[i * cols + j] += a * w[k * cols + j];
    }
  return y.map((sum, i) => {
    const v = sum + (b?.[i % cols] ?? 0);
    const value = act ? activate(act, v) : v;
    return (times ? value * r![i] : value + (r?.[i] ?? 0)) + (before?.[i] ?? 0);
  });
}
