/**
 * Finding a GPU. Where it comes from differs (Dawn in Node, `navigator.gpu` in a page), so the platform's
 * entry point registers a provider; the rest of the engine sees a device and a description of its adapter.
 */

import type { Caps } from '../../kernels/core/kernel.js';
import { signatures } from '../../weights/checks/options.js';
import { shown } from '../../weights/checks/shown.js';

/**
 * Which adapter to use. `auto`: hardware, else the system's software Vulkan, else SwiftShader from npm. A
 * number: that one of `listAdapters()`. Another text: the one whose name has it, in capitals or not
 * (`'radeon'`).
 */
export type AdapterChoice =
  | 'auto'
  | 'hardware'
  | 'software'
  | 'opengles'
  | number
  | (string & Record<never, never>);

/** The words among the choices. */
export const ADAPTER_WORDS: readonly string[] = ['auto', 'hardware', 'software', 'opengles'];

/** How an adapter is opened. */
export interface OpenOptions {
  /**
   * Of several GPUs the faster one or the one that takes less power, where the platform can tell. Default
   * 'high-performance'.
   */
  powerPreference?: 'high-performance' | 'low-power';
}

/** An adapter that can be opened. */
export interface ListedAdapter {
  /** What `adapter` takes. */
  readonly index: number;
  readonly name: string;
  readonly kind: 'hardware' | 'software';
}

/** What a platform must offer. */
export interface GpuProvider {
  /** Opens an adapter of the kind asked for, or throws an Error that says what was tried and the remedy. */
  requestAdapter(choice: AdapterChoice, options?: OpenOptions): Promise<GPUAdapter>;
  /** The adapters that there are, in the order of their indices. */
  list(): Promise<readonly ListedAdapter[]>;
  /** Awaits a GPU promise. In Node this naps between polls, because Dawn's own polling burns a core. */
  wait<T>(promise: Promise<T>): Promise<T>;
}

const takes = signatures({ listAdapters: {} });

let provider: GpuProvider | null = null;

/** Registers the platform's provider; the package's entry points do it. */
export function setGpuProvider(p: GpuProvider): void {
  provider = p;
}

/** The registered provider. */
export function gpuProvider(): GpuProvider {
  if (!provider) throw new Error('no GPU provider: import Glassbox from its entry point ("glassbox")');
  return provider;
}

/**
 * The adapters that this machine (in a browser: this page) can open, the default's kind first. \`adapter\`
 * takes an index, or a part of a name.
 */
export const listAdapters = takes.listAdapters(async function listAdapters(): Promise<
  readonly ListedAdapter[]
> {
  return gpuProvider().list();
});

/**
 * The entry that an index or a part of a name means. @throws when there is none, or more than one name has
 * the part.
 */
export function chosenAdapter(all: readonly ListedAdapter[], choice: number | string): ListedAdapter {
  const list = all.map(({ index, name }) => `${index} ${shown(name, 60)}`).join(', ') || 'none was found';
  if (typeof choice === 'number') {
    const found = all.find(({ index }) => index === choice);
    if (found) return found;
    throw new Error(`adapter ${choice}: there is no GPU of that index: ${list}`.slice(0, 299));
  }
  const has = all.filter(({ name }) => name.toLowerCase().includes(choice.toLowerCase()));
  if (has.length && has.every(({ name }) => name === has[0].name)) return has[0];
  const what = has.length ? `${has.length} GPUs have that in their names` : 'no GPU has that in its name';
  const remedy = has.length ? 'give an index' : `or one of ${ADAPTER_WORDS.join(', ')}`;
  throw new Error(`adapter "${shown(choice, 40)}": ${what}: ${list}; ${remedy}`.slice(0, 299));
}

/** An adapter in words and numbers. */
export interface AdapterDescription {
  /** One line: `SwiftShader (software, subgroups of 4, bindings up to 1024 MiB)`. */
  readonly text: string;
  readonly name: string;
  readonly caps: Caps;
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
  /** What was asked for, in words; left out where it was the default. */
  readonly choice?: string;
}

/** What a text of a command line or an environment means: a number is an index. */
export const readChoice = (text: string): AdapterChoice => (/^\d+$/.test(text) ? Number(text) : text);

/** Whether this is the name of a CPU that poses as a GPU. */
export const isSoftwareName = (name: string): boolean =>
  /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp/i.test(name);

/** True for a CPU that poses as a GPU. */
export function isSoftware(adapter: GPUAdapter): boolean {
  const { vendor, architecture, device, description } = adapter.info;
  const text = `${vendor} ${architecture} ${device} ${description}`;
  return adapter.info.isFallbackAdapter || isSoftwareName(text);
}

/** What the kernels and the README need to know of an open device. */
export function describe(
  adapter: { info: GPUAdapterInfo },
  device: GPUDevice,
  software: boolean,
  choice?: string,
): AdapterDescription {
  const { info } = adapter;
  const { limits, features } = device;
  const subgroups = features.has('subgroups' as GPUFeatureName);
  const name =
    info.description?.split(' driver')[0] || info.device || info.architecture || info.vendor || 'GPU';
  const caps: Caps = {
    adapterClass: software ? 'software' : 'hardware',
    subgroups,
    subgroupMinSize: subgroups ? (info.subgroupMinSize ?? 4) : 0,
    subgroupMaxSize: subgroups ? (info.subgroupMaxSize ?? 128) : 0,
    maxInvocations: limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupStorage: limits.maxComputeWorkgroupStorageSize,
  };
  const lanes =
    caps.subgroupMinSize === caps.subgroupMaxSize
      ? `${caps.subgroupMinSize}`
      : `${caps.subgroupMinSize}–${caps.subgroupMaxSize}`;
  const text = `${name} (${caps.adapterClass}, ${subgroups ? `subgroups of ${lanes}` : 'no subgroups'}, bindings up to ${Math.floor(limits.maxStorageBufferBindingSize / 2 ** 20)} MiB)`;
  return {
    text,
    name,
    caps,
    maxBindingBytes: limits.maxStorageBufferBindingSize,
    maxBufferBytes: limits.maxBufferSize,
    ...(choice !== undefined && { choice }),
  };
}

/** Opens a device with the adapter's own limits: the defaults (128 MiB bindings) are too small for GPT-2. */
export async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const wanted = ['subgroups', 'timestamp-query'] as GPUFeatureName[];
  const names = [
    'maxStorageBufferBindingSize',
    'maxBufferSize',
    'maxComputeWorkgroupStorageSize',
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupSizeX',
    'maxComputeWorkgroupSizeY',
    'maxStorageBuffersPerShaderStage',
  ] as const;
  return adapter.requestDevice({
    label: 'glassbox',
    requiredFeatures: wanted.filter((f) => adapter.features.has(f)),
    requiredLimits: Object.fromEntries(names.map((n) => [n, adapter.limits[n]])),
  });
}
