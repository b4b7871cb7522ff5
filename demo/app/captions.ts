/**
 * What stands with everything that leaves the page: the experiment in a few lines, in columns, and in a
 * file's name.
 */

import { shownMetric } from '../../interp/results/ends.js';
import { visible } from '../../interp/results/text.js';
import { editsIn } from './ask.js';
import { inWords } from './changes.js';
import type { Asked } from './state.js';

/** Which parts of the experiment a result depends on. */
export interface Depends {
  /** The run that is read; `pair`: both. */
  readonly on: 'clean' | 'corrupted' | 'pair';
  readonly metric?: string;
  readonly answers?: boolean;
  /** A head, or what else the result is of in particular. */
  readonly detail?: string;
}

/** The changes of the model in words; '' where there are none. */
export function changesText(of: Asked): string {
  const { changes, others } = of.experiment;
  if (!editsIn(of).interventions.length) return '';
  const list = changes
    .filter((c) => !c.off)
    .map(inWords)
    .join('; ');
  return others ? `everything but ${list}` : list;
}

/** Facts by name, in the order in which they are said. */
export function factsOf(of: Asked, { on, metric, answers, detail }: Depends): Record<string, string> {
  const { experiment, model, prompts } = of;
  const { clean, corrupted, answer, wrong, bos } = experiment;
  const changed = changesText(of);
  const both = on === 'pair' && prompts?.corrupted.problem === null;
  return {
    ...(detail && { of: detail }),
    ...((on !== 'corrupted' || both) && { clean }),
    ...((on === 'corrupted' || both) && { corrupted }),
    ...(metric && { metric: shownMetric(metric) }),
    ...(answers && prompts?.answer.id != null && { answer: visible(answer) }),
    ...(answers && prompts?.wrong.id != null && { wrong: visible(wrong) }),
    ...(changed && { changes: changed }),
    model: model.info?.name ?? model.name,
    weights: model.info?.hash ?? '',
    adapter: model.info?.adapter ?? '',
    'beginning-of-text': bos ? 'yes' : 'no',
  };
}

/** The facts in lines, for below a picture. */
export function notesOf(of: Asked, depends: Depends): string[] {
  const { of: detail, clean, corrupted, metric, answer, wrong, changes, ...rest } = factsOf(of, depends);
  const asked = [detail, metric, answer && `answer ${answer}`, wrong && `wrong answer ${wrong}`];
  const ran = [`model ${rest.model}`, `weights ${rest.weights}`, rest.adapter];
  return [
    ...(clean === undefined ? [] : [`clean: “${clean}”`]),
    ...(corrupted === undefined ? [] : [`corrupted: “${corrupted}”`]),
    asked.filter(Boolean).join(' · '),
    ...(changes ? [`changed model: ${changes}`] : []),
    `${ran.join(' · ')}${rest['beginning-of-text'] === 'yes' ? '' : ' · without the beginning-of-text token'}`,
  ].filter(Boolean);
}

/** A file's name: the view, the model, the beginning of the prompt, and what else tells results apart. */
export function fileName(view: string, of: Asked, detail = ''): string {
  const slug = (text: string, most: number) =>
    text
      .toLowerCase()
      .replace(/[^\p{L}\p{N}]+/gu, '-')
      .slice(0, most)
      .replace(/^-|-$/g, '');
  const parts = [view, detail, slug(of.model.info?.name ?? of.model.name, 24), slug(of.experiment.clean, 32)];
  const { experiment: e } = of;
  const told = JSON.stringify([
    e.clean,
    e.corrupted,
    e.answer,
    e.wrong,
    e.bos,
    e.metric,
    e.how,
    e.changes,
    e.others,
  ]);
  let hash = 5381;
  for (let i = 0; i < told.length; i++) hash = ((hash * 33) ^ told.charCodeAt(i)) >>> 0;
  return ['glassbox', ...parts.filter(Boolean), hash.toString(16).padStart(8, '0').slice(0, 6)].join('-');
}
