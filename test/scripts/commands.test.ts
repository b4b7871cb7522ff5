/** `npx glassbox`, as a program: each command on the shipped model, and command lines that are wrong. */

import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { causalTrace, fromJson, HookedTransformer } from '../../index.js';
import { verdict } from '../../scripts/commands/doctor.js';
import { commandHelp, mainHelp } from '../../scripts/commands/help.js';
import { commands } from '../../scripts/commands/index.js';
import { main } from '../../scripts/commands/main.js';
import { nearest, parseCommand } from '../../scripts/commands/parse.js';
import { programs } from '../../scripts/commands/programs.js';
import { allClose, fail } from '../helpers.js';
import { inFolder, root, runScript, runShell } from './command.js';

const IOI = 'When John and Mary went to the shops, John gave the bag to';
const CORRUPTED = 'When John and Mary went to the shops, Mary gave the bag to';
const NEEDLE = 'The Space Needle is in downtown';

/** As a program of its own. */
const run = (args: readonly string[], cwd = root, env: NodeJS.ProcessEnv = {}) =>
  runScript('scripts/glassbox.ts', args, cwd, env);

/** In this process; what goes to stdout. */
async function output(...args: string[]): Promise<string> {
  const written: string[] = [];
  await main(args, new AbortController().signal, (data) => void written.push(String(data)));
  return written.join('');
}

const json = async (...args: string[]) => JSON.parse(await output(...args, '--json'));

test('test-prompt prints what TransformerLens prints, and the same as JSON', async () => {
  const { code, stdout } = await run(['test-prompt', IOI, 'Mary', '--top-k', '2']);
  assert.is(code, 0);
  const lines = stdout.split('\n');
  assert.match(lines[0], /^Tokenized prompt: \['<\|endoftext\|>', 'When', ' John', /);
  assert.is(lines[1], "Tokenized answer: [' Mary']");
  assert.is(lines[2], 'Performance on answer token:');
  assert.match(lines[3], /^Rank: 0 {8}Logit: \d\d\.\d\d Prob: 99\.\d\d% Token: \| Mary\|$/);
  assert.match(lines[4], /^Top 0th token\. Logit: \d\d\.\d\d Prob: 99\.\d\d% Token: \| Mary\|$/);
  assert.is(lines[6], "Ranks of the answer tokens: [(' Mary', 0)]");
  const { steps, meta } = await json('test-prompt', IOI, ' Mary', ' John', '--no-bos');
  assert.equal(
    steps[0].answers.map((a: { text: string }) => a.text),
    [' Mary', ' John'],
  );
  assert.is(meta.bos, false);
});

test('weights of half the size say the same', async () => {
  const probability = async (...more: string[]) =>
    (await json('test-prompt', IOI, ' Mary', ...more)).steps[0].answers[0].prob;
  const [full, half] = [await probability(), await probability('--dtype', 'f16')];
  assert.ok(full !== half && Math.abs(full - half) < 1e-3, `${full} and ${half}`);
});

test('lens writes its map, a page and pictures; what is written can be read back', () =>
  inFolder(async (folder) => {
    const files = [
      '--json',
      'lens.json',
      '--csv=a.csv',
      '--html',
      'deep/lens.html',
      '--svg',
      'l.svg',
      '--png',
      'l.png',
    ];
    const { stdout, stderr } = await run(
      ['lens', NEEDLE, '--answer', ' Seattle', '--top-k', '2', ...files],
      folder,
    );
    assert.is(stderr.match(/^wrote /gm)?.length, 5, stderr);
    assert.match(stdout, /final_post +[\d.]+ +99\.\d% +0\n/);
    const read = (name: string) => readFileSync(path.join(folder, name));
    const map = fromJson(read('lens.json').toString());
    assert.equal(map.shape, [5, 8]);
    assert.is(JSON.parse(read('lens.json').toString()).top[4][7][0].text, ' Seattle');
    assert.is(read('a.csv').toString().split('\n').length, 42);
    const html = read('deep/lens.html').toString();
    assert.match(html, 'Logit lens: “The Space Needle is in downtown”');
    assert.not.match(html, folder);
    assert.match(read('l.svg').toString(), /^<svg xmlns/);
    const png = read('l.png');
    assert.is(png.subarray(1, 4).toString(), 'PNG');
    assert.ok(png.length > 5000);
  }));

test('attn gives a head, a layer, or all heads', async () => {
  const head = await json('attn', '--head', '1.1', IOI);
  assert.equal(
    head.axes.map((a: { name: string }) => a.name),
    ['query', 'key'],
  );
  const last = head.values.slice(-15);
  assert.ok(last[4] > 0.9, 'the name mover looks at Mary');
  const all = await json('attn', 'one two');
  assert.equal(
    all.axes.map((a: { name: string }) => a.name),
    ['layer', 'head', 'query', 'key'],
  );
});

/** Of the axes of a result. */
const lengths = (result: { axes: { labels: string[] }[] }) => result.axes.map(({ labels }) => labels.length);

test('patch from gradients: the axes of patching; both, one held against the other', async () => {
  const pair = ['--clean', IOI, '--corrupted', CORRUPTED, '--answer', ' Mary', '--wrong', ' John'];
  const map = await json('patch', ...pair, '--method', 'attribution');
  assert.equal(lengths(map), [4, 15]);
  assert.is(map.meta.method, 'attribution patching');
  const both = await json(
    'patch',
    ...pair,
    '--method',
    'both',
    '--at',
    'z',
    '--by',
    'layer,head,pos',
    '--verify',
    '5',
  );
  assert.equal(lengths(both.exact), [5]);
  assert.equal(lengths(both.attributed), [4, 4, 15]);
  assert.ok(both.agreement.pearson > 0.9);
  assert.match(await output('patch', ...pair, '--method', 'both'), /60 cells: correlation 0\.\d+/);
});

test('patch and trace: 0 is the corrupted run, 1 the clean one; where the fact is', async () => {
  const pair = ['--clean', IOI, '--corrupted', CORRUPTED, '--answer', ' Mary'];
  const text = await output('patch', ...pair, '--wrong', ' John');
  assert.match(text, /Metric: logit\(" Mary"\) − logit\(" John"\); clean \+10\.2\d, corrupted −5\.\d+\./);
  const heads = await json('patch', ...pair, '--metric', 'prob', '--at', 'z', '--by', 'head,layer');
  assert.equal(
    heads.axes.map((a: { name: string }) => a.name),
    ['head', 'layer'],
  );
  const trace = await json('trace', NEEDLE, '--samples', '2');
  assert.is(trace.meta.answer.text, ' Seattle');
  assert.ok(trace.meta.clean > 0.9 && trace.meta.corrupted < 0.8);
  // ROME's notebook: noise of 0.1, no beginning-of-text token
  assert.equal([trace.meta.bos, trace.meta.noise], [false, { rule: 0.1, level: 0.1 }]);
  const model = await HookedTransformer.fromPretrained('tiny');
  const own = await causalTrace(model, { prompt: NEEDLE, samples: 2 });
  model.dispose();
  allClose(trace.values, own.scores.values, { atol: 1e-6 });
  const all = await json('trace', NEEDLE, '--kind', 'all', '--samples', '2', '--bos');
  assert.equal([all.axes[0].labels, all.axes[1].labels[0]], [['state', 'mlp', 'attn'], '0:<|endoftext|>']);
});

test('dla sums to the logit', async () => {
  const { values, meta } = await json('dla', IOI, '--answer', ' Mary', '--wrong', ' John', '--by', 'head');
  const sum = values.reduce((a: number, b: number) => a + b, 0);
  assert.ok(Math.abs(sum - meta.logit) < 1e-4, `${sum} and ${meta.logit}`);
});

test('heads: the induction head is found on random tokens, and by TransformerLens’ measure on a text', async () => {
  const { axes, values } = await json('heads', '--batch', '1', '--length', '20');
  assert.equal(axes[0].labels, ['previous', 'duplicate', 'induction']);
  const best = values
    .slice(32)
    .reduce((b: number, v: number, i: number, all: number[]) => (v > all[b] ? i : b), 0);
  assert.is(Math.floor(best / 4), 1, 'a head of layer 1');
  const text = await output('heads', `${IOI}. ${IOI}`, '--kind', 'induction', '--detect', 'mul');
  assert.match(text, /\ninduction: 1\.\d /);
});

test('generate prints the text as it comes; the same seed gives the same text', async () => {
  assert.match(
    await output('generate', 'When John and Mary went to the shops,'),
    /^When John and Mary went to the shops, .*\n$/,
  );
  const sampled = ['generate', IOI, '-n', '6', '--temperature', '1', '--seed', '3'];
  const { text, steps } = await json(...sampled);
  assert.is((await json(...sampled)).text, text);
  assert.is(
    IOI +
      steps
        .map((s: { text: string }) => s.text)
        .join('')
        .replace('<|endoftext|>', ''),
    text,
  );
});

test('score sorts the lines of a file; --file is one text', () =>
  inFolder(async (folder) => {
    const file = path.join(folder, 'texts.txt');
    writeFileSync(file, 'the to bag gave\r\nMary gave the bag to John.\n\n');
    const { entries } = await json('score', file);
    assert.equal(
      entries.map((e: { text: string }) => e.text),
      ['Mary gave the bag to John.', 'the to bag gave'],
    );
    const { tokens, loss, perplexity, characters } = await json('score', '--file', file);
    assert.is(characters, readFileSync(file, 'utf8').length);
    assert.ok(tokens > 5 && Math.abs(Math.exp(loss) - perplexity) < 1e-6 * perplexity);
  }));

test('download says what a model is, and needs no GPU', async () => {
  const { stdout } = await run(['download', 'tiny', '--json'], root, { GLASSBOX_ADAPTER: 'none' });
  const [tiny] = JSON.parse(stdout);
  assert.equal([tiny.model, tiny.layers, tiny.heads, tiny.dModel], ['tiny', 4, 4, 128]);
  assert.ok(tiny.parameters > 1e6);
});

test('the doctor trusts this machine', async () => {
  const { trusted, kernels, model, speed } = await json('doctor', '--only', 'softmax,layernorm');
  assert.is(trusted, true);
  assert.ok(kernels.checks > 20 && model.checks > 500 && model.worst < 1);
  assert.ok(speed.gflops > 0 && speed.gigabytesPerSecond > 0);
});

test('the doctor does not trust a kernel that fails, nor a model that is off', () => {
  const good = { checks: 3, worst: 0.5, worstOf: 'a', failures: [] };
  const bad = { ...good, worst: 7, failures: [{ what: 'a', why: '1, expected 2' }] };
  assert.is(verdict(good, good).trusted, true);
  assert.match(verdict(bad, good).sentence, /CANNOT be trusted here: 1 of 3 kernel checks fail;/);
  assert.match(verdict(good, bad).sentence, /CANNOT.*the shipped model is off in 1 of 3 numbers/);
});

test('in a pipe: the prompt from stdin, no escape codes, and a reader that leaves early', () =>
  inFolder(async (folder) => {
    const { code, stdout, stderr } = await runShell(
      `echo '${NEEDLE}' | npm run glassbox -- test-prompt - --csv | head -2
       echo '${NEEDLE}' | NO_COLOR=1 FORCE_COLOR=1 npm run glassbox -- lens -`,
      folder,
      { FORCE_COLOR: '' },
    );
    assert.is(code, 0, stderr);
    assert.match(stdout, /^prompt,rank,value\n<\|endoftext\|>The Space Needle is in downtown,0,0\.9/);
    assert.match(stdout, /final_post.*␣Seat… 99\n/);
    assert.not.match(stdout, '\x1b');
  }));

const wrong: [args: string[], message: RegExp][] = [
  [['lnes', 'a'], /there is no command "lnes": did you mean lens\?/],
  [['--model', 'tiny'], /a command comes first: one of test-prompt, /],
  [['lens', 'a', 'b'], /"b" is one argument too many: lens takes PROMPT; put texts with blanks in quotes/],
  [['lens', 'a', '--modle', 'tiny'], /unknown option --modle: did you mean --model\?/],
  [['lens', 'a', '--top-k', 'many'], /--top-k many: a whole number from 1 is needed/],
  [['lens', 'a', '--top-k'], /--top-k needs a value/],
  [['lens', 'a', '--json', '--csv'], /both go to stdout/],
  [['lens', 'a', '--html', '.'], /--html \.: this is a folder/],
  [['lens', 'a', '--adapter', ''], /auto, hardware, software, opengles, an index or a part of a name/],
  [['lens', ''], /the PROMPT is empty/],
  [['lens'], /lens needs a PROMPT; - reads it from stdin/],
  [['score', '--text', 'a', '--html', 'a.html'], /score has no HTML, but --json --csv/],
  [['score', '--text', 'a', '--stride', '3'], /--stride is for --file/],
  [['score', 'a.txt', '--text', 'b'], /give one of them/],
  [['attn', 'a', '--head', 'nine'], /--head nine: layer and head are needed, like L9H6 or 9\.6/],
  [['attn', 'a', '--head', '1.2', '--layer', '1'], /--head and --layer: give one of them/],
  [['patch', '--clean', 'a'], /patch needs --corrupted/],
  [
    ['patch', '--clean', 'a', '--corrupted', 'b', '--answer', ' c', '--metric', 'prob', '--verify', '3'],
    /--verify is for --method both/,
  ],
  [['patch', '--clean', 'a', '--corrupted', 'b', '--answer', ' c', '--metric', 'x'], /one of logit-diff, /],
  [['patch', '--clean', 'a', '--corrupted', 'b', '--answer', ' c'], /patch needs --wrong/],
  [['trace', 'The Space Needle', '--kind', 'mpl'], /--kind mpl: one of state, mlp, attn, all is needed/],
  [['generate', 'a', '--temperature', '-1'], /--temperature -1: a number from 0 is needed/],
  [['dla', 'a'], /dla needs --answer/],
  [['heads', '--detect', 'mul'], /--detect needs a TEXT/],
  [['heads', 'a b', '--seed', '1'], /--seed is for random tokens/],
  [['heads', '--kind', 'indction'], /--kind indction: one of previous, duplicate, induction is needed/],
  [['download'], /needs the name of a MODEL/],
  [['doctor', '--model', 'gpt2'], /unknown option --model/],
  [['doctor', '--only', 'softmx'], /--only softmx: there are /],
];

test('a wrong command line is told in one line', async () => {
  for (const [args, message] of wrong) {
    const error = await output(...args).then(
      (text) => fail(`${args.join(' ')} printed ${text}`),
      (e: Error) => e,
    );
    assert.is(error.name, 'UsageError', `${args.join(' ')}: ${error.stack}`);
    assert.match(error.message, message);
    assert.not.match(error.message, '\n');
  }
});

test('… with exit code 2, and nothing on stdout', async () => {
  for (const [args] of [wrong[0], wrong[3], wrong[12]]) {
    const { code, stdout, stderr } = await run(args);
    assert.match(stderr, /^error: [^\n]* \(--help shows the options\)\n$/, args.join(' '));
    assert.is(code, 2);
    assert.is(stdout, '');
  }
});

const failing: [args: string[], message: RegExp][] = [
  [['lens', 'a', '--model', './nowhere'], /nowhere/],
  [['lens', 'a', '--model', 'no-such-model'], /unknown model "no-such-model"/],
  [['lens', 'a', '--model', 'weights/tiny'], /to mean the folder of that name, write \.\/weights\/tiny/],
  [['score', 'no/such/file.txt'], /^no\/such\/file\.txt: there is no such file/],
  [['score', '--file', 'weights'], /^weights: this is a folder/],
  [['attn', 'a', '--head', '9.9'], /layers 0–3 with heads 0–3/],
  [['lens', 'a', '--answer', 'Marya'], /is \d tokens/],
  [
    ['patch', '--clean', 'one two', '--corrupted', 'one', '--answer', ' Mary', '--wrong', ' John'],
    /clean prompt has \d+ tokens, the corrupted one \d+/,
  ],
];

test('what fails later is told in one line, with exit code 1', async () => {
  for (const [args, message] of failing) {
    const error = await output(...args).then(
      () => fail(`${args.join(' ')} worked`),
      (e: Error) => e,
    );
    assert.match(error.message, message);
    assert.not.match(error.message, '\n');
  }
  const { code, stderr } = await run(failing[0][0]);
  assert.match(stderr, /^error: [^\n]*nowhere[^\n]*\n$/);
  assert.is(code, 1);
});

test('every command has help with examples that it can read itself', async () => {
  assert.match(await output('--help'), mainHelp(commands, programs).slice(0, 200));
  assert.is(await output('lens', '--help'), await output('help', 'lens'));
  for (const command of commands) {
    const help = commandHelp(command);
    for (const line of help.split('\n')) assert.ok(line.length <= 130, line);
    for (const name of Object.keys(command.options ?? {})) assert.match(help, `--${name}`);
    for (const example of command.examples) {
      const own = example.replace(/ < .*/, '').replaceAll('\\\n', '');
      const [name, ...args] = [...own.matchAll(/"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2]);
      assert.is(name, command.name);
      parseCommand(command, args);
    }
  }
  assert.match(await output('--version'), /^\d+\.\d+\.\d+\n$/);
});

test('what npm run can do is a command: npm run sweep is glassbox sweep', async () => {
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));
  const help = await output('--help');
  for (const { name, summary } of programs) {
    assert.is(scripts[name], `node --import tsx scripts/glassbox.ts ${name}`);
    assert.ok(help.includes(summary), name);
  }
  assert.match((await run(['merge', '--help'])).stdout, 'Usage: npm run merge -- RECORD...');
  assert.match((await run(['mrege'])).stderr, 'did you mean merge?');
});

test('words that are nearly right are guessed, others are not', () => {
  assert.is(nearest('tarce', ['patch', 'trace']), 'did you mean trace?');
  assert.is(nearest('xyzzy', ['patch', 'trace']), '');
});

test('every command that loads a model takes --with, names of TransformerLens 4 too', async () => {
  const interventions = JSON.stringify([{ at: 'z', layer: 1, head: 0, zero: true }]);
  for (const command of commands) {
    const read = () => parseCommand(command, ['--with', interventions]);
    if (command.modelFree) assert.throws(read, /--with/);
    else assert.not.throws(read, /--with/);
  }
  const edits = JSON.stringify([{ at: 'blocks.1.attn.o.hook_in', head: 0, zero: true }]);
  const { meta } = await json('lens', IOI, '--with', edits);
  assert.equal(meta.edits, ['blocks.1.attn.hook_z[head 0] = 0']);
  const { error } = await output('lens', IOI, '--with', '[{').then(
    () => ({ error: null }),
    (error: Error) => ({ error }),
  );
  assert.match(error?.message ?? '', /--with: /);
});

test.run();
