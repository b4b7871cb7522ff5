/**
 * WGSL for the gradients of fused attention: four rows that a workgroup owns (queries or keys) meet a stream
 * of others (keys or queries), block by block. Within a block a thread first owns rows of the stream: two
 * products with each of the four, kept as vec4f, so that a row is loaded once for all four. Then it owns
 * columns: it adds the block's rows, weighted, to two sets of four accumulators.
 */

import { repeat } from '../core/kernel.js';
import { columnsOf, type Shape } from './attention-fused.js';
import { QUERY_TILE } from './attention-layout.js';

/** Once for each of the four, as unrolled WGSL. */
export const forFour = (f: (i: number) => string, join = '\n') => repeat(QUERY_TILE, f, join);

/** The rows that stream by a workgroup, and what becomes of them. */
export interface Stream {
  /** Buffers of the four that the workgroup owns (rows at a0 …, b0 …), and of those that stream by. */
  readonly own: readonly [a: string, b: string];
  readonly by: readonly [a: string, b: string];
  /** Where row `r` of the stream begins in either buffer. */
  readonly at: readonly [a: (r: string) => string, b: (r: string) => string];
  readonly first: string;
  readonly end: string;
  /** Which of the four row `r` meets: vec4<bool>. */
  readonly meets: (r: string) => string;
  /**
   * Statements from the products `s{j}`, `t{j}` (a · a, b · b) of a thread's rows `row{j}` to weights `f{j}`,
   * `g{j}`.
   */
  readonly weigh: string;
  /** Factor on the accumulators before a block is added, or null. */
  readonly keep: string | null;
  /** Which of the two buffers is summed up by the weights f, and which by g. */
  readonly sums: readonly [f: 0 | 1, g: 0 | 1];
}

/** The loop over a stream: adds to `u{i}_{m}` by the weights f, to `w{i}_{m}` by g. */
export function overRows(o: Stream, shape: Shape): string {
  const { team, keys: rows } = shape;
  const lanes = team.threads;
  const { owned } = columnsOf(shape);
  const forRows = (f: (j: number) => string) => repeat(rows, f);
  return /* wgsl */ `
  for (var first = ${o.first}; first < ${o.end}; first += ${lanes * rows}u) {
    ${forRows((j) => `let row${j} = first + lane + ${lanes * j}u;`)}
    ${forRows((j) => `let safe${j} = min(row${j}, ${o.end} - 1u); let p${j} = ${o.at[0](`safe${j}`)}; let r${j} = ${o.at[1](`safe${j}`)};`)}
    ${forRows((j) => `var s${j} = vec4f(); var t${j} = vec4f();`)}
    ${team.subgroup ? productsBySubgroup(o, shape) : productsByWorkgroup(o, shape)}
    ${forRows((j) => `let m${j} = ${o.meets(`row${j}`)};`)}
    ${o.weigh}
    ${o.keep ? repeat(owned, (m) => forFour((i) => `u${i}_${m} *= ${o.keep}[${i}]; w${i}_${m} *= ${o.keep}[${i}];`, ' ')) : ''}
    ${team.subgroup ? sumsBySubgroup(o, shape) : sumsByWorkgroup(o, shape)}
  }`;
}

/** Adds column `c`: x0 …, z0 … are the column of the four own rows. */
function productsOfColumn({ by }: Stream, c: string, { type, keys: rows }: Shape): string {
  const dot = (a: string, b: string) => (type === 'vec4f' ? `dot(${a}, ${b})` : `${a} * ${b}`);
  return repeat(
    rows,
    (j) => `{ let y = ${by[0]}[p${j} + ${c}]; s${j} += vec4f(${forFour((i) => dot(`x${i}`, 'y'), ', ')});
        let v = ${by[1]}[r${j} + ${c}]; t${j} += vec4f(${forFour((i) => dot(`z${i}`, 'v'), ', ')}); }`,
  );
}

const productsByWorkgroup = (o: Stream, shape: Shape): string => /* wgsl */ `
    for (var c = 0u; c < ${columnsOf(shape).columns}u; c++) {
      ${forFour((i) => `let x${i} = ${o.own[0]}[a${i} + c]; let z${i} = ${o.own[1]}[b${i} + c];`)}
      ${productsOfColumn(o, 'c', shape)}
    }`;

/** As above, but each lane loads one column of the own rows and hands it to the others. */
function productsBySubgroup(o: Stream, shape: Shape): string {
  const { columns, owned } = columnsOf(shape);
  const lanes = shape.team.threads;
  const column = (l: number) => /* wgsl */ `{
        ${forFour((i) => `let x${i} = subgroupBroadcast(mineA${i}, ${l}u); let z${i} = subgroupBroadcast(mineB${i}, ${l}u);`)}
        ${productsOfColumn(o, `c + ${l}u`, shape)}
      }`;
  const guarded = (l: number) =>
    columns % lanes === 0 || l === 0 ? column(l) : `if (c + ${l}u < ${columns}u) ${column(l)}`;
  return /* wgsl */ `
    for (var c = 0u; c < ${owned * lanes}u; c += ${lanes}u) {
      let mine = min(c + lane, ${columns - 1}u);
      ${forFour((i) => `let mineA${i} = ${o.own[0]}[a${i} + mine]; let mineB${i} = ${o.own[1]}[b${i} + mine];`)}
      ${repeat(lanes, guarded)}
    }`;
}

/**
 * Adds a row of the stream, of which `f` and `g` are the weights, to the accumulators of column block `m`.
 */
function addRow({ by, sums }: Stream, m: number, column: string): string {
  const from = (which: 0 | 1) => `${by[which]}[at${which} + ${column}]`;
  const add = (name: string, weight: string) =>
    forFour((i) => `${name}${i}_${m} += ${weight}[${i}] * v;`, ' ');
  return sums[0] === sums[1]
    ? `{ let v = ${from(sums[0])}; ${add('u', 'f')} ${add('w', 'g')} }`
    : `{ let v = ${from(sums[0])}; ${add('u', 'f')} } { let v = ${from(sums[1])}; ${add('w', 'g')} }`;
}

const rowStarts = ({ at, sums }: Stream, row: string): string =>
  [...new Set(sums)].map((which) => `let at${which} = ${at[which](row)};`).join(' ');

function sumsByWorkgroup(o: Stream, shape: Shape): string {
  const lanes = shape.team.threads;
  const { columns, owned } = columnsOf(shape);
  const column = (m: number) => /* wgsl */ `if (lane + ${m * lanes}u < ${columns}u) {
      for (var k = 0u; k < here; k++) {
        let f = weights[2u * k];
        let g = weights[2u * k + 1u];
        ${rowStarts(o, '(first + k)')}
        ${addRow(o, m, `lane + ${m * lanes}u`)}
      }
    }`;
  return /* wgsl */ `${repeat(shape.keys, (j) => `weights[2u * (lane + ${lanes * j}u)] = f${j}; weights[2u * (lane + ${lanes * j}u) + 1u] = g${j};`)}
    workgroupBarrier();
    let here = min(${lanes * shape.keys}u, ${o.end} - first);
    ${repeat(owned, column)}
    workgroupBarrier(); // before the next block's weights`;
}

function sumsBySubgroup(o: Stream, shape: Shape): string {
  const lanes = shape.team.threads;
  const { columns, owned } = columnsOf(shape);
  return repeat(
    shape.keys,
    (j) => /* wgsl */ `for (var k = 0u; k < ${lanes}u && first + ${lanes * j}u + k < ${o.end}; k++) {
      let f = subgroupShuffle(f${j}, k);
      let g = subgroupShuffle(g${j}, k);
      ${rowStarts(o, `(first + ${lanes * j}u + k)`)}
      ${repeat(owned, (m) => addRow(o, m, `min(lane + ${m * lanes}u, ${columns - 1}u)`))}
    }`,
  );
}
