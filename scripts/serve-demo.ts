/** The workbench, built and served as any static host would: for its tests and its picture. */

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, preview } from 'vite';

/** A server at `url`, with the built pages in a folder of its own. */
export interface ServedDemo {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * The policy of the pages, as a header: their worker is under it, too, which a `<meta>` element does not
 * reach.
 */
function policy(root: string): Readonly<Record<string, string>> {
  const found = /http-equiv="(Content-Security-Policy)" content="([^"]+)"/.exec(
    readFileSync(path.join(root, 'index.html'), 'utf8'),
  );
  if (!found) throw new Error('demo/index.html has no Content-Security-Policy');
  return { [found[1]]: found[2] };
}

/** Builds the pages and serves them on this machine alone, under their policy. */
export async function serveDemo(): Promise<ServedDemo> {
  const outDir = mkdtempSync(path.join(tmpdir(), 'glassbox-demo-'));
  const root = fileURLToPath(new URL('../demo', import.meta.url));
  const options = {
    root,
    logLevel: 'error',
    build: { outDir, emptyOutDir: true },
  } as const;
  await build(options);
  const server = await preview({
    ...options,
    preview: { host: '127.0.0.1', port: 0, headers: policy(root) },
  });
  const { port } = server.httpServer.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/`,
    async close() {
      await server.close();
      rmSync(outDir, { recursive: true, force: true });
    },
  };
}
