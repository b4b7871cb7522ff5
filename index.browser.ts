/** Glassbox in a browser: the whole library, on `navigator.gpu` and `fetch`. */

import { registerWebGpu } from './engine/gpu/adapter-web.js';

registerWebGpu();

export * from './library.js';
