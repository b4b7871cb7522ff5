/** Notebooks that are killed and go on, and that several machines share: the numbers of a run at one go. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type HookedTransformer,
  type Labelled,
  type Notebook,
  type NotebookOptions,
  PartDone,
  type RecordStore,
  runNotebook,
  sharedRecord,
} from '../../index.js';
import { seeds } from '../../scripts/seeds/index.js';
import { allClose } from '../helpers.js';
import { randomModelFor } from './seed.js';

/** With a vocabulary of letters, which is small. */
const SETTINGS: Readonly<Record<string, NotebookOptions>> = {
  rome: { settings: { count: 40, probe: 4, samples: 1 }, inputs: { prompt: 'Mark Allen, the well-known' } },
  'capital-letters': { quick: true },
};
const notebookOf = (name: string): Notebook => seeds.find((s) => s.notebook.name === name)!.notebook;

/** Every number of a result, in an order that does not depend on how it came about. */
function numbersOf(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  if (value instanceof Map) return [...value.values()].flatMap(numbersOf);
  if (ArrayBuffer.isView(value)) return [...(value as Float32Array)];
  if (Array.isArray(value)) return value.flatMap(numbersOf);
  if (typeof value !== 'object' || value === null) return [];
  if ('axes' in value && 'values' in value) return numbersOf((value as Labelled).values);
  return Object.values(value).flatMap(numbersOf);
}

async function same(got: unknown, whole: unknown): Promise<void> {
  const [a, b] = [numbersOf(got), numbersOf(whole)];
  assert.ok(b.length > 100);
  allClose(a, b, { atol: 1e-5, what: 'numbers' });
}

for (const name of Object.keys(SETTINGS))
  test(`${name}: killed at ten moments, in the middle of a line, the run goes on with the same numbers`, async () => {
    const [notebook, options] = [notebookOf(name), SETTINGS[name]];
    const model = await randomModelFor(notebook, { vocabulary: 'letters', nCtx: 128 });
    const whole = (await runNotebook(notebook, model, options)).computed;
    const files = new Map<string, string>();
    let kills = 0;
    let budget = 0; // lines until the next kill
    const record = (step: string): RecordStore => ({
      read: async () => (files.get(step) ?? '').split('\n'),
      append: async (lines) => {
        for (const line of lines) {
          const before = files.get(step) ?? '';
          const begin = before && !before.endsWith('\n') ? '\n' : '';
          if (budget-- > 0 || kills === 10) files.set(step, `${before}${begin}${line}\n`);
          else {
            files.set(step, before + begin + line.slice(0, (7 * ++kills) % line.length)); // a line that is cut off
            throw new Error('killed');
          }
        }
      },
    });
    let got: unknown = null;
    for (let run = 0; got === null; run++) {
      assert.ok(run <= 10);
      budget = 3 + ((5 * run) % 13);
      got = await runNotebook(notebook, model, { ...options, record }).then(
        ({ computed }) => computed,
        (e: Error) => {
          if (e.message !== 'killed') throw e;
          return null;
        },
      );
    }
    assert.is(kills, 10);
    await same(got, whole);
    model.dispose();
  });

/** Runs one part until a step lacks what other parts have. */
async function part(
  notebook: Notebook,
  model: HookedTransformer,
  options: NotebookOptions,
  files: Map<string, string[]>,
  shard?: { readonly index: number; readonly of: number },
): Promise<unknown> {
  const store = (file: string): RecordStore => ({
    read: async () => files.get(file) ?? [],
    append: async (lines) => void files.set(file, [...(files.get(file) ?? []), ...lines]),
  });
  const record = (step: string) => {
    const own = `${step}.${shard?.index ?? 'whole'}`;
    const others = [...files.keys()].filter((file) => file.startsWith(`${step}.`) && file !== own);
    return sharedRecord(store(own), others.map(store), shard);
  };
  return runNotebook(notebook, model, { ...options, record }).then(
    ({ computed }) => computed,
    (e: Error) => {
      if (e instanceof PartDone) return null;
      throw e;
    },
  );
}

for (const name of Object.keys(SETTINGS))
  test(`${name}: three parts, started again after each step, are the whole; none computes what another has`, async () => {
    const [notebook, options] = [notebookOf(name), SETTINGS[name]];
    const model = await randomModelFor(notebook, { vocabulary: 'letters', nCtx: 128 });
    const whole = (await runNotebook(notebook, model, options)).computed;
    const files = new Map<string, string[]>();
    for (let round = 0; round < 8; round++)
      for (const index of [0, 1, 2]) await part(notebook, model, options, files, { index, of: 3 });
    const cells = [...files].flatMap(([file, lines]) =>
      lines.flatMap((line) => {
        const { index } = JSON.parse(line);
        return index === undefined ? [] : [`${file.split('.')[0]} ${index}`];
      }),
    );
    assert.is(new Set(cells).size, cells.length, 'no cell is recorded twice');
    assert.ok(
      [...files].every(([, lines]) => lines.length > 1),
      'each part has its share',
    );
    await same(await part(notebook, model, options, files), whole);
    assert.not(
      [...files.keys()].some((file) => file.endsWith('whole')),
      'nothing was left to do',
    );
    model.dispose();
  });

test.run();
