/** Attribution against patching: by block, by head, by head and position. */

import {
  type Agreement,
  type AttributionMaps,
  type AttributionPair,
  agreement,
  compareWithPatching,
  type Labelled,
  patchBlocks,
  patchHeads,
  patchHeadsByPos,
  scatterFigure,
  slices,
} from '../../index.js';
import type { Comparison } from '../../interp/plots/compare.js';
import { drawPatterns, patternsOf } from './attention.js';
import { named, strongest } from './attribution.js';
import { draw } from './attribution-draw.js';
import type { Experiment } from './experiment.js';
import { columns } from './tables.js';

/** What patching gave. */
export interface Exact {
  readonly blocks: Labelled;
  readonly heads: Labelled;
  /** Null where only the top was verified. */
  readonly byPos: Labelled | null;
  /** Of each of the three heads whose patching and attribution the demo looks at, the patterns of all prompts: [prompt][query · key]. */
  readonly patterns: ReadonlyMap<string, readonly Float32Array[]>;
}

/** Runs the sweeps, and holds the attributions against them. */
export async function againstPatching(
  x: Experiment,
  pair: AttributionPair,
  attributed: AttributionMaps,
): Promise<Exact> {
  const { model } = x;
  const both = async (file: string, title: string, approximate: Labelled, exact: Labelled) => {
    draw(
      x,
      `${file}-exact`,
      exact,
      `Patched: ${title}`,
      'The runs themselves: one activation is that of the clean run.',
    );
    draw(x, `${file}-attributed`, approximate, `Attributed: ${title}`, 'The same cells from gradients.');
    const sites = exact.axes[0].labels;
    const [a, e] = [slices(approximate, 0), slices(exact, 0)];
    const found = sites.map((site, i): [string, Agreement] => [site, agreement(a[i], e[i])]);
    table(x, found);
    sites.forEach((site, i) => {
      const { worst } = found[i][1];
      const miss =
        worst[0] &&
        `${worst[0].name} is attributed ${worst[0].attributed.toFixed(4)}, and is ${worst[0].exact.toFixed(4)}`;
      const name = `Attribution against patching: ${title}, ${site}`;
      const drawn = scatterFigure(e[i], a[i], {
        title: name,
        captions: ['patching', 'attribution'],
        about: miss,
      });
      x.figure(`${file}-${site}`, { ...drawn, lines: () => [] });
    });
  };
  const blocks = await x.step('patching blocks', async (step) => patchBlocks(model, { ...pair, ...step }));
  await both('blocks', 'blocks', attributed.blocks, blocks);
  const heads = await x.step('patching heads', async (step) => patchHeads(model, { ...pair, ...step }));
  await both('heads', 'heads, all positions', attributed.heads, heads);
  const patterns = await lookAtHeads(x, pair, slices(heads, 0)[0]);
  let byPos: Labelled | null = null;
  if (x.values.verify === undefined) {
    byPos = await x.step('patching heads by position', async (step) =>
      patchHeadsByPos(model, { ...pair, ...step }),
    );
    await both('heads-by-pos', 'heads by position', attributed.headsByPos, byPos);
  } else await verifyTop(x, pair);
  const { naiveTokenLayers, tokenLayers } = (byPos ?? heads).meta.work as Record<string, number>;
  x.tell(
    `The last sweep stands for ${(byPos ?? heads).values.length} forward passes; it did ${((100 * tokenLayers) / naiveTokenLayers).toFixed(1)} % of their work. Attribution took two, and one backward.`,
  );
  x.compare('exactness', exactness(blocks, attributed));
  return { blocks, heads, byPos, patterns };
}

function table(x: Experiment, found: readonly (readonly [string, Agreement])[]): void {
  const number = (v: number) => (Number.isFinite(v) ? v.toFixed(3) : '–');
  const rows = found.map(([site, a]) => [
    site,
    number(a.pearson),
    number(a.spearman),
    Number.isFinite(a.signs) ? `${(100 * a.signs).toFixed(0)} %` : '–',
    number(a.maxError),
    a.worst[0]?.name ?? '–',
  ]);
  x.say('', ...columns([['', 'correlation', 'of ranks', 'signs', 'largest error', 'at'], ...rows]));
}

/** Only the cells with the largest attributions are run. */
async function verifyTop(x: Experiment, pair: AttributionPair): Promise<void> {
  const verify = x.count('verify', 100);
  for (const at of ['z', 'q', 'k', 'v']) {
    const { checked, exact, agreement } = await x.step(`verifying ${at}`, (step) =>
      compareWithPatching(x.model, { ...pair, at, by: ['layer', 'head', 'pos'], verify, ...step }),
    );
    x.heading(`The ${verify} largest attributions of ${at}, verified`);
    x.say(...agreement.lines());
    const title = `Attribution against patching: the top of ${at}`;
    x.figure(`verified-${at}`, {
      ...scatterFigure(exact, checked, { title, captions: ['patching', 'attribution'] }),
      lines: () => [],
    });
    x.csv(`verified-${at}`, exact);
  }
}

/** The heads that patching finds the strongest (in the demo L5H5, L10H7, L11H10): where they look in every prompt. */
async function lookAtHeads(
  x: Experiment,
  pair: AttributionPair,
  z: Labelled,
): Promise<Map<string, Float32Array[]>> {
  const prompts = pair.clean as string[];
  const demo = [
    [5, 5],
    [10, 7],
    [11, 10],
  ];
  const [layers, count] = z.shape;
  const there = demo.every(([layer, head]) => layer < layers && head < count);
  const heads =
    x.compares && there
      ? demo.map(([layer, head]) => ({ layer, head, value: z.values[layer * count + head] }))
      : strongest(z, 3);
  const out = new Map<string, Float32Array[]>(heads.map((h) => [`L${h.layer}H${h.head}`, []]));
  for (const [i, prompt] of prompts.entries()) {
    const patterns = await patternsOf(x, prompt);
    const n = patterns.labels.length ** 2;
    for (const { layer, head } of heads)
      out.get(`L${layer}H${head}`)!.push(patterns.layers[layer].slice(head * n, (head + 1) * n));
    if (i === 0)
      drawPatterns(
        x,
        'attention',
        patterns,
        heads.map((h) => ({ ...h, name: named(h) })),
        {
          title: 'Where the heads look whose patching matters most',
          about: `Their patterns on “${prompt}”, with what patching their z at all positions does.`,
        },
      );
  }
  return out;
}

/** Where attribution cannot be wrong: what is the same in both runs has no part in it, and parts add up. */
function exactness(
  blocks: Labelled,
  { residual, layerOutputs, headOutputs, heads, headsByPos }: AttributionMaps,
): Comparison[] {
  const first = residual.meta.unchanged as number;
  const positions = residual.shape[1];
  const before = [residual, layerOutputs, headOutputs].flatMap((m) =>
    [...m.values].filter((_, i) => i % positions < first),
  );
  const row = (map: Labelled, r: number) => map.values.subarray(r * map.shape[1], (r + 1) * map.shape[1]);
  const apart = (a: ArrayLike<number>, b: ArrayLike<number>) =>
    Array.from(a).reduce((m, v, i) => Math.max(m, Math.abs(v - b[i])), 0);
  const embeddings = Array.from(row(layerOutputs, 0), (v, i) => v + row(layerOutputs, 1)[i]);
  const [, layers, , count] = headsByPos.shape;
  const sums = Float64Array.from({ length: layers * count }, (_, i) => {
    let sum = 0;
    for (let p = 0; p < positions; p++)
      sum += headsByPos.values[(Math.floor(i / count) * positions + p) * count + (i % count)];
    return sum;
  });
  const zero = (name: string, got: number, tolerance: number): Comparison => ({
    name,
    expected: 0,
    got,
    tolerance,
  });
  return [
    zero(
      'attributed before the first difference',
      before.reduce((m, v) => Math.max(m, Math.abs(v)), 0),
      0,
    ),
    zero('embed + pos_embed − 0_pre', apart(embeddings, row(residual, 0)), 1e-4),
    zero('z by position, summed − z', apart(sums, heads.values), 1e-4),
    {
      name: 'patched resid_pre of layer 0 where the prompts differ',
      expected: 1,
      got: blocks.values[first],
      tolerance: 1e-4,
    },
  ];
}
