/** Parts that a configuration may ask for and the engine does not have. */

import type { Config } from '../../weights/config.js';

/** The settings that ask for a part the engine does not have; empty where it runs the model. */
export function unsupported(config: Config): string[] {
  const wants: Partial<Record<keyof Config, boolean>> = {
    outputLogitsSoftCap: config.outputLogitsSoftCap !== null,
  };
  return Object.entries(wants).flatMap(([setting, wanted]) => (wanted ? [setting] : []));
}
