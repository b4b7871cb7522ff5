/**
 * What an experiment takes for granted, held against the two runs: that the clean run prefers the answer, and
 * that the corruption changes it. Said beside the field, with what would mend it.
 */

import { metricNames } from '../../interp/logits/metric-names.js';
import { type Ends, endsProblem } from '../../interp/results/ends.js';
import { percent, visible } from '../../interp/results/text.js';
import type { MetricName } from '../worker/handlers/patch-map.js';
import type { Guess } from '../worker/predictions.js';
import type { Experiment, Found, MapState, State } from './state.js';

/** What is said beside a field. */
export interface Hint {
  readonly text: string;
  /** What a click does. */
  readonly fix: { readonly label: string; readonly change: Partial<Experiment> } | null;
}

/** The metric of an experiment, as the library names it, and its unit. */
function metricOf(metric: MetricName, answer: string, wrong: string): Pick<Ends, 'unit'> & { name: string } {
  const [one, other] = [answer, wrong].map((text) => JSON.stringify(text));
  if (metric === 'logit-diff') return { name: metricNames.logitDiff(one, other), unit: 'logit' };
  return metric === 'prob'
    ? { name: metricNames.prob(one), unit: 'probability' }
    : { name: metricNames.logProb(one), unit: 'logit' };
}

/** The ends of a map's scale; null while they are not known. */
export function endsOfMap({ ends, of }: MapState): Ends | null {
  if (!ends) return null;
  const { metric, answer, wrong } = of.experiment;
  const { name, unit } = metricOf(metric, answer, wrong);
  return { zero: ends.corrupted, one: ends.clean, unit, metric: name };
}

/** The next tokens, while they are those of what the fields say. */
function current({ next, experiment, prompts }: State): Found<NonNullable<State['next']>['value']> | null {
  const read = next?.of.prompts;
  if (!next || !read || read.hash !== prompts?.hash) return null;
  const names = ['clean', 'corrupted', 'answer', 'wrong', 'bos', 'written', 'cursor'] as const;
  return names.every((name) => String(read.of[name]) === String(experiment[name])) ? next : null;
}

const top = (list: readonly Guess[]): Guess => list.reduce((a, b) => (b.rank < a.rank ? b : a));
const said = ({ text, prob: p }: Guess): string => `${visible(text)} (${percent(p)})`;

/** What is odd about an answer: that another token is the run's first choice. */
export function answerHint(state: State, name: 'answer' | 'wrong'): Hint | null {
  const found = current(state);
  const read = found?.of.prompts?.[name];
  if (!found || read?.id == null) return null;
  const other = name === 'answer' ? 'wrong' : 'answer';
  const run = name === 'answer' ? found.value.clean : found.value.corrupted;
  if (
    !run ||
    (name === 'wrong' && (found.of.prompts!.pairProblem || state.experiment.metric !== 'logit-diff'))
  )
    return null;
  const [best, own] = [top(run), run.find((g) => g.token === read.id)];
  if (!own || own.token === best.token) return null;
  // A corrupted run that keeps to the answer is what the pair is said to lack; no wrong answer would mend it.
  if (name === 'wrong' && best.token === found.of.prompts?.[other].id) return null;
  const blank = best.text.trim() === own.text.trim() ? ' They differ in the blank.' : '';
  const prompt = name === 'answer' ? 'clean' : 'corrupted';
  return {
    text: `After the ${prompt} prompt the model prefers ${said(best)}; ${said(own)} has rank ${own.rank}.${blank}`,
    fix: { label: `Use ${visible(best.text)}`, change: { [name]: best.text } },
  };
}

/** What is odd about the pair: the corruption changes (almost) nothing, or brings the answer nearer. */
export function pairHint(state: State): Hint | null {
  const found = current(state);
  if (!found?.value.corrupted || found.of.prompts?.answer.id == null) return null;
  if (found.of.prompts.pairProblem !== null) return null; // said already
  const { experiment } = state;
  const { answer, wrong } = found.of.prompts;
  if (experiment.metric === 'logit-diff' && wrong.id === null) return null;
  const of = (run: readonly Guess[]): number => {
    const [one, other] = [answer.id, wrong.id].map((id) => run.find((g) => g.token === id));
    if (!one) return Number.NaN;
    if (experiment.metric === 'logit-diff') return one.logit - (other?.logit ?? Number.NaN);
    return experiment.metric === 'prob' ? one.prob : Math.log(one.prob);
  };
  const { name, unit } = metricOf(experiment.metric, experiment.answer, experiment.wrong);
  const ends = { zero: of(found.value.corrupted), one: of(found.value.clean), unit, metric: name };
  const problem = endsProblem(ends);
  if (problem === null) return null;
  const swap = { clean: experiment.corrupted, corrupted: experiment.clean };
  const [first, second] = [top(found.value.clean), top(found.value.corrupted)];
  const turned = ends.one < ends.zero && endsProblem({ ...ends, zero: ends.one, one: ends.zero }) === null;
  const apart = first.token !== second.token && (first.token !== answer.id || second.token !== wrong.id);
  return {
    text: problem,
    fix: turned
      ? { label: 'Swap the prompts', change: swap }
      : apart
        ? {
            label: `Ask for ${visible(first.text)} and ${visible(second.text)}`,
            change: { answer: first.text, wrong: second.text },
          }
        : null,
  };
}
