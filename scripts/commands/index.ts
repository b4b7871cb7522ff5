/** The commands, in the order of the help. */

import { attnCommand } from './attn.js';
import { cacheCommand } from './cache.js';
import type { Command } from './command.js';
import { counterfactualCommand } from './counterfactual.js';
import { dlaCommand } from './dla.js';
import { doctorCommand } from './doctor.js';
import { downloadCommand } from './download.js';
import { generateCommand } from './generate.js';
import { headsCommand } from './heads.js';
import { lensCommand } from './lens.js';
import { patchCommand } from './patch.js';
import { scoreCommand } from './score.js';
import { seedCommand } from './seed.js';
import { testPromptCommand } from './test-prompt.js';
import { traceCommand } from './trace.js';

/** All there are. */
export const commands: readonly Command[] = [
  testPromptCommand,
  lensCommand,
  attnCommand,
  dlaCommand,
  headsCommand,
  patchCommand,
  counterfactualCommand,
  traceCommand,
  generateCommand,
  scoreCommand,
  seedCommand,
  downloadCommand,
  cacheCommand,
  doctorCommand,
];
