/**
 * The two runs between which a result is scaled, and whether a scale between them means anything. Where both runs have
 * (nearly) the same metric, or the clean one prefers its answer less than the corrupted one, a share of their difference
 * is a share of nothing: figures say so first, and show the change itself on a scale that is not stretched.
 */

import type { MetricUnit } from '../../hooks/run/metric.js';
import { shownJson } from '../../weights/checks/messages.js';
import { exact, percent, visible } from './text.js';

/** The metric of two runs. */
export interface Ends {
  /** Of the run at 0: corrupted, or with noise. */
  readonly zero: number;
  /** Of the run at 1: clean. */
  readonly one: number;
  /** What the metric is measured in; null: anything else. */
  readonly unit: MetricUnit | null;
  /** What the runs are called. Default: corrupted and clean. */
  readonly names?: readonly [zero: string, one: string];
  /** The metric's name, for the sentence. */
  readonly metric: string;
}

/** Runs whose metric differs by less than this part of the larger one count as equal (probabilities; other units). */
const PART = 0.01;
/** Logits, log-probabilities and their differences: in nats. */
const NATS = 0.05;
/** A scale spans at least this part of the way from one run to the other. */
export const LEAST_SHARE = 0.001;
/** Where nothing says what is large: what f32 cannot tell from zero beside a number of 1. */
const TINY = 1e-7;

/** Why a scale between the two runs means nothing, as one sentence; null: it means what it says. */
export function endsProblem({
  zero,
  one,
  unit,
  metric,
  names = ['corrupted', 'clean'],
}: Ends): string | null {
  if (!Number.isFinite(zero) || !Number.isFinite(one)) return null; // said where it is computed
  const said = `${shownMetric(metric)} is ${exact(one)} in the ${names[1]} run and ${exact(zero)} in the ${names[0]} one`;
  const apart = Math.abs(one - zero);
  const same = unit === 'logit' ? apart < NATS : apart < PART * Math.max(Math.abs(zero), Math.abs(one));
  if (same) return `${said}: there is (almost) no difference to restore.`;
  if (unit !== null && one < zero && names[1] === 'clean')
    return `${said}: the clean run prefers the answer less than the ${names[0]} one does.`;
  return null;
}

/** Where a scale ends that is not stretched: 1 for probabilities, else the larger |metric|, and at least 1. */
export const fullScale = ({ zero, one, unit }: Pick<Ends, 'zero' | 'one' | 'unit'>): number =>
  unit === 'probability' ? 1 : Math.max(1, Math.abs(zero), Math.abs(one));

/** The shortest scale, in units of the metric, between two runs. */
export const leastSpan = ({ zero, one }: Pick<Ends, 'zero' | 'one'>): number =>
  LEAST_SHARE * Math.abs(one - zero);

/** What methods call the two runs between which they normalise. */
export const endNames: readonly (readonly [zero: string, one: string])[] = [
  ['corrupted', 'clean'],
  ['original', 'new'],
];

/** The runs that a result's provenance names; null: it names none, one value a prompt, or is not normalised. */
export function endsOf(meta: Readonly<Record<string, unknown>>): Ends | null {
  const names = endNames.find((pair) => pair.every((name) => typeof meta[name] === 'number'));
  if (!names || meta.normalize === false) return null;
  const unit = meta.unit === 'probability' || meta.unit === 'logit' ? meta.unit : null;
  const metric = typeof meta.metric === 'string' ? meta.metric : 'the metric';
  return { zero: meta[names[0]] as number, one: meta[names[1]] as number, unit, names, metric };
}

/**
 * Where a scale of a result ends at the earliest, in the result's units, so that rounding is not drawn in full colour: a
 * thousandth of the way from corrupted to clean, of the whole that is taken apart, or of what the base run has.
 */
export function leastOf({ meta }: { readonly meta: Readonly<Record<string, unknown>> }): number {
  if (endsOf(meta)) return LEAST_SHARE; // a share of the way
  const whole = ['logit', 'base'].map((name) => meta[name]).find((v) => typeof v === 'number');
  return Math.max(LEAST_SHARE * Math.abs((whole as number | undefined) ?? 0), TINY);
}

/** A token of a run, with its probability there. */
interface Told {
  readonly token: number;
  readonly text: string;
  readonly prob: number;
}

/** That a run prefers another token than the answer, as one sentence; null: the answer is its first choice. */
export function notFirst(
  metric: string,
  answer: Pick<Told, 'token' | 'text'>,
  answerProb: number,
  best: Told,
): string | null {
  if (answer.token === best.token) return null;
  const blank =
    answer.text !== best.text && answer.text.trim() === best.text.trim()
      ? `: did you mean ${shownJson(best.text)}?`
      : '';
  const [own, first] = [answerProb, best.prob].map((p) => percent(p));
  return `${shownMetric(metric)}: the clean run prefers ${visible(best.text)} (${first}) to the answer ${visible(answer.text)} (${own})${blank || '.'}`;
}

/** `meta.warnings`, where there are any. */
export function warningsIn(...warnings: readonly (string | null)[]): {
  readonly warnings?: readonly string[];
} {
  const list = warnings.filter((w) => w !== null);
  return list.length ? { warnings: list } : {};
}

/** The warnings in a result's provenance. */
export const warningsOf = (meta: Readonly<Record<string, unknown>>): readonly string[] =>
  Array.isArray(meta.warnings) ? meta.warnings.filter((w): w is string => typeof w === 'string') : [];

/** `logit(␣Mary) − logit(␣John)` for `logit(" Mary") − logit(" John")` */
export const shownMetric = (metric: string): string =>
  metric.replace(/"((?:[^"\\]|\\.)*)"/g, (_, token: string) => visible(token));
