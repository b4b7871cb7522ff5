/** The views, in the order of the page. */

import { counterfactualView } from './counterfactual.js';
import { nextTokensView } from './next-tokens.js';
import { patchingView } from './patching.js';
import type { View } from './view.js';

export const views: readonly View[] = [patchingView, counterfactualView, nextTokensView];
