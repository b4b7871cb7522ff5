/**
 * The programs in docs/programs, TransformerLens' notebooks and ARENA's 1.4.1, print TransformerLens' numbers of the same random
 * weights. What they print first is the label; figures and texts are not compared.
 */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { root } from '../examples.js';
import { allClose } from '../helpers.js';
import { writeModels } from './models.js';

/** Numbers, or of many every so-many-th. */
type Stored = number[] | { readonly length: number; readonly every: number; readonly values: number[] };
const expected: Record<string, Record<string, Stored>> = JSON.parse(
  readFileSync(path.join(root, 'test/fixtures/programs/programs.json'), 'utf8'),
);
/** Lines of the notebooks' code, without blanks and comments; of ARENA's 1.4.1 a round number that its solutions exceed. */
const PYTHON_LINES: Record<string, number> = {
  'activation-patching': 146,
  'exploratory-analysis': 692,
  'main-demo': 472,
  'indirect-objects': 400,
};
/** The models that each is given. */
const MODELS: Record<string, string[]> = {
  'activation-patching': ['small', 'attn-only'],
  'exploratory-analysis': ['gpt2'],
  'main-demo': ['gpt2', 'small'],
  'indirect-objects': ['gpt2'],
};

const folder = mkdtempSync(path.join(tmpdir(), 'glassbox-programs-'));
writeModels(folder);
const given = process.argv;
test.after(() => {
  process.argv = given;
  rmSync(folder, { recursive: true });
});

const numbersIn = (value: unknown): number[] => {
  if (typeof value === 'number') return [value];
  if (ArrayBuffer.isView(value)) return Array.from(value as Float32Array);
  return Array.isArray(value) ? value.flatMap(numbersIn) : [];
};

for (const [program, models] of Object.entries(MODELS)) {
  const file = path.join(root, 'docs/programs', `${program}.ts`);

  test(`docs/programs/${program}.ts prints TransformerLens' numbers`, async () => {
    const printed: [string, number[]][] = [];
    const { log } = console;
    process.argv = [given[0], file, ...models.map((name) => path.join(folder, name))];
    console.log = (label: unknown, ...values: unknown[]) =>
      printed.push([String(label), values.flatMap(numbersIn)]);
    try {
      await import(pathToFileURL(file).href);
    } finally {
      console.log = log;
    }
    for (const [label, stored] of Object.entries(expected[program])) {
      const { length, every, values } = Array.isArray(stored)
        ? { length: stored.length, every: 1, values: stored }
        : stored;
      const [, plain, which] = /^(.*?)(?: \((\d)\))?$/.exec(label)!;
      const found = printed.filter(([name]) => name === label || name === plain)[
        which ? Number(which) - 1 : 0
      ];
      assert.ok(found, `${program}: "${label}" is not printed`);
      assert.is(found[1].length, length, `${program}: ${label}`);
      const some = found[1].filter((_, i) => i % every === 0);
      allClose(some, values, { atol: 1e-4, rtol: 1e-4, what: `${program}: ${label}` });
    }
  });

  test(`docs/programs/${program}.ts has no more lines than the notebook`, () => {
    const code = readFileSync(file, 'utf8').split('\n');
    const lines = code.filter((line) => line.trim() && !/^\s*(\/\/|\/?\*)/.test(line)).length;
    assert.ok(lines <= PYTHON_LINES[program], `${lines} lines, in Python ${PYTHON_LINES[program]}`);
  });
}

test.run();
