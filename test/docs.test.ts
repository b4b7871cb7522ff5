/** What the pages in docs/ show, runs. (docs/sweeps.md is tested with the sweeps.) */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { codeBlocks, keepsPromises, promised, root, runModule } from './examples.js';
import { throws } from './helpers.js';

const pages = readdirSync(path.join(root, 'docs')).filter((f) => f.endsWith('.md') && f !== 'sweeps.md');

for (const page of pages) {
  const markdown = readFileSync(path.join(root, 'docs', page), 'utf8');
  codeBlocks(markdown, 'ts').forEach((code, i) => {
    test(`example ${i + 1} of docs/${page} prints the numbers beside it`, async () => {
      const printed = await runModule(code);
      assert.ok(
        promised(code).some((text) => /\d/.test(text)),
        'it says what it prints: // → …',
      );
      keepsPromises(code, printed);
      assert.not.match(JSON.stringify(printed), /null|NaN/); // as JSON has what is not finite
    });
  });
  test(`links of docs/${page} lead somewhere`, () => {
    for (const [, to] of markdown.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      assert.ok(readFileSync(path.join(root, 'docs', to)), to);
  });
}

test('what an example promises is compared: numbers to their last digit, words exactly, … with anything', () => {
  const kept = (promise: string, ...printed: unknown[]) =>
    keepsPromises(`x // → ${promise}\n`, [['other'], printed]);
  kept('a [1.25, … -0.5] 3', 'a', Float32Array.of(1.2541, 7, 8, -0.45), 3);
  kept('{size: 4, …', { size: 4, ms: 9.1 });
  kept('L0 .46 …', 'L0      .47    .12');
  for (const [promise, ...printed] of [
    ['a [1.25]', 'a', [1.27]],
    ['a [1.25]', 'b', [1.25]],
    ['3', 4],
    ['[1, 2]', [1, 2, 3]],
    ['[… 2.0]', [2, 3]],
    ['1.0', Number.NaN],
  ] as const)
    throws(() => kept(promise, ...printed), /the example says/);
});

test.run();
