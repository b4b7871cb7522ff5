/**
 * What a view needs of the experiment: whether that is there, and what tells its results apart. A view waits
 * only for the parts that it names, so that an empty answer field does not take the attention patterns away.
 */

import type { PromptTexts, ReadPrompts } from '../worker/handlers/prompts.js';
import { type Edits, editsOf } from './changes.js';
import type { Asked, State } from './state.js';

/** A part of the experiment. `pair`: both prompts, and that they can be patched. */
export type Part = 'clean' | 'corrupted' | 'pair' | 'answer' | 'wrong';
/** What a view needs, or with `?` what it shows where it is there. */
export type Need = Part | `${Exclude<Part, 'pair'>}?`;

/**
 * Whether a result can be computed. `key` tells results apart; where it is null, `why` says in one sentence
 * why there can be none, and is null itself while what was typed is being read.
 */
export interface Ask {
  readonly key: string | null;
  readonly why: string | null;
}

/** What the reader typed, as it is read. */
export function textsOf({ clean, corrupted, answer, wrong, bos, ...rest }: State['experiment']): PromptTexts {
  return { clean, corrupted, answer, wrong, bos, written: rest.written, cursor: rest.cursor };
}

/** The changes of the model as `model.with` takes them. */
export function editsIn({ experiment, model }: Pick<State, 'experiment' | 'model'>): Edits {
  return model.info ? editsOf(experiment, model.info) : { interventions: [], sources: {} };
}

/** The experiment with what its tokens belong to: later changes do not reach it. */
export function frozen({ model, experiment, prompts, reading }: State): Asked {
  const texts = prompts && { clean: prompts.clean.text, corrupted: prompts.corrupted.text };
  const read = experiment.corrupted === '' ? 'clean' : reading;
  return { model, experiment: { ...experiment, ...prompts?.of, ...texts }, prompts, reading: read };
}

/** What can be asked that has these needs; `more` tells results apart that differ in something else. */
export function ask(state: State, needs: readonly Need[], ...more: readonly unknown[]): Ask {
  const { model, prompts } = state;
  if (model.status === 'loading') return none(`${model.name} is being loaded.`);
  if (model.status !== 'ready' || !model.info) return none('No model is loaded.');
  if (!prompts || prompts.hash !== model.info.hash) return none(null);
  const told: unknown[] = [model.info.hash, editsIn(state)];
  for (const need of needs) {
    const part = need.replace('?', '') as Part;
    if (!isFresh(state, prompts, part)) return none(null);
    const problem = problemOf(prompts, part);
    if (problem && part === need) return none(problem);
    told.push(problem ? null : part === 'pair' ? pairOf(prompts) : tokensOf(prompts, part));
  }
  return { key: JSON.stringify([told, more]), why: null };
}

const none = (why: string | null): Ask => ({ key: null, why });

/** Whether a part has been read as it is typed now. */
function isFresh({ experiment }: State, { of }: ReadPrompts, part: Part): boolean {
  if (part === 'answer' || part === 'wrong') return of[part] === experiment[part];
  if (of.cursor !== experiment.cursor || of.written.join() !== experiment.written.join()) return false;
  if (of.bos !== experiment.bos) return false;
  if (part === 'pair') return of.clean === experiment.clean && of.corrupted === experiment.corrupted;
  return of[part] === experiment[part];
}

const pairOf = ({ clean, corrupted }: ReadPrompts) => [clean.ids, corrupted.ids];

function tokensOf(prompts: ReadPrompts, part: Exclude<Part, 'pair'>): unknown {
  return part === 'answer' || part === 'wrong' ? prompts[part].id : prompts[part].ids;
}

const NAMES = {
  clean: 'clean prompt',
  corrupted: 'corrupted prompt',
  answer: 'answer',
  wrong: 'wrong answer',
} as const;

/** What is wrong with a part, with its name. */
export function problemOf(prompts: ReadPrompts, part: Part): string | null {
  if (part === 'pair')
    return problemOf(prompts, 'clean') ?? problemOf(prompts, 'corrupted') ?? prompts.pairProblem;
  const { problem } = prompts[part];
  return problem && `This needs the ${NAMES[part]}. ${problem}`;
}
