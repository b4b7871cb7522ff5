/** The sections in the order in which they run. */

import { backward } from './backward.js';
import { ceilings } from './ceilings.js';
import { decode } from './decode.js';
import { forward } from './forward.js';
import { kernels } from './kernels.js';
import { load } from './load.js';
import { names } from './names.js';
import { products } from './products.js';
import type { Section } from './section.js';
import { sweeps } from './sweep.js';

export const sections: readonly Section[] = [
  ceilings,
  products,
  kernels,
  load,
  forward,
  decode,
  backward,
  sweeps,
  names,
];
