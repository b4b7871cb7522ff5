/** The garbage collector of Node, which V8 gives on request. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { setCollector, turns } from './collector.js';

let gc: (() => void) | null = null;

/** Collects, where V8 allows it. */
export function collectGarbage(): void {
  if (!gc) {
    const given = (globalThis as { gc?: () => void }).gc;
    if (!given) setFlagsFromString('--expose-gc');
    gc = given ?? (runInNewContext('globalThis.gc') as (() => void) | undefined) ?? (() => {});
  }
  gc();
}

/** Makes runs that are short of memory ask Node's collector. */
export function registerNodeCollector(): void {
  setCollector(async () => {
    await turns(1); // values of the turn at work are held until it ends
    collectGarbage();
    await turns();
  });
}
