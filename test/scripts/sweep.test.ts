/** Sweeps from the command line, their records and shards, and everything that docs/sweeps.md shows. */

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  counterfactuals,
  HookedTransformer,
  logitDiff,
  mergeRecords,
  patch,
  prob,
  recordResult,
} from '../../index.js';
import { fromJson, toCsv } from '../../interp/results/export.js';
import { readCommand } from '../../scripts/sweep/options.js';
import { allClose, throws } from '../helpers.js';
import { inFolder, root, runScript, runShell } from './command.js';

const needsTiny = existsSync(path.join(root, 'weights/tiny/model.safetensors')) ? test : test.skip;
const clean = 'When John and Mary went to the shops, John gave the bag to';
const corrupted = 'When John and Mary went to the shops, Mary gave the bag to';
const PAIR = ['--clean', clean, '--corrupted', corrupted, '--answer', ' Mary', '--wrong', ' John'];

const text = (folder: string, file: string) => readFileSync(path.join(folder, file), 'utf8');
/** A CSV's labels and its last column. */
function table(folder: string, file: string): { labels: string[]; values: number[] } {
  const [, ...lines] = text(folder, file).trim().split('\n');
  const cut = lines.map((line) => line.lastIndexOf(','));
  return {
    labels: lines.map((line, i) => line.slice(0, cut[i])),
    values: lines.map((line, i) => Number(line.slice(cut[i] + 1))),
  };
}
const sweep = async (folder: string, ...args: string[]) => {
  const done = await runScript('scripts/sweep.ts', args, folder);
  assert.is(done.code, 0, done.stderr);
  return done.stdout;
};

needsTiny('a sweep writes the map that patch() gives, and merging its record gives the same files', () =>
  inFolder(async (folder) => {
    const files = (name: string) => ['csv', 'json', 'svg', 'html'].flatMap((e) => [`--${e}`, `${name}.${e}`]);
    const said = await sweep(folder, ...PAIR, ...files('whole'), '--record', 'new/whole.jsonl');
    assert.match(said, 'L2');
    assert.match(said, /150 token-layers \(4\.167% of 3600 of a loop\)/);
    const model = await HookedTransformer.fromPretrained('tiny');
    const map = await patch(model, { clean, corrupted, metric: logitDiff(' Mary', ' John') });
    model.dispose();
    assert.is(text(folder, 'whole.csv'), toCsv(map));
    const { work, ...meta } = map.meta;
    assert.equal(fromJson(text(folder, 'whole.json')).meta, JSON.parse(JSON.stringify(meta)));

    const merged = await runScript('scripts/merge.ts', ['new/whole.jsonl', ...files('merged')], folder);
    assert.is(merged.code, 0, merged.stderr);
    for (const e of ['csv', 'json', 'svg', 'html'])
      assert.is(text(folder, `merged.${e}`), text(folder, `whole.${e}`));
  }),
);

needsTiny('three shards, merged, are the unsharded sweep; without one of them its cells are missed', () =>
  inFolder(async (folder) => {
    const shard = (i: number) => sweep(folder, ...PAIR, '--record', `part-${i}.jsonl`, '--shard', `${i}/3`);
    await Promise.all([0, 1, 2].map(shard));
    await sweep(folder, ...PAIR, '--csv', 'whole.csv');
    const parts = ['part-2.jsonl', 'part-0.jsonl', 'part-1.jsonl'];
    const merge = (...args: string[]) => runScript('scripts/merge.ts', args, folder);
    const done = await merge(...parts, '--csv', 'merged.csv', '--record', 'all.jsonl');
    assert.is(done.code, 0, done.stderr);
    const [merged, whole] = ['merged.csv', 'whole.csv'].map((file) => table(folder, file));
    assert.equal(merged.labels, whole.labels);
    allClose(merged.values, whole.values, { atol: 1e-6, rtol: 1e-6 }); // a batch with other cells may sum in other order

    const lines = text(folder, 'all.jsonl').split('\n');
    const again = recordResult(mergeRecords([{ name: 'all', lines }]));
    assert.is(toCsv(again), text(folder, 'merged.csv'));

    const part = await merge(...parts.slice(0, 2));
    assert.is(part.code, 1);
    assert.match(part.stderr, /20 of 60 cells are missing \(the first is 1\)/);
  }),
);

needsTiny('a sweep goes on from its record, and another sweep refuses it', () =>
  inFolder(async (folder) => {
    await sweep(folder, ...PAIR, '--record', 'r.jsonl', '--shard', '0/2');
    const said = await sweep(folder, ...PAIR, '--record', 'r.jsonl', '--csv', 'r.csv');
    assert.is(text(folder, 'r.csv').split('\n').length, 62); // head, 60 cells, end
    assert.not.match(said, /\b150 token-layers/);
    const other = await runScript('scripts/sweep.ts', [...PAIR, '--at', 'z', '--record', 'r.jsonl'], folder);
    assert.is(other.code, 1);
    assert.match(other.stderr, /another sweep/);
  }),
);

needsTiny('counterfactuals given as JSON are those of the library', () =>
  inFolder(async (folder) => {
    const base = 'The Space Needle is in downtown';
    const list = [
      [{ at: 'mlp_out', layer: 0, zero: true as const }],
      [{ at: 'z', layer: 1, head: 2, scale: 0 }],
    ];
    writeFileSync(path.join(folder, 'base.json'), JSON.stringify(base));
    writeFileSync(path.join(folder, 'list.json'), JSON.stringify(list));
    const args = [
      '--list',
      'list.json',
      '--base',
      'base.json',
      '--metric',
      'prob',
      '--answer',
      ' Seattle',
      '--csv',
      'o.csv',
    ];
    await sweep(folder, ...args);
    const model = await HookedTransformer.fromPretrained('tiny');
    const result = await counterfactuals(model, base, list, prob(' Seattle'));
    model.dispose();
    assert.is(text(folder, 'o.csv'), toCsv(result));
  }),
);

test('a wrong command line says what is missing', async () => {
  await throws(() => readCommand([]), /--clean with --corrupted, --pairs, or --list/);
  await throws(() => readCommand(['--clean', 'a']), /1 × --clean and 0 × --corrupted/);
  await throws(() => readCommand(['--clean', 'a', '--corrupted', 'b']), /logit-diff needs --answer/);
  await throws(() => readCommand([...PAIR, '--metric', 'f1']), /one of logit-diff, log-prob/);
  await throws(() => readCommand([...PAIR, '--shard', '3/3', '--record', 'r']), /I from 0 to N − 1/);
  await throws(() => readCommand([...PAIR, '--shard', '0/3']), /--shard needs --record/);
  await throws(() => readCommand([...PAIR, '--answer', 'x', '--answer', 'y']), /3 × --answer for 1 prompts/);
  await throws(() => readCommand([...PAIR, '--shard', '0/3', '--record', 'r', '--csv', 'c']), /merge does/);
  await throws(() => readCommand([...PAIR, '--only', '{']), /--only: not JSON/);
  await throws(() => readCommand(['--pairs', '/no/such/file']), /cannot be read/);
  assert.is(await readCommand(['--help']), null);
});

// ---- docs/sweeps.md
// ------------------------------------------------------------------------------------------------

const page = readFileSync(path.join(root, 'docs/sweeps.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].filter((m) => m[1] === language).map((m) => m[2]);

needsTiny('the TypeScript of docs/sweeps.md runs', () =>
  inFolder(async (folder) => {
    const entry = pathToFileURL(path.join(root, 'index.ts')).href;
    const run = async (code: string) => {
      writeFileSync(path.join(folder, 'example.mts'), code.replaceAll("'glassbox'", JSON.stringify(entry)));
      return runScript(path.relative(root, path.join(folder, 'example.mts')), [], folder);
    };
    const [all, patching, resumed] = blocks('ts');
    const actions = await run(all);
    assert.is(actions.code, 0, actions.stderr);
    assert.match(actions.stdout, /^blocks\.2\.hook_resid_pre\[pos 14\] = clean 10\.15/);
    const cells = await run(patching);
    assert.is(cells.code, 0, cells.stderr);
    assert.match(cells.stdout, /\[ 2, 5, 4 \]/);
    const rest = await run(resumed);
    assert.is(rest.code, 0, rest.stderr);
    const left = Number(/tokenLayers: (\d+)/.exec(rest.stdout)![1]);
    assert.ok(left > 0 && left < 150, rest.stdout);
    assert.is(blocks('ts').length, 3);
  }),
);

needsTiny(
  'the commands of docs/sweeps.md run, on one machine, as a Slurm array and as a Kubernetes job',
  () =>
    inFolder(async (folder) => {
      const shell = async (commands: string, env: NodeJS.ProcessEnv = {}) => {
        const done = await runShell(commands, folder, env);
        assert.is(done.code, 0, done.stderr);
      };
      for (const commands of blocks('sh')) await shell(commands);
      for (const file of ['residual.html', 'heads.svg', 'needle.csv', 'attention.html'])
        assert.ok(text(folder, file));

      const [slurm] = blocks('bash');
      const tasks = Number(/--array=0-(\d+)/.exec(slurm)![1]) + 1;
      assert.match(slurm, `/${tasks}"`);
      const each = (n: number, run: (i: string) => Promise<void>) =>
        Promise.all(Array.from({ length: n }, (_, i) => run(String(i))));
      await each(tasks, (i) => shell(slurm, { SLURM_ARRAY_TASK_ID: i }));
      await shell(/`(npm run merge -- slurm\/[^`]*)`/.exec(page)![1]);

      const [job] = blocks('yaml');
      const pods = Number(/completions: (\d+)/.exec(job)![1]);
      const command = /args:\n\s+- >-\n([\s\S]*?)\n\s+resources:/
        .exec(job)![1]
        .replace(/\s*\n\s*/g, ' ')
        .trim();
      assert.match(command, `$JOB_COMPLETION_INDEX/${pods}"`);
      mkdirSync(path.join(folder, 'data'));
      copyFileSync(path.join(folder, 'pairs.jsonl'), path.join(folder, 'data/pairs.jsonl'));
      await each(pods, (i) => shell(command.replaceAll('/data/', 'data/'), { JOB_COMPLETION_INDEX: i }));
      await shell('npm run merge -- data/part-*.jsonl --csv job.csv');

      // A mean over pairs: the result of any of these ways is that of one machine.
      await shell('npm run sweep -- --pairs pairs.jsonl --at mlp_out --csv one.csv');
      allClose(table(folder, 'mlp.csv').values, table(folder, 'one.csv').values, { atol: 1e-5 });
      assert.is(table(folder, 'job.csv').values.length, 4 * 15);
    }),
);

test.run();
