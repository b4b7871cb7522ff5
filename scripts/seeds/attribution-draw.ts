/** The demo's maps, drawn and written: attention, residual stream, layers, heads, vectors, patterns; and the prompt itself. */

import {
  type AttributionMaps,
  type AttributionPair,
  attentionAttribution,
  figure,
  inputAttribution,
  type Labelled,
  signedHeads,
  slices,
  tokenFigure,
} from '../../index.js';
import { hues } from '../../interp/plots/colour.js';
import { labelled } from '../../interp/result.js';
import { named, strongest } from './attribution.js';
import type { Experiment } from './experiment.js';

/** Numbers that a terminal shows; larger maps are in files and on the page. */
const SHOWN = 390;

/** Prints (if it is small), draws and writes a map. */
export function draw(
  x: Experiment,
  file: string,
  map: Labelled,
  title: string,
  about: string,
  options: Parameters<typeof figure>[1] = {},
): void {
  const drawn = figure(map, { title, ...options });
  const long = map.shape.length > 2 || map.values.length > SHOWN;
  x.heading(title);
  x.figure(
    file,
    long
      ? { ...drawn, lines: () => [`(${map.shape.join(' × ')} numbers: ${file}.svg, ${file}.csv)`] }
      : drawn,
    {
      title,
      about,
    },
  );
  x.csv(file, map);
}

/** Pattern times gradient, of the first prompt and in the mean, the 20 strongest signed heads. */
export async function attention(x: Experiment, pair: AttributionPair): Promise<void> {
  const all = await x.step('attention attribution', (step) =>
    attentionAttribution(x.model, { ...pair, signal: step.signal }),
  );
  const first = signedHeads(all, { prompt: 0 });
  const mean = signedHeads(all);
  const show = (file: string, heads: Labelled, title: string, of: string) => {
    const most = slices(heads, 0).map((part) => Math.max(...part.values).toFixed(3));
    draw(
      x,
      file,
      heads,
      title,
      `Pattern times gradient in the clean run, ${of}: what setting a number of the pattern to zero would take away (+) or give (−). The strongest 20, divided by the largest.`,
      { scale: 'sequential', hue: hues.attention, max: 1, meaning: 'part of the largest attribution' },
    );
    x.say(heads.axes[0].labels.map((name, i) => `${name} ${most[i]}`).join(', '));
  };
  show('attention-first', first, 'Attention attribution, first prompt', 'for the first prompt');
  show(
    'attention-mean',
    mean,
    'Attention attribution, mean over the prompts',
    'in the mean over the prompts',
  );
}

/** Layers × heads of a map [head, pos], summed over positions. */
export function byHead(map: Labelled, { nLayers, nHeads }: { nLayers: number; nHeads: number }): Labelled {
  const positions = map.shape[1];
  const sums = Float32Array.from({ length: nLayers * nHeads }, (_, h) =>
    map.values.subarray(h * positions, (h + 1) * positions).reduce((a, b) => a + b, 0),
  );
  const labels = (n: number, letter: string) => Array.from({ length: n }, (_, i) => `${letter}${i}`);
  return labelled(
    sums,
    [
      { name: 'layer', labels: labels(nLayers, 'L') },
      { name: 'head', labels: labels(nHeads, 'H') },
    ],
    map.meta,
  );
}

const VECTOR_NAMES: Readonly<Record<string, string>> = {
  k: 'Keys',
  q: 'Queries',
  v: 'Values',
  z: 'Mixed values',
};

/** All maps of the demo that compare two runs. */
export function maps(x: Experiment, all: AttributionMaps): void {
  const { config } = x.model;
  const where =
    'Gradient in the corrupted run times what the clean run has more, summed over prompts and dimensions.';
  draw(x, 'residual', all.residual, 'Attributed: residual stream', where);
  draw(x, 'layer-outputs', all.layerOutputs, 'Attributed: what layers write', where);
  draw(x, 'head-outputs', all.headOutputs, 'Attributed: what heads write, by position', where);
  const heads = byHead(all.headOutputs, config);
  draw(x, 'head-outputs-sum', heads, 'Attributed: what heads write', `${where} All positions.`);
  x.say(`most: ${strongest(heads, 8).map(named).join(', ')}`);
  const { labels } = all.headVectors.axes[0];
  slices(all.headVectors, 0).forEach((map, i) => {
    const name = VECTOR_NAMES[labels[i]];
    draw(x, `heads-${labels[i]}`, map, `Attributed: ${name.toLowerCase()}, by position`, where);
    draw(
      x,
      `heads-${labels[i]}-sum`,
      byHead(map, config),
      `Attributed: ${name.toLowerCase()}`,
      `${where} All positions.`,
    );
  });
  const { headPatterns } = all;
  const [count, queries, keys] = headPatterns.shape;
  const { nLayers, nHeads } = config;
  const list = (n: number) => ({ name: '', labels: Array.from({ length: n }, (_, i) => String(i)) });
  const five = labelled(
    headPatterns.values,
    [list(1), list(nLayers), list(nHeads), headPatterns.axes[1], headPatterns.axes[2]],
    headPatterns.meta,
  );
  draw(
    x,
    'patterns',
    signedHeads(five),
    'Attributed: patterns',
    `Gradient times the difference of the patterns of the two runs (${count} heads, ${queries} × ${keys}): the strongest 20, divided by the largest.`,
    { scale: 'sequential', hue: hues.attention, max: 1, meaning: 'part of the largest attribution' },
  );
  x.csv('patterns-all', headPatterns);
}

/** The metric on the text of the first prompt. */
export async function tokens(x: Experiment, pair: AttributionPair, prompt: string): Promise<void> {
  const { metric } = pair;
  const one = { ...metric, per: 'prompt' as const };
  const all = await x.step('input attribution', (step) =>
    inputAttribution(x.model, pair.clean, { metric: one, baseline: 'mean', signal: step.signal }),
  );
  const title = 'Which tokens it hangs on';
  const about = `Gradient at each token’s embedding times what it has more than the mean embedding, on “${prompt}”.`;
  x.heading(title);
  x.figure('input', tokenFigure(slices(all, 0)[0], { title, about }), { title, about });
  x.csv('input', all);
}
