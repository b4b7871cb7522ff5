/**
 * Attribution patching in all its variants gives what autograd in float64 gives:
 * test/fixtures/gradients/attribution.py.
 */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  attentionAttribution,
  attributeResidual,
  attributionMaps,
  attributionPatch,
  headPathAttribution,
  type Labelled,
  logitDiff,
} from '../../index.js';
import { allClose } from '../helpers.js';
import { agreesWith, gradientsOracle } from '../hooks/gradients-oracle.js';
import { givenBack } from '../memory.js';
import { oracleModel } from './oracle.js';

for (const {
  model: about,
  clean,
  corrupted,
  correct,
  wrong,
  cleanValue,
  corruptedValue,
  arrays,
} of gradientsOracle('attribution')) {
  const { name } = about.config;
  const metric = logitDiff(correct, wrong);
  const pair = { clean, corrupted, metric };
  const expect = (array: string, { values }: Pick<Labelled, 'values'>) =>
    agreesWith(values, arrays[array].values, array);

  test(`${name}: all maps of two runs forward and one back`, async () => {
    const model = await oracleModel(about);
    const before = model.gpu.memory().bytes;
    const maps = await attributionMaps(model, pair);
    givenBack(model.gpu, before);
    expect('residual', maps.residual);
    expect('layerOutputs', maps.layerOutputs);
    expect('headOutputs', maps.headOutputs);
    expect('headVectors', maps.headVectors);
    expect('headPattern', maps.headPatterns);
    expect('everyByBlock', maps.blocks);
    expect('everyByHead', maps.heads);
    expect('everyByHeadByPos', maps.headsByPos);
    allClose(
      [maps.residual.meta.clean as number, maps.residual.meta.corrupted as number],
      [cleanValue, corruptedValue],
    );
  });

  test(`${name}: a map alone, and what a head writes`, async () => {
    const model = await oracleModel(about);
    const before = model.gpu.memory().bytes;
    const result = await attributionPatch(model, { ...pair, at: 'result', by: ['layer', 'head', 'pos'] });
    givenBack(model.gpu, before);
    expect('headOutputs', result);
    expect(
      'headPattern',
      await attributionPatch(model, { ...pair, at: 'pattern', by: ['layer', 'head', 'query', 'key'] }),
    );
  });

  test(`${name}: attention, pattern times gradient of the clean run`, async () => {
    const model = await oracleModel(about);
    const before = model.gpu.memory().bytes;
    const result = await attentionAttribution(model, pair);
    givenBack(model.gpu, before);
    assert.equal(result.shape, arrays.attention.shape);
    expect('attention', result);
  });

  test(`${name}: what counts as a constant`, async () => {
    const model = await oracleModel(about);
    for (const [array, constant] of [
      ['constantPattern', 'pattern'],
      ['constantScale', 'scale'],
    ] as const)
      expect(array, await attributeResidual(model, { ...pair, constant: [constant] }));
  });

  test(`${name}: paths from head to head`, async () => {
    const model = await oracleModel(about);
    const before = model.gpu.memory().bytes;
    const paths = await headPathAttribution(model, pair);
    givenBack(model.gpu, before);
    assert.equal(paths.shape, arrays.headPath.shape);
    expect('headPath', paths);
    expect('headPathScale', await headPathAttribution(model, { ...pair, constant: ['scale'] }));
    expect('headPathFull', await headPathAttribution(model, { ...pair, layerNorm: 'computed' }));
  });
}

test.run();
