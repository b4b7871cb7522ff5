/** The workbench as any static host would serve it, open in a headless Chromium. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BrowserContext, Download, Page, Route } from 'playwright-core';
import { launchChromium } from '../../scripts/chromium.js';
import { serveDemo } from '../../scripts/serve-demo.js';

const tiny = fileURLToPath(new URL('../../weights/tiny', import.meta.url));

/** Anything may take so long: pipelines are compiled on a CPU, and the machine may be busy. */
const LIMIT_MS = 120_000;

/** The page, and what it said that it should not have. */
export interface Demo {
  readonly page: Page;
  readonly context: BrowserContext;
  readonly url: string;
  /** Errors of the page and requests to other hosts. */
  readonly complaints: readonly string[];
  /** A page of its own at an address below `url`. */
  open(at?: string): Promise<Page>;
  close(): Promise<void>;
}

/** Builds the pages, serves them, opens one. @throws NoBrowserError where no Chromium runs. */
export async function openDemo(first = ''): Promise<Demo> {
  const browser = await launchChromium();
  const server = await serveDemo();
  const { url } = server;
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  context.setDefaultTimeout(LIMIT_MS);
  const complaints: string[] = [];
  const open = async (at = '') => {
    const page = await context.newPage();
    page.on('pageerror', (e) => complaints.push(e.stack ?? e.message));
    page.on('console', (m) => m.type() === 'error' && complaints.push(m.text()));
    page.on('request', (r) => {
      if (!/^(blob:|data:)/.test(r.url()) && !r.url().startsWith(url))
        complaints.push(`asked for ${r.url()}`);
    });
    await page.goto(url + at);
    return page;
  };
  return {
    page: await open(first),
    ...{ context, url, complaints, open },
    async close() {
      await browser.close();
      await server.close();
    },
  };
}

/**
 * Waits until an expression is true in the page; its Content-Security-Policy does not let `waitForFunction`
 * evaluate one.
 */
export async function until(page: Page, expression: string): Promise<void> {
  const end = Date.now() + LIMIT_MS;
  while (!(await page.evaluate(expression))) {
    if (Date.now() > end) throw new Error(`never came true: ${expression}`);
    await page.waitForTimeout(50);
  }
}

/** Waits until the patching map is whole, and says what stands beside it. */
export async function mapDone(page: Page): Promise<string> {
  const done = page.locator('#patching .run-text', { hasText: / cells in / });
  await done.waitFor();
  return (await done.textContent())!;
}

/** What a download holds. */
export async function contentOf(download: Download): Promise<Buffer> {
  return readFileSync(await download.path());
}

/** Clicks an entry of a view's menu that saves a file. */
export async function take(page: Page, view: string, what: string): Promise<Buffer> {
  await page.click(`#${view} .menu > summary`);
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.click(`#${view} [data-take="${what}"]`),
  ]);
  return contentOf(download);
}

/** Answers as the Hub does, with the shipped model under another name. */
export async function fakeHub(route: Route): Promise<void> {
  const url = new URL(route.request().url());
  const cors = { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' };
  const file = (name: string) => readFileSync(path.join(tiny, name));
  const names = ['config.json', 'tokenizer.json', 'model.safetensors'];
  if (route.request().method() === 'OPTIONS')
    return route.fulfill({ status: 204, headers: { ...cors, 'access-control-allow-headers': '*' } });
  if (url.pathname.startsWith('/api/models/'))
    return route.fulfill({
      headers: cors,
      json: {
        sha: 'a'.repeat(40),
        siblings: names.map((name) => ({ rfilename: name, size: file(name).length })),
      },
    });
  const name = names.find((n) => url.pathname.endsWith(`/${n}`));
  if (!name) return route.fulfill({ status: 404, headers: cors });
  const whole = file(name);
  const [, from, to] = /bytes=(\d+)-(\d+)/.exec(route.request().headers().range ?? '') ?? [];
  if (from === undefined) return route.fulfill({ headers: cors, body: whole });
  const end = Math.min(Number(to), whole.length - 1);
  return route.fulfill({
    status: 206,
    headers: { ...cors, 'content-range': `bytes ${from}-${end}/${whole.length}` },
    body: whole.subarray(Number(from), end + 1),
  });
}
