/** The browser's GPU: `navigator.gpu`. */

import {
  ADAPTER_WORDS,
  type AdapterChoice,
  chosenAdapter,
  type GpuProvider,
  isSoftware,
  type ListedAdapter,
  type OpenOptions,
  setGpuProvider,
} from './adapter.js';

/** The ways of asking, in the order of their indices. */
const ASKED: readonly GPURequestAdapterOptions[] = [
  { powerPreference: 'high-performance' },
  { powerPreference: 'low-power' },
  { forceFallbackAdapter: true },
];

function webGpu(): GPU {
  const gpu = (globalThis as { navigator?: { gpu?: GPU } }).navigator?.gpu;
  if (!gpu)
    throw new Error(
      'this browser has no WebGPU: use Chrome or Edge 113+, Safari 26+ or Firefox 141+, and open the page over https or localhost',
    );
  return gpu;
}

const textOf = ({ info }: GPUAdapter): string =>
  info.description || [info.vendor, info.architecture, info.device].filter(Boolean).join(' ') || 'GPU';

/** What the ways of asking give, each adapter once: a page is not told more. */
async function found(): Promise<{ adapter: GPUAdapter; listed: ListedAdapter }[]> {
  const all: { adapter: GPUAdapter; listed: ListedAdapter }[] = [];
  for (const options of ASKED) {
    const adapter = await webGpu().requestAdapter(options);
    if (!adapter || all.some((a) => a.listed.name === textOf(adapter))) continue;
    const kind = isSoftware(adapter) ? 'software' : 'hardware';
    all.push({ adapter, listed: { index: all.length, name: textOf(adapter), kind } });
  }
  return all;
}

const provider: GpuProvider = {
  async requestAdapter(choice: AdapterChoice, { powerPreference = 'high-performance' }: OpenOptions = {}) {
    const gpu = webGpu();
    if (choice === 'opengles')
      throw new Error('adapter "opengles" exists in Node only: use "auto" in a browser');
    if (typeof choice === 'number' || !ADAPTER_WORDS.includes(choice)) {
      const all = await found();
      const { index } = chosenAdapter(
        all.map((a) => a.listed),
        choice,
      );
      return all[index].adapter;
    }
    const adapter = await gpu.requestAdapter({
      powerPreference,
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
  list: async () => (await found()).map((a) => a.listed),
  wait: (promise) => promise,
};

/** Makes `navigator.gpu` the source of GPUs. */
export function registerWebGpu(): void {
  setGpuProvider(provider);
}
