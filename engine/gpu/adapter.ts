/**
 * Finding a GPU. Where it comes from differs (Dawn in Node, `navigator.gpu` in a page), so the platform's
 * entry point registers a provider; the rest of the engine sees a device and a description of its adapter.
 */

import type { Caps } from '../../kernels/core/kernel.js';

/** Which adapter to use. `auto`: hardware, else the system's software Vulkan, else SwiftShader from npm. */
export type AdapterChoice = 'auto' | 'hardware' | 'software' | 'opengles';

/** What a platform must offer. */
export interface GpuProvider {
  /** Opens an adapter of the kind asked for, or throws an Error that says what was tried and the remedy. */
  requestAdapter(choice: AdapterChoice): Promise<GPUAdapter>;
  /** Awaits a GPU promise. In Node this naps between polls, because Dawn's own polling burns a core. */
  wait<T>(promise: Promise<T>): Promise<T>;
}

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

/** An adapter in words and numbers. */
export interface AdapterDescription {
  /** One line: `SwiftShader (software, subgroups of 4, bindings up to 1024 MiB)`. */
  readonly text: string;
  readonly name: string;
  readonly caps: Caps;
  readonly maxBindingBytes: number;
  readonly maxBufferBytes: number;
}

/** True for a CPU that poses as a GPU. */
export function isSoftware(adapter: GPUAdapter): boolean {
  const { vendor, architecture, device, description } = adapter.info;
  const text = `${vendor} ${architecture} ${device} ${description}`;
  return (
    adapter.info.isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|softpipe|basic render|warp/i.test(text)
  );
}

/** What the kernels and the README need to know of an open device. */
export function describe(
  adapter: { info: GPUAdapterInfo },
  device: GPUDevice,
  software: boolean,
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
