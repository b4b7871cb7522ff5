/** Maps with one column a head need heads that each have keys and values of their own. */

import type { Config } from '../../weights/config.js';

/**
 * @param what for the message
 * @param instead what to do where heads share keys and values
 * @throws where they do: queries, z and patterns then have more heads than keys and values, and make no common map.
 */
export function needOwnHeads(
  { nHeads, nKeyValueHeads, name }: Pick<Config, 'nHeads' | 'nKeyValueHeads' | 'name'>,
  what: string,
  instead: string,
): void {
  if (nHeads !== nKeyValueHeads)
    throw new Error(
      `${what}: the ${nHeads} heads of ${name ?? 'this model'} share ${nKeyValueHeads} of keys and values, so that z, q, k and v make no common map: ${instead}`,
    );
}
