/**
 * Token and position embeddings, and the picking of rows. Tables too large for one binding come in chunks of
 * rows: one launch a chunk, each writes only what its chunk holds.
 */

import { type Caps, type Family, type Launch, lineIndex, noise } from '../core/kernel.js';
import {
  isQuantised,
  packed,
  type Stored,
  type StoredWeights,
  storedName,
  storedWgsl,
  weight1,
  weight4,
  weightTypes,
} from '../core/stored.js';
import { kernel, perElement, WG } from '../core/wgsl.js';

/** Float64 reference: rows `ids[i]` of a table, where it has them. */
export function gatherRowsReference(
  ids: ArrayLike<number>,
  table: ArrayLike<number>,
  width: number,
  row0: number,
  before: ArrayLike<number>,
): Float64Array {
  const y = Float64Array.from(before);
  const rows = table.length / width;
  for (let i = 0; i < ids.length; i++)
    if (ids[i] >= row0 && ids[i] < row0 + rows)
      for (let c = 0; c < width; c++) y[i * width + c] = table[(ids[i] - row0) * width + c];
  return y;
}

const tableType = (stored: Stored, step: number): string => weightTypes(stored)[step === 4 ? 'four' : 'one'];
const tableAt = (stored: Stored, step: number, name: string, i: string): string =>
  (step === 4 ? weight4 : weight1)(stored, name, i);

/**
 * Y = W_E[token] + W_pos[position], for the tokens that this chunk of W_E holds.
 * Buffers: ids u32 [2, tokens] (token ids, then positions), W_E rows row0 … row0 + rows − 1 [rows, width],
 * W_pos [nCtx, width], Y [tokens, width].
 */
export function embed(
  o: { tokens: number; width: number; row0: number; rows: number } & StoredWeights,
  _caps: Caps,
): Launch {
  const { stored = 'f32' } = o;
  const step = o.width % 4 ? 1 : 4;
  const type = step === 4 ? 'vec4f' : 'f32';
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> ids: array<u32>; // [2, tokens]
@group(0) @binding(1) var<storage, read> W_E: array<${tableType(stored, step)}>; // [rows, columns]
@group(0) @binding(2) var<storage, read> W_pos: array<${type}>; // [nCtx, columns]
@group(0) @binding(3) var<storage, read_write> Y: array<${type}>; // [tokens, columns]
struct Params {
  tokens: u32,
  columns: u32, // width, in units of ${type}
  row0: u32, // first vocabulary row of this chunk
  rows: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${storedWgsl(stored, 'W_E')}

@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i >= params.tokens * params.columns) { return; }
  let t = i / params.columns;
  let c = i % params.columns;
  let row = ids[t] - params.row0; // wraps round to a huge number below row0
  if (row >= params.rows) { return; }
  Y[i] = ${tableAt(stored, step, 'W_E', 'row * params.columns + c')} + W_pos[ids[params.tokens + t] * params.columns + c];
}`;
  const columns = o.width / step;
  return {
    kernel: kernel(`embed/${type}${storedName(stored)}`, code),
    params: { tokens: o.tokens, columns, row0: o.row0, rows: o.rows },
    grid: perElement(o.tokens * columns),
  };
}

/**
 * Y[i] = table[ids[idsOffset + i]], for the rows that this chunk of the table holds.
 * Buffers: ids u32, table rows row0 … row0 + rows − 1 [rows, width], Y [n, width].
 */
export function gatherRows(
  o: { n: number; width: number; row0?: number; rows: number; idsOffset?: number } & StoredWeights,
  _caps: Caps,
): Launch {
  const { stored = 'f32' } = o;
  const step = o.width % 4 ? 1 : 4;
  const type = step === 4 ? 'vec4f' : 'f32';
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> X: array<${tableType(stored, step)}>; // [rows, columns]
@group(0) @binding(2) var<storage, read_write> Y: array<${type}>; // [n, columns]
struct Params {
  n: u32,
  columns: u32, // width, in units of ${type}
  row0: u32, // first table row of this chunk
  rows: u32,
  idsOffset: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${storedWgsl(stored, 'X')}

@compute @workgroup_size(${WG})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = ${lineIndex} * ${WG}u + lane;
  if (i >= params.n * params.columns) { return; }
  let row = ids[params.idsOffset + i / params.columns] - params.row0; // wraps round below row0
  if (row >= params.rows) { return; }
  Y[i] = ${tableAt(stored, step, 'X', 'row * params.columns + i % params.columns')};
}`;
  const columns = o.width / step;
  return {
    kernel: kernel(`gatherRows/${type}${storedName(stored)}`, code),
    params: { n: o.n, columns, row0: o.row0 ?? 0, rows: o.rows, idsOffset: o.idsOffset ?? 0 },
    grid: perElement(o.n * columns),
  };
}

/** Checks of the embeddings. */
export const embedFamily: Family = {
  name: 'embed',
  about: 'Y = W_E[token] + W_pos[position], chunk by chunk; Y = table[ids]; Y [tokens, width]',
  examples: (caps) =>
    [12, 39, 768].flatMap((width) => {
      const tokens = Uint32Array.of(3, 17, 10, 24, 9, 3, 19);
      const positions = Uint32Array.of(0, 1, 2, 5, 0, 1, 7);
      const ids = Uint32Array.of(...tokens, ...positions);
      const n = tokens.length;
      const [row0, rows] = [10, 10]; // tokens 17, 10 and 19 lie in the chunk
      const wPos = noise(8 * width, 2);
      const before = noise(n * width, 3);
      const pos = gatherRowsReference(positions, wPos, width, 0, before);
      const inside = (i: number) => {
        const t = tokens[Math.floor(i / width)];
        return t >= row0 && t < row0 + rows;
      };
      const gather = (
        idsOffset: number,
        numbers: Float32Array,
        row0: number,
        title: string,
        stored: Stored,
      ) => {
        const { rounded: table, words } = packed(numbers, stored);
        return {
          title: `gatherRows, ${title}, width ${width}, ${stored}`,
          launch: gatherRows({ n, width, row0, rows: table.length / width, idsOffset, stored }, caps),
          buffers: [ids, words, before],
          expected: [
            {
              binding: 2,
              values: gatherRowsReference(ids.subarray(idsOffset, idsOffset + n), table, width, row0, before),
              atol: 0,
              rtol: 0,
            },
          ],
        };
      };
      const all: Stored[] = ['f32', 'f16', 'Q8_0', 'Q4_0', 'Q4_1'];
      const able = all.filter(
        (stored) => width % (isQuantised(stored) ? 32 : stored === 'f16' ? 4 : 1) === 0,
      );
      return able.flatMap((stored) => {
        const numbers = noise(rows * width, 1);
        const { rounded: chunk, words } = packed(numbers, stored);
        const tok = gatherRowsReference(tokens, chunk, width, row0, before);
        return [
          {
            title: `embed, ids inside and outside the chunk, width ${width}, ${stored}`,
            launch: embed({ tokens: n, width, row0, rows, stored }, caps),
            buffers: [ids, words, wPos, before],
            // Adding 1e-7: Q4_1's d·q + m may be rounded once, or twice.
            expected: [
              { binding: 3, values: before.map((x, i) => (inside(i) ? tok[i] + pos[i] : x)), atol: 2e-7 },
            ],
          },
          gather(0, numbers, row0, 'ids inside and outside the chunk', stored),
          ...(stored === 'f32' ? [gather(n, wPos, 0, 'second half of the ids', stored)] : []),
        ];
      });
    }),
};
