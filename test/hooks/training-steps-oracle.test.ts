/**
 * Five steps of AdamW land where PyTorch's land in float64: on the same losses, with the same gradient norms.
 */

import { test } from 'uvu';
import { Optimizer, parameterGroups } from '../../engine/training/optimizer.js';
import { parameters } from '../../engine/training/parameters.js';
import { lossGradients } from '../../hooks/training/parameter-gradients.js';
import { HookedTransformer } from '../../index.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { allClose, randomGpt2 } from '../helpers.js';
import { givenBack } from '../memory.js';
import { gradientsOracle } from './gradients-oracle.js';

for (const { model: about, rows, clip, losses, norms } of gradientsOracle('parameters').steps)
  test(`${about.config.name}: five steps of AdamW${clip ? `, gradients clipped to norm ${clip}` : ''}`, async () => {
    const { config, seed, untied } = about;
    using model = await HookedTransformer.fromWeights(
      config,
      randomGpt2(config, seed, { untied }),
      noProcessing,
    );
    const { bytes } = model.gpu.memory();
    const settings = { weightDecay: 0.1, beta1: 0.9, beta2: 0.95, eps: 1e-8 };
    const optimizer = new Optimizer(parameterGroups(parameters(model.gpuWeights), settings));
    const [seen, sizes]: number[][] = [[], []];
    for (let step = 0; step <= 5; step++) {
      const { loss, grads, dispose } = await lossGradients(model, rows);
      seen.push(await loss.item());
      if (step < 5) {
        let squares = 0;
        for (const g of grads.values()) squares += (await g.data()).reduce((sum, x) => sum + x * x, 0);
        sizes.push(Math.sqrt(squares));
        optimizer.step(grads, { lr: 1e-2, maxNorm: clip });
      }
      dispose();
    }
    allClose(seen, losses, { atol: 1e-4, rtol: 0, what: 'losses' });
    allClose(sizes, norms, { atol: 0, rtol: 1e-3, what: 'norms of the gradients' });
    optimizer.dispose();
    givenBack(model.gpu, bytes);
  });

test.run();
