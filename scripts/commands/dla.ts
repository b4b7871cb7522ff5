/** `npx glassbox dla`: direct logit attribution. */

import { attributionFigure, largestHeads, type PartRow } from '../../interp/figures/attribution.js';
import { figure } from '../../interp/figures/figure.js';
import { directLogitAttribution } from '../../interp/logits/dla.js';
import { type Labelled, labelled } from '../../interp/results/result.js';
import { exact, fit, modelName, visibleLabel } from '../../interp/results/text.js';
import { UsageError } from '../cli.js';
import { wrap } from '../start/print.js';
import type { Command } from './command.js';
import { plain, shown } from './results.js';

/** The command. */
export const dlaCommand: Command = {
  name: 'dla',
  summary: 'direct logit attribution: what each part says to a logit, summing to it',
  usage: 'PROMPT',
  takes: 1,
  about:
    'Direct logit attribution: the logit of an answer (or its difference from a wrong one’s) as a sum over what each part of the model writes. Biases and all that is usually forgotten have rows of their own, so that the sum is the logit.',
  options: {
    answer: { type: 'string' },
    wrong: { type: 'string' },
    by: { type: 'string' },
    pos: { type: 'string' },
    top: { type: 'string' },
    'ln-apart': { type: 'boolean' },
  },
  help: `  --answer TOKEN     its logit is attributed: " Mary"
  --wrong TOKEN      attribute logit(answer) − logit(wrong)
  --by NAME          layer, component, head, neuron, or source: heads × tokens that they attend to; default: layers, and the
                     largest heads
  --top N            of more rows than this, the N largest are printed and drawn; default 24. JSON and CSV have all
  --pos N            where the logit is read; default −1, the last position
  --ln-apart         the last layer norm is a row of its own (default: its scale in the run is applied to all)
`,
  examples: [
    'dla "When John and Mary went to the shops, John gave the bag to" --answer " Mary" --wrong " John"',
    'dla --model gpt2 "When John and Mary went to the shops, John gave the bag to" --answer " Mary" --by head --top 12',
    'dla "The Space Needle is in downtown" --answer " Seattle" --by source --html dla.html',
  ],
  forms: ['json', 'csv', 'html', 'svg', 'png', 'pdf'],
  async run(x) {
    const [answer, wrong] = [x.needed('answer'), x.text('wrong')];
    const by = x.oneOf('by', ['layer', 'component', 'head', 'neuron', 'source'], 'layer');
    const [top, pos] = [x.count('top', 24), x.count('pos', -1, -Infinity)];
    if (answer === wrong) throw new UsageError('--answer and --wrong are the same token');
    const prompt = await x.prompt();
    const model = await x.model();
    const result = await x.step('attributing', (options) =>
      directLogitAttribution(model, prompt, {
        ...(wrong === undefined ? { token: answer } : { tokens: [answer, wrong] as const }),
        ...{ by, pos, prependBos: x.prependBos, layerNorm: x.values['ln-apart'] ? 'none' : 'frozen' },
        ...options,
      }),
    );
    const { logit, sum, error, metric } = result.meta as Record<'logit' | 'sum' | 'error', number> & {
      metric: string;
    };
    const prompts = {
      prependBos: x.prependBos,
      pos,
      ...(wrong === undefined ? { token: answer } : { tokens: [answer, wrong] as const }),
    };
    // Without --by: layers and heads, as the workbench shows them.
    const both = x.text('by') === undefined && typeof logit === 'number' && !x.values['ln-apart'];
    const byHead = both
      ? await directLogitAttribution(model, prompt, { ...prompts, by: 'head', signal: x.signal })
      : null;
    const notes = [
      `prompt: “${prompt}”`,
      `model ${modelName(String(result.meta.model))} · weights ${result.meta.hash} · ${result.meta.adapter}`,
    ];
    const some = largestRows(result, top);
    const cut = some.shape[0] < result.shape[0] ? `, the ${top} largest of ${result.shape[0]}` : '';
    const title = `Direct logit attribution by ${by}${by === 'head' ? '' : cut}`;
    const drawn = by === 'head' && result.heads ? result.heads : some;
    const picture = byHead
      ? attributionFigure(result, byHead, { notes })
      : figure(drawn, { title, meaning: metric, notes });
    const outcome = shown(result, picture, `${title}: “${prompt}”`);
    return {
      ...outcome,
      ...(byHead && { json: () => plain(result, { byHead: plain(byHead) }) }),
      lines: (screen) => [
        ...(some.axes.length === 1 ? listed(some) : outcome.lines(screen)),
        ...(cut ? [`${cut.slice(2)} rows`] : []),
        ...(byHead ? ['', 'Heads, the largest first', ...listedParts(largestHeads(byHead))] : []),
        ...wrap(
          `Sum of all ${exact(sum)}; ${metric} = ${exact(logit)}, off by ${error.toExponential(1)}.`,
          screen.width,
        ),
      ],
    };
  },
};

const listedParts = (rows: readonly PartRow[]): string[] => {
  const width = Math.max(...rows.map((r) => r.label.length));
  return rows.map(({ label, value }) => `${fit(visibleLabel(label), width)}  ${exact(value).padStart(9)}`);
};

const listed = ({ values, axes: [{ labels }] }: Labelled): string[] => {
  const width = Math.max(...labels.map((l) => l.length));
  return labels.map((label, i) => `${fit(visibleLabel(label), width)}  ${exact(values[i]).padStart(9)}`);
};

/**
 * The rows with the largest |values| (of several, the largest of each), largest first; all in their order if
 * they are few.
 */
function largestRows(result: Labelled, n: number): Labelled {
  const [rows, width = 1] = result.shape;
  if (rows <= n) return result;
  const row = (r: number) => result.values.subarray(r * width, (r + 1) * width);
  const size = Array.from({ length: rows }, (_, r) => row(r).reduce((m, v) => Math.max(m, Math.abs(v)), 0));
  const order = [...size.keys()].sort((a, b) => size[b] - size[a] || a - b).slice(0, n);
  const values = Float32Array.from(order.flatMap((r) => [...row(r)]));
  const labels = order.map((r) => result.axes[0].labels[r]);
  return labelled(values, [{ ...result.axes[0], labels }, ...result.axes.slice(1)], { ...result.meta });
}
