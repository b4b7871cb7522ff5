/** The demo's paths from head to head: between the strongest heads, and in and out of three of them. */

import {
  type AttributionMaps,
  type AttributionPair,
  agreement,
  curveFigure,
  type Labelled,
  pathPatchDirect,
} from '../../index.js';
import type { AttributionRuns } from '../../interp/attribution-runs.js';
import { headPathsOf } from '../../interp/head-paths.js';
import { labelled } from '../../interp/result.js';
import { headName, type MapHead, strongest } from './attribution.js';
import { byHead, draw } from './attribution-draw.js';
import type { Experiment } from './experiment.js';

/** Heads between which the demo draws paths, and those whose paths it draws one by one. */
const TOP = 22;
const SINGLE = 3;

/** Paths, summed over positions: receiver × sender. */
export interface Paths {
  /** As they are. */
  readonly right: Labelled;
  /** As the notebook computed them: through the gradient of the layer norm's scale. */
  readonly notebook: Labelled;
  /** The heads with the largest outputs, in order of their layers. */
  readonly top: readonly string[];
}

/** Computes and draws all of it, and checks one sender's paths by patching them. */
export async function paths(
  x: Experiment,
  runs: AttributionRuns,
  pair: AttributionPair,
  maps: AttributionMaps,
): Promise<Paths> {
  const { config } = x.model;
  const by = ['receiver', 'sender'] as const;
  const right = await x.step('paths between heads', () => headPathsOf(runs, { by }));
  const notebook = await headPathsOf(runs, { by }, (layer) => ({
    kind: 'times',
    factor: runs.grads.get('scale', layer, 'ln1'),
  }));
  x.csv('paths', right);
  const outputs = byHead(maps.headOutputs, config);
  const ordered = strongest(outputs, outputs.values.length);
  const sizes = labelled(
    Float32Array.from(ordered, (h) => Math.abs(h.value)),
    [{ name: 'rank', labels: ordered.map((_, i) => String(i)) }],
    outputs.meta,
  );
  x.heading('Sizes of the attributions of what heads write');
  x.figure('head-sizes', curveFigure(sizes, { title: 'Heads by the size of their attribution' }), {
    about: 'Few heads matter: the paths below are between the largest.',
  });
  const top = ordered.slice(0, TOP).sort((a, b) => a.layer - b.layer || a.head - b.head);
  const names = top.map(headName);
  const about =
    'What a receiver’s input would do to the answer if only this sender’s output reached it as in the clean run: gradient at the input, through the layer norm as it is in the run, times what the sender writes.';
  const inputs = ['q', 'k', 'v'];
  const every = names.flatMap((n) => inputs.map((q) => `${n}.${q}`));
  draw(x, 'paths-top', part(right, every, names), `Paths between the ${names.length} strongest heads`, about);
  for (const [i, word] of ['queries', 'keys', 'values'].entries()) {
    const receivers = names.map((n) => `${n}.${inputs[i]}`);
    draw(
      x,
      `paths-${inputs[i]}`,
      part(right, receivers, names),
      `Paths to ${word} of the strongest heads`,
      about,
    );
  }
  for (const head of singles(x, ordered)) {
    const name = headName(head);
    draw(x, `paths-${name}`, inAndOut(right, name, config), `Paths into ${name} and out of it`, about);
  }
  const strongestPath = [...right.values.keys()].sort(
    (a, b) => Math.abs(right.values[b]) - Math.abs(right.values[a]),
  );
  const senders = right.axes[1].labels;
  x.say(
    `largest: ${strongestPath
      .slice(0, 8)
      .map(
        (i) =>
          `${senders[i % senders.length]} → ${right.axes[0].labels[Math.floor(i / senders.length)]} ${right.values[i].toFixed(4)}`,
      )
      .join(', ')}`,
  );
  await patched(x, pair, right, senders[strongestPath[0] % senders.length]);
  return { right, notebook, top: names };
}

/** The paths of one sender, patched themselves with the layer norm's scale as it is, against what is attributed. */
async function patched(
  x: Experiment,
  { clean, corrupted, metric }: AttributionPair,
  right: Labelled,
  name: string,
): Promise<void> {
  const [layer, head] = name.match(/\d+/g)!.map(Number);
  x.heading(`The paths out of ${name}, patched themselves`);
  for (const to of ['q', 'k', 'v'] as const) {
    const exact = await x.step(`path patching ${name} → ${to}`, async (step) =>
      pathPatchDirect(x.model, {
        original: corrupted,
        new: clean,
        metric,
        sender: { layer, head },
        to,
        ...step,
      }),
    );
    const receivers = exact.axes[0].labels.flatMap((l) => exact.axes[1].labels.map((h) => `${l}${h}.${to}`));
    const attributed = labelled(part(right, receivers, [name]).values, exact.axes, right.meta);
    const [line, ...worst] = agreement(attributed, exact, { worst: 3 }).lines();
    x.say(`to ${to}: ${line}`, ...worst.map((l) => `  ${l}`));
  }
}

/** Chosen receivers and senders. */
export function part(
  { values, axes, meta }: Labelled,
  receivers: readonly string[],
  senders: readonly string[],
): Labelled {
  const at = (axis: number, labels: readonly string[]) => {
    const places = new Map(axes[axis].labels.map((l, i) => [l, i]));
    return labels.map((l) => places.get(l)!);
  };
  const columns = at(1, senders);
  const width = axes[1].labels.length;
  return labelled(
    Float32Array.from(at(0, receivers).flatMap((r) => columns.map((c) => values[r * width + c]))),
    [
      { name: 'receiver', labels: receivers },
      { name: 'sender', labels: senders },
    ],
    meta,
  );
}

/** `query in`, …, `value out`: to or from every head, [path, layer, head]. */
export function inAndOut(
  paths: Labelled,
  name: string,
  { nLayers, nHeads }: { nLayers: number; nHeads: number },
): Labelled {
  const heads = paths.axes[1].labels;
  const inputs = ['q', 'k', 'v'];
  const into = part(
    paths,
    inputs.map((q) => `${name}.${q}`),
    heads,
  );
  const out = inputs.map((q) =>
    part(
      paths,
      heads.map((h) => `${h}.${q}`),
      [name],
    ),
  );
  const labels = (n: number, letter: string) => Array.from({ length: n }, (_, i) => `${letter}${i}`);
  return labelled(
    Float32Array.from([...into.values, ...out.flatMap((m) => [...m.values])]),
    [
      { name: 'path', labels: ['query in', 'key in', 'value in', 'query out', 'key out', 'value out'] },
      { name: 'layer', labels: labels(nLayers, 'L') },
      { name: 'head', labels: labels(nHeads, 'H') },
    ],
    paths.meta,
  );
}

/** The demo's three heads; of other models those with the largest outputs. */
function singles(x: Experiment, ordered: readonly MapHead[]): Pick<MapHead, 'layer' | 'head'>[] {
  const demo = [
    { layer: 5, head: 5 },
    { layer: 8, head: 6 },
    { layer: 9, head: 9 },
  ];
  const { nLayers, nHeads } = x.model.config;
  const there = demo.every((h) => h.layer < nLayers && h.head < nHeads);
  return x.compares && there ? demo : ordered.slice(0, SINGLE);
}
