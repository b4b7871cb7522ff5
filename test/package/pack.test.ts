/**
 * The package as npm delivers it: in plain JavaScript, in Node and in a page, with nothing but its
 * dependencies.
 */
import { statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { NoBrowserError } from '../../scripts/chromium.js';
import { makeProject, type Project } from './project.js';

const PROMPT = 'The capital of France is';

let project: Project;
test.before(async () => {
  // what a user without a GPU is told to add, and what npm installs where it can
  project = await makeProject(['@sparticuz/chromium', '@resvg/resvg-js', 'dejavu-fonts-ttf']);
});
test.after(() => project?.remove());

const parse = (output: string): { text: string; logit: number } => {
  assert.match(output, /^\{"text":/, output);
  return JSON.parse(output);
};

test('the package holds the library, its types, the shipped model and the licence, and no tests', () => {
  const { packed } = project;
  for (const wanted of [
    /^LICENSE$/,
    /\.js$/,
    /\.d\.ts$/,
    /tiny\/model\.safetensors$/,
    /tiny\/tokenizer\.json$/,
  ])
    assert.ok(
      packed.some((file) => wanted.test(file)),
      `nothing matches ${wanted} in:\n${packed.join('\n')}`,
    );
  const foreign = packed.filter((file) => /^(test|scripts|demo|node_modules)\//.test(file));
  assert.equal(foreign, []);
});

test('npx glassbox answers, and draws a PNG where the optional packages are', async () => {
  const { steps } = JSON.parse(await project.glassbox('test-prompt', PROMPT, 'Paris', '--json'));
  assert.is(steps[0].answers[0].text, ' Paris');
  await project.glassbox('lens', PROMPT, '--png', 'lens.png');
  assert.ok(statSync(path.join(project.folder, 'lens.png')).size > 5000);
  assert.match(await project.glassbox('--version'), /^\d+\.\d+\.\d+$/);
});

test('a script and a page that use the package get the same prediction from the shipped model', async () => {
  const inNode = parse(await project.node('node.mjs', PROMPT));
  assert.equal(await project.bundle(), [], 'Vite warns of nothing, so nothing of Node reaches the page');
  try {
    const inPage = parse(await project.open(new URLSearchParams({ prompt: PROMPT }).toString()));
    assert.is(inPage.text, inNode.text);
    assert.ok(Math.abs(inPage.logit - inNode.logit) < 1e-3, `${inPage.logit} and ${inNode.logit}`);
  } catch (e) {
    if (!(e instanceof NoBrowserError)) throw e;
    console.log(`   SKIPPED: the page. ${e.message}`);
  }
});

test('worker threads, whose environment is a copy, and the main thread beside them get the same prediction', async () => {
  const lines = (await project.node('workers.mjs')).split('\n');
  assert.is(lines.length, 3);
  assert.is(parse(lines[0]).text, ' Paris');
  assert.equal(new Set(lines).size, 1, lines.join('\n'));
});

test.run();
