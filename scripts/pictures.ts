/**
 * The pictures of the README, from the shipped model: `node --import tsx scripts/pictures.ts`. Writes
 * docs/patching.svg, docs/page-light.png and docs/page-dark.png, the page of `npm start` in both themes, and
 * docs/workbench.png (these need a Chromium, see chromium.ts).
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { HookedTransformer } from '../index.js';
import { heatmapSvg } from '../interp/figures/draw/svg.js';
import { heatmap } from '../interp/figures/heatmap.js';
import { launchChromium } from './chromium.js';
import { runMain, version } from './cli.js';
import { serveDemo } from './serve-demo.js';
import { compute, type Report } from './start/compute.js';
import { readOptions } from './start/options.js';
import { reportPage } from './start/page.js';

const folder = new URL('../docs/', import.meta.url);

await runMain(async (signal) => {
  mkdirSync(folder, { recursive: true });
  const options = readOptions(process.argv.slice(2));
  if (!options) throw new Error('the options are those of npm start');
  const model = await HookedTransformer.fromPretrained(options.model, { adapter: options.adapter, signal });
  const report = await compute(model, options, () => {}, signal);
  model.dispose();
  writeFileSync(new URL('patching.svg', folder), patchingSvg(report));
  const browser = await launchChromium();
  try {
    for (const colorScheme of ['light', 'dark'] as const) {
      const viewport = { width: 1180, height: 900 };
      const page = await browser.newPage({ viewport, colorScheme });
      await page.setContent(reportPage(report, version()));
      writeFileSync(new URL(`page-${colorScheme}.png`, folder), await page.screenshot({ fullPage: true }));
    }
    writeFileSync(new URL('workbench.png', folder), await workbench(browser));
  } finally {
    await browser.close();
  }
});

/** The workbench as it opens, when all that is in sight has come. */
async function workbench(browser: Browser): Promise<Buffer> {
  const server = await serveDemo();
  try {
    const page = await browser.newPage({ viewport: { width: 1440, height: 1170 } });
    page.setDefaultTimeout(120_000);
    await page.goto(server.url);
    await page.locator('#patching .run-text', { hasText: / cells in / }).waitFor();
    await page.locator('#counterfactual', { hasText: 'Heads that now look elsewhere' }).waitFor();
    for (const view of ['counterfactual', 'attribution', 'next-tokens'])
      await page.locator(`#${view} .body[aria-busy="false"]`).waitFor();
    await page.mouse.move(0, 0);
    return await page.screenshot();
  } finally {
    await server.close();
  }
}

function patchingSvg({ patching, tokens }: Report): string {
  const max = patching.values.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
  return heatmapSvg(heatmap(patching, { max }), {
    cell: [46, 26],
    title: 'patched',
    captions: ['layer', 'token'],
    meaning: '0 = corrupted run, 1 = clean run',
    mark: (pos) => tokens.clean[pos] !== tokens.corrupted[pos],
    standalone: true,
  });
}
