/**
 * Attention in three steps, for runs that keep scores or pattern; attention-fused.ts does all three at once. Query i of a row
 * sees all keys of its prefix and its own keys 0 … i, with `window` the last of them only, with `bidirectional` all its own.
 */

import { type Caps, type Launch, line, lineIndex, repeat } from '../core/kernel.js';
import { kernel, teamFor } from '../core/wgsl.js';
import { expBelowWgsl, LOWEST } from '../pointwise/softmax.js';
import {
  capped,
  elementType,
  type Geometry,
  type HeadsAt,
  headsName,
  kvHeadOf,
  layoutWgsl,
  QUERY_TILE,
  sightFields,
  sightName,
  sightParams,
} from './attention-layout.js';

export * from './attention-layout.js';
export { NO_SLOT, storeKv } from './store-kv.js';

const forQueries = (f: (i: number) => string, join = '\n') => repeat(QUERY_TILE, f, join);

/** Keys of one workgroup of `scores`. */
const KEY_BLOCK = 64;

/**
 * S = q · k · scale, capped where there is a soft cap, and −∞ for keys that a query does not see.
 * Buffers: Q, K, tables u32, with `prefix` store [slots, 2, kvHeads · dHead], S: per row [heads, queries, keys].
 */
export function scores(
  o: Geometry & { dHead: number; q: HeadsAt; k: HeadsAt; scale: number; prefix: boolean },
  caps: Caps,
): Launch {
  return products({ ...o, part: 0, causal: !o.bidirectional }, caps);
}

/**
 * S = q · k · scale for every query and every key, or value, of its row; with `causal` −∞ above the diagonal and before
 * the window.
 * @param o.part what K holds, and what is taken from the store: 0 keys, 1 values
 */
export function products(
  o: Geometry & {
    dHead: number;
    q: HeadsAt;
    k: HeadsAt;
    scale: number;
    prefix: boolean;
    part: 0 | 1;
    causal: boolean;
  },
  caps: Caps,
): Launch {
  const { heads, kvHeads = heads, dHead, prefix, part, causal, softCap } = o;
  const sight = { window: causal ? o.window : null, softCap };
  const { type, step } = elementType(dHead, [o.q, o.k]);
  const columns = dHead / step;
  // On a CPU a load costs as much as 30 multiply-adds: there a thread has several keys for each query it loads.
  const keys = caps.adapterClass === 'software' ? 4 : 1;
  const lanes = KEY_BLOCK / keys;
  const forKeys = (f: (j: number) => string) => repeat(keys, f);
  const dot =
    step === 4 ? (a: string, b: string) => `dot(${a}, ${b})` : (a: string, b: string) => `${a} * ${b}`;
  /** Adds q · k for all queries and keys of this thread; `k${'j'}` are the keys' places in `buffer`. */
  const accumulate = (buffer: string) => /* wgsl */ `
    for (var c = 0u; c < ${columns}u; c++) {
      ${forQueries((i) => `let x${i} = Q[q${i} + c];`, ' ')}
      ${forKeys((j) => `{ let y = ${buffer}[k${j} + c]; ${forQueries((i) => `s${i}_${j} += ${dot(`x${i}`, 'y')};`, ' ')} }`)}
    }`;
  const kvHead = kvHeadOf(o);
  const score = (s: string) => capped(`${s} * params.scale`, softCap);
  const sees = (key: string) => {
    const before = `${prefix ? 'inPrefix || ' : ''}${key} <= query`;
    return sight.window
      ? `(${before}) && before + ${key} + params.window > tile.prefixLength + query`
      : before;
  };
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> Q: array<${type}>;
@group(0) @binding(1) var<storage, read> K: array<${type}>;
@group(0) @binding(2) var<storage, read> tables: array<u32>;
${prefix ? `@group(0) @binding(3) var<storage, read> store: array<${type}>; // [slots, 2, kvHeads, dHead]` : ''}
@group(0) @binding(${prefix ? 4 : 3}) var<storage, read_write> S: array<f32>; // per row [heads, queries, keys]
struct Params {
  rowTable: u32,
  tileTable: u32,
  tiles: u32,
  keyBlocks: u32, // workgroups a tile and head
  qStride: u32, // strides and offsets in units of ${type}
  qOffset: u32,
  kStride: u32,
  kOffset: u32,
  scale: f32,
  masked: f32, // −∞: WGSL has no literal for it
${sightFields(sight)}}
@group(1) @binding(0) var<uniform> params: Params;
${layoutWgsl}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = ${lineIndex};
  if (group >= params.tiles * ${heads}u * params.keyBlocks) { return; }
  let head = (group / params.keyBlocks) % ${heads}u;
  let tile = tileAt(group / params.keyBlocks / ${heads}u);
  var first = (group % params.keyBlocks) * ${KEY_BLOCK}u; // first key of this workgroup
  var count = tile.length; // own keys, or keys of the prefix: a workgroup has only one kind
  var before = tile.prefixLength; // keys that lie before that kind
  ${
    prefix
      ? `let prefixEnd = (tile.prefixLength + ${KEY_BLOCK - 1}u) / ${KEY_BLOCK}u * ${KEY_BLOCK}u;
  let inPrefix = first < prefixEnd;
  if (inPrefix) { count = tile.prefixLength; before = 0u; } else { first -= prefixEnd; }`
      : ''
  }
  if (first >= count) { return; }

  let lastQuery = tile.length - 1u;
  ${forQueries((i) => `let q${i} = params.qOffset + (tile.start + min(tile.query + ${i}u, lastQuery)) * params.qStride + head * ${columns}u;`)}
  ${forKeys((j) => `let key${j} = first + lane + ${lanes * j}u;`)}
  ${forQueries((i) => repeat(keys, (j) => `var s${i}_${j} = 0f;`, ' '))}
  ${
    prefix
      ? `if (inPrefix) {
    ${forKeys((j) => `let k${j} = (tables[tile.prefixStart + min(key${j}, count - 1u)] * ${2 * kvHeads}u + ${part * kvHeads}u + ${kvHead}) * ${columns}u;`)}
    ${accumulate('store')}
  } else`
      : ''
  } if (${causal ? `first < tile.query + ${QUERY_TILE}u` : 'true'}) { // else all of it is above the diagonal
    ${forKeys((j) => `let k${j} = params.kOffset + (tile.start + min(key${j}, count - 1u)) * params.kStride + ${kvHead} * ${columns}u;`)}
    ${accumulate('K')}
  }

  let keys = tile.prefixLength + tile.length;
  ${forQueries(
    (i) => `if (tile.query + ${i}u < tile.length) {
    let query = tile.query + ${i}u;
    let at = tile.block + (head * tile.length + query) * keys + before;
    ${forKeys((j) => `if (key${j} < count) { S[at + key${j}] = ${causal ? `select(params.masked, ${score(`s${i}_${j}`)}, ${sees(`key${j}`)})` : score(`s${i}_${j}`)}; }`)}
  }`,
  )}
}`;
  const keyBlocks = Math.ceil(o.maxKeys / KEY_BLOCK) + (prefix ? 1 : 0);
  return {
    kernel: kernel(
      `${causal ? 'scores' : 'products'}/${type}/${headsName(o)}x${dHead}/${lanes}x${keys}${part ? '/values' : ''}${prefix ? '/prefix' : ''}${sightName(sight)}`,
      code,
    ),
    params: {
      rowTable: o.rowTable,
      tileTable: o.tileTable,
      tiles: o.tiles,
      keyBlocks,
      qStride: o.q.stride / step,
      qOffset: o.q.offset / step,
      kStride: o.k.stride / step,
      kOffset: o.k.offset / step,
      scale: o.scale,
      masked: Number.NEGATIVE_INFINITY,
      ...sightParams(sight),
    },
    grid: line(o.tiles * heads * keyBlocks),
  };
}

/**
 * P = softmax of S over the keys that a query may see (found by index: what S holds for others does not matter), 0 for
 * the others. A query whose scores are all −∞ gets zeros, as in TransformerLens.
 * Buffers: S, tables u32, P: per row [heads, queries, keys].
 */
export function pattern(o: Geometry, caps: Caps): Launch {
  const { heads, bidirectional = false } = o;
  const window = bidirectional ? null : o.window;
  const team = teamFor(caps);
  const behind = window ? 'if (k < seen) { continue; } ' : '';
  const code = () => /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> S: array<f32>;
@group(0) @binding(1) var<storage, read> tables: array<u32>;
@group(0) @binding(2) var<storage, read_write> P: array<f32>;
struct Params {
  rowTable: u32,
  tileTable: u32,
  tiles: u32,
${sightFields({ window })}}
@group(1) @binding(0) var<uniform> params: Params;
${layoutWgsl}
${expBelowWgsl}
${team.reduce('highest', 'f32', 'max(a, b)')}
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
    ${window ? `let seen = max(visible, params.window) - params.window; // first key that it sees` : ''}
    let start = ${window ? `seen / ${team.threads}u * ${team.threads}u + lane` : 'lane'};
    var top = ${LOWEST};
    for (var k = start; k < visible; k += ${team.threads}u) { ${behind}top = max(top, S[at + k]); }
    top = highest(top, lane);
    var sum = 0f;
    for (var k = start; k < visible; k += ${team.threads}u) {
      ${behind}
      let e = expBelow(S[at + k] - top);
      sum += e;
      P[at + k] = e;
    }
    sum = total(sum, lane);
    let gain = select(0f, 1f / sum, sum > 0f);
    for (var k = lane; k < keys; k += ${team.threads}u) { // each thread its own elements again
      var p = 0f;
      if (k < visible${window ? ' && k >= seen' : ''}) { p = P[at + k] * gain; }
      P[at + k] = p;
    }
  }
}`;
  return {
    kernel: kernel(
      `pattern/${heads}/${team.name}${bidirectional ? '/bidirectional' : ''}${sightName({ window })}`,
      code,
    ),
    params: { rowTable: o.rowTable, tileTable: o.tileTable, tiles: o.tiles, ...sightParams({ window }) },
    grid: line(o.tiles * heads),
  };
}

/**
 * Z = P · V over all keys of the row, above the diagonal too: a hook may have put something there.
 * Buffers: P, V, tables u32, with `prefix` store [slots, 2, kvHeads · dHead], Z [tokens, heads · dHead].
 */
export function weightedValues(
  o: Geometry & { dHead: number; v: HeadsAt; prefix: boolean },
  caps: Caps,
): Launch {
  const z = { stride: o.heads * o.dHead, offset: 0 };
  return weightedSums({ ...o, z, part: 1, causal: false, scale: 1 }, caps);
}

/**
 * Z = P · V · scale over all keys, or with `causal` those that the query sees, whatever P holds above the diagonal.
 * @param o.part what V holds, and what is taken from the store: 0 keys, 1 values
 */
export function weightedSums(
  o: Geometry & {
    dHead: number;
    v: HeadsAt;
    z: HeadsAt;
    prefix: boolean;
    part: 0 | 1;
    causal: boolean;
    scale: number;
  },
  caps: Caps,
): Launch {
  const { heads, kvHeads = heads, dHead, prefix, part, causal } = o;
  const window = causal ? o.window : null;
  const kvHead = kvHeadOf(o);
  const { type, step } = elementType(dHead, [o.v, o.z]);
  const columns = dHead / step;
  // On a CPU a thread has several columns for each weight it loads.
  const [lanes, owned] = caps.adapterClass === 'software' ? [4, 4] : [16, 1];
  const span = lanes * owned;
  const blocks = Math.ceil(columns / span);
  const forColumns = (f: (m: number) => string) => repeat(owned, f);
  const accumulate = (buffer: string, at: string, key: string, sees = (_: number) => '') => /* wgsl */ `
    ${forQueries((i) => (sees(i) ? `let w${i} = select(0f, P[p${i} + ${key}], ${sees(i)});` : `let w${i} = P[p${i} + ${key}];`), ' ')}
    ${forColumns((m) => `{ let v = ${buffer}[${at} + column${m}]; ${forQueries((i) => `z${i}_${m} += w${i} * v;`, ' ')} }`)}`;
  const seesOwn = (i: number) =>
    `k <= tile.query + ${i}u${window ? ` && k + params.window > tile.query + ${i}u` : ''}`;
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> P: array<f32>; // per row [heads, queries, keys]
@group(0) @binding(1) var<storage, read> V: array<${type}>;
@group(0) @binding(2) var<storage, read> tables: array<u32>;
${prefix ? `@group(0) @binding(3) var<storage, read> store: array<${type}>; // [slots, 2, kvHeads, dHead]` : ''}
@group(0) @binding(${prefix ? 4 : 3}) var<storage, read_write> Z: array<${type}>; // [tokens, heads, dHead]
struct Params {
  rowTable: u32,
  tileTable: u32,
  tiles: u32,
  vStride: u32, // in units of ${type}
  vOffset: u32,
  zStride: u32,
  zOffset: u32,
  scale: f32,
${sightFields({ window })}}
@group(1) @binding(0) var<uniform> params: Params;
${layoutWgsl}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = ${lineIndex};
  if (group >= params.tiles * ${heads * blocks}u) { return; }
  let first = group % ${blocks}u * ${span}u + lane;
  ${forColumns((m) => `let column${m} = min(first + ${m * lanes}u, ${columns - 1}u);`)}
  let head = (group / ${blocks}u) % ${heads}u;
  let tile = tileAt(group / ${heads * blocks}u);
  let keys = tile.prefixLength + tile.length;
  let lastQuery = tile.length - 1u;
  ${forQueries((i) => `let p${i} = tile.block + (head * tile.length + min(tile.query + ${i}u, lastQuery)) * keys;`)}
  ${forQueries((i) => repeat(owned, (m) => `var z${i}_${m} = ${type}();`, ' '))}
  ${
    prefix
      ? `let values = ${part * kvHeads * columns}u + ${kvHead} * ${columns}u; // in a slot, after its keys
  for (var k = 0u; k < tile.prefixLength; k++) {
    let at = tables[tile.prefixStart + k] * ${2 * kvHeads * columns}u + values;
    ${accumulate('store', 'at', 'k', (i) => (window ? `k + params.window > tile.prefixLength + tile.query + ${i}u` : ''))}
  }`
      : ''
  }
  let v0 = params.vOffset + tile.start * params.vStride + ${kvHead} * ${columns}u;
  for (var k = 0u; k < ${causal ? `min(tile.length, tile.query + ${QUERY_TILE}u)` : 'tile.length'}; k++) {
    let at = v0 + k * params.vStride;
    ${accumulate('V', 'at', 'tile.prefixLength + k', (i) => (causal ? seesOwn(i) : ''))}
  }
  let z = params.zOffset + (tile.start + tile.query) * params.zStride + head * ${columns}u + first;
  ${forColumns(
    (m) => `if (first + ${m * lanes}u < ${columns}u) {
    ${forQueries((i) => `if (tile.query + ${i}u < tile.length) { Z[z + ${i}u * params.zStride + ${m * lanes}u] = z${i}_${m} * params.scale; }`)}
  }`,
  )}
}`;
  return {
    kernel: kernel(
      `weightedSums/${type}/${headsName(o)}x${dHead}/${lanes}x${owned}${part ? '' : '/keys'}${causal ? '/causal' : ''}${prefix ? '/prefix' : ''}${sightName({ window })}`,
      code,
    ),
    params: {
      rowTable: o.rowTable,
      tileTable: o.tileTable,
      tiles: o.tiles,
      vStride: o.v.stride / step,
      vOffset: o.v.offset / step,
      zStride: o.z.stride / step,
      zOffset: o.z.offset / step,
      scale: o.scale,
      ...sightParams({ window }),
    },
    grid: line(o.tiles * heads * blocks),
  };
}
