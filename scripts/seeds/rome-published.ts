/** What the ROME notebook quotes of GPT-2 XL. */

import { readFileSync } from 'node:fs';
import type { AverageTrace, CausalTrace, WrongAnswer } from '../../index.js';
import { type Comparing, furthest, near } from './comparison.js';

/** See `source` in the file. */
export const published = JSON.parse(
  readFileSync(new URL('./published/rome.json', import.meta.url), 'utf8'),
) as {
  /** −log p after “About”. */
  readonly scores: Readonly<Record<string, number>>;
  /** Names that the text speaks of. */
  readonly quoted: readonly string[];
  /** Prompts and their tokens. */
  readonly tokens: Readonly<Record<string, readonly string[]>>;
  /** Three standard deviations of the embeddings of the subjects of known_1000.json. */
  readonly s3: number;
};

/** What the notebook gives back. */
export interface RomeComputed {
  readonly score: ReadonlyMap<string, number>;
  /** The next words of each template. */
  readonly answers: readonly { readonly name: string; readonly words: readonly string[] }[];
  readonly traces: readonly (readonly CausalTrace[])[];
}

/** What must hold for any model, and of GPT-2 XL every published number. */
export function compare(x: Comparing, { score, traces }: RomeComputed): void {
  for (const [state] of traces) {
    const { scores, highScore, lowScore, tokens, subject } = state;
    const [n, layers] = scores.shape;
    const at = (pos: number) => scores.values[pos * layers + layers - 1];
    const name = x.model.toString(tokens.slice(...subject)).trim();
    x.compare('exactness', [
      near(`${name}, clean`, highScore, at(n - 1), 1e-4),
      near(`${name}, corrupted`, lowScore, at(0), 1e-4),
    ]);
  }
  if (!x.published) return;
  x.compare(
    'tokens',
    Object.entries(published.tokens).map(([prompt, expected]) => ({
      name: prompt,
      expected: expected.join('|'),
      got: x.model.toStrTokens(prompt, { prependBos: false }).join('|'),
    })),
  );
  x.compare(
    'names',
    Object.entries(published.scores).map(([name, expected]) =>
      near(`−log p of ${name} after “About”`, expected, score.get(name) ?? Number.NaN, 0.006),
    ),
  );
}

/** What the notebook of averages gives back. */
export interface AveragesComputed {
  readonly s3: number;
  /** State, MLPs, attention; none where the model knows none of the facts. */
  readonly averages: readonly {
    readonly name: string;
    readonly traces: readonly (CausalTrace | WrongAnswer)[];
    readonly average: AverageTrace;
  }[];
  /** At the last token of the subject, layer by layer; the first with all paths. */
  readonly severed: readonly { readonly paths: string; readonly effect: readonly number[] }[];
}

/**
 * The noise of GPT-2 XL that was published, of the subjects of known_1000.json, and what must hold for any
 * model.
 */
export function compareAverages(x: Comparing, { s3, averages, severed }: AveragesComputed): void {
  x.compare('noise', [
    x.published
      ? near('three standard deviations of embeddings', published.s3, s3, 1e-6)
      : near('three standard deviations of embeddings, not negative', s3, Math.abs(s3), 0),
  ]);
  const layers = x.model.config.nLayers;
  for (const { name, traces, average } of averages) {
    const { effect, highScore, lowScore } = average;
    const row = (role: string) => {
      const at = effect.axes[0].labels.indexOf(role);
      return effect.values.subarray(at * layers, (at + 1) * layers);
    };
    const known = traces.filter((t): t is CausalTrace => t.correct);
    const byHand = Array.from({ length: layers }, (_, layer) => {
      const last = known.map(({ scores, subject }) => scores.values[(subject[1] - 1) * layers + layer]);
      return mean(last) - mean(known.map((t) => t.lowScore));
    });
    x.compare(`averages, ${name}`, [
      near('last token of the subject, by hand, furthest', 0, apart(byHand, row('Last subject token')), 1e-6),
      ...(name === 'state'
        ? [
            near(
              'last token, last layer: the total effect',
              highScore - lowScore,
              row('Last token')[layers - 1],
              1e-4,
            ),
            near(
              'last token of the subject, last layer: nothing',
              0,
              row('Last subject token')[layers - 1],
              1e-4,
            ),
          ]
        : []),
      ...(name === 'state' && severed.length
        ? [
            near(
              'all paths: the same average, furthest',
              0,
              apart(severed[0].effect, row('Last subject token')),
              1e-5,
            ),
          ]
        : []),
    ]);
  }
  if (severed.length)
    x.compare(
      'severed paths',
      severed.map(({ paths, effect }) => near(`${paths}, last layer: nothing`, 0, effect[layers - 1], 1e-4)),
    );
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const apart = (a: ArrayLike<number>, b: ArrayLike<number>) => furthest(Array.from(a, (v, i) => v - b[i]));
