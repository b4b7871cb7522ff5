/** Every number that pyvene's tutorial printed, of GPT-2 XL, and what its pictures show. */

import { readFileSync } from 'node:fs';
import { type PyveneStream, type PyveneTrace, pyveneTopVals } from '../../index.js';
import type { Comparison } from '../../interp/figures/compare.js';
import type { Comparing } from './comparison.js';

type TopTen = readonly (readonly [token: string, prob: number])[];
const published = JSON.parse(readFileSync(new URL('./published/pyvene.json', import.meta.url), 'utf8')) as {
  prompt: string;
  ids: number[];
  answer: { text: string; token: number };
  noise: number;
  clean: TopTen;
  corrupted: TopTen;
};

const STREAMS: readonly PyveneStream[] = ['block_output', 'mlp_activation', 'attention_output'];
const formatToken = (text: string): string =>
  pyveneTopVals([{ text, prob: 0 }])[0]
    .slice(0, -4)
    .trimEnd();

/** What must hold for any model, and of GPT-2 XL every published number. */
export function compare(
  x: Comparing,
  { traces }: { readonly traces: ReadonlyMap<PyveneStream, PyveneTrace> },
): void {
  x.compare('exactness', exactness(traces.get('block_output')!));
  if (x.published) comparePublished(x, traces);
}

/** The value at a layer and position. */
const cell = ({ prob }: PyveneTrace, layer: number, pos: number): number =>
  prob.values[layer * prob.shape[1] + pos];

/** After the last layer only the last token counts: it restores everything, the others nothing. */
function exactness(trace: PyveneTrace): Comparison[] {
  const [layers, positions] = trace.prob.shape;
  const { highScore: clean, lowScore: corrupted } = trace;
  return Array.from({ length: positions }, (_, pos) => {
    const last = pos === positions - 1;
    return {
      name: `${trace.prob.axes[1].labels[pos]}, last layer: ${last ? 'clean' : 'corrupted'} p`,
      expected: last ? clean : corrupted,
      got: cell(trace, layers - 1, pos),
      tolerance: 1e-4,
    };
  });
}

function comparePublished(x: Comparing, traces: ReadonlyMap<PyveneStream, PyveneTrace>): void {
  const trace = traces.get('block_output')!;
  const { answer, tokens } = trace;
  const ids = published.ids.map((id, i) => ({
    name: `id of token ${i}`,
    expected: id,
    got: tokens[i] ?? Number.NaN,
  }));
  x.compare('tokens', [
    ...ids,
    { name: `id of “${published.answer.text}”`, expected: published.answer.token, got: answer.token },
  ]);
  for (const [name, relative] of [
    ['clean', 1e-3],
    ['corrupted', 1e-2],
  ] as const)
    x.compare(
      `${name} run`,
      published[name].flatMap(([token, prob], i) => [
        { name: `${name} ${i + 1}`, expected: token, got: formatToken(trace[name][i]?.text ?? '') },
        {
          name: `p of ${name} ${i + 1}`,
          expected: prob,
          got: trace[name][i]?.prob ?? Number.NaN,
          tolerance: Number((relative * prob).toPrecision(2)),
        },
      ]),
    );
  x.compare('figures, as read by eye', readByEye(traces));
}

/** What the three pictures show: where the answer is nearly whole, and where the windows work best. */
function readByEye(traces: ReadonlyMap<PyveneStream, PyveneTrace>): Comparison[] {
  const [block, mlp, attention] = STREAMS.map((s) => traces.get(s)!);
  const least = (trace: PyveneTrace, pos: number, from: number, to: number) =>
    Math.min(...Array.from({ length: to - from + 1 }, (_, i) => cell(trace, from + i, pos)));
  const above = (name: string, value: number, floor: number): Comparison => ({
    name,
    expected: `above ${floor}`,
    got: value > floor ? `above ${floor}` : String(Number(value.toPrecision(4))),
  });
  const peak = (name: string, trace: PyveneTrace, pos: number, from: number, to: number): Comparison => {
    const all = Array.from({ length: trace.prob.shape[0] }, (_, l) => cell(trace, l, pos));
    const at = all.indexOf(Math.max(...all));
    return { name, expected: `${from}–${to}`, got: at >= from && at <= to ? `${from}–${to}` : String(at) };
  };
  const most = (trace: PyveneTrace, pos: number) =>
    Math.max(...Array.from({ length: trace.prob.shape[0] }, (_, l) => cell(trace, l, pos)));
  return [
    above('block_output, le, layers 10–27: least p', least(block, 3, 10, 27), 0.9),
    above('block_output, downtown, layers 36–47: least p', least(block, 6, 36, 47), 0.9),
    peak('mlp_activation, le: layer of the peak', mlp, 3, 13, 15),
    above('mlp_activation, le: peak', most(mlp, 3), 0.9),
    peak('attention_output, downtown: layer of the peak', attention, 6, 32, 34),
    { name: 'attention_output, downtown: peak', expected: 0.83, got: most(attention, 6), tolerance: 0.05 },
  ];
}
