/**
 * The Vulkan drivers that a Linux system has, by their manifests, and which of them Dawn can use. The others
 * are not opened: Dawn and Mesa would complain on the console, at every start.
 */

import { readdirSync, readFileSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

/** Drivers, by the path of their manifest. */
export interface VulkanDrivers {
  readonly usable: readonly string[];
  /** Why each of the others is left alone. */
  readonly refused: readonly { readonly file: string; readonly why: string }[];
}

/** What the drivers of hardware need to find one. */
const DEVICES: readonly [folder: string, name: RegExp][] = [
  ['/dev/dri', /^(renderD|card)\d/],
  ['/dev', /^(nvidia\d|nvidiactl|dxg|kgsl|mali|pvr)/],
];
/** Libraries of Mesa's and NVIDIA's drivers for hardware. */
const HARDWARE =
  /(radeon|intel|intel_hasvk|nouveau|virtio|asahi|broadcom|freedreno|panfrost|powervr_mesa|gfxstream|dzn)\.so|nvidia/;

/** The drivers, and what is known of them without opening any. Tests give another environment. */
export function vulkanDrivers(env: NodeJS.ProcessEnv = process.env, hasDevice = findDevice()): VulkanDrivers {
  const usable: string[] = [];
  const refused: { file: string; why: string }[] = [];
  for (const file of manifests(env)) {
    const why = objection(file, hasDevice);
    if (why === null) usable.push(file);
    else refused.push({ file, why });
  }
  return { usable, refused };
}

/** Why Dawn cannot use a driver; null when it may. What cannot be read is Dawn's to judge. */
function objection(file: string, hasDevice: boolean): string | null {
  let library = '';
  let version: number[] = [];
  try {
    const { ICD } = JSON.parse(readFileSync(file, 'utf8'));
    library = path.basename(String(ICD.library_path));
    version = String(ICD.api_version).split('.').map(Number);
  } catch {
    return null;
  }
  if (/lvp/.test(library)) {
    // Mesa 22.3 states 1.1.230, 23.1 1.3.24x, 25.0 1.4.305: the last number counts headers until 1.4 begins
    // anew.
    const [major, minor, patch] = version;
    const old = major === 1 && minor < 4 && patch < 240;
    return old ? 'this lavapipe is too old for Dawn: Mesa 23.1 or later is needed' : null;
  }
  return HARDWARE.test(library) && !hasDevice ? 'no GPU is here that it could drive' : null;
}

function manifests(env: NodeJS.ProcessEnv): string[] {
  const split = (text: string | undefined) => text?.split(path.delimiter).filter(Boolean) ?? [];
  const only = split(env.VK_DRIVER_FILES || env.VK_ICD_FILENAMES);
  const home = env.HOME ?? os.homedir();
  const roots = [
    ...split(env.XDG_CONFIG_DIRS || '/etc/xdg'),
    '/etc',
    '/usr/local/etc',
    env.XDG_DATA_HOME || path.join(home, '.local/share'),
    ...split(env.XDG_DATA_DIRS || '/usr/local/share:/usr/share'),
  ];
  const places = only.length
    ? only
    : [...split(env.VK_ADD_DRIVER_FILES), ...roots.map((root) => path.join(root, 'vulkan', 'icd.d'))];
  return [...new Set(places.flatMap(inPlace))];
}

/** A manifest, or those in a folder. */
function inPlace(place: string): string[] {
  if (!statSync(place, { throwIfNoEntry: false })?.isDirectory())
    return place.endsWith('.json') ? [place] : [];
  return namesIn(place)
    .filter((name) => name.endsWith('.json'))
    .map((name) => path.join(place, name));
}

const findDevice = (): boolean =>
  DEVICES.some(([folder, pattern]) => namesIn(folder).some((name) => pattern.test(name)));

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
