import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { vulkanDrivers } from '../../engine/gpu/vulkan-node.js';

const root = mkdtempSync(join(tmpdir(), 'glassbox-vulkan-'));
test.after(() => rmSync(root, { recursive: true }));
const folder = join(root, 'vulkan', 'icd.d');
mkdirSync(folder, { recursive: true });
const env = { XDG_DATA_DIRS: root, XDG_CONFIG_DIRS: '/none', XDG_DATA_HOME: '/none', HOME: '/none' };
const manifest = (name: string, version: string): string => {
  const file = join(folder, `${name}_icd.json`);
  const library = `/usr/lib/libvulkan_${name}.so`;
  writeFileSync(file, JSON.stringify({ ICD: { api_version: version, library_path: library } }));
  return file;
};
const mine = (files: readonly string[]) => files.filter((file) => file.startsWith(root));

test('the drivers of Debian 12 on a machine without a GPU: none can be used, and why', () => {
  const [lvp, radeon] = [manifest('lvp', '1.1.230'), manifest('radeon', '1.3.230')];
  const { usable, refused } = vulkanDrivers(env, false);
  assert.equal(mine(usable), []);
  const why = Object.fromEntries(refused.map(({ file, why }) => [file, why]));
  assert.match(why[lvp], /this lavapipe is too old for Dawn: Mesa 23\.1/);
  assert.match(why[radeon], /no GPU is here/);
  assert.equal(mine(vulkanDrivers(env, true).usable), [radeon], 'with a GPU');
});

test('newer lavapipes are used, and drivers of which nothing is known', () => {
  for (const version of ['1.3.246', '1.3.274', '1.4.305', '1.4.0']) {
    const lvp = manifest('lvp', version);
    assert.ok(vulkanDrivers(env, false).usable.includes(lvp), version);
  }
  const other = join(root, 'other.json');
  writeFileSync(other, '{}');
  assert.equal(vulkanDrivers({ ...env, VK_DRIVER_FILES: other }, false), { usable: [other], refused: [] });
});

test.run();
