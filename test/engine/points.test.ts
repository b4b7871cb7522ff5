/**
 * Hook points: names, axes, order and reach are what they were before the table (fixtures/points), and follow
 * from it.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Points, pointsOf } from '../../engine/transformer/model-points.js';
import { pointName, splitName } from '../../engine/transformer/points.js';
import { matchNames, matchPoints } from '../../hooks/input/names.js';
import { planFork } from '../../hooks/sweep/plan.js';
import { actName, hookNames } from '../../index.js';
import { parseConfig } from '../../weights/load/config.js';
import { root } from '../examples.js';

interface Before {
  /** Per published configuration: number of names, a line for each point, and what filters name. */
  models: Record<
    string,
    { config: unknown; count: number; points: string[]; filters?: Record<string, string> }
  >;
  actName: Record<string, string>;
}

const before: Before = JSON.parse(readFileSync(path.join(root, 'test/fixtures/points/before.json'), 'utf8'));
const small = parseConfig({ nLayers: 3, nHeads: 2, dModel: 8, nCtx: 8, dVocab: 5 });

for (const [label, { config: given, count, points: lines, filters = {} }] of Object.entries(before.models)) {
  test(`${label}: names, axes, order and reach of hook points`, () => {
    const config = parseConfig(given);
    const points = new Points(config);
    assert.is(points.names.length, count);
    assert.equal(hookNames(config), points.names);
    const told = (name: string) => {
      const { layer, step, join, axes, heads, width, reachesLater } = points.get(name)!;
      const local = splitName(name).local;
      const at = (n: number) => {
        if (layer === null) return n === 2 * config.nLayers + 1 ? 'end' : String(n);
        return ['a', 'm', 'next'][n - 1 - 2 * layer];
      };
      const lengths = axes.at(-1) === 'key' ? 'head, query, key' : heads ? `head ${heads}, ${width}` : width;
      const later = reachesLater ? ', reaches later' : '';
      const demand = points.always.includes(name) ? '' : ', on demand';
      return `${layer === null ? '' : 'blocks.{l}.'}${local}: ${lengths}; made at ${at(step)}, changed at ${at(join)}${later}${demand}`;
    };
    const all = points.names.map(told);
    const inBlocks = points.names.filter((name) => splitName(name).layer !== null);
    const first = points.names.indexOf(inBlocks[0]);
    const perBlock = inBlocks.length / config.nLayers;
    for (let l = 0; l < config.nLayers; l++) {
      const own = all.slice(first + l * perBlock, first + (l + 1) * perBlock);
      assert.equal(
        [...all.slice(0, first), ...own, ...all.slice(first + inBlocks.length)],
        lines,
        `layer ${l}`,
      );
    }
    for (const [filter, expected] of Object.entries(filters))
      assert.is(named(filter, points), expected, filter);
  });
}

/** What a filter names, as the fixture has it. */
function named(filter: string, points: Points): string {
  try {
    const names = matchNames(filter, points);
    return names.length > 6 ? `${names.length}: ${names[0]} … ${names.at(-1)}` : names.join(' ');
  } catch {
    return 'refused';
  }
}

test('actName gives what it gave before the table', () => {
  for (const [call, expected] of Object.entries(before.actName)) {
    const [name, layer, type] = call.split(' ').map((x) => (x === 'null' ? null : x));
    assert.is(actName(name!, layer === null ? null : Number(layer), type), expected, call);
  }
});

test('a name is found by a look-up, and a model has its points once', () => {
  const points = pointsOf(small);
  assert.is(pointsOf(small), points);
  assert.is(points.get(pointName('attn.hook_k', 2))?.layer, 2);
  assert.is(points.get('blocks.3.attn.hook_k'), undefined);
  assert.equal(
    [...points].map(({ order }) => order),
    [...points.names.keys()],
  );
});

test("TransformerLens 4's names are aliases: they give the point of the classic name", () => {
  const points = pointsOf(small);
  assert.is(points.get('blocks.1.attn.q.hook_out')?.name, 'blocks.1.attn.hook_q');
  assert.equal(matchNames('attn.o.hook_in', points), matchNames('attn.hook_z', points));
  for (const { config } of Object.values(before.models)) {
    const own = [...new Points(parseConfig(config))].filter(({ layer }) => layer === null || layer === 0);
    const names = [...own.map(({ local }) => local), ...own.flatMap(({ row }) => row.aliases ?? [])];
    assert.is(new Set(names).size, names.length, 'no two points share a name');
  }
});

test('a new key-like point is one line of the table: shorthand, axes and the planning of sweeps follow', () => {
  const points = new Points(small).with({
    attention: [{ name: 'attn.hook_rotated', axes: ['pos', 'head', 'd_head'], reachesLater: true }],
  });
  const [, point] = matchPoints('attn.hook_rotated', points);
  assert.is(point.name, 'blocks.1.attn.hook_rotated');
  assert.equal([point.axes, point.heads, point.width], [['batch', 'pos', 'head', 'd_head'], 2, 4]);
  // An edit at position 2 of layer 1: from there on everything differs, as with a key; with a query only
  // position 2 does.
  const extentOf = (name: string) => {
    const edit = {
      point: points.get(name)!,
      row: 0,
      pos: 2,
      head: 0,
      start: 0,
      width: 4,
      keep: 0,
      add: 0,
      projectOut: false,
      place: null,
    };
    const { lo, hi } = planFork(0, 0, [edit], {
      nLayers: 3,
      length: 6,
      tokens: 6,
      reads: 'all',
      baseEdits: [],
      bidirectional: false,
      idle: () => false,
    })!;
    return [...lo].map((a, i) => [a, hi[i]]).slice(3, 6);
  };
  assert.equal(extentOf('blocks.1.attn.hook_rotated'), extentOf('blocks.1.attn.hook_k'));
  assert.equal(extentOf('blocks.1.attn.hook_rotated'), [[2, 6], [2, 6], [2, 6]]); // biome-ignore format: a table
  assert.equal(extentOf('blocks.1.attn.hook_q'), [[2, 3], [2, 3], [2, 6]]); // biome-ignore format: a table
});

test('what a model lacks is said: MLPs, norms, layers', () => {
  const toy = { nLayers: 1, nHeads: 1, dModel: 4, nCtx: 4, dVocab: 4 };
  const refused = (given: object, name: string) => {
    try {
      matchNames(name, pointsOf(parseConfig({ ...toy, ...given })));
    } catch (e) {
      return (e as Error).message;
    }
  };
  assert.is(
    refused({ attnOnly: true }, 'blocks.0.mlp.hook_pre'),
    'hook "blocks.0.mlp.hook_pre": this model has no MLPs (attention only)',
  );
  assert.match(refused({ normalization: 'none' }, 'blocks.0.ln1.hook_scale')!, 'this model has no norms');
  assert.match(refused({}, 'blocks.0.mlp.hook_mid')!, 'this model has no norm in its MLPs');
  assert.match(refused({}, 'blocks.1.hook_resid_pre')!, 'this model has 1 layers (0–0)');
  assert.match(refused({}, 'hook_nonsense')!, 'no such hook point');
});

/** The table, and the file that reads what users say for hook points. */
const FREE = ['engine/transformer/points.ts', 'hooks/input/names.ts'];

test('no file but the table tells hook points by a regular expression', () => {
  const offences = ['engine', 'hooks', 'interp']
    .flatMap((room) =>
      readdirSync(path.join(root, room), { recursive: true, encoding: 'utf8' }).map(
        (file) => `${room}/${file}`,
      ),
    )
    .filter((file) => file.endsWith('.ts') && !FREE.includes(file))
    .filter((file) => {
      const text = readFileSync(path.join(root, file), 'utf8').replace(/^\s*(\*|\/\/).*$/gm, '');
      return /\/[^\n/]*hook_[^\n/]*\/[a-z]*\.(test|exec)\(|\.(replace|match|search)\(\/[^\n/]*hook_|(starts|ends)With\(['"`][^'"`]*(hook_|ln_)/.test(
        text,
      );
    });
  assert.equal(offences, [], 'ask the table (points.ts) instead');
});

test('names of hook points are put together by pointName alone', () => {
  const offences = ['hooks', 'interp']
    .flatMap((room) =>
      readdirSync(path.join(root, room), { recursive: true, encoding: 'utf8' }).map(
        (file) => `${room}/${file}`,
      ),
    )
    .filter((file) => file.endsWith('.ts') && !FREE.includes(file))
    .filter((file) => /`blocks\.\$\{[^}]*\}\.[^`]*hook_/.test(readFileSync(path.join(root, file), 'utf8')));
  assert.equal(offences, [], "take pointName('attn.hook_z', layer), which a compiler checks");
});

test.run();
