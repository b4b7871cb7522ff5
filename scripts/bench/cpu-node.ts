/** The CPU time that this process has used so far, in ms a core: for `measure`. */

import { availableParallelism } from 'node:os';

/** Cores that a software adapter may use. */
export const cores = availableParallelism();

/** See `MeasureOptions.cpuMs`. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 / cores;
}
