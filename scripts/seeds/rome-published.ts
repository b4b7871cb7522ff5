/** What the ROME notebook quotes of GPT-2 XL. */

import { readFileSync } from 'node:fs';
import type { CausalTrace } from '../../index.js';
import { type Comparing, near } from './comparison.js';

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

/** The noise of GPT-2 XL that was published, of the subjects of known_1000.json. */
export function compareAverages(x: Comparing, { s3 }: { readonly s3: number }): void {
  x.compare('noise', [
    x.published
      ? near('three standard deviations of embeddings', published.s3, s3, 1e-6)
      : near('three standard deviations of embeddings, not negative', s3, Math.abs(s3), 0),
  ]);
}
