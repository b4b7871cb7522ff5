/**
 * Glassbox in Node: the whole library, on Dawn and the file system. In a browser, bundlers take `index.browser.ts`.
 */

import { registerNodeGpu } from './engine/adapter-node.js';
import { registerNodeCollector } from './engine/collector-node.js';
import { registerNodeScopes } from './engine/user-scope-node.js';
import { registerNodeFonts } from './interp/plots/fonts-node.js';
import { registerNodeFiles } from './weights/files-node.js';

registerNodeGpu();
registerNodeFiles();
registerNodeFonts();
registerNodeScopes();
registerNodeCollector();

export { jsonLines } from './hooks/record-node.js';
export { saveCache, saveModel } from './hooks/save-node.js';
export { resumeTraining, saveTraining } from './hooks/training-node.js';
export { type SaveReportOptions, saveReport } from './interp/notebooks/save-node.js';
export * from './library.js';
export { saveSafetensors } from './weights/files-node.js';
