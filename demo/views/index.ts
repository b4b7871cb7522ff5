/** The views, in the order of the page. */

import { attentionView } from './attention.js';
import { attributionView } from './attribution.js';
import { changesView } from './changes.js';
import { counterfactualView } from './counterfactual.js';
import { lensView } from './lens.js';
import { nextTokensView } from './next-tokens.js';
import { patchingView } from './patching.js';
import { traceView } from './trace.js';
import type { View } from './view.js';
import { writingView } from './writing.js';

export const views: readonly View[] = [
  patchingView,
  nextTokensView,
  counterfactualView,
  changesView,
  writingView,
  attributionView,
  lensView,
  attentionView,
  traceView,
];
