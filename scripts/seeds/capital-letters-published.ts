/** Every number that "Learning Capital Letters" printed or plotted, of GPT-2 small. */

import { readFileSync } from 'node:fs';
import type { FittedPair, FittedPairs, Labelled, PromptTest, ResidualAttribution } from '../../index.js';
import { type Comparing, furthest, near, PRINTED, type PublishedTest, testRows } from './comparison.js';
import { attentionAddsUp, headsAddUp, lastState } from './exactness.js';
import { attributionRows, type Grid, gridRows, type PublishedAttribution } from './published-rows.js';

/** See `source` in the file. */
export const published = JSON.parse(
  readFileSync(new URL('./published/capital-letters.json', import.meta.url), 'utf8'),
) as PublishedAttribution & {
  testPrompt: PublishedTest;
  answerTokens: Record<string, number>;
  tokens: number;
  average: number;
  corrupted: number;
  perPrompt: number[];
  /** From the last state of the residual stream, without b_U. */
  finalResidual: number;
  finalLogits: { prompt: string; first: number[]; last: number[]; difference: number };
} & Record<'resid_pre' | 'attn_out' | 'mlp_out' | 'z', Grid>;

/** What the notebook gives back. */
export interface CapitalLettersComputed {
  readonly fitted: FittedPairs;
  readonly patterns: Labelled;
  readonly each: readonly number[];
  readonly average: number;
  readonly low: number;
  readonly projected: number;
  readonly bias: number;
  readonly said: ResidualAttribution;
  readonly maps: Readonly<Record<string, Labelled>>;
  readonly finalLogits: Float32Array;
  readonly test: PromptTest;
}

const SITES = ['resid_pre', 'attn_out', 'mlp_out', 'z'] as const;

/** What must hold for any model, and of GPT-2 small every published number. */
export function compare(x: Comparing, got: CapitalLettersComputed): void {
  const { average, projected, bias, said, maps } = got;
  const { pairs } = got.fitted;
  x.compare('exactness', [
    ...lastState(x.model, 'last state + b_U − average', projected + bias - average),
    near(
      'layers add up to the last state',
      0,
      said.layers.values.reduce((a, b) => a + b, 0) - projected,
      1e-4,
    ),
    headsAddUp(x.model, said, got.fitted),
    attentionAddsUp([got.patterns]),
    ...exactness(x, pairs, maps),
  ]);
  if (!x.published) return;
  x.compare(`test prompt “${published.testPrompt.prompt}”`, testRows(published.testPrompt, got.test));
  const { model } = x;
  x.compare('tokens', [
    near('tokens a prompt', published.tokens, model.toTokens(pairs[0].clean)[0].length, 0),
    ...Object.entries(published.answerTokens).map(([text, id]) =>
      near(`id of “${text}”`, id, model.toTokens(text, { prependBos: false })[0][0], 0),
    ),
  ]);
  x.compare('averages', [
    near('average', published.average, average, 1e-3),
    near('corrupted average', published.corrupted, got.low, PRINTED),
    near('from the residual stream', published.finalResidual, projected, 1e-3),
    near('what b_U explains', published.average - published.finalResidual, bias, 1e-3),
  ]);
  x.compare(
    'logit differences',
    published.perPrompt.map((expected, i) =>
      near(pairs[i]?.clean ?? String(i), expected, got.each[i] ?? Number.NaN, 1e-3),
    ),
  );
  const { first, last, difference, prompt } = published.finalLogits;
  const start = got.finalLogits.length - last.length;
  const [good, bad] = [' He', ' he'].map((a) => model.toTokens(a, { prependBos: false })[0][0]);
  x.compare(`final logits of “${prompt}”`, [
    ...first.map((v, i) => near(`final logit ${i}`, v, got.finalLogits[i], 1e-3)),
    ...last.map((v, i) => near(`final logit ${start + i}`, v, got.finalLogits[start + i], 1e-3)),
    near('David, difference', difference, got.finalLogits[good] - got.finalLogits[bad], 1e-3),
  ]);
  for (const [title, rows] of attributionRows(published, said)) x.compare(title, rows);
  for (const at of SITES)
    if (maps[at])
      x.compare(
        `patching ${at}`,
        gridRows(at, published[at], maps[at], (v) => (v === 0 || v === 1 ? 1e-5 : 1e-3)),
      );
}

/** Where only the last token differs, nothing but it attends to it: there it is all, elsewhere nothing. */
function exactness({ model }: Comparing, pairs: readonly FittedPair[], maps: CapitalLettersComputed['maps']) {
  const differing = new Set<number>();
  for (const { clean, corrupted } of pairs) {
    const [a, b] = [clean, corrupted].map((text) => model.toTokens(text)[0]);
    a.forEach((t, p) => {
      if (t !== b[p]) differing.add(p);
    });
  }
  const last = model.toTokens(pairs[0].clean)[0].length - 1;
  if (differing.size !== 1 || !differing.has(last)) return [];
  const column = (at: string, isLast: boolean, minus = 0) => {
    const { values, shape } = maps[at];
    return furthest(
      [...values].filter((_, i) => (i % shape[1] === shape[1] - 1) === isLast).map((v) => v - minus),
    );
  };
  return [
    near('resid_pre: last − 1, furthest', 0, column('resid_pre', true, 1), 1e-5),
    ...['resid_pre', 'attn_out', 'mlp_out'].flatMap((at) =>
      maps[at] ? [near(`${at}: others, furthest`, 0, column(at, false), 1e-5)] : [],
    ),
  ];
}
