/**
 * A Chromium with WebGPU for machines that have no browser: the npm package `@sparticuz/chromium` (Linux,
 * x64), unpacked once into the user's cache folder, with the shared libraries and the software GPU
 * (SwiftShader) that come with it. Nothing but glibc and libgcc is taken from the system. Elsewhere an
 * installed Chrome is used.
 */

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { type Browser, chromium, type LaunchOptions } from 'playwright-core';

/**
 * No Chromium can run on this machine; the message says what it lacks. Any other error of a launch is a
 * fault.
 */
export class NoBrowserError extends Error {
  override name = 'NoBrowserError';
}

/**
 * Unpacks with the package's own API, which writes into the temporary folder, and the libraries only on
 * Lambda.
 */
const UNPACK = `
const { default: chromium } = await import('@sparticuz/chromium');
await chromium.executablePath();
`;

/** System fonts when there are any; Open Sans from the package in any case. */
const fontsConf = (folder: string) => `<?xml version="1.0"?>
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>${folder}/fonts</dir>
  <cachedir>${folder}/fonts-cache</cachedir>
</fontconfig>
`;

/**
 * The folder with the unpacked Chromium: `chromium`, its libraries in `al2023/lib`, SwiftShader and fonts.
 * About 210 MB, 3 s the first time; unpacked beside and moved, so that it is whole or not there.
 */
async function unpackChromium(): Promise<string> {
  let main: string;
  try {
    main = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  } catch {
    throw new NoBrowserError('the package @sparticuz/chromium is not installed: npm ci');
  }
  const home = path.join(path.dirname(main), '../..');
  const { version } = JSON.parse(readFileSync(path.join(home, 'package.json'), 'utf8')) as {
    version: string;
  };
  const name = `chromium-${version}-${process.arch}`; // not its date: `npm ci` makes it anew
  const caches = process.env.XDG_CACHE_HOME || path.join(os.homedir(), '.cache');
  const roots = [path.join(caches, 'glassbox'), path.join(os.tmpdir(), `glassbox-${os.userInfo().uid}`)];
  const ready = roots.map((root) => path.join(root, name)).find((folder) => existsSync(folder));
  if (ready) return ready;
  const failures: string[] = [];
  for (const root of roots) {
    const folder = path.join(root, name);
    let fresh = '';
    try {
      mkdirSync(root, { recursive: true });
      fresh = mkdtempSync(path.join(root, 'unpacking-'));
      await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', UNPACK], {
        cwd: path.dirname(main), // from where the package finds itself
        env: { ...process.env, NODE_OPTIONS: '', TMPDIR: fresh, AWS_LAMBDA_JS_RUNTIME: 'nodejs20.x' },
      });
      writeFileSync(path.join(fresh, 'fonts.conf'), fontsConf(folder));
      renameSync(fresh, folder);
      return folder;
    } catch (e) {
      if (fresh) rmSync(fresh, { recursive: true, force: true });
      if (existsSync(folder)) return folder; // another process was faster: its folder is as good
      failures.push(`${root}: ${(e as Error).message}`);
    }
  }
  throw new Error(`Chromium could not be unpacked into\n${failures.join('\n')}`);
}

/** What the dynamic loader says when the machine's C library is too old or not glibc. */
const MACHINE_LACKS =
  /error while loading shared libraries: .*|version `GLIBC[^\n]* not found|spawn [^\n]*ENOENT/;

async function packaged(args: string[]): Promise<LaunchOptions> {
  const folder = await unpackChromium();
  const libraries = [path.join(folder, 'al2023/lib'), process.env.LD_LIBRARY_PATH];
  return {
    executablePath: path.join(folder, 'chromium'),
    args: ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', ...args],
    env: {
      ...(process.env as Record<string, string>),
      LD_LIBRARY_PATH: libraries.filter(Boolean).join(path.delimiter),
      FONTCONFIG_FILE: path.join(folder, 'fonts.conf'),
    },
  };
}

/**
 * Starts a headless Chromium with WebGPU. `$GLASSBOX_BROWSER` may name another executable.
 *
 * @throws NoBrowserError when this machine cannot run one (no Linux on x64 and no Chrome, or a C library that
 * is too old).
 */
export async function launchChromium(args: string[] = []): Promise<Browser> {
  const named = process.env.GLASSBOX_BROWSER;
  const unsafe = ['--enable-unsafe-webgpu', ...args];
  let options: LaunchOptions;
  if (named) options = { executablePath: named, args: unsafe };
  else if (process.platform === 'linux' && process.arch === 'x64') options = await packaged(args);
  else options = { channel: 'chrome', args: unsafe };
  try {
    return await chromium.launch({ headless: true, timeout: 60_000, ...options });
  } catch (e) {
    const message = (e as Error).message;
    const lacks = MACHINE_LACKS.exec(message)?.[0];
    if (lacks) throw new NoBrowserError(`Chromium does not run on this machine: ${lacks}`);
    if (options.channel)
      throw new NoBrowserError(
        `${process.platform}-${process.arch}: no Chrome is installed; install it, or name a Chromium in GLASSBOX_BROWSER`,
      );
    throw e;
  }
}
