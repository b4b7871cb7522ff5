/**
 * Who does GPT-2 know? 200 first names × 100 last names after “About”, scored by their log-probability. A
 * sample of the first names, each with all last names; half of the last names are two tokens, as GPT-2's
 * tokenizer has them.
 */

import type { TextsWork } from '../../hooks/texts/run-trie.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';
import type { Candidate } from './measure.js';
import { ratio } from './measure.js';
import { someTokens } from './model.js';
import type { Bench, Entry, Section } from './section.js';

const FIRST = 200;
const LAST = 100;
const LOOPED = 5;

/** Many texts. */
export const names: Section = {
  id: 'names',
  title: 'Scoring 20,000 names',
  about:
    'logProbs of a sample, which runs what names share once; the loop scores each by itself (a few are timed and compared). all: 20,000 names, from the sample',
  columns: () => [
    { key: 'names', label: 'names', digits: 0 },
    { key: 'seconds', label: 's', digits: 2 },
    { key: 'perSecond', label: 'names/s', digits: 0 },
    { key: 'loopPerSecond', label: 'loop, names/s' },
    { key: 'times', label: 'faster', unit: '×' },
    { key: 'allSeconds', label: 'all, s', digits: 0 },
    { key: 'work', label: 'work', unit: ' %' },
  ],
  async *run(b: Bench): AsyncGenerator<Entry> {
    const { quick, rounds, clock } = b.settings;
    const model = await b.model();
    const firsts = quick ? 2 : 10;
    const rows = someNames(firsts, model.config.dVocab);
    const alone = rows.filter((_, i) => i % Math.floor(rows.length / LOOPED) === 0).slice(0, LOOPED);
    const together = scored(model, rows);
    const loop = scored(model, alone, true);
    const [a, c] = await b.measure([together, loop], { rounds: Math.min(rounds, 3), minMs: 1 });
    for (const [i, row] of alone.entries()) {
      const [x, y] = [together.sums[rows.indexOf(row)], loop.sums[i]];
      if (!(Math.abs(x - y) <= 1e-4)) throw new Error(`name ${row}: together ${x}, alone ${y}`);
    }
    const { tokens, naiveTokens } = together.work!;
    const scale = rows.length / alone.length;
    yield {
      section: 'names',
      name: `${firsts} first names × ${LAST} last names`,
      figures: {
        names: rows.length,
        seconds: b.ms(a) / 1000,
        perSecond: (1000 * rows.length) / b.ms(a),
        loopPerSecond: (1000 * alone.length) / b.ms(c),
        times: scale * ratio(c, a, clock),
        allSeconds: ((b.ms(a) / 1000) * FIRST) / firsts,
        work: (100 * tokens) / naiveTokens,
      },
      samples: { ours: a, loop: c },
    };
  },
};

function someNames(firsts: number, dVocab: number): number[][] {
  const [about, ...all] = someTokens(1 + firsts + 2 * LAST, dVocab);
  const last = all.slice(firsts);
  return all
    .slice(0, firsts)
    .flatMap((first) =>
      Array.from({ length: LAST }, (_, i) => [
        about,
        first,
        last[2 * i],
        ...(i % 2 ? [last[2 * i + 1]] : []),
      ]),
    );
}

/** Sums of log-probabilities, of all rows in one call or one by one. */
function scored(
  model: HookedTransformer,
  rows: readonly number[][],
  oneByOne = false,
): Candidate & { sums: number[]; work: TextsWork | null } {
  return {
    name: oneByOne ? 'loop' : 'logProbs',
    sums: [],
    work: null,
    async run(repeats) {
      const onWork = (work: TextsWork) => {
        this.work = work;
      };
      for (let i = 0; i < repeats; i++) {
        const lps: Float32Array[] = [];
        for (const part of oneByOne ? rows.map((row) => [row]) : [rows])
          lps.push(...(await model.logProbs(part, { onWork })));
        this.sums = lps.map((lp) => lp.reduce((a, b) => a + b, 0));
      }
    },
  };
}
