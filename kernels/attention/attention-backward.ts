/**
 * Gradients of the three steps of attention (attention.ts), for runs in which somebody looks at the scores or
 * the pattern: z = P · v, P = softmax(S), S = q · k · scale. Stored keys and values of a prefix are
 * constants. What is written may be windows of one [tokens, 3 · heads · dHead] buffer, so that the next
 * product takes all of them at once.
 */

import { type Caps, type Launch, line, lineIndex, repeat } from '../core/kernel.js';
import { kernel, teamFor } from '../core/wgsl.js';
import { products, weightedSums } from './attention.js';
import {
  elementType,
  type Geometry,
  type HeadsAt,
  headsName,
  layoutWgsl,
  QUERY_TILE,
  sightFields,
  sightName,
  sightParams,
} from './attention-layout.js';

type Heads = Geometry & { readonly dHead: number };

/**
 * dP = dZ · v for every key of the row, above the diagonal too.
 * Buffers: dZ, V, tables u32, with `prefix` store [slots, 2, kvHeads · dHead], dP: per row [heads, queries,
 * keys].
 */
export function patternGradient(o: Heads & { dz: HeadsAt; v: HeadsAt; prefix: boolean }, caps: Caps): Launch {
  return products({ ...o, q: o.dz, k: o.v, scale: 1, part: 1, causal: false, softCap: null }, caps);
}

/** dV[k] = Σ_queries P[query, k] · dZ[query]. Buffers: P, dZ, tables u32, dV. */
export function valueGradient(o: Heads & { dz: HeadsAt; dv: HeadsAt }, caps: Caps): Launch {
  return querySums({ ...o, x: o.dz, y: o.dv, causal: false, scale: 1 }, caps);
}

/**
 * dQ[i] = scale · Σ dS[i, k] · K[k] over the keys that query i sees.
 * Buffers: dS, K, tables u32, with `prefix` store [slots, 2, kvHeads · dHead], dQ.
 */
export function queryGradient(
  o: Heads & { k: HeadsAt; dq: HeadsAt; scale: number; prefix: boolean },
  caps: Caps,
): Launch {
  return weightedSums({ ...o, v: o.k, z: o.dq, part: 0, causal: !o.bidirectional }, caps);
}

/** dK[k] = scale · Σ dS[i, k] · Q[i] over the queries that see key k. Buffers: dS, Q, tables u32, dK. */
export function keyGradient(o: Heads & { q: HeadsAt; dk: HeadsAt; scale: number }, caps: Caps): Launch {
  return querySums({ ...o, x: o.q, y: o.dk, causal: !o.bidirectional }, caps);
}

/**
 * dS = P · (dP − Σ P · dP), row by row, over the keys that a query sees; 0 above the diagonal, and wherever P
 * is 0. Buffers: P (the softmax itself, no hook's), dP, tables u32, dS: per row [heads, queries, keys].
 */
export function scoresGradient(o: Geometry, caps: Caps): Launch {
  const { heads, bidirectional = false } = o;
  const team = teamFor(caps);
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> P: array<f32>;
@group(0) @binding(1) var<storage, read> dP: array<f32>;
@group(0) @binding(2) var<storage, read> tables: array<u32>;
@group(0) @binding(3) var<storage, read_write> dS: array<f32>;
struct Params {
  rowTable: u32,
  tileTable: u32,
  tiles: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${layoutWgsl}
${team.reduce('total', 'f32')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = ${lineIndex};
  if (group >= params.tiles * ${heads}u) { return; }
  let head = group % ${heads}u;
  let tile = tileAt(group / ${heads}u);
  let keys = tile.prefixLength + tile.length;
  let end = min(tile.query + ${QUERY_TILE}u, tile.length);
  for (var query = tile.query; query < end; query++) {
    let visible = ${bidirectional ? 'keys' : 'tile.prefixLength + query + 1u'};
    let at = tile.block + (head * tile.length + query) * keys;
    var mean = 0f;
    for (var k = lane; k < visible; k += ${team.threads}u) { mean += P[at + k] * dP[at + k]; }
    mean = total(mean, lane);
    for (var k = lane; k < keys; k += ${team.threads}u) {
      var d = 0f;
      if (k < visible) { d = P[at + k] * (dP[at + k] - mean); }
      dS[at + k] = d;
    }
  }
}`;
  return {
    kernel: kernel(`scoresGradient/${heads}/${team.name}${bidirectional ? '/bidirectional' : ''}`, code),
    params: { rowTable: o.rowTable, tileTable: o.tileTable, tiles: o.tiles },
    grid: line(o.tiles * heads),
  };
}

/**
 * Y[k] = scale · Σ A[i, k] · X[i] over all queries i of the row, or with `causal` those that see k; for its
 * own keys k, and over all heads that share them. A workgroup has four neighbouring keys of one head.
 * Buffers: A, X, tables u32, Y.
 */
function querySums(
  o: Heads & { x: HeadsAt; y: HeadsAt; causal: boolean; scale: number },
  caps: Caps,
): Launch {
  const { heads, kvHeads = heads, dHead, causal } = o;
  const window = causal ? o.window : null;
  const group = heads / kvHeads;
  const { type, step } = elementType(dHead, [o.x, o.y]);
  const columns = dHead / step;
  // On a CPU a thread has several columns for each weight it loads.
  const [lanes, owned] = caps.adapterClass === 'software' ? [4, 4] : [16, 1];
  const span = lanes * owned;
  const blocks = Math.ceil(columns / span);
  const forKeys = (f: (j: number) => string, join = '\n') => repeat(QUERY_TILE, f, join);
  const forColumns = (f: (m: number) => string) => repeat(owned, f);
  const sees = (j: number) => `key + ${j}u <= i${window ? ` && key + ${j}u + params.window > i` : ''}`;
  const weight = (j: number) => (causal ? `select(0f, A[at + k${j}], ${sees(j)})` : `A[at + k${j}]`);
  const end = window ? `min(tile.length, key + ${QUERY_TILE - 1}u + params.window)` : 'tile.length';
  const kvHead = group > 1 ? 'kvHead' : 'head';
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> A: array<f32>; // per row [heads, queries, keys]
@group(0) @binding(1) var<storage, read> X: array<${type}>;
@group(0) @binding(2) var<storage, read> tables: array<u32>;
@group(0) @binding(3) var<storage, read_write> Y: array<${type}>;
struct Params {
  rowTable: u32,
  tileTable: u32,
  tiles: u32,
  xStride: u32, // in units of ${type}
  xOffset: u32,
  yStride: u32,
  yOffset: u32,
  scale: f32,
${sightFields({ window })}}
@group(1) @binding(0) var<uniform> params: Params;
${layoutWgsl}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = ${lineIndex};
  if (group >= params.tiles * ${kvHeads * blocks}u) { return; }
  let first = group % ${blocks}u * ${span}u + lane;
  ${forColumns((m) => `let column${m} = min(first + ${m * lanes}u, ${columns - 1}u);`)}
  let ${kvHead} = (group / ${blocks}u) % ${kvHeads}u;
  let tile = tileAt(group / ${kvHeads * blocks}u);
  let key = tile.query; // the tile's positions are keys here
  let keys = tile.prefixLength + tile.length;
  ${forKeys((j) => `let k${j} = tile.prefixLength + min(key + ${j}u, tile.length - 1u);`)}
  ${forKeys((j) => repeat(owned, (m) => `var y${j}_${m} = ${type}();`, ' '))}
  ${group > 1 ? `for (var head = kvHead * ${group}u; head < kvHead * ${group}u + ${group}u; head++) { // that share these keys` : ''}
  let block = tile.block + head * tile.length * keys;
  let x = params.xOffset + tile.start * params.xStride + head * ${columns}u;
  for (var i = ${causal ? 'key' : '0u'}; i < ${end}; i++) {
    let at = block + i * keys;
    ${forKeys((j) => `let w${j} = ${weight(j)};`)}
    ${forColumns((m) => `{ let v = X[x + i * params.xStride + column${m}]; ${forKeys((j) => `y${j}_${m} += w${j} * v;`, ' ')} }`)}
  }
  ${group > 1 ? '}' : ''}
  let y = params.yOffset + (tile.start + key) * params.yStride + ${kvHead} * ${columns}u + first;
  ${forColumns(
    (m) => `if (first + ${m * lanes}u < ${columns}u) {
    ${forKeys((j) => `if (key + ${j}u < tile.length) { Y[y + ${j}u * params.yStride + ${m * lanes}u] = y${j}_${m} * params.scale; }`)}
  }`,
  )}
}`;
  return {
    kernel: kernel(
      `querySums/${type}/${headsName(o)}x${dHead}/${lanes}x${owned}${causal ? '/causal' : ''}${sightName({ window })}`,
      code,
    ),
    params: {
      rowTable: o.rowTable,
      tileTable: o.tileTable,
      tiles: o.tiles,
      xStride: o.x.stride / step,
      xOffset: o.x.offset / step,
      yStride: o.y.stride / step,
      yOffset: o.y.offset / step,
      scale: o.scale,
      ...sightParams({ window }),
    },
    grid: line(o.tiles * kvHeads * blocks),
  };
}
