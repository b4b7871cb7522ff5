/** What the README shows, runs: its code, its commands, its table of hook points. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { pointsOf } from '../engine/transformer/model-points.js';
import { hookNames } from '../index.js';
import { launchChromium, NoBrowserError } from '../scripts/chromium.js';
import { readOptions } from '../scripts/start/options.js';
import { parseConfig } from '../weights/load/config.js';
import { codeBlocks, keepsPromises, promised, root, runModule } from './examples.js';

const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const contributing = readFileSync(path.join(root, 'CONTRIBUTING.md'), 'utf8');
const needsTiny = existsSync(path.join(root, 'weights/tiny/model.safetensors')) ? test : test.skip;

/** Runs an example, which must print what its comments say. */
async function runExample(code: string): Promise<unknown[][]> {
  assert.ok(
    promised(code).some((text) => /\d/.test(text)),
    'it says what it prints: // → …',
  );
  const printed = await runModule(code);
  keepsPromises(code, printed);
  return printed;
}

/** The code blocks of a language. */
const blocks = (language: string): string[] => codeBlocks(readme, language);

const forPages = blocks('ts').filter((code) => code.startsWith('// main.ts'));
const forNode = blocks('ts').filter((code) => !forPages.includes(code));

test('there are examples for Node and for a page', () => {
  assert.is(forNode.length, 5);
  assert.is(forPages.length, 1);
});

needsTiny('the first example prints the shape of a pattern and a labelled map', async () => {
  const [[shape], [layers, tokens, values]] = (await runExample(forNode[0])) as [
    [number[]],
    [string[], string[], Float32Array],
  ];
  assert.is(shape.length, 4);
  assert.is(shape[2], 15);
  assert.is(tokens[10], '10:␣John | ␣Mary');
  assert.is(values.length, layers.length * tokens.length);
});

needsTiny('the example with hooks sees every layer, and the prediction', async () => {
  const printed = await runExample(forNode[1]);
  assert.is(printed[0][0], 'blocks.0.mlp.hook_post');
  assert.ok(printed.slice(0, -1).every(([, mean]) => Number.isFinite(mean)));
  assert.type(printed.at(-1)![0], 'number');
});

needsTiny('the example of counterfactuals prints values, work, a trace and two maps', async () => {
  const [[labels, values, work], [answer, high, low, shape], [map, bytes]] = (await runExample(
    forNode[2],
  )) as [
    [string[], Float32Array, { tokenLayers: number; naiveTokenLayers: number }],
    [string, number, number, number[]],
    [string, number],
  ];
  assert.is(labels.length, 2);
  assert.ok(values.every(Number.isFinite));
  assert.ok(work.tokenLayers < work.naiveTokenLayers);
  assert.is(answer, ' Seattle');
  assert.ok(low < high);
  assert.is(shape.length, 2);
  assert.match(map, /L3/);
  assert.ok(bytes > 1000);
});

needsTiny('the example of attribution patching draws a map, and tells how far it is off', async () => {
  const [[map], [pearson, worst]] = (await runExample(forNode[3])) as [[string], [number, object]];
  assert.match(map, /L3/);
  assert.ok(pearson > 0.5 && pearson <= 1);
  assert.type(worst, 'object');
});

needsTiny('the example of a run taken apart adds up', async () => {
  const [[, , sum, logit], [labels, error], [next]] = (await runExample(forNode[4])) as [
    [string[], Float32Array, number, number],
    [string[], number],
    [string],
  ];
  assert.ok(Math.abs(sum - logit) < 1e-4);
  assert.equal(labels.slice(0, 3), ['embed', 'pos_embed', '0_attn_out']);
  assert.ok(error < 1e-4);
  assert.is(next, ' Mary');
});

needsTiny('the example for a page continues the sentence in Chromium', async () => {
  const { build, preview } = await import('vite');
  const folder = mkdtempSync(path.join(tmpdir(), 'glassbox-readme-'));
  writeFileSync(path.join(folder, 'index.html'), blocks('html')[0]);
  writeFileSync(path.join(folder, 'main.ts'), forPages[0]);
  const settings = { configFile: false, root: folder, logLevel: 'error' } as const;
  const alias = { glassbox: path.join(root, 'index.browser.ts') };
  await build({ ...settings, resolve: { alias } });
  const server = await preview({ ...settings, preview: { host: '127.0.0.1', port: 0 } });
  try {
    const browser = await launchChromium();
    try {
      const page = await browser.newPage();
      const errors: string[] = [];
      page.on('pageerror', (e) => errors.push(e.message));
      await page.goto(server.resolvedUrls!.local[0]);
      const filled = page.waitForFunction("document.querySelector('#out').textContent", null, {
        timeout: 60_000,
      });
      await filled.catch((e: Error) => assert.unreachable(errors[0] ?? e.message));
      assert.match(
        await page.innerText('#out'),
        /^When John and Mary went to the shops,.+\n\n.*swiftshader/is,
      );
    } finally {
      await browser.close();
    }
  } catch (e) {
    if (!(e instanceof NoBrowserError)) throw e;
    console.log(`   SKIPPED: ${e.message}`);
  } finally {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

test('the commands exist, with these options', () => {
  const { scripts } = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const named = [...`${readme}\n${contributing}`.matchAll(/\bnpm (?:run ([\w:-]+)|(start|test)\b)/g)];
  for (const [, script, short] of named) assert.ok(scripts[script ?? short], script ?? short);
  const commands = blocks('sh').flatMap((code) => [...code.matchAll(/^npm start -- (.+)$/gm)]);
  assert.ok(commands.length > 0);
  for (const [, line] of commands) {
    const args = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]);
    assert.is(readOptions(args)?.answer, ' Paris');
  }
});

test('the table of hook points names all there are and no other', () => {
  const config = parseConfig({ nLayers: 1, nHeads: 1, dModel: 4, nCtx: 4, dVocab: 4 });
  const rows = readme.split('\n').filter((line) => /^\| .*hook_/.test(line));
  const named = rows.flatMap((row) => {
    let prefix = '';
    return [...row.split('|')[1].matchAll(/`([^`]+)`/g)].map(([, name]) => {
      const full = name.startsWith('.') ? sibling(prefix, name) : name;
      prefix = full;
      return full.replace('{l}', '0');
    });
  });
  assert.equal(named.sort(), hookNames(config).sort());
  // Their shapes are those of the table in engine/transformer/points.ts.
  const points = pointsOf(config);
  for (const row of rows) {
    const [, names, shape] = row.split('|');
    let prefix = '';
    for (const [, name] of names.matchAll(/`([^`]+)`/g)) {
      prefix = name.startsWith('.') ? sibling(prefix, name) : name;
      const point = points.get(prefix.replace('{l}', '0'))!;
      const axes = point.axes.map((axis) => axis ?? '1').join(', ');
      assert.is(shape.trim(), `\`[${axes}]\``, prefix);
      assert.is(names.includes('on demand'), point.onDemand, prefix);
    }
  }
});

/** `.hook_k` after `blocks.{l}.attn.hook_q`; `.ln2.hook_scale` after `blocks.{l}.ln1.hook_scale`. */
function sibling(before: string, name: string): string {
  const parts = name.split('.').length - 1;
  return before.split('.').slice(0, -parts).join('.') + name;
}

needsTiny('the files that the README links to are there', () => {
  const links = [...readme.matchAll(/(?:\]\(|srcset="|src=")([^)"#:]+)[)"]/g)].map((m) => m[1]);
  const missing = links.filter((link) => !link.startsWith('./main') && !existsSync(path.join(root, link)));
  assert.equal(missing, []);
});

test('rooms and files that CONTRIBUTING.md names exist', () => {
  const named = [
    ...contributing.matchAll(
      /`((?:kernels|engine|weights|hooks|interp|scripts|test)\/[\w./-]*|library\.ts|index\.ts)`/g,
    ),
  ];
  const missing = named.map((m) => m[1]).filter((file) => !existsSync(path.join(root, file)));
  assert.equal(missing, []);
});

test.run();
