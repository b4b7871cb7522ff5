/**
 * Causal attention in one kernel: scores and pattern never exist in memory (Dao et al. 2022, with the running
 * maximum of Milakov & Gimelshein 2018).
 *
 * A workgroup has one tile of four queries of one head, and takes the keys in blocks. Within a block a thread
 * first owns keys: it computes their four scores, kept as one vec4f, so that a key is loaded once for four
 * queries. Then it owns columns of z: it adds the block's values, weighted, to four accumulators.
 */

import { type Caps, type Launch, line, lineIndex, repeat } from '../core/kernel.js';
import { kernel, type Team, teamFor, workgroupTeam } from '../core/wgsl.js';
import { expBelow4Wgsl, LOWEST } from '../pointwise/softmax.js';
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

/** How a block of keys is shared out. */
export interface Shape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly dHead: number;
  readonly window: number | null;
  readonly softCap: number | null;
  readonly type: 'vec4f' | 'f32';
  readonly prefix: boolean;
  readonly bidirectional: boolean;
  readonly team: Team;
  /** Keys of a thread in a block. */
  readonly keys: number;
}

/** Head size in units of the element type, and how many of those columns a thread owns. */
export function columnsOf({ dHead, type, team }: Shape): { columns: number; owned: number } {
  const columns = type === 'vec4f' ? dHead / 4 : dHead;
  return { columns, owned: Math.ceil(columns / team.threads) };
}

const forQueries = (f: (i: number) => string, join = '\n') => repeat(QUERY_TILE, f, join);

/** WGSL for the keys and values of one kind: the prefix's, in the store, or the row's own. */
interface Source {
  readonly K: string;
  readonly V: string;
  /** Where the head's part of key `k` begins in K, of its value in V. */
  readonly keyAt: (k: string) => string;
  readonly valueAt: (k: string) => string;
  /** The first key that one of the queries sees. */
  readonly first: string;
  /** How many keys there are for this tile. */
  readonly count: string;
  /** Which of the four queries see key `k`: vec4<bool>. */
  readonly sees: (k: string) => string;
}

/** The loop over all keys of one kind. */
function overKeys(source: Source, shape: Shape): string {
  const { team, keys } = shape;
  const lanes = team.threads;
  const { keyAt, count, sees } = source;
  const forKeys = (f: (j: number) => string) => repeat(keys, f);
  const highestOwn = Array.from({ length: keys }, (_, j) => `s${j}`).reduce((a, b) => `max(${a}, ${b})`);
  return /* wgsl */ `
  for (var first = ${source.first}; first < ${count}; first += ${lanes * keys}u) {
    // A thread owns keys: their scores for the four queries.
    ${forKeys((j) => `let key${j} = first + lane + ${lanes * j}u;`)}
    ${forKeys((j) => `let k${j} = ${keyAt(`min(key${j}, ${count} - 1u)`)};`)}
    ${forKeys((j) => `var s${j} = vec4f();`)}
    ${team.subgroup ? scoresBySubgroup(source.K, shape) : scoresByWorkgroup(source.K, shape)}
    ${forKeys((j) => `s${j} = select(vec4f(${LOWEST}), ${capped(`s${j} * params.scale`, shape.softCap, 'vec4f')}, ${sees(`key${j}`)});`)}

    // The maximum may have grown: what was summed up so far shrinks.
    let newTop = max(top, highest(${highestOwn}, lane));
    let keep = expBelow(top - newTop);
    top = newTop;
    ${forKeys((j) => `let p${j} = select(vec4f(), expBelow(s${j} - top), ${sees(`key${j}`)});`)}
    sum = sum * keep${repeat(keys, (j) => ` + p${j}`, '')};

    // A thread owns columns of z.
    ${repeat(columnsOf(shape).owned, (m) => forQueries((i) => `z${i}_${m} *= keep[${i}];`, ' '))}
    ${team.subgroup ? valuesBySubgroup(source, shape) : valuesByWorkgroup(source, shape)}
  }`;
}

/** Adds the products with column `c` of Q, held in x0 … x3, to the scores of this thread's keys. */
function scoresOfColumn(K: string, c: string, { type, keys }: Shape): string {
  const dot = (a: string, b: string) => (type === 'vec4f' ? `dot(${a}, ${b})` : `${a} * ${b}`);
  const products = forQueries((i) => dot(`x${i}`, 'y'), ', ');
  return repeat(keys, (j) => `{ let y = ${K}[k${j} + ${c}]; s${j} += vec4f(${products}); }`);
}

function scoresByWorkgroup(K: string, shape: Shape): string {
  return /* wgsl */ `for (var c = 0u; c < ${columnsOf(shape).columns}u; c++) {
      ${forQueries((i) => `let x${i} = Q[q${i} + c];`, ' ')}
      ${scoresOfColumn(K, 'c', shape)}
    }`;
}

/** As above, but each lane loads one column of Q and hands it to the others. */
function scoresBySubgroup(K: string, shape: Shape): string {
  const { columns, owned } = columnsOf(shape);
  const lanes = shape.team.threads;
  const column = (l: number) => /* wgsl */ `{
        ${forQueries((i) => `let x${i} = subgroupBroadcast(mine${i}, ${l}u);`, ' ')}
        ${scoresOfColumn(K, `c + ${l}u`, shape)}
      }`;
  const guarded = (l: number) =>
    columns % lanes === 0 || l === 0 ? column(l) : `if (c + ${l}u < ${columns}u) ${column(l)}`;
  return /* wgsl */ `for (var c = 0u; c < ${owned * lanes}u; c += ${lanes}u) {
      let own = min(c + lane, ${columns - 1}u);
      ${forQueries((i) => `let mine${i} = Q[q${i} + own];`, ' ')}
      ${repeat(lanes, guarded)}
    }`;
}

function valuesByWorkgroup({ V, valueAt, count }: Source, shape: Shape): string {
  const lanes = shape.team.threads;
  const { columns, owned } = columnsOf(shape);
  const column = (m: number) => /* wgsl */ `if (lane + ${m * lanes}u < ${columns}u) {
      for (var k = 0u; k < here; k++) {
        let w = weights[k];
        let v = ${V}[${valueAt('(first + k)')} + lane + ${m * lanes}u];
        ${forQueries((i) => `z${i}_${m} += w[${i}] * v;`, ' ')}
      }
    }`;
  return /* wgsl */ `${repeat(shape.keys, (j) => `weights[lane + ${lanes * j}u] = p${j};`)}
    workgroupBarrier();
    let here = min(${lanes * shape.keys}u, ${count} - first);
    ${repeat(owned, column)}
    workgroupBarrier(); // before the next block's weights`;
}

function valuesBySubgroup({ V, valueAt, count }: Source, shape: Shape): string {
  const lanes = shape.team.threads;
  const { columns, owned } = columnsOf(shape);
  const column = (m: number) => /* wgsl */ `{
        let v = ${V}[at + min(lane + ${m * lanes}u, ${columns - 1}u)];
        ${forQueries((i) => `z${i}_${m} += w[${i}] * v;`, ' ')}
      }`;
  return repeat(
    shape.keys,
    (j) => /* wgsl */ `for (var k = 0u; k < ${lanes}u && first + ${lanes * j}u + k < ${count}; k++) {
      let w = subgroupShuffle(p${j}, k);
      let at = ${valueAt(`(first + ${lanes * j}u + k)`)};
      ${repeat(owned, column)}
    }`,
  );
}

function fusedWgsl(shape: Shape): string {
  const { heads, kvHeads, type, prefix, bidirectional, team, keys, window } = shape;
  const { columns, owned } = columnsOf(shape);
  const lanes = team.threads;
  const slot = (k: string) => `tables[tile.prefixStart + ${k}] * ${2 * kvHeads * columns}u`;
  const kvHead = kvHeadOf(shape);
  const { firstStored, firstOwn, inWindow } = windowWgsl(window, 'queries');
  const stored: Source = {
    K: 'store',
    V: 'store',
    keyAt: (k) => `${slot(k)} + ${kvHead} * ${columns}u`,
    valueAt: (k) => `${slot(k)} + ${kvHeads * columns}u + ${kvHead} * ${columns}u`,
    first: firstStored,
    count: 'tile.prefixLength',
    sees: (k) => `vec4<bool>(${k} < tile.prefixLength)${inWindow(k, 'tile.prefixLength + ')}`,
  };
  const own: Source = {
    K: 'K',
    V: 'V',
    keyAt: (k) => `kRow + ${k} * params.kStride`,
    valueAt: (k) => `vRow + ${k} * params.vStride`,
    first: firstOwn,
    count: 'ownCount',
    sees: (k) =>
      bidirectional ? `vec4<bool>(${k} < tile.length)` : `(vec4u(${k}) <= queries)${inWindow(k)}`,
  };
  return /* wgsl */ `${team.enable}
@group(0) @binding(0) var<storage, read> Q: array<${type}>;
@group(0) @binding(1) var<storage, read> K: array<${type}>;
@group(0) @binding(2) var<storage, read> V: array<${type}>;
@group(0) @binding(3) var<storage, read> tables: array<u32>;
${prefix ? `@group(0) @binding(4) var<storage, read> store: array<${type}>; // [slots, 2, kvHeads, dHead]` : ''}
@group(0) @binding(${prefix ? 5 : 4}) var<storage, read_write> Z: array<${type}>; // [tokens, heads, dHead]
struct Params {
  rowTable: u32,
  tileTable: u32,
  tiles: u32,
  qStride: u32, // strides and offsets in units of ${type}
  qOffset: u32,
  kStride: u32,
  kOffset: u32,
  vStride: u32,
  vOffset: u32,
  scale: f32,
${sightFields(shape)}}
@group(1) @binding(0) var<uniform> params: Params;
${layoutWgsl}
${expBelow4Wgsl}
${team.reduce('highest', 'vec4f', 'max(a, b)')}
${team.reduce('total', 'vec4f')}
${team.subgroup ? '' : `var<workgroup> weights: array<vec4f, ${lanes * keys}>; // of the block's keys, for the four queries`}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = ${lineIndex};
  if (group >= params.tiles * ${heads}u) { return; }
  let head = group % ${heads}u;
  let tile = tileAt(group / ${heads}u);
  let queries = tile.query + vec4u(0u, 1u, 2u, 3u);
  let ownCount = ${bidirectional ? 'tile.length' : `min(tile.length, tile.query + ${QUERY_TILE}u)`}; // keys that the last query sees
  ${forQueries((i) => `let q${i} = params.qOffset + (tile.start + min(queries[${i}], tile.length - 1u)) * params.qStride + head * ${columns}u;`)}
  let kRow = params.kOffset + tile.start * params.kStride + ${kvHead} * ${columns}u;
  let vRow = params.vOffset + tile.start * params.vStride + ${kvHead} * ${columns}u;

  var top = vec4f(${LOWEST}); // highest score so far
  var sum = vec4f(); // of this thread's weights
  ${forQueries((i) => repeat(owned, (m) => `var z${i}_${m} = ${type}();`, ' '))}
${prefix ? overKeys(stored, shape) : ''}
${overKeys(own, shape)}
  sum = total(sum, lane);

  let z = (tile.start + tile.query) * ${heads * columns}u + head * ${columns}u + lane;
  ${repeat(
    owned,
    (m) => `if (lane + ${m * lanes}u < ${columns}u) {
    ${forQueries((i) => `if (queries[${i}] < tile.length) { Z[z + ${i * heads * columns + m * lanes}u] = z${i}_${m} / sum[${i}]; }`)}
  }`,
  )}
}`;
}

/**
 * On a CPU a load costs as much as 30 multiply-adds: there a thread has several keys for each query it loads.
 */
export function sharing(caps: Caps): Pick<Shape, 'team' | 'keys'> {
  if (caps.adapterClass === 'hardware') return { team: workgroupTeam(32), keys: 1 };
  return { team: teamFor(caps), keys: 2 };
}

/** The shape of one launch. */
export function shapeOf(
  o: Geometry & { readonly dHead: number },
  type: Shape['type'],
  prefix: boolean,
  caps: Caps,
): Shape {
  const { heads, kvHeads = heads, dHead, bidirectional = false, softCap = null } = o;
  const window = bidirectional ? null : (o.window ?? null);
  return { heads, kvHeads, dHead, window, softCap, type, prefix, bidirectional, ...sharing(caps) };
}

/** Part of a kernel's name: how it shares out keys, and what queries see. */
export const shapeName = (shape: Shape): string =>
  `${shape.team.name}x${shape.keys}${shape.prefix ? '/prefix' : ''}${shape.bidirectional ? '/bidirectional' : ''}${sightName(shape)}`;

/**
 * WGSL for a window: the first stored and own key of a tile that one of its queries sees, and which of four
 * see key `k`.
 */
export const windowWgsl = (window: number | null, queries: string) => ({
  firstStored: window ? 'max(tile.prefixLength + tile.query + 1u, params.window) - params.window' : '0u',
  firstOwn: window ? 'max(tile.query + 1u, params.window) - params.window' : '0u',
  inWindow: (k: string, before = '') =>
    window ? ` & (vec4u(${k} + params.window) > ${before}${queries})` : '',
});

/**
 * Z = softmax(q · k · scale, causal unless bidirectional) · v.
 * Buffers: Q, K, V, tables u32, with `prefix` store [slots, 2, kvHeads · dHead], Z [tokens, heads · dHead].
 */
export function fusedAttention(
  o: Geometry & { dHead: number; q: HeadsAt; k: HeadsAt; v: HeadsAt; scale: number; prefix: boolean },
  caps: Caps,
): Launch {
  const { heads, dHead, prefix } = o;
  const { type, step } = elementType(dHead, [o.q, o.k, o.v]);
  const shape = shapeOf(o, type, prefix, caps);
  const name = `fusedAttention/${type}/${headsName(o)}x${dHead}/${shapeName(shape)}`;
  return {
    kernel: kernel(name, () => fusedWgsl(shape)),
    params: {
      rowTable: o.rowTable,
      tileTable: o.tileTable,
      tiles: o.tiles,
      qStride: o.q.stride / step,
      qOffset: o.q.offset / step,
      kStride: o.k.stride / step,
      kOffset: o.k.offset / step,
      vStride: o.v.stride / step,
      vOffset: o.v.offset / step,
      scale: o.scale,
      ...sightParams(shape),
    },
    grid: line(o.tiles * heads),
  };
}
