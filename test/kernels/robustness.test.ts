/** In Node, SwiftShader runs without the driver's bounds checks. With them, every kernel gives the same. */

import { spawn } from 'node:child_process';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

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
  assert.match(output, /[1-9]\d* checks, 0 failed/);
});

test.run();
