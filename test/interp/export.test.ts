import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromJson, toCsv, toJson } from '../../interp/results/export.js';
import { labelled } from '../../interp/results/result.js';
import { rng, throws } from '../helpers.js';

const NASTY = ['0:a', '1:␣"quoted",', '2:⏎', ' blank ', 'two\nlines', ''];
const result = (values: number[], meta = {}) =>
  labelled(
    Float32Array.from(values),
    [
      { name: 'layer', labels: Array.from({ length: values.length / NASTY.length }, (_, l) => `L${l}`) },
      { name: 'pos', labels: NASTY },
    ],
    meta,
    'allowed',
  );
const some = (n: number): number[] => {
  const { uniform } = rng(5);
  return Array.from({ length: n }, () => (uniform() - 0.5) * 10 ** Math.floor(20 * uniform() - 10));
};

/** RFC 4180, as a reader of CSV understands it. */
function parse(csv: string): string[][] {
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of csv.matchAll(/(?:"((?:[^"]|"")*)"|([^",\n]*))(,|\n|$)/g)) {
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? plain);
    if (end === '\n') rows.push([]);
    if (end === '') break;
  }
  return rows.slice(0, -1);
}

test('CSV has a line a cell, from which every label and every f32 comes back', () => {
  const one = result(some(12));
  const [head, ...rows] = parse(toCsv(one));
  assert.equal(head, ['layer', 'pos', 'value']);
  assert.equal(
    rows.map(([l, p]) => [l, p]),
    one.axes[0].labels.flatMap((l) => one.axes[1].labels.map((p) => [l, p])),
  );
  assert.equal(
    Float32Array.from(rows, (r) => Number(r[2])),
    one.values,
  );
});

test('CSV says NaN and infinities as such, has no negative zero, and no more digits than an f32', () => {
  const values = parse(toCsv(result([NaN, Infinity, -Infinity, -0, 0.1, 1 / 3])));
  assert.equal(
    values.slice(1).map((r) => r[2]),
    ['NaN', 'Infinity', '-Infinity', '0', '0.1', '0.33333334'],
  );
});

test('JSON gives back values, axes and provenance, numbers that JSON does not have included', () => {
  const meta = {
    model: 'tiny',
    clean: NaN,
    work: { ms: Infinity, list: [1, null, 'NaN'] },
    per: new Float32Array([0.5]),
  };
  const one = result([NaN, Infinity, -Infinity, ...some(9)], meta);
  const back = fromJson(toJson(one));
  assert.equal(
    { ...back, values: [...back.values] },
    { ...one, values: [...one.values], meta: { ...meta, per: [0.5] } },
  );
});

test('what is no result is refused', () => {
  for (const text of ['null', '[]', '{"format":"glassbox sweep"}'])
    throws(() => fromJson(text), /toJson has written/);
  const text = toJson(result(some(6)));
  throws(() => fromJson(text.replace('"version":1', '"version":2')), /version 2/);
  throws(() => fromJson(text.replace('"version":1', '"version":"\\u001b[2J"')), /version "\\x1b\[2J"/);
  throws(() => fromJson(text.replace('"L0"', '"L0","L1"')), /6 values for axes of 2 × 6/);
});

test('JSON whose values are no numbers is not read', () => {
  const damaged = (more: object) => () =>
    fromJson(JSON.stringify({ ...JSON.parse(toJson(result(some(6)))), ...more }));
  for (const value of [null, 'abc', true, [7], '1', '', {}])
    throws(damaged({ values: [1, value, 3, 4, 5, 6] }), /^fromJson: value 1 is .*, which is no number/);
  throws(damaged({ values: undefined }), /no list of values/);
  for (const axes of [
    undefined,
    {},
    [null],
    [{ name: 'layer' }],
    [{ name: 5, labels: [] }],
    [{ name: 'a', labels: [5] }],
  ])
    throws(damaged({ axes }), /^fromJson: its axes are no list/);
  throws(damaged({ meta: [1] }), /its meta is no object/);
});

test.run();
