/**
 * Glassbox in Node: the whole library, on Dawn and the file system. In a browser, bundlers take
 * `index.browser.ts`.
 */

import { registerNodeGpu } from './engine/gpu/adapter-node.js';
import { registerNodeCollector } from './engine/gpu/collector-node.js';
import { registerNodeScopes } from './engine/gpu/user-scope-node.js';
import { registerNodeFonts } from './interp/figures/draw/fonts-node.js';
import { registerNodeFiles } from './weights/node/files-node.js';

registerNodeGpu();
registerNodeFiles();
registerNodeFonts();
registerNodeScopes();
registerNodeCollector();

export { jsonLines } from './hooks/sweep/record/record-node.js';
export { resumeTraining, saveTraining } from './hooks/training/training-node.js';
export {
  type CacheFolderOptions,
  listCache,
  type ModelCache,
  removeFromCache,
  type UnpackedFolder,
} from './hooks/transformer/model-cache-node.js';
export { saveCache, saveModel } from './hooks/transformer/save-node.js';
export { type SaveReportOptions, saveReport } from './interp/notebooks/save-node.js';
export * from './library.js';
export type { CachedModel, CachedRevision, RemovedModel } from './weights/hub/cached-models-node.js';
export { saveSafetensors } from './weights/node/files-node.js';
