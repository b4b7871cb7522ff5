/** The browser's GPU: `navigator.gpu`. */

import { type AdapterChoice, type GpuProvider, isSoftware, setGpuProvider } from './adapter.js';

const provider: GpuProvider = {
  async requestAdapter(choice: AdapterChoice) {
    const gpu = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
    if (!gpu)
      throw new Error(
        'this browser has no WebGPU: use Chrome or Edge 113+, Safari 26+ or Firefox 141+, and open the page over https or localhost',
      );
    if (choice === 'opengles')
      throw new Error('adapter "opengles" exists in Node only: use "auto" in a browser');
    const adapter = await gpu.requestAdapter({
      powerPreference: 'high-performance',
      forceFallbackAdapter: choice === 'software',
    });
    if (!adapter && choice === 'software')
      throw new Error(
        'adapter "software": this browser has none; use "auto", or start Chromium with --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader',
      );
    if (!adapter)
      throw new Error(
        'the browser found no GPU adapter: look at chrome://gpu, or enable hardware acceleration in its settings',
      );
    if (choice === 'hardware' && isSoftware(adapter))
      throw new Error(
        `adapter "hardware" was asked for, but this browser only has ${adapter.info.description || 'a software adapter'}`,
      );
    return adapter;
  },
  wait: (promise) => promise,
};

/** Makes `navigator.gpu` the source of GPUs. */
export function registerWebGpu(): void {
  setGpuProvider(provider);
}
