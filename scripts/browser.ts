/**
 * The tests in a browser: `node --import tsx scripts/browser.ts [pattern ...]`. The same files that Node runs
 * are served as they are by Vite and run in Chromium (`chromium.ts`), one after another in one page.
 *
 * Two things differ from Node, and both are said here: the entry for Node is replaced by the browser's
 * (`index.ts` by `index.browser.ts`), and `readFileSync` fetches, so that tests may read their fixtures. A
 * file that needs more of Node than that is left to Node.
 */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import type { ViteDevServer } from 'vite';
import { launchChromium } from './chromium.js';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));

/** Modules for Node and what a page gets in their place. */
const REPLACED: Readonly<Record<string, string>> = {
  'node:fs': 'test/browser/node-fs.ts',
  'index.ts': 'index.browser.ts',
};

/** Seconds a file may take. */
const FILE_LIMIT = 540;
/** Where tests of code for both platforms live. */
const ROOMS = ['kernels', 'weights', 'engine', 'hooks', 'interp'];
const NODE_GLOBALS = /(?<![.\w'"`])(process\.|Buffer\.|__dirname|import\.meta\.dirname)/;
const IMPORT =
  /(?:^|\n)\s*(?:import|export)\s(?!type\s)[^'";]*?from\s*'([^']+)'|import\(\s*'([^']+)'\s*\)|(?:^|\n)import\s*'([^']+)'/g;

/** A test file, and why it cannot run in a page if it cannot. */
export interface BrowserTest {
  /** From the project's root: `test/engine/tokenizer.test.ts`. */
  readonly file: string;
  /** `null`, or for instance `test/weights/hub.test.ts imports node:http`. */
  readonly needsNode: string | null;
  /** The packages that it and what it imports need. */
  readonly packages: readonly string[];
  /** Tests written in it, at least. */
  readonly written: number;
}

/** What running a file in the page gave. */
export interface BrowserResult {
  readonly passed: number;
  readonly skipped: number;
  readonly total: number;
  /** Messages of failures, with stacks; empty when all went well. */
  readonly failures: readonly string[];
  readonly ms: number;
}

/** A page that runs test files. */
export interface TestPage {
  /** The page's browser and GPU: `Chromium 147.0.7727.0, google swiftshader`. */
  readonly description: string;
  run(file: string): Promise<BrowserResult>;
  close(): Promise<void>;
}

const read = (file: string) => readFileSync(path.join(root, file), 'utf8');

/** A relative import as a path from the root; `.js` is written, `.ts` is meant. */
function target(specifier: string, importer: string): string {
  const file = path.posix.join(path.posix.dirname(importer), specifier).replace(/\.js$/, '.ts');
  return REPLACED[file] ?? file;
}

/** Follows the imports of a file: the packages it needs, and the first thing that only Node has. */
function examine(entry: string): Pick<BrowserTest, 'packages' | 'needsNode'> {
  const packages: string[] = [];
  const seen = new Set<string>();
  const queue = [entry];
  for (let file = queue.pop(); file; file = queue.pop()) {
    if (seen.has(file) || !existsSync(path.join(root, file))) continue; // the page will name what is missing
    seen.add(file);
    const text = read(file);
    const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
    const used = NODE_GLOBALS.exec(code)?.[1];
    if (used) return { packages, needsNode: `${file} uses ${used.replace(/\.$/, '')}` };
    for (const [, from, lazy, bare] of code.matchAll(IMPORT)) {
      const specifier = from ?? lazy ?? bare;
      if (specifier.startsWith('.')) queue.push(target(specifier, file));
      else if (REPLACED[specifier]) queue.push(REPLACED[specifier]);
      else if (specifier.startsWith('node:') || specifier === 'webgpu')
        return { packages, needsNode: `${file} imports ${specifier}` };
      else packages.push(specifier);
    }
  }
  return { packages, needsNode: null };
}

/** The test files of the rooms that both platforms share, in order. */
export function browserTests(patterns: readonly string[] = []): BrowserTest[] {
  return ROOMS.filter((room) => existsSync(path.join(root, 'test', room)))
    .flatMap((room) =>
      readdirSync(path.join(root, 'test', room), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('.test.ts'))
        .map((file) => path.posix.join('test', room, file.split(path.sep).join('/'))),
    )
    .filter((file) => !patterns.length || patterns.some((pattern) => new RegExp(pattern).test(file)))
    .sort()
    .map((file) => ({
      file,
      ...examine(file),
      written: read(file).match(/^test\(/gm)?.length ?? 0,
    }));
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>Glassbox tests</title>
<script type="module">
  import { runFile } from '/test/browser/page.ts';
  window.runFile = runFile;
</script>`;

const DESCRIBE_GPU = `navigator.gpu?.requestAdapter().then(
  (adapter) => adapter ? adapter.info.vendor + ' ' + adapter.info.architecture : 'no GPU adapter',
) ?? 'no WebGPU'`;

async function serve(packages: readonly string[], cacheDir: string): Promise<ViteDevServer> {
  const { createServer } = await import('vite');
  const server = await createServer({
    configFile: false,
    root,
    cacheDir,
    appType: 'custom',
    logLevel: 'error',
    server: { host: '127.0.0.1', port: 0, hmr: false, ws: false, watch: null, fs: { strict: false } },
    // All packages are known beforehand: Vite must not find one later and reload the page amid a test.
    optimizeDeps: { noDiscovery: true, include: [...new Set(['uvu', ...packages])] },
    plugins: [
      {
        name: 'glassbox-tests',
        enforce: 'pre',
        resolveId(source, importer) {
          const from = importer && path.relative(root, importer).split(path.sep).join('/');
          const file = source.startsWith('.') && from ? target(source, from) : REPLACED[source];
          if (file && Object.values(REPLACED).includes(file)) return path.join(root, file);
        },
        configureServer({ middlewares }) {
          middlewares.use((request, response, next) => {
            if (request.url !== '/') return next();
            response.setHeader('content-type', 'text/html');
            response.end(PAGE);
          });
        },
      },
    ],
  });
  return server.listen();
}

/**
 * Opens a page that runs these test files.
 *
 * @throws NoBrowserError when no Chromium can run on this machine.
 */
export async function openTestPage(tests: readonly BrowserTest[]): Promise<TestPage> {
  const browser: Browser = await launchChromium();
  const cacheDir = mkdtempSync(path.join(tmpdir(), 'glassbox-vite-'));
  let server: ViteDevServer | undefined;
  const close = async () => {
    await browser.close();
    await server?.close();
    rmSync(cacheDir, { recursive: true, force: true });
  };
  try {
    const portable = tests.filter(({ needsNode }) => !needsNode);
    server = await serve(
      portable.flatMap((test) => test.packages),
      cacheDir,
    );
    const page: Page = await browser.newPage();
    const noise: string[] = []; // what the page says besides its tests; shown when something fails
    page.on('console', (message) => message.type() !== 'log' && noise.push(message.text()));
    page.on('pageerror', (error) => noise.push(error.stack ?? error.message));
    let giveUp: (reason: Error) => void = () => {};
    const end = new Promise<never>((_, reject) => (giveUp = reject)); // the page can run nothing more
    end.catch(() => {});
    page.on('crash', () => giveUp(new Error('the page crashed')));
    const { port } = server.httpServer!.address() as { port: number };
    await page.goto(`http://127.0.0.1:${port}/`);
    await page.waitForFunction('window.runFile');
    const gpu = await page.evaluate(DESCRIBE_GPU);
    return {
      description: `Chromium ${browser.version()}, ${gpu}`,
      close,
      async run(file) {
        noise.length = 0;
        const late = () => giveUp(new Error(`${file}: not finished after ${FILE_LIMIT} s`));
        const timer = setTimeout(late, FILE_LIMIT * 1000);
        const running = page.evaluate<BrowserResult>(`runFile(${JSON.stringify(`/${file}`)})`);
        const result = await Promise.race([running, end]).finally(() => clearTimeout(timer));
        return result.failures.length ? { ...result, failures: [...result.failures, ...noise] } : result;
      },
    };
  } catch (e) {
    await close();
    throw e;
  }
}

async function main(patterns: string[]): Promise<void> {
  const tests = browserTests(patterns);
  const page = await openTestPage(tests);
  console.log(page.description);
  let failed = 0;
  try {
    for (const { file, needsNode } of tests) {
      if (needsNode) {
        console.log(`${file}: left to Node: ${needsNode}`);
        continue;
      }
      const { passed, total, failures, ms } = await page.run(file);
      console.log(`${file}: ${passed} of ${total} passed, ${(ms / 1000).toFixed(1)} s`);
      for (const failure of failures) console.log(failure);
      failed += failures.length;
    }
  } finally {
    await page.close();
  }
  if (failed) process.exitCode = 1;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
