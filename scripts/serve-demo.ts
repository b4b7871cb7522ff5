/** The workbench, built and served as any static host would: for its tests and its picture. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, preview } from 'vite';

/** A server at `url`, with the built pages in a folder of its own. */
export interface ServedDemo {
  readonly url: string;
  close(): Promise<void>;
}

/** Builds the pages and serves them on this machine alone. */
export async function serveDemo(): Promise<ServedDemo> {
  const outDir = mkdtempSync(path.join(tmpdir(), 'glassbox-demo-'));
  const options = {
    root: fileURLToPath(new URL('../demo', import.meta.url)),
    logLevel: 'error',
    build: { outDir, emptyOutDir: true },
  } as const;
  await build(options);
  const server = await preview({ ...options, preview: { host: '127.0.0.1', port: 0 } });
  const { port } = server.httpServer.address() as { port: number };
  return {
    url: `http://127.0.0.1:${port}/`,
    async close() {
      await server.close();
      rmSync(outDir, { recursive: true, force: true });
    },
  };
}
