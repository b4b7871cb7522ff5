/** `npx glassbox attn`: attention patterns. */

import { attentionFigure } from '../../interp/figures/attention.js';
import { hues } from '../../interp/figures/draw/colour.js';
import { columnsThatFit, heatmapLines, legendLine } from '../../interp/figures/draw/terminal.js';
import { figure } from '../../interp/figures/figure.js';
import { heatmap } from '../../interp/figures/heatmap.js';
import { attentionPatterns } from '../../interp/heads/attention.js';
import { columns } from '../../interp/notebooks/tables.js';
import { toCsv } from '../../interp/results/export.js';
import { type Labelled, labelled } from '../../interp/results/result.js';
import { modelName, percent, visibleLabel } from '../../interp/results/text.js';
import { UsageError } from '../cli.js';
import { chooseHead } from '../start/compute.js';
import type { Command } from './command.js';
import { plain } from './results.js';

const ATTENTION = { scale: 'sequential', hue: hues.attention, max: 1 } as const;
/** Heads of the table in the terminal. */
const LISTED = 12;

/** The command. */
export const attnCommand: Command = {
  name: 'attn',
  summary: 'attention patterns of a head, a layer, or all heads',
  usage: 'PROMPT',
  takes: 1,
  about:
    'Attention patterns: how much each token (query) attends to each earlier one (key). Without --head and --layer, all heads: in the terminal where each looks from the last token, and the pattern of the head that looks there at a single token the most; on the page all of them, to choose from.',
  options: { head: { type: 'string' }, layer: { type: 'string' }, weight: { type: 'string' } },
  help: `  --head NAME        this head: L9H6 or 9.6
  --layer L          the heads of this layer
  --weight NAME      pattern (the default), or value: attention × ‖v · W_O‖, what a head brings from a token
`,
  examples: [
    'attn "When John and Mary went to the shops, John gave the bag to"',
    'attn --head 1.4 "one two three one two" --svg head.svg',
    'attn --model gpt2 --layer 9 "When John and Mary went to the shops, John gave the bag to" --html out/attn.html',
  ],
  forms: ['json', 'csv', 'html', 'svg', 'png', 'pdf'],
  async run(x) {
    const [asked, only, prompt] = [readHead(x.text('head')), x.count('layer', null, 0), await x.prompt()];
    if (asked && only !== null) throw new UsageError('--head and --layer: give one of them');
    const model = await x.model();
    const { nLayers, nHeads } = model.config;
    if (asked && (asked.layer >= nLayers || asked.head >= nHeads))
      throw new UsageError(
        `--head L${asked.layer}H${asked.head}: this model has layers 0–${nLayers - 1} with heads 0–${nHeads - 1}`,
      );
    if (only !== null && only >= nLayers)
      throw new UsageError(`--layer ${only}: this model has layers 0–${nLayers - 1}`);
    const weight = x.oneOf('weight', ['pattern', 'value'], 'pattern');
    const all = await attentionPatterns(model, prompt, {
      weight,
      layers: asked ? [asked.layer] : only === null ? undefined : [only],
      prependBos: x.prependBos,
    });
    const [layers, heads, n] = all.shape;
    const block = (l: number, h: number) =>
      all.values.slice((l * heads + h) * n * n, (l * heads + h + 1) * n * n);
    const lastRow = (l: number, h: number) => block(l, h).slice(-n);
    const first = asked?.layer ?? only ?? 0;
    const rows = Array.from({ length: layers }, (_, l) =>
      Array.from({ length: heads }, (_, h) => lastRow(l, h)),
    );
    const best = asked
      ? { layer: 0, head: asked.head }
      : chooseHead(rows, [], { from: n - 1, answer: 'the answer' });
    const name = `L${first + best.layer}H${best.head}`;
    const [, , query, key] = all.axes;
    const one = labelled(block(best.layer, best.head), [query, key], { ...all.meta, head: name });
    const result: Labelled = asked
      ? one
      : only === null
        ? all
        : labelled(all.values, all.axes.slice(1), { ...all.meta, layer: only });
    const scale = weight === 'pattern' ? ATTENTION : ({ scale: 'sequential', hue: hues.attention } as const);
    const map = heatmap(one, scale);
    const picture = () =>
      figure(result, {
        ...scale,
        title: asked
          ? `Attention of head ${name}${weight === 'value' ? ', times the values' : ''}`
          : 'Attention',
        notes: [
          `prompt: “${prompt}”`,
          `model ${modelName(String(all.meta.model))} · weights ${all.meta.hash} · ${all.meta.adapter}`,
        ],
        meaning: 'attention from the row’s token to the column’s',
      });
    return {
      title: `Attention: “${prompt}”`,
      lines: (screen) => [
        ...(asked ? [] : table(rows, key.labels, first)),
        ...(asked ? [] : ['', `Head ${name}:`]),
        ...(n <= columnsThatFit(map.rows, { width: screen.width, cellWidth: [4, 6] }) || asked
          ? heatmapLines(map, { ...screen, cellWidth: [4, 6], skip: (q, k) => k > q })
          : ['its pattern is wider than the terminal: see the page (--html)']),
        legendLine(map, 'from the row’s token to the column’s', screen),
      ],
      json: () => plain(result),
      csv: () => toCsv(result),
      sections: () => [
        {
          title: '',
          about: 'Point at a token to see where the head looks from there.',
          figure: attentionFigure({
            pattern: one,
            layer: first + best.layer,
            head: best.head,
            layers,
            heads,
            all: asked || only !== null ? null : all.values,
          }),
          source: { prompt, ...source(all) },
        },
        ...(only === null ? [] : [{ ...picture().section(), title: `Heads of layer ${only}` }]),
      ],
      svg: (theme) => picture().svg(theme),
    };
  },
};

const source = ({ meta }: Labelled): Record<string, string> => ({
  model: String(meta.model),
  BOS: meta.bos ? 'prepended' : 'no',
  adapter: String(meta.adapter),
});

/** Where heads look from the last token: those that look at one token the most first. */
function table(
  rows: readonly (readonly Float32Array[])[],
  labels: readonly string[],
  first: number,
): string[] {
  const looks = rows.flatMap((heads, l) =>
    heads.map((row, h) => {
      const order = [...row.keys()].sort((a, b) => row[b] - row[a]).slice(0, 3);
      const seen = order.map((k) => `${visibleLabel(labels[k])} ${percent(row[k])}`);
      return { name: `${first + l}.${h}`, most: Math.max(...row.slice(1)), seen };
    }),
  );
  const listed = [...looks].sort((a, b) => b.most - a.most).slice(0, LISTED);
  return [
    `From the last token, ${visibleLabel(labels.at(-1)!)}, ${looks.length > LISTED ? `the ${LISTED} heads (of ${looks.length}) that look elsewhere than at the first one the most` : 'heads look at'}:`,
    ...columns(listed.map(({ name, seen }) => [name, ...seen, ...Array(3 - seen.length).fill('')])),
  ];
}

/** `9.6` or `L9H6`. @throws UsageError */
export function readHead(text: string | undefined): { layer: number; head: number } | null {
  if (text === undefined) return null;
  const found = /^L?(\d+)[.H](\d+)$/i.exec(text);
  if (!found) throw new UsageError(`--head ${text}: layer and head are needed, like L9H6 or 9.6`);
  return { layer: Number(found[1]), head: Number(found[2]) };
}
