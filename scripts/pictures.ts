/**
 * The pictures of the README, from the shipped model: `node --import tsx scripts/pictures.ts`. Writes docs/patching.svg, and
 * docs/page-light.png and docs/page-dark.png, the page of `npm start` in both themes (this needs a Chromium, see chromium.ts).
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { HookedTransformer } from '../index.js';
import { heatmap } from '../interp/plots/heatmap.js';
import { heatmapSvg } from '../interp/plots/svg.js';
import { launchChromium } from './chromium.js';
import { runMain, version } from './cli.js';
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
  } finally {
    await browser.close();
  }
});

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
