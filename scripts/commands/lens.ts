/** `npx glassbox lens`: the logit lens. */

import { hues } from '../../interp/figures/draw/colour.js';
import { figure } from '../../interp/figures/figure.js';
import { heatmap } from '../../interp/figures/heatmap.js';
import { lensTable } from '../../interp/figures/page/html.js';
import { logitLens } from '../../interp/logits/lens.js';
import { columns } from '../../interp/notebooks/tables.js';
import { toCsv } from '../../interp/results/export.js';
import { exact, percent, visible } from '../../interp/results/text.js';
import { lensLines } from '../start/print.js';
import type { Command } from './command.js';
import { plain } from './results.js';

const PROBABILITY = { scale: 'sequential', hue: hues.probability, max: 1 } as const;

/** The command. */
export const lensCommand: Command = {
  name: 'lens',
  summary: 'logit lens: what the model would say if it stopped at a layer',
  usage: 'PROMPT',
  takes: 1,
  about:
    'The logit lens (nostalgebraist 2020): the residual stream after every layer, read as if it were the last one. Each cell is the most probable next token at a layer and a position.',
  options: {
    'top-k': { type: 'string' },
    answer: { type: 'string' },
    'frozen-ln': { type: 'boolean' },
    'incl-mid': { type: 'boolean' },
  },
  help: `  --answer TOKEN     also logit, probability and rank of this token at the last position, by layer: " Seattle"
  --top-k N          tokens a cell, for JSON and the page; default 5
  --frozen-ln        divide all layers by the last one’s layer norm scale, as TransformerLens did before 2.18 (default: each by
                     its own)
  --incl-mid         also between attention and MLP
`,
  examples: [
    'lens "The Space Needle is in downtown"',
    'lens --model gpt2 "The Eiffel Tower is in the city of" --answer " Paris" --html out/lens.html',
    'lens "The capital of France is" --top-k 3 --json lens.json --png lens.png',
  ],
  forms: ['json', 'csv', 'html', 'svg', 'png', 'pdf'],
  async run(x) {
    const [k, answer, prompt] = [x.count('top-k', 5), x.text('answer'), await x.prompt()];
    const model = await x.model();
    if (answer !== undefined) model.toSingleToken(answer);
    const lens = await x.step('logit lens', (options) =>
      logitLens(model, prompt, {
        ...options,
        k,
        prependBos: x.prependBos,
        layerNorm: x.values['frozen-ln'] ? 'frozen' : 'recomputed',
        inclMid: x.values['incl-mid'] === true,
        tokens: answer === undefined ? [] : [answer],
      }),
    );
    const meaning = 'probability of the top token';
    const picture = figure(lens, { ...PROBABILITY, title: 'Logit lens', meaning });
    const { chosen } = lens;
    const n = lens.shape[1];
    const last = ({ values }: { values: Float32Array }, layer: number) => values[(layer + 1) * n - 1];
    const rows = chosen
      ? lens.axes[0].labels.map((label, l) => [
          label,
          exact(last(chosen.logit, l)),
          percent(last(chosen.prob, l)),
          String(last(chosen.rank, l)),
        ])
      : [];
    return {
      title: `Logit lens: “${prompt}”`,
      lines: (screen) => [
        ...lensLines({ lens }, screen),
        ...(rows.length
          ? [
              '',
              `${visible(answer!)} at the last position:`,
              ...columns([['layer', 'logit', 'p', 'rank'], ...rows]),
            ]
          : []),
      ],
      json: () =>
        plain(lens, {
          top: lens.top,
          ...(chosen && {
            chosen: { logit: plain(chosen.logit), prob: plain(chosen.prob), rank: plain(chosen.rank) },
          }),
        }),
      csv: () => toCsv(lens),
      sections: () => {
        const top = lens.top.map((row) =>
          row.map((cell) => cell.map((t) => ({ text: visible(t.text), prob: t.prob }))),
        );
        const target = answer === undefined ? '' : visible(answer);
        return [
          {
            ...picture.section(),
            title: '',
            about: 'Each cell: the top token, tinted by its probability; point at it for those that follow.',
            figure: lensTable(heatmap(lens, PROBABILITY), top, { target }),
          },
        ];
      },
      svg: (theme) => picture.svg(theme),
    };
  },
};
