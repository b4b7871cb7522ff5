/**
 * What an edited model changes: steps in the order in which they were given, each interventions as data, or
 * functions. In a run each step sees what the steps before it made, and the hooks of the run come after all
 * of them.
 */

import type { Tensor } from '../../engine/tensor/tensor.js';
import type { Row } from '../../engine/transformer/batch.js';
import type { Points } from '../../engine/transformer/model-points.js';
import type { Hook, HookEntry } from '../input/hook.js';
import type { PromptLength, RunEdits } from '../input/model.js';
import { matchNames, type NameFilter } from '../input/names.js';
import { editHooks, type Located, type RowEdit, type Values } from './apply.js';
import { interventionsText } from './describe.js';
import type { EditStep } from './edit-step.js';
import { type Edit, pointsAt } from './edits.js';
import type { Place } from './places.js';

/** Functions of one `with`, at their hook points by full name. */
export interface CallStep {
  readonly kind: 'calls';
  readonly entries: readonly (readonly [name: string, hook: Hook])[];
  readonly lines: readonly string[];
  readonly text: string;
}

/** One step of an edited model. */
export type Step = EditStep | CallStep;

/** The steps of an edited model, those of the model that it was made from first. */
export class ModelEdits implements RunEdits {
  readonly steps: readonly Step[];
  readonly gradHooks: readonly HookEntry[];
  readonly names: ReadonlySet<string>;
  readonly called: ReadonlySet<string>;
  readonly local: boolean;
  readonly lines: readonly string[];
  /** May patterns have weight on keys behind the query? */
  readonly opens: boolean;
  readonly #own: readonly Step[];

  constructor(
    points: Points,
    parent: ModelEdits | null,
    own: readonly Step[],
    gradHooks: readonly HookEntry[] = [],
  ) {
    this.#own = own;
    this.steps = [...(parent?.steps ?? []), ...own];
    this.gradHooks = [...(parent?.gradHooks ?? []), ...callStep(gradHooks, points).entries];
    const namesOf = (step: Step) =>
      step.kind === 'calls'
        ? step.entries.map(([name]) => name)
        : step.list.flatMap((one) => pointsAt(one, points).map(({ name }) => name));
    this.names = new Set(this.steps.flatMap(namesOf));
    this.called = new Set(this.steps.flatMap((step) => (step.kind === 'calls' ? namesOf(step) : [])));
    this.local = !this.called.size && this.steps.every((step) => step.kind === 'calls' || step.local);
    this.opens =
      this.steps.some((step) => step.kind === 'data' && step.opens) ||
      [...this.called].some((name) => points.get(name)!.row.weighsKeys);
    this.lines = [
      ...(parent?.lines ?? []),
      ...own.flatMap((step) => step.lines),
      ...gradHooks.map((entry) => `gradient at ${lineOf(entry)}`),
    ];
  }

  async ready(): Promise<void> {
    for (const step of this.steps) if (step.kind === 'data') await step.ready();
  }

  hooks(rows: readonly Row[], prompts?: readonly PromptLength[]): HookEntry[] {
    const edits = rows.flatMap(({ position, length }, row): RowEdit[] => {
      const end = position + length;
      const prompt = prompts?.[row] ?? { length: end, total: end };
      return this.#of(prompt, rows.length > 1 ? `row ${row}` : 'the prompt', position, end).map((edit) => ({
        edit,
        row,
      }));
    });
    return this.inOrder(edits, this);
  }

  /**
   * Edits of the steps and the steps' functions, in order, as hooks. @param last edits of a run, which come
   * after them
   */
  inOrder(edits: readonly RowEdit[], values: Values, last: readonly RowEdit[] = []): HookEntry[] {
    const out: HookEntry[] = [];
    let waiting: RowEdit[] = [];
    const flush = () => {
      out.push(...editHooks(waiting, values));
      waiting = [];
    };
    this.steps.forEach((step, i) => {
      if (step.kind === 'data') waiting.push(...edits.filter(({ edit }) => edit.step === i));
      else {
        flush();
        out.push(...step.entries);
      }
    });
    waiting.push(...last);
    flush();
    return out;
  }

  /** The edits of whole prompts of some lengths, for the planner: they are a part of the base run. */
  planned(lengths: readonly number[]): Edit[] {
    return lengths.flatMap((length, row) => {
      const what = lengths.length > 1 ? `prompt ${row}` : 'the prompt';
      return this.#of({ length, total: length }, what, 0, length).map((edit) => ({ ...edit, row }));
    });
  }

  check(lengths: readonly number[]): void {
    for (const length of new Set(lengths)) this.#of({ length, total: length }, 'the prompt', 0, 0);
  }

  /** Where a value of its edits is. */
  locate(place: Place | null): Located {
    if (place?.kind === 'host')
      return { tensor: place.numbers.data as Tensor, offset: place.offset, broadcast: place.broadcast };
    return this.steps.find((s): s is EditStep => s.kind === 'data')!.anyNumber;
  }

  async text(): Promise<string> {
    const parts = await Promise.all(
      this.steps.map((step) =>
        step.kind === 'calls' ? step.text : interventionsText([step.list, step.sources]),
      ),
    );
    return JSON.stringify([...parts, ...this.gradHooks.map(([, f]) => String(f))]);
  }

  /** Frees what its own steps own, not those of the model that it was made from. */
  dispose(): void {
    for (const step of this.#own) if (step.kind === 'data') step.dispose();
  }

  /** Every edit at positions [from, to) of a prompt, step by step, those of a step in order of execution. */
  #of(prompt: PromptLength, what: string, from: number, to: number): Edit[] {
    return this.steps.flatMap((step, i) => {
      if (step.kind !== 'data') return [];
      const byPosition = step.edits(prompt, `edited model, ${what}`);
      const found: Edit[] = [];
      for (let p = from; p < to; p++)
        for (const edit of byPosition[p] ?? []) found.push({ ...edit, step: i });
      return found;
    });
  }
}

/** Functions as a step. @throws when a filter names no hook point. */
export function callStep(hooks: readonly HookEntry[], points: Points): CallStep {
  const entries = hooks.flatMap(([filter, hook]) =>
    matchNames(filter, points).map((name) => [name, hook] as const),
  );
  const lines = hooks.map((entry) => `hook at ${lineOf(entry)}`);
  return {
    kind: 'calls',
    entries,
    lines,
    text: JSON.stringify(hooks.map(([f, hook]) => [show(f), String(hook)])),
  };
}

/** `blocks.6.hook_resid_pre: (x) => x.mul(2)`, at most about 100 characters. */
function lineOf([filter, hook]: HookEntry): string {
  const source = String(hook).replace(/\s+/g, ' ');
  return `${show(filter)}: ${source.length > 60 ? `${source.slice(0, 59)}…` : source}`;
}

const show = (filter: NameFilter): string =>
  Array.isArray(filter) ? filter.map(String).join(', ') : String(filter);
