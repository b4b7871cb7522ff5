/** SwiftShader, Google's Vulkan on the CPU, as the npm package `@sparticuz/chromium` brings it: packed. */

import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { brotliDecompressSync } from 'node:zlib';

/** What Dawn opens; the first library of this name in the process is the one that it gets. */
export const LOADER = 'libvulkan.so.1';

/** The files of a tar archive (ustar, no long names: that is all this one archive has). */
function* untar(tar: Buffer): Generator<{ name: string; data: Buffer }> {
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const name = tar.toString('utf8', at, at + 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(tar.toString('ascii', at + 124, at + 136), 8);
    yield { name: path.basename(name), data: tar.subarray(at + 512, at + 512 + size) };
    at += 512 + Math.ceil(size / 512) * 512;
  }
}

/** Finds `@sparticuz/chromium` beside Glassbox or in the project that uses it. */
export function swiftshaderArchive(): { file: string; version: string } | null {
  for (const from of [import.meta.url, pathToFileURL(path.join(process.cwd(), 'package.json')).href]) {
    try {
      const main = createRequire(from).resolve('@sparticuz/chromium');
      const marker = path.join('@sparticuz', 'chromium');
      const folder = main.slice(0, main.lastIndexOf(marker) + marker.length);
      const { version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
      return { file: path.join(folder, 'bin', 'swiftshader.tar.br'), version };
    } catch {
      // not there: look in the next place
    }
  }
  return null;
}

/** Where Glassbox unpacks what npm brings packed: the user's cache folder, else the temporary one. */
export function cacheRoots(): string[] {
  const home = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  return [path.join(home, 'glassbox'), path.join(os.tmpdir(), `glassbox-${os.userInfo().uid}`)];
}

/**
 * Unpacks SwiftShader once into a cache folder (whole or not at all); gives the folder, or null without the
 * package.
 */
export function unpackSwiftshader(): string | null {
  const archive = swiftshaderArchive();
  if (!archive || process.platform !== 'linux') return null;
  const name = `swiftshader-${archive.version}-${process.arch}`;
  let failure: unknown;
  for (const root of cacheRoots()) {
    const folder = path.join(root, name);
    try {
      if (statSync(path.join(folder, 'vk_swiftshader_icd.json'), { throwIfNoEntry: false })) return folder;
      mkdirSync(root, { recursive: true });
      const fresh = mkdtempSync(path.join(root, 'unpacking-'));
      for (const { name, data } of untar(brotliDecompressSync(readFileSync(archive.file))))
        if (/vulkan|swiftshader/.test(name)) writeFileSync(path.join(fresh, name), data, { mode: 0o755 });
      try {
        renameSync(fresh, folder);
      } catch (e) {
        rmSync(fresh, { recursive: true, force: true });
        // another process was faster: its folder is as good
        if (!statSync(folder, { throwIfNoEntry: false })) throw e;
      }
      return folder;
    } catch (e) {
      failure = e;
    }
  }
  throw new Error(
    `SwiftShader could not be unpacked into ${cacheRoots().join(' or ')}: ${(failure as Error).message}`,
  );
}

/**
 * SwiftShader under the loader's name. It exports `vkGetInstanceProcAddr`, which is all that Dawn asks of a
 * loader, so Dawn can use it directly, and nothing has to be told to a loader by `VK_DRIVER_FILES`. That
 * variable cannot be set in a worker thread or a test runner: `process.env` is a copy there, and the loader
 * reads the real environment. Null if the library is of another kind.
 */
export function swiftshaderAsLoader(folder: string): string | null {
  const file = path.join(folder, 'direct', LOADER);
  if (statSync(file, { throwIfNoEntry: false })) return file;
  const library = readFileSync(path.join(folder, 'libvk_swiftshader.so'));
  const soname = library.indexOf('\0libvk_swiftshader.so\0', 0, 'latin1');
  if (soname < 0) return null;
  library.write(`${LOADER}\0`, soname + 1, 'latin1'); // shorter than what it replaces
  const fresh = mkdtempSync(path.join(folder, 'direct-'));
  writeFileSync(path.join(fresh, LOADER), library, { mode: 0o755 });
  try {
    renameSync(fresh, path.dirname(file));
  } catch (e) {
    rmSync(fresh, { recursive: true, force: true });
    if (!statSync(file, { throwIfNoEntry: false })) throw e; // else another process was faster
  }
  return file;
}
