/**
 * Gradients of picking rows: of embeddings, `gatherRows`. What was picked several times gets
 * the sum, always in the same order: no atomics. For rows, the host lists for each row who picked it.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { accumulate, kernel, perElement, perElementMain } from '../core/wgsl.js';

/**
 * Who picked what: u32 [distinct rows], [distinct + 1] beginnings, [n] places in `ids`, all one after
 * another.
 */
export interface Occurrences {
  readonly words: Uint32Array;
  readonly distinct: number;
}

/** Sorts ids into lists of places, in ascending order both. O(n log n). */
export function occurrences(ids: ArrayLike<number>): Occurrences {
  const places = Uint32Array.from({ length: ids.length }, (_, i) => i).sort(
    (a, b) => ids[a] - ids[b] || a - b,
  );
  const starts: number[] = [];
  places.forEach((place, i) => {
    if (i === 0 || ids[place] !== ids[places[i - 1]]) starts.push(i);
  });
  const distinct = starts.length;
  const words = new Uint32Array(2 * distinct + 1 + ids.length);
  words.set(starts.map((i) => ids[places[i]]));
  words.set(starts, distinct);
  words[2 * distinct] = ids.length;
  words.set(places, 2 * distinct + 1);
  return { words, distinct };
}

/**
 * dTable[row] (+)= Σ dY[i] over the places i that picked the row, for the rows that this chunk of the table
 * holds and that somebody picked; the others stay, so without `accumulate` clear dTable first where that
 * matters. Buffers: occurrences u32 (their `words`), dY [n, width], dTable rows row0 … row0 + rows − 1 [rows,
 * width].
 */
export function scatterRowsAdd(
  o: { distinct: number; width: number; row0?: number; rows: number; accumulate?: boolean },
  _caps: Caps,
): Launch {
  const step = o.width % 4 ? 1 : 4;
  const type = step === 4 ? 'vec4f' : 'f32';
  const columns = o.width / step;
  const term = (i: string) => `dY[lists[places + ${i}] * params.columns + column]`;
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> lists: array<u32>; // rows, beginnings, places
@group(0) @binding(1) var<storage, read> dY: array<${type}>; // [n, columns]
@group(0) @binding(2) var<storage, read_write> dTable: array<${type}>; // [rows, columns]
struct Params {
  n: u32, // distinct · columns
  distinct: u32,
  columns: u32, // width, in units of ${type}
  row0: u32, // first table row of this chunk
  rows: u32,
}
@group(1) @binding(0) var<uniform> params: Params;
${perElementMain()}
  let which = i / params.columns;
  let column = i % params.columns;
  let row = lists[which] - params.row0; // wraps round to a huge number below row0
  if (row >= params.rows) { return; }
  let start = lists[params.distinct + which];
  let end = lists[params.distinct + which + 1u];
  let places = 2u * params.distinct + 1u;
  ${accumulate({ name: 'sum', first: 'start', step: '1u', end: 'end', term, neutral: `${type}()` })}
  let at = row * params.columns + column;
  dTable[at] = sum${o.accumulate ? ' + dTable[at]' : ''};
}`;
  return {
    kernel: kernel(`scatterRowsAdd/${type}${o.accumulate ? '/accumulate' : ''}`, code),
    params: { n: o.distinct * columns, distinct: o.distinct, columns, row0: o.row0 ?? 0, rows: o.rows },
    grid: perElement(o.distinct * columns),
  };
}

/** Float64 reference of `scatterRowsAdd` from the ids themselves. */
export function scatterRowsAddReference(
  ids: ArrayLike<number>,
  dy: ArrayLike<number>,
  o: { width: number; row0: number; accumulate?: boolean },
  before: ArrayLike<number>,
): Float64Array {
  const out = Float64Array.from(before);
  const rows = before.length / o.width;
  const seen = new Set<number>();
  for (let i = 0; i < ids.length; i++) {
    const row = ids[i] - o.row0;
    if (row < 0 || row >= rows) continue;
    if (!o.accumulate && !seen.has(row)) out.fill(0, row * o.width, (row + 1) * o.width);
    seen.add(row);
    for (let c = 0; c < o.width; c++) out[row * o.width + c] += dy[i * o.width + c];
  }
  return out;
}

/** Checks. */
export const scatterAddFamily: Family = {
  name: 'scatter-add',
  about: 'dTable[ids[i]] (+)= dY[i], dTable [rows, width]',
  examples(caps) {
    const examples: Example[] = [];
    const rowIds = {
      'some several times': Uint32Array.of(3, 17, 10, 24, 9, 3, 19, 17, 17, 12),
      'one a hundred times': new Uint32Array(100).fill(15),
      'a single one': Uint32Array.of(19),
      'none in the chunk': Uint32Array.of(1, 2, 40),
    };
    for (const [title, ids] of Object.entries(rowIds))
      for (const width of [12, 39, 768])
        for (const accumulate of [false, true]) {
          const { words, distinct } = occurrences(ids);
          const [row0, rows] = [10, 10];
          const dy = noise(ids.length * width, 1);
          const before = noise(rows * width, 2);
          const o = { distinct, width, row0, rows, accumulate };
          examples.push({
            title: `rows, ${title}, width ${width}${accumulate ? ', accumulate' : ''}`,
            launch: scatterRowsAdd(o, caps),
            buffers: [words, dy, before],
            expected: [
              { binding: 2, values: scatterRowsAddReference(ids, dy, o, before), atol: 1e-5, rtol: 1e-6 },
            ],
          });
        }
    return examples;
  },
};
