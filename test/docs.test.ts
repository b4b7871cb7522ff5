/** What the pages in docs/ show, runs. (docs/sweeps.md is tested with the sweeps.) */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { codeBlocks, root, runModule } from './examples.js';

const pages = readdirSync(path.join(root, 'docs')).filter((f) => f.endsWith('.md') && f !== 'sweeps.md');

for (const page of pages) {
  const markdown = readFileSync(path.join(root, 'docs', page), 'utf8');
  codeBlocks(markdown, 'ts').forEach((code, i) => {
    test(`example ${i + 1} of docs/${page} runs and prints numbers`, async () => {
      const printed = await runModule(code);
      assert.ok(printed.length > 0);
      assert.not.match(JSON.stringify(printed), /null|NaN/); // as JSON has what is not finite
    });
  });
  test(`links of docs/${page} lead somewhere`, () => {
    for (const [, to] of markdown.matchAll(/\]\((?!https?:|#)([^)#]+)/g))
      assert.ok(readFileSync(path.join(root, 'docs', to)), to);
  });
}

test.run();
