/**
 * Every kernel agrees with its float64 reference, in every variant that this adapter can run, and stays inside its
 * buffers; with the adapter's own bounds checks switched on, too.
 */

import { spawn } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { families } from '../../kernels/index.js';
import { KernelChecker } from '../../scripts/check-kernels.js';

const checker = await KernelChecker.open();
const titles = new Set<string>();

for (const family of families)
  for (const example of family.examples(checker.gpu.caps)) {
    const title = `${family.name}: ${example.title} (${example.launch.kernel.name})`;
    test(title, async () => {
      const { failures } = await checker.check(example);
      assert.is(failures.join('\n'), '');
    });
    titles.add(title);
  }

test('all kernels agree with their references when out-of-bounds accesses are caught by the driver', async () => {
  const child = spawn(process.execPath, ['--import', 'tsx', 'scripts/kernels.ts'], {
    env: { ...process.env, GLASSBOX_ROBUSTNESS: 'on' },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text) => {
      output += text;
    });
  const code = await new Promise((resolve) => child.on('close', resolve));
  assert.is(code, 0, output.match(/^.*FAILS.*\n.*$/gm)?.join('\n') ?? output);
  assert.match(output, new RegExp(`${titles.size} checks, 0 failed`));
});

test.run();
