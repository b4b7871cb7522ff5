/** What was published on indirect objects hangs together. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { published } from '../../scripts/seeds/ioi-published.js';
import { allClose } from '../helpers.js';

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

test('the published parts add up to the published logit difference', () => {
  const { average, perPrompt, lens, layers, heads, ablated, randomTokens } = published;
  allClose([lens.at(-1)!, sum(layers), sum(perPrompt) / 8], Array(3).fill(average), { atol: 2e-4 });
  assert.equal(
    heads.map((row) => row.length),
    Array(12).fill(12),
  );
  allClose([ablated.heads[9][9]], [0]);
  const ratios = ablated.scales.map((scale, i) => scale / ablated.scalesAfter[i]);
  allClose([sum(ratios) / 8], [ablated.scaleRatio], { atol: 1e-3 });
  for (const row of randomTokens) assert.is(new Set(row).size, 100); // nothing is said twice by chance
});

test.run();
