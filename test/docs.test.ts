/** What the pages in docs/ show, runs. (docs/sweeps.md is tested with the sweeps.) */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { codeBlocks, keepsPromises, promised, root, runModule } from './examples.js';
import { throws } from './helpers.js';

const pages = readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
  .map((file) => file.split(path.sep).join('/'))
  .filter((file) => file.endsWith('.md') && file !== 'sweeps.md');
const methods = pages.filter((page) => page.startsWith('methods/') && page !== 'methods/README.md');
const read = (page: string) => readFileSync(path.join(root, 'docs', page), 'utf8');

for (const page of pages) {
  const markdown = read(page);
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
      assert.ok(existsSync(path.join(root, 'docs', path.dirname(page), to)), to);
  });
}

test('files that docs/developing/ names exist, and so do the functions named beside them', () => {
  const wrong: string[] = [];
  for (const page of pages.filter((page) => page.startsWith('developing/')))
    for (const line of read(page).split('\n')) {
      const files = [
        ...line.matchAll(/`((?:bin|demo|docs|engine|hooks|interp|kernels|scripts|test|weights)\/[\w./-]*)`/g),
      ];
      for (const [, file] of files) if (!existsSync(path.join(root, file))) wrong.push(`${page}: ${file}`);
      const [, file, fn] = line.match(/^\| `([\w./-]+\.ts)` \| `(\w+)/) ?? [];
      if (file && !readFileSync(path.join(root, file), 'utf8').includes(fn))
        wrong.push(`${page}: ${fn} in ${file}`);
    }
  assert.equal(wrong, []);
});

/** Parts that every page of a method has, in this order. */
const PARTS = [
  '**What it answers.**',
  '**Formula',
  '```ts',
  '**Reading',
  '**Pitfalls**',
  '**Source.**',
  'Code:',
];

test('a page of a method says what it answers, the formula, how to read the figure, pitfalls and the source', () => {
  const missing = methods.flatMap((page) => {
    const markdown = read(page);
    const places = PARTS.map((part) => markdown.indexOf(part));
    return places.every((at, i) => at > (places[i - 1] ?? -1)) ? [] : [page];
  });
  assert.equal(missing, [], `in this order: ${PARTS.join(' ')}`);
});

test('every function of a method has a page, and every page stands in the list', () => {
  const library = readFileSync(path.join(root, 'library.ts'), 'utf8');
  const folders =
    /interp\/(logits|patching|tracing|attribution|circuits|heads|weights|texts|notebooks\/stacks)/;
  const functions = [...library.matchAll(/export (?:type )?\{([^}]*)\} from '([^']*)'/g)]
    .filter(([all, , from]) => folders.test(from) && !all.startsWith('export type'))
    .flatMap(([, names]) => names.split(',').map((name) => name.trim()))
    .filter((name) => /^[a-z]/.test(name) && !name.startsWith('type '));
  assert.ok(functions.length > 60, 'the list of exports was read');
  const text = methods.map(read).join('\n');
  const unknown = functions.filter((name) => !new RegExp(`\\b${name}\\b`).test(text));
  assert.equal(unknown, [], 'name them in docs/methods/');
  const list = read('methods/README.md');
  assert.equal(
    methods.filter((page) => !list.includes(`(${path.basename(page)})`)),
    [],
  );
});

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
