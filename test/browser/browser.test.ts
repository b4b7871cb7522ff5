/**
 * Node ≡ browser: the tests of kernels, weights, engine, hooks and interp pass in Chromium too, on its own
 * WebGPU. Chromium comes from npm; where a machine cannot run it, the tests are skipped and the reason is
 * printed.
 */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { browserTests, openTestPage, type TestPage } from '../../scripts/browser.js';
import { NoBrowserError } from '../../scripts/chromium.js';
import { fail } from '../helpers.js';

const tests = browserTests();
let page: TestPage | null = null;
try {
  page = await openTestPage(tests);
  console.log(`   ${page.description}`);
} catch (e) {
  if (!(e instanceof NoBrowserError)) throw e;
  console.log(`   SKIPPED: the tests do not run in a browser here. ${e.message}`);
}
for (const { file, needsNode } of tests)
  if (needsNode) console.log(`   left to Node: ${file} (${needsNode})`);

test('code for both platforms is tested without Node: in every room, some files run in a page', () => {
  const rooms = (files: typeof tests) => [...new Set(files.map(({ file }) => file.split('/')[1]))];
  assert.equal(rooms(tests.filter(({ needsNode }) => !needsNode)), rooms(tests));
});

for (const { file, needsNode, written } of tests) {
  if (needsNode) continue;
  const inPage = page ? test : test.skip;
  inPage(`${file} passes in a page as it does in Node`, async () => {
    const { passed, skipped, total, failures } = await page!.run(file);
    if (failures.length) fail(failures.join('\n'));
    assert.is(passed, total);
    assert.ok(total + skipped >= written, `${written} tests are written, ${total + skipped} were run`);
  });
}

test.after(() => page?.close());

test.run();
