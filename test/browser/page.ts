/** In the page: runs one test file as test/run.ts does in Node. */

import type { BrowserResult } from '../../scripts/browser.js';

type Run = () => Promise<[errors: string | true, passed: number, skipped: number, total: number]>;

const uvu = globalThis as unknown as { UVU_DEFER: 1; UVU_INDEX: number; UVU_QUEUE: Run[][] };
uvu.UVU_DEFER = 1; // before uvu loads: `test.run()` then only queues
const { test } = await import('uvu');

const show = (error: unknown) =>
  error instanceof Error ? (error.stack ?? error.message) : `${String(error)} (not an Error)`;

let current = ''; // the test that runs now, for messages
const rejections: string[] = [];
(globalThis as unknown as EventTarget).addEventListener('unhandledrejection', (event) =>
  rejections.push(`a rejection nobody waits for: ${show((event as Event & { reason: unknown }).reason)}`),
);

/**
 * Imports a test file and runs what it queues. A hook that throws, or a file without tests, is a failure too.
 */
export async function runFile(url: string): Promise<BrowserResult> {
  const begin = performance.now();
  const runs: Run[] = [];
  uvu.UVU_INDEX = 0;
  uvu.UVU_QUEUE[0] = runs;
  rejections.length = 0;
  const sum = { passed: 0, skipped: 0, total: 0 };
  const failures: string[] = [];
  test.before.each((state) => {
    current = state.__test__;
  });
  try {
    await import(/* @vite-ignore */ url);
    for (const run of runs.slice()) {
      const [errors, passed, skipped, total] = await run();
      sum.passed += passed;
      sum.skipped += skipped;
      sum.total += total;
      if (errors !== true) failures.push(errors);
    }
  } catch (error) {
    failures.push(show(error));
  }
  test.run(); // queued and dropped: what a broken file left must not run with the next one
  failures.push(...rejections);
  if (sum.total + sum.skipped === 0) failures.push(`${url}: no test was run`);
  else if (sum.passed < sum.total && !failures.length)
    failures.push(
      `"${current}": a hook failed, or something was thrown that is not an Error; the rest did not run`,
    );
  return { ...sum, failures, ms: performance.now() - begin };
}
