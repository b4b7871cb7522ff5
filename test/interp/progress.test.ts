/** Progress counts up to the end: what is reported last is all of it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as glassbox from '../../index.js';
import { twoLayers as config, randomGpt2 } from '../helpers.js';

const model = await glassbox.HookedTransformer.fromWeights(config, randomGpt2(config, 3));
test.after(() => model.dispose());

const [clean, corrupted] = [
  [1, 2, 3, 4],
  [1, 2, 9, 4],
];
const metric = glassbox.logitDiff(5, 6);
const pair = { clean, corrupted, metric };
type Options = { onProgress: (done: unknown, total?: number) => void };

const calls: Readonly<Record<string, (o: Options) => unknown>> = {
  topCircuitTokens: (o) =>
    glassbox.topCircuitTokens(model, { circuit: 'ov', layer: 0, head: 1, tokens: [1, 2], ...o } as never),
  topCircuitEntries: (o) =>
    glassbox.topCircuitEntries(model, { circuit: 'ov', layer: 1, head: 0, ...o } as never),
  copyingScores: (o) => glassbox.copyingScores(model, { tokens: 8, ...o }),
  compositionScores: (o) => glassbox.compositionScores(model, 'K', o),
  attentionPatterns: (o) => glassbox.attentionPatterns(model, clean, o),
  logitLens: (o) => glassbox.logitLens(model, [clean], o),
  integratedGradients: (o) => glassbox.integratedGradients(model, { ...pair, steps: 2, ...o }),
  atpStar: (o) => glassbox.atpStar(model, { ...pair, ...o }),
  edgeAttribution: (o) => glassbox.edgeAttribution(model, { ...pair, ...o }),
  attributionPatch: (o) => glassbox.attributionPatch(model, { ...pair, ...o }),
  patch: (o) => glassbox.patch(model, { ...pair, maxTokens: 8, ...o }),
  ablate: (o) => glassbox.ablate(model, [clean], { of: 'heads', metric, maxTokens: 8, ...o }),
  pathPatch: (o) => glassbox.pathPatch(model, { original: clean, new: corrupted, metric, ...o }),
  causalTrace: (o) => glassbox.causalTrace(model, { prompt: clean, subject: [1, 3], samples: 1, ...o }),
};

for (const [name, call] of Object.entries(calls))
  test(`${name}: progress goes up and ends with all`, async () => {
    const seen: (readonly [number, number])[] = [];
    const onProgress = (done: unknown, total?: number) => {
      const said = done as { done: number; total: number };
      seen.push(total === undefined ? [said.done, said.total] : [done as number, total]);
    };
    await call({ onProgress });
    assert.ok(seen.length > 0, 'nothing was reported');
    const text = JSON.stringify(seen);
    for (const [i, [done, total]] of seen.entries()) {
      assert.ok(done >= (seen[i - 1]?.[0] ?? 0) && done <= total, text);
      assert.is(total, seen[0][1], text);
    }
    assert.is(seen.at(-1)![0], seen[0][1], text);
  });

test.run();
