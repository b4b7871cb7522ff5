/**
 * The GPU in Node: Dawn, from the npm package `webgpu`. In order: hardware; a software Vulkan driver of the
 * system (Mesa lavapipe 23.1 or later; older ones Dawn refuses); SwiftShader out of the npm package
 * `@sparticuz/chromium`, which brings a Vulkan loader too, so that `npm ci` alone is enough.
 */

import os from 'node:os';
import path from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { type AdapterChoice, type GpuProvider, isSoftware, setGpuProvider } from './adapter.js';
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

/** Loads a shared library and keeps it loaded: a later dlopen of the same soname finds it. False if there is none. */
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

/** Whether the system has a Vulkan driver that Dawn can use: without one, Dawn would complain on the console. */
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
async function systemAdapter(): Promise<GPUAdapter | null> {
  const find = () => open([], { powerPreference: 'high-performance' });
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
 * Internal, for benchmarks: the driver file that another library must be pointed to (`VK_DRIVER_FILES`) in order to run on the
 * software adapter that Glassbox uses, with its loader loaded; null where the system's own driver is used.
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
  // Bounds checks cost SwiftShader a third of its speed, and zeroing workgroup memory half of a compilation; every
  // kernel of ours stays in bounds and writes before it reads (the kernel checks run with and without).
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

/** Why the Vulkan loader cannot be told of a driver here; null where `process.env` is the real environment. */
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

function choiceFromEnvironment(choice: AdapterChoice): AdapterChoice {
  const value = process.env.GLASSBOX_ADAPTER;
  if (!value) return choice;
  if (value === 'auto' || value === 'hardware' || value === 'software' || value === 'opengles') return value;
  throw new Error(`GLASSBOX_ADAPTER="${value}": must be hardware, software, opengles or auto`);
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));
/** Naps between polls: short at first, so that a short wait is not a long one; then an eighth of the time waited so far. */
const NAP_MS = { least: 0.02, most: 0.25 };

const provider: GpuProvider = {
  async requestAdapter(asked) {
    const choice = choiceFromEnvironment(asked);
    if (choice === 'opengles') {
      const adapter = await openGles();
      if (!adapter)
        throw new Error(
          'adapter "opengles": no OpenGL ES driver found (Debian: apt install libegl1 libgles2 libgl1-mesa-dri)',
        );
      return adapter;
    }
    const system = await systemAdapter();
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

/** Makes Dawn the source of GPUs. */
export function registerNodeGpu(): void {
  setGpuProvider(provider);
}
