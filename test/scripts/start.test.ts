import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer, writeSafetensors } from '../../index.js';
import { displayWidth, modelName } from '../../interp/results/text.js';
import { duration, progress, timeLeft } from '../../scripts/cli.js';
import { checkPair, chooseHead, compute, doubt, type Report } from '../../scripts/start/compute.js';
import { defaults, readOptions, type StartOptions } from '../../scripts/start/options.js';
import { reportPage } from '../../scripts/start/page.js';
import { reportLines, wrap } from '../../scripts/start/print.js';
import { gpt2TokenizerJson } from '../engine/gpt2-tokenizer.js';
import { allClose, fail, randomGpt2, throws } from '../helpers.js';
import { givenBack } from '../memory.js';

const SHAPE = {
  nLayers: 2,
  nHeads: 2,
  dModel: 8,
  dHead: 4,
  dMlp: 16,
  nCtx: 32,
  dVocab: 50257,
  attnOnly: false,
  normalization: 'LN',
} as const;

let model: HookedTransformer;
let report: Report;
const options = readOptions([]) as StartOptions;

test.before(async () => {
  const json = (value: unknown) => new Blob([JSON.stringify(value)]);
  const files = new Map([
    [
      'config.json',
      json({
        n_layer: 2,
        n_head: 2,
        n_embd: 8,
        n_inner: 16,
        n_positions: 32,
        vocab_size: 50257,
        bos_token_id: 50256,
      }),
    ],
    ['tokenizer.json', json(gpt2TokenizerJson())],
    ['model.safetensors', new Blob([writeSafetensors(randomGpt2(SHAPE, 11))])],
  ]);
  model = await HookedTransformer.fromPretrained(files);
  report = await compute(model, options, () => {});
});
test.after(() => model.dispose());

test('without options the shipped model reads the IOI pair', () => {
  assert.is(options.model, 'tiny');
  assert.is(options.prompt, defaults.clean);
  assert.is(options.head, null);
  assert.equal(readOptions(['--head', '9.6'])?.head, { layer: 9, head: 6 });
  assert.is(readOptions(['--help']), null);
});

test('a wrong command line says what is missing', () => {
  throws(() => readOptions(['--clean', 'a']), /add --corrupted and --answer and --wrong/);
  throws(() => readOptions(['--head', '9']), /like 9\.6/);
  throws(
    () => readOptions(['--adapter', ' ']),
    /auto, hardware, software, opengles, an index or a part of a name/,
  );
});

test('prompts of different length are refused, and both tokenisations shown', () => {
  throws(
    () => checkPair(['a', '␣b'], ['a']),
    /same number of tokens.*clean +2 tokens {2}a\|␣b.*corrupted +1 tokens {2}a/s,
  );
});

test('an answer that is several tokens is refused with a hint', async () => {
  await throws(
    compute(model, { ...options, answer: 'Marya' }, () => {}),
    /is 2 tokens/,
  );
  await throws(
    compute(model, { ...options, wrong: ' Mary' }, () => {}),
    /the same token/,
  );
  await throws(
    compute(model, { ...options, head: { layer: 2, head: 0 } }, () => {}),
    /layers 0–1 with heads 0–1/,
  );
});

test('guesses are in order, and the answer is among them with its rank', async () => {
  const { guesses } = report;
  const logits = await model.forward(defaults.clean);
  const last = await logits.slice([0, -1]).data();
  logits.dispose();
  for (const g of guesses) {
    assert.is(g.rank, 1 + last.filter((x, i) => x > g.logit || (x === g.logit && i < g.token)).length);
    allClose([g.logit], [last[g.token]]);
  }
  const sum = last.reduce((s, x) => s + Math.exp(x - last[guesses[0].token]), 0);
  allClose([guesses[0].prob], [1 / sum]);
  assert.equal(
    guesses
      .filter((g) => g.role)
      .map((g) => g.text)
      .sort(),
    ['␣John', '␣Mary'],
  );
});

test('the last row of the lens is what the model says', () => {
  const final = report.lens.top.at(-1)!.at(-1)![0];
  assert.is(final.token, report.guesses[0].token);
  allClose([final.prob], [report.guesses[0].prob]);
});

test('the head that is shown looks at the answer more than any other', async () => {
  const { layer, head, all, answerAt, labels } = report.attention;
  const n = labels.length;
  assert.equal(
    answerAt.map((p) => labels[p]),
    ['4:␣Mary'],
  );
  const toAnswer = (l: number, h: number) => all![((l * 2 + h) * n + n - 1) * n + 4];
  for (let l = 0; l < 2; l++) for (let h = 0; h < 2; h++) assert.ok(toAnswer(layer, head) >= toAnswer(l, h));
  assert.equal(
    [...report.attention.pattern.values],
    [...all!.slice((layer * 2 + head) * n * n).slice(0, n * n)],
  );
});

test('where the answer is not in the prompt, the head with the sharpest look is chosen', () => {
  const rows = [[[0.9, 0.05, 0.05]], [[0.2, 0.7, 0.1]]];
  const { layer, why } = chooseHead(rows, [], { from: 2, answer: '␣Paris' });
  assert.is(layer, 1);
  assert.match(why, '␣Paris does not occur');
});

test('the report fits 80 columns and 40, with colours and without', () => {
  for (const width of [40, 80])
    for (const depth of [1, 8, 24] as const)
      for (const line of reportLines(report, { width, depth, theme: 'dark' })) {
        // biome-ignore lint/suspicious/noControlCharactersInRegex: escape codes begin with one
        const text = line.replace(/\x1b\[[0-9;]*m/g, '');
        assert.ok(displayWidth(text) <= width, text);
        if (depth === 1) assert.is(line, text);
      }
});

test('the page names what it was made from, and no folder of this machine', () => {
  const html = reportPage(
    { ...report, options: { ...options, model: '/home/someone/models/my-gpt' } },
    '9.9.9',
  );
  assert.match(html, '9.9.9');
  assert.match(html, model.gpu.adapter.text);
  assert.match(html, 'foldLn, centerWritingWeights, centerUnembed, foldValueBiases');
  assert.match(html, 'npm start -- --model ./my-gpt');
  assert.not.match(html, 'someone');
  assert.is(modelName('openai-community/gpt2'), 'openai-community/gpt2');
  assert.is(modelName('./models/a'), 'a');
  assert.is(modelName('https://example.org/models/a'), 'a');
});

test('a model that does not solve the pair is said not to', () => {
  const at = (clean: number, corrupted: number) =>
    doubt({ options, patching: { ...report.patching, meta: { clean, corrupted } } });
  assert.is(at(2, -2), '');
  assert.match(at(-0.5, -0.4), 'prefers ␣John after the clean prompt and ␣John after the corrupted one');
});

test('all memory comes back', async () => {
  const before = model.gpu.memory().bytes;
  await compute(model, options, () => {});
  givenBack(model.gpu, before);
});

test('times are said in words', () => {
  assert.is(duration(8040), '8.0 s');
  assert.is(duration(59_600), '1 min 0 s');
  assert.is(duration(4_320_000), '1 h 12 min');
  assert.is(timeLeft(1000, 1, 4), '3.0 s left');
  assert.is(timeLeft(1000, 0, 4), '');
  assert.equal(wrap('a bb ccc', 4), ['a bb', 'ccc']);
});

test('progress draws a bar for a person and nothing but lines for a file', async () => {
  for (const isTTY of [true, false]) {
    const written: string[] = [];
    const bar = progress('working\x1b[2J', { isTTY, write: (text: string) => written.push(text) });
    await new Promise((done) => setTimeout(done, 100));
    bar.update(1, 2);
    bar.end();
    assert.is(written.length, isTTY ? 2 : 0); // a line comes after ten seconds
    if (isTTY) assert.match(written[0], /working\\x1b\[2J {2}█{12}░{12} {2}50%/);
  }
});

const start = (...args: string[]) =>
  promisify(execFile)(process.execPath, ['--import', 'tsx', 'scripts/start.ts', ...args], {
    cwd: join(import.meta.dirname ?? '.', '../..'),
    env: { ...process.env, FORCE_COLOR: '' },
  });

test('a mistake is one line and exit code 2, not a stack trace', async () => {
  const error = await start('--modle', 'x').then(
    () => fail('it ended without an error'),
    (e: { code: number; stderr: string }) => e,
  );
  assert.is(error.code, 2);
  assert.match(error.stderr, /^error: Unknown option '--modle'[^\n]*\n$/);
});

const shipped = existsSync(new URL('../../weights/tiny/model.safetensors', import.meta.url));
(shipped ? test : test.skip)('npm start: the shipped model, in the terminal and as a page', async () => {
  const out = join(tmpdir(), `glassbox-start-${process.pid}.html`);
  try {
    const { stdout } = await start('--out', out);
    assert.match(stdout, /^tiny: /);
    assert.match(stdout, '4  Patching the residual stream');
    assert.match(readFileSync(out, 'utf8'), /<\/html>\s*$/);
  } finally {
    rmSync(out, { force: true });
  }
});

test.run();
