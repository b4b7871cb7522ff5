/**
 * A project that uses Glassbox as its users do: the packed package and its declared dependencies, nothing
 * else.
 */

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build as bundle, createLogger, preview } from 'vite';
import { launchChromium } from '../../scripts/chromium.js';

const run = promisify(execFile);
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.dirname(path.dirname(here));

export interface Project {
  readonly folder: string;
  /** Paths of the files in the package, e.g. `package.json`. */
  readonly packed: readonly string[];
  /** Runs a script of the project with plain Node and gives what it prints. */
  node(script: string, ...args: string[]): Promise<string>;
  /** Runs `npx glassbox`. */
  glassbox(...args: string[]): Promise<string>;
  /** Bundles the project's page with Vite; gives the warnings. */
  bundle(): Promise<string[]>;
  /** Opens the bundled page in Chromium and gives what it writes into its `<output>`. */
  open(query: string): Promise<string>;
  remove(): void;
}

/**
 * Packs Glassbox, and lays it out in a temporary project beside the files of `consumer/`. Dependencies are
 * links into this project's `node_modules`; only those that the packed package.json declares are there, and
 * `extra`.
 */
export async function makeProject(extra: readonly string[]): Promise<Project> {
  const folder = mkdtempSync(path.join(tmpdir(), 'glassbox-consumer-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: root,
  }).catch((e) => {
    remove();
    throw e;
  });
  // what a prepack script prints comes first
  const [{ filename, files }] = JSON.parse(stdout.slice(stdout.search(/^\[/m)));
  const modules = path.join(folder, 'node_modules');
  const home = path.join(modules, 'glassbox');
  mkdirSync(home, { recursive: true });
  await run('tar', ['-xzf', path.join(folder, path.basename(filename)), '-C', home, '--strip-components=1']);
  const { dependencies } = JSON.parse(readFileSync(path.join(home, 'package.json'), 'utf8'));
  for (const name of [...Object.keys(dependencies), ...extra]) {
    mkdirSync(path.dirname(path.join(modules, name)), { recursive: true });
    symlinkSync(path.join(root, 'node_modules', name), path.join(modules, name), 'junction');
  }
  cpSync(path.join(here, 'consumer'), folder, { recursive: true });

  // The library is one chunk of more than the 500 kB (minified) of which Vite would warn.
  const build = { outDir: 'out', target: 'esnext', chunkSizeWarningLimit: 1000 };
  const options = { root: folder, configFile: false, build } as const;
  const node: Project['node'] = async (script, ...args) => {
    const env = { ...process.env, NODE_OPTIONS: '' };
    return (await run(process.execPath, [script, ...args], { cwd: folder, env })).stdout.trim();
  };
  const { bin } = JSON.parse(readFileSync(path.join(home, 'package.json'), 'utf8'));
  return {
    folder,
    packed: (files as { path: string }[]).map((file) => file.path),
    node,
    glassbox: (...args) => node(path.join(home, bin.glassbox), ...args), // what npm links into node_modules/.bin
    async bundle() {
      const warnings: string[] = [];
      const warn = (text: string) => warnings.push(text);
      await bundle({
        ...options,
        logLevel: 'silent',
        customLogger: Object.assign(createLogger('silent'), { warn, warnOnce: warn, error: warn }),
      });
      return warnings;
    },
    async open(query) {
      const browser = await launchChromium();
      const server = await preview({
        ...options,
        logLevel: 'silent',
        preview: { host: '127.0.0.1', port: 0 },
      });
      try {
        const { port } = server.httpServer.address() as { port: number };
        const page = await browser.newPage();
        await page.goto(`http://127.0.0.1:${port}/?${query}`);
        const output = page.locator('output:not(:empty)');
        return (await output.textContent({ timeout: 60_000 })) ?? '';
      } finally {
        await browser.close();
        await server.close();
      }
    },
    remove,
  };
}
