/**
 * Gradients of causal attention without scores or pattern in memory (Dao et al. 2022), the same bits in every
 * run: no sums by atomics. Two kernels, each recomputes from q, k, v and dZ the scores s and dP = dZ · v that
 * it needs:
 *
 *  - `fusedQueryGradient`: a workgroup has four queries and takes the keys in blocks. With P = e^(s − top) /
 *    sum and D = Σ P · dP the gradient is dQ = scale · Σ P · (dP − D) · k, and both of its sums, Σ P · dP · k
 *    and Σ P · k, run along with the maximum: one pass. It leaves (top, 1 / sum, D) of each query and head
 *    behind.
 *  - `fusedKeyGradient`: a workgroup has four keys, and takes the queries that see them in blocks:
 *    dV = Σ P · dZ, dK = scale · Σ P · (dP − D) · q. Only for own keys: those of a prefix are constants.
 *
 * attention-stream.ts has the loop that both are made of.
 */

import { type Caps, type Launch, line, lineIndex, repeat } from '../core/kernel.js';
import { kernel } from '../core/wgsl.js';
import { expBelow4Wgsl, LOWEST } from '../pointwise/softmax.js';
import { columnsOf, type Shape, shapeName, shapeOf, windowWgsl } from './attention-fused.js';
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
  sightParams,
} from './attention-layout.js';
import { forFour, overRows, type Stream } from './attention-stream.js';

/** What the two kernels share: everything but the bindings and what happens in `main`. */
function frame(bindings: readonly string[], body: string, shape: Shape, heads: number, fields: string) {
  const { type, team, keys } = shape;
  const lanes = team.threads;
  return /* wgsl */ `${team.enable}
${bindings.map((b, i) => `@group(0) @binding(${i}) var<storage, ${b.replaceAll('#', type)};`).join('\n')}
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
  dzStride: u32,
  dzOffset: u32,
${fields}
  scale: f32,
${sightFields(shape)}}
@group(1) @binding(0) var<uniform> params: Params;
${layoutWgsl}
${expBelow4Wgsl}
${team.reduce('highest', 'vec4f', 'max(a, b)')}
${team.reduce('total', 'vec4f')}
${team.subgroup ? '' : `var<workgroup> weights: array<vec4f, ${2 * lanes * keys}>; // two of each row of the block, for the four`}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let group = ${lineIndex};
  if (group >= params.tiles * ${heads}u) { return; }
  let ${heads === shape.heads ? 'head' : 'kvHead'} = group % ${heads}u;
  let tile = tileAt(group / ${heads}u);
  let four = tile.query + vec4u(0u, 1u, 2u, 3u); // positions in the row, of queries or of keys
${body}
}`;
}

const accumulators = (shape: Shape): string =>
  forFour((i) =>
    repeat(
      columnsOf(shape).owned,
      (m) => `var u${i}_${m} = ${shape.type}(); var w${i}_${m} = ${shape.type}();`,
      ' ',
    ),
  );

/** `a0` …, or `b0` …: where the four own rows begin in a buffer. */
const ownRows = (name: string, of: string, columns: number, head = 'head'): string =>
  forFour(
    (i) =>
      `let ${name}${i} = params.${of}Offset + (tile.start + min(four[${i}], tile.length - 1u)) * params.${of}Stride + ${head} * ${columns}u;`,
  );

/** `f(i, m)` for each element of the outputs that this thread has. */
const forOutputs = (shape: Shape, f: (i: number, m: number, column: string) => string): string => {
  const { columns, owned } = columnsOf(shape);
  return repeat(owned, (m) => {
    const column = `lane + ${m * shape.team.threads}u`;
    return `if (${column} < ${columns}u) { ${forFour((i) => `if (four[${i}] < tile.length) { ${f(i, m, column)} }`)} }`;
  });
};

/** WGSL: the slope of a soft cap where its result is s. */
const capSlope = (s: string): string => `(1f - ${s} * ${s} / (params.softCap * params.softCap))`;

function queryWgsl(shape: Shape): string {
  const { heads, kvHeads, prefix, bidirectional, keys, softCap, window } = shape;
  const { columns } = columnsOf(shape);
  const forRows = (f: (j: number) => string, join?: string) => repeat(keys, f, join);
  const slot = (k: string) => `tables[tile.prefixStart + ${k}] * ${2 * kvHeads * columns}u`;
  const kvHead = kvHeadOf(shape);
  const { firstStored, firstOwn, inWindow } = windowWgsl(window, 'four');
  const highestOwn = Array.from({ length: keys }, (_, j) => `s${j}`).reduce((a, b) => `max(${a}, ${b})`);
  // Weights P and P · dP; a soft cap's slope is a factor of what they multiply, not of their sums.
  const [p, d] = softCap ? ['e', 'd'] : ['g', 'f'];
  const stream = {
    own: ['Q', 'dZ'],
    weigh: /* wgsl */ `
    ${forRows((j) => `s${j} = select(vec4f(${LOWEST}), ${capped(`s${j} * params.scale`, softCap, 'vec4f')}, m${j});`)}
    let newTop = max(top, highest(${highestOwn}, lane));
    let keep = expBelow(top - newTop); // the maximum may have grown
    top = newTop;
    ${forRows((j) => `let ${p}${j} = select(vec4f(), expBelow(s${j} - top), m${j}); let ${d}${j} = ${p}${j} * t${j};`)}
    sum = sum * keep${forRows((j) => ` + ${p}${j}`, '')};
    mean = mean * keep${forRows((j) => ` + ${d}${j}`, '')};${softCap ? forRows((j) => `let c${j} = select(vec4f(), ${capSlope(`s${j}`)}, m${j}); let g${j} = ${p}${j} * c${j}; let f${j} = ${d}${j} * c${j};`) : ''}`,
    keep: 'keep',
    sums: [0, 0],
  } as const;
  const stored: Stream = {
    ...stream,
    first: firstStored,
    by: ['store', 'store'],
    at: [
      (k) => `${slot(k)} + ${kvHead} * ${columns}u`,
      (k) => `${slot(k)} + ${kvHeads * columns}u + ${kvHead} * ${columns}u`,
    ],
    end: 'tile.prefixLength',
    meets: (k) => `vec4<bool>(${k} < tile.prefixLength)${inWindow(k, 'tile.prefixLength + ')}`,
  };
  const own: Stream = {
    ...stream,
    first: firstOwn,
    by: ['K', 'V'],
    at: [(k) => `kRow + ${k} * params.kStride`, (k) => `vRow + ${k} * params.vStride`],
    end: 'ownCount',
    meets: (k) => (bidirectional ? `vec4<bool>(${k} < tile.length)` : `(vec4u(${k}) <= four)${inWindow(k)}`),
  };
  const body = /* wgsl */ `
  let ownCount = ${bidirectional ? 'tile.length' : `min(tile.length, tile.query + ${QUERY_TILE}u)`}; // keys that the last query sees
  ${ownRows('a', 'q', columns)}
  ${ownRows('b', 'dz', columns)}
  let kRow = params.kOffset + tile.start * params.kStride + ${kvHead} * ${columns}u;
  let vRow = params.vOffset + tile.start * params.vStride + ${kvHead} * ${columns}u;
  var top = vec4f(${LOWEST}); // highest score so far
  var sum = vec4f(); // of this thread's weights e^(s − top)
  var mean = vec4f(); // of dP by these weights
  ${accumulators(shape)}
${prefix ? overRows(stored, shape) : ''}
${overRows(own, shape)}
  let gain = vec4f(1f) / total(sum, lane);
  mean = total(mean, lane) * gain;
  let out = params.dqOffset + (tile.start + tile.query) * params.dqStride + head * ${columns}u;
  ${forOutputs(shape, (i, m, column) => `dQ[out + ${i}u * params.dqStride + ${column}] = (u${i}_${m} - w${i}_${m} * mean[${i}]) * (gain[${i}] * params.scale);`)}
  if (lane == 0u) {
    ${forFour((i) => `if (four[${i}] < tile.length) { stats[(tile.start + four[${i}]) * ${heads}u + head] = vec4f(top[${i}], gain[${i}], mean[${i}], 0f); }`)}
  }`;
  const bindings = [
    'read> Q: array<#>',
    'read> K: array<#>',
    'read> V: array<#>',
    'read> dZ: array<#>',
    'read> tables: array<u32>',
    ...(prefix ? ['read> store: array<#>'] : []), // [slots, 2, kvHeads, dHead]
    'read_write> dQ: array<#>',
    'read_write> stats: array<vec4f>', // [tokens, heads]: top, 1 / sum, D, 0
  ];
  return frame(bindings, body, shape, heads, '  dqStride: u32,\n  dqOffset: u32,');
}

function keyWgsl(shape: Shape): string {
  const { heads, kvHeads, bidirectional, keys, softCap, window } = shape;
  const group = heads / kvHeads;
  const { columns } = columnsOf(shape);
  const kvHead = group > 1 ? 'kvHead' : 'head';
  const stream: Stream = {
    own: ['K', 'V'],
    by: ['Q', 'dZ'],
    at: [(i) => `qRow + ${i} * params.qStride`, (i) => `zRow + ${i} * params.dzStride`],
    first: bidirectional ? '0u' : 'tile.query', // else earlier queries see none of the four
    // Behind the window of its last key a query sees none of them.
    end: window ? `min(tile.length, tile.query + ${QUERY_TILE - 1}u + params.window)` : 'tile.length',
    meets: (i) =>
      bidirectional
        ? `vec4<bool>(${i} < tile.length)`
        : `(four <= vec4u(${i})) & vec4<bool>(${i} < tile.length)${window ? ` & (four + params.window > vec4u(${i}))` : ''}`,
    weigh: repeat(
      keys,
      (j) => /* wgsl */ `
    let stat${j} = stats[(tile.start + safe${j}) * ${heads}u + head];
    ${softCap ? `s${j} = ${capped(`s${j} * params.scale`, softCap, 'vec4f')};` : ''}
    let g${j} = select(vec4f(), expBelow(s${j}${softCap ? '' : ' * params.scale'} - stat${j}.x) * stat${j}.y, m${j});
    let f${j} = g${j} * (t${j} - stat${j}.z)${softCap ? ` * ${capSlope(`s${j}`)}` : ''};`,
    ),
    keep: null,
    sums: [0, 1],
  };
  const body = /* wgsl */ `
  ${ownRows('a', 'k', columns, kvHead)}
  ${ownRows('b', 'v', columns, kvHead)}
  ${accumulators(shape)}
  ${group > 1 ? `for (var head = kvHead * ${group}u; head < kvHead * ${group}u + ${group}u; head++) { // that share these keys` : ''}
  let qRow = params.qOffset + tile.start * params.qStride + head * ${columns}u;
  let zRow = params.dzOffset + tile.start * params.dzStride + head * ${columns}u;
${overRows(stream, shape)}
  ${group > 1 ? '}' : ''}
  let dk = params.dkOffset + (tile.start + tile.query) * params.dkStride + ${kvHead} * ${columns}u;
  let dv = params.dvOffset + (tile.start + tile.query) * params.dvStride + ${kvHead} * ${columns}u;
  ${forOutputs(shape, (i, m, column) => `dKV[dk + ${i}u * params.dkStride + ${column}] = u${i}_${m} * params.scale; dKV[dv + ${i}u * params.dvStride + ${column}] = w${i}_${m};`)}`;
  const bindings = [
    'read> Q: array<#>',
    'read> K: array<#>',
    'read> V: array<#>',
    'read> dZ: array<#>',
    'read> tables: array<u32>',
    'read> stats: array<vec4f>', // [tokens, heads]: top, 1 / sum, D, 0
    'read_write> dKV: array<#>',
  ];
  return frame(
    bindings,
    body,
    shape,
    kvHeads,
    '  dkStride: u32,\n  dkOffset: u32,\n  dvStride: u32,\n  dvOffset: u32,',
  );
}

type Windows = Geometry & {
  readonly dHead: number;
  readonly q: HeadsAt;
  readonly k: HeadsAt;
  readonly v: HeadsAt;
  readonly dz: HeadsAt;
  readonly scale: number;
};

function launch(
  o: Windows,
  outputs: Readonly<Record<string, HeadsAt>>,
  prefix: boolean,
  heads: number,
  source: (shape: Shape) => string,
  caps: Caps,
): Launch {
  const windows: Record<string, HeadsAt> = { q: o.q, k: o.k, v: o.v, dz: o.dz, ...outputs };
  const { type, step } = elementType(o.dHead, Object.values(windows));
  const shape = shapeOf(o, type, prefix, caps);
  const which = Object.keys(outputs).join('');
  const name = `attentionGradient/${which}/${type}/${headsName(o)}x${o.dHead}/${shapeName(shape)}`;
  const places = Object.entries(windows).flatMap(([of, { stride, offset }]) => [
    [`${of}Stride`, stride / step],
    [`${of}Offset`, offset / step],
  ]);
  return {
    kernel: kernel(name, () => source(shape)),
    params: {
      rowTable: o.rowTable,
      tileTable: o.tileTable,
      tiles: o.tiles,
      scale: o.scale,
      ...sightParams(shape),
      ...Object.fromEntries(places),
    },
    grid: line(o.tiles * heads),
  };
}

/**
 * dQ of Z = softmax(q · k · scale, causal) · v, and what `fusedKeyGradient` needs to know of each query.
 * Buffers: Q, K, V, dZ, tables u32, with `prefix` store [slots, 2, kvHeads · dHead], dQ, stats [tokens,
 * heads, 4].
 */
export function fusedQueryGradient(o: Windows & { dq: HeadsAt; prefix: boolean }, caps: Caps): Launch {
  return launch(o, { dq: o.dq }, o.prefix, o.heads, queryWgsl, caps);
}

/**
 * dK and dV of the same, for own keys.
 * Buffers: Q, K, V, dZ, tables u32, stats [tokens, heads, 4], dKV: one buffer with both windows.
 */
export function fusedKeyGradient(o: Windows & { dk: HeadsAt; dv: HeadsAt }, caps: Caps): Launch {
  return launch(o, { dk: o.dk, dv: o.dv }, false, o.kvHeads ?? o.heads, keyWgsl, caps);
}
