/** Combinations that a configuration may ask for and the engine does not have. */

import type { Config } from '../../weights/config.js';

/** The settings that ask for something the engine does not have; empty where it runs the model. */
export function unsupported({ gatedMlp, actFn, windows, attentionDir }: Config): string[] {
  const soft = actFn === 'solu' || actFn === 'solu_ln';
  const wants: Partial<Record<keyof Config, boolean>> = {
    gatedMlp: gatedMlp && soft,
    windows: attentionDir === 'bidirectional' && (windows?.some((w) => w !== null) ?? false),
  };
  return Object.entries(wants).flatMap(([setting, wanted]) => (wanted ? [setting] : []));
}
