/**
 * Every kernel agrees with its float64 reference, in every variant that this adapter can run, and stays
 * inside its buffers.
 */

import '../../index.js';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { families } from '../../kernels/index.js';
import { KernelChecker } from '../../scripts/check-kernels.js';

const checker = await KernelChecker.open();

for (const family of families)
  for (const example of family.examples(checker.gpu.caps)) {
    const title = `${family.name}: ${example.title} (${example.launch.kernel.name})`;
    test(title, async () => {
      const { failures } = await checker.check(example);
      assert.is(failures.join('\n'), '');
    });
  }

test.run();
