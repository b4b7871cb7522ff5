/**
 * The GPU in Node: Dawn, from the npm package `webgpu`. In order: hardware; a software Vulkan driver of the
 * system (Mesa lavapipe 23.1 or later; older ones Dawn refuses); SwiftShader out of the npm package
 * `@sparticuz/chromium`, which brings a Vulkan loader too, so that `npm ci` alone is enough.
 */

import os from 'node:os';
import path from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { shown } from '../../weights/checks/shown.js';
import {
  ADAPTER_WORDS,
  type AdapterChoice,
  chosenAdapter,
  type GpuProvider,
  isSoftware,
  isSoftwareName,
  type ListedAdapter,
  type OpenOptions,
  readChoice,
  setGpuProvider,
} from './adapter.js';
import { LOADER, swiftshaderArchive, swiftshaderAsLoader, unpackSwiftshader } from './swiftshader-node.js';
import { vulkanDrivers } from './vulkan-node.js';

/** Keeps what `create()` returns: Dawn's instance dies with it, and the process crashes seconds later. */
const instances: GPU[] = [];

const REMEDY =
  'Install a GPU driver with Vulkan, or run on the CPU with SwiftShader: npm install --save-dev @sparticuz/chromium@147.0.0';

async function open(toggles: string[], options: GPURequestAdapterOptions): Promise<GPUAdapter | null> {
  const { create, globals } = await import('webgpu');
  for (const [name, value] of Object.entries(globals))
    (globalThis as Record<string, unknown>)[name] ??= value;
  const gpu = create(toggles);
  instances.push(gpu);
  return gpu.requestAdapter(options);
}

/**
 * Loads a shared library and keeps it loaded: a later dlopen of the same soname finds it. False if there is
 * none.
 */
function preload(library: string): boolean {
  const RTLD_NODELETE = 0x1000;
  try {
    process.dlopen({ exports: {} }, library, os.constants.dlopen.RTLD_NOW | RTLD_NODELETE);
  } catch (e) {
    // Loaded, and (of course) not a Node addon: "did not self-register" in Node, a missing symbol in Bun.
    return /self-register|napi_register_module/.test((e as Error).message);
  }
  return true;
}

/**
 * Whether the system has a Vulkan driver that Dawn can use: without one, Dawn would complain on the console.
 */
const hasVulkanDriver = (): boolean => vulkanDrivers().usable.length > 0;

/** Runs `f` while the Vulkan loader knows these drivers only. */
async function withDrivers<T>(files: readonly string[], f: () => Promise<T>): Promise<T> {
  const before = process.env.VK_DRIVER_FILES;
  process.env.VK_DRIVER_FILES = files.join(path.delimiter);
  try {
    return await f();
  } finally {
    if (before === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = before;
  }
}

/** Hardware, or whatever the system's Vulkan (Metal, D3D12) offers; null when there is nothing. */
const systemAdapter = (options: OpenOptions): Promise<GPUAdapter | null> =>
  inSystem(() => open([], { powerPreference: options.powerPreference ?? 'high-performance' }));

/** Runs something with the system's drivers, as far as Dawn can use them; null where there are none. */
async function inSystem<T>(find: () => Promise<T>): Promise<T | null> {
  if (process.platform !== 'linux') return find();
  const { usable, refused } = vulkanDrivers();
  if (!usable.length || !preloadVulkan()) return null;
  return refused.length ? withDrivers(usable, find) : find();
}

async function openGles(): Promise<GPUAdapter | null> {
  process.env.EGL_PLATFORM ??= 'surfaceless';
  process.env.XDG_RUNTIME_DIR ??= os.tmpdir();
  return open(['backend=opengles'], { featureLevel: 'compatibility' });
}

/**
 * Internal, for benchmarks: the driver file that another library must be pointed to (`VK_DRIVER_FILES`) in
 * order to run on the software adapter that Glassbox uses, with its loader loaded; null where the system's
 * own driver is used.
 */
export function softwareDriver(): string | null {
  if (hasVulkanDriver()) return null;
  const folder = unpackSwiftshader();
  return folder && preloadVulkan() ? path.join(folder, 'vk_swiftshader_icd.json') : null;
}

/** Loads the system's Vulkan loader, or the one that comes with SwiftShader. False if there is neither. */
function preloadVulkan(): boolean {
  if (preload(LOADER)) return true;
  const folder = unpackSwiftshader();
  return folder !== null && preload(path.join(folder, LOADER));
}

async function swiftshader(): Promise<GPUAdapter | null> {
  const folder = unpackSwiftshader();
  if (!folder) return null;
  // Bounds checks cost SwiftShader a third of its speed, and zeroing workgroup memory half of a compilation;
  // every kernel of ours stays in bounds and writes before it reads (the kernel checks run with and without).
  const robust = process.env.GLASSBOX_ROBUSTNESS === 'on';
  const toggles = robust ? [] : ['enable-dawn-features=disable_robustness,disable_workgroup_init'];
  if (!hasVulkanDriver()) {
    // No loader was opened, so the first of that name is the one that Dawn gets.
    const direct = swiftshaderAsLoader(folder);
    if (direct && preload(direct)) {
      const adapter = await open(toggles, {});
      if (adapter) return adapter;
    }
  }
  if (!preloadVulkan()) return null;
  return withDrivers([path.join(folder, 'vk_swiftshader_icd.json')], () => open(toggles, {}));
}

/**
 * Why the Vulkan loader cannot be told of a driver here; null where `process.env` is the real environment.
 */
function copiedEnvironment(): string | null {
  if (!isMainThread)
    return 'this is a worker thread, whose process.env is a copy unless it was started with { env: SHARE_ENV }';
  const name = 'GLASSBOX_ENVIRONMENT';
  const env = process.env as Record<string, unknown>;
  env[name] = 1; // the real environment makes it a text
  const copied = typeof env[name] !== 'string';
  delete env[name];
  return copied ? 'process.env has been replaced by a copy' : null;
}

/** An adapter of the system, as Dawn lists it. */
interface SystemAdapter extends ListedAdapter {
  readonly backend: string;
  /** Another of the same name comes before: Dawn finds adapters by name, and the first only. */
  readonly twin: boolean;
}

/** Dawn's native backends; the others show the same GPUs once more. */
const BACKENDS = ['vulkan', 'metal', 'd3d12'];

/**
 * What Dawn finds in the system. Its binding lists adapters in one place only: in the error for a name that
 * there is not.
 */
async function systemAdapters(): Promise<SystemAdapter[]> {
  const answer = await inSystem(() =>
    open(['adapter=\u0001'], {}).then(
      () => '',
      (e: Error) => e.message,
    ),
  );
  const list = [...(answer ?? '').matchAll(/^ *\* backend: '(\w+)', name: '(.*)'$/gm)]
    .map(([, backend, name]) => ({ backend, name }))
    .filter(({ backend }) => BACKENDS.includes(backend));
  return list.map(({ backend, name }, index) => ({
    ...{ index, name, backend },
    kind: isSoftwareName(name) ? 'software' : 'hardware',
    twin: list.slice(0, index).some((other) => other.name === name),
  }));
}

/** The system's adapters, and SwiftShader from npm behind them, which has no backend here. */
async function allAdapters(): Promise<(ListedAdapter & Partial<SystemAdapter>)[]> {
  const system = await systemAdapters();
  if (system.some(({ name }) => /swiftshader/i.test(name)) || !unpackSwiftshader()) return system;
  return [...system, { index: system.length, name: 'SwiftShader (npm)', kind: 'software' }];
}

/** The adapter of an index or a part of a name. */
async function namedAdapter(choice: number | string): Promise<GPUAdapter> {
  const { index, name, backend, twin } = chosenAdapter(await allAdapters(), choice) as SystemAdapter;
  if (twin)
    throw new Error(
      `adapter ${index}: it has the same name as one before it (${name}), and Dawn in Node finds adapters by their names: only the first of them can be opened`,
    );
  const adapter = backend
    ? await inSystem(() => open([`adapter=${name}`, `backend=${backend}`], {}))
    : await swiftshader();
  if (adapter) return adapter;
  throw new Error(`adapter ${index}, ${name}: Dawn lists it, and cannot open it`);
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));
/**
 * Naps between polls: short at first, so that a short wait is not a long one; then an eighth of the time
 * waited so far.
 */
const NAP_MS = { least: 0.02, most: 0.25 };

const provider: GpuProvider = {
  requestAdapter(asked, options = {}) {
    const value = process.env.GLASSBOX_ADAPTER;
    if (!value) return requestAdapter(asked, options);
    return requestAdapter(readChoice(value), options).catch((e: Error) => {
      throw new Error(`GLASSBOX_ADAPTER="${shown(value, 40)}": ${e.message}`, { cause: e });
    });
  },

  async list() {
    return (await allAdapters()).map(({ index, name, kind }) => ({ index, name, kind }));
  },

  wait(promise) {
    let settled = false;
    const done = () => {
      settled = true;
    };
    promise.then(done, done);
    const begin = performance.now();
    const turn = () => {
      if (settled) return;
      const nap = (performance.now() - begin) / 8;
      Atomics.wait(sleeper, 0, 0, Math.min(NAP_MS.most, Math.max(NAP_MS.least, nap)));
      setImmediate(turn);
    };
    setImmediate(turn);
    return promise;
  },
};

async function requestAdapter(choice: AdapterChoice, options: OpenOptions): Promise<GPUAdapter> {
  if (typeof choice === 'number' || !ADAPTER_WORDS.includes(choice)) return namedAdapter(choice);
  if (choice === 'opengles') {
    const adapter = await openGles();
    if (!adapter)
      throw new Error(
        'adapter "opengles": no OpenGL ES driver found (Debian: apt install libegl1 libgles2 libgl1-mesa-dri)',
      );
    return adapter;
  }
  const system = await systemAdapter(options);
  if (system && choice !== 'software' && !isSoftware(system)) return system;
  if (choice === 'hardware')
    throw new Error(
      `adapter "hardware": ${system ? `only ${system.info.description} was found` : 'no GPU driver was found'}. ${REMEDY}, with GLASSBOX_ADAPTER=software`,
    );
  if (system && isSoftware(system)) return system;
  const adapter = await swiftshader();
  if (adapter) return adapter;
  const copied = swiftshaderArchive() ? copiedEnvironment() : null;
  if (copied)
    throw new Error(
      `no GPU adapter was found. The system's Vulkan driver cannot be used, and the loader cannot be told of SwiftShader: ${copied}. Start the process with VK_DRIVER_FILES=${path.join(unpackSwiftshader() ?? '', 'vk_swiftshader_icd.json')}`,
    );
  throw new Error(`no GPU adapter was found on ${process.platform}-${process.arch}. ${REMEDY} (Linux x64)`);
}

/** Makes Dawn the source of GPUs. */
export function registerNodeGpu(): void {
  setGpuProvider(provider);
}
