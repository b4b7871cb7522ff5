/** `npx glassbox lens`: the logit lens. */

import { lensFigure } from '../../interp/figures/lens.js';
import { logitLens } from '../../interp/logits/lens.js';
import { columns } from '../../interp/notebooks/tables.js';
import { toCsv } from '../../interp/results/export.js';
import { exact, modelName, percent, visible } from '../../interp/results/text.js';
import { lensLines } from '../start/print.js';
import type { Command } from './command.js';
import { plain } from './results.js';

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
    wrong: { type: 'string' },
    'frozen-ln': { type: 'boolean' },
    'incl-mid': { type: 'boolean' },
  },
  help: `  --answer TOKEN     also logit, probability and rank of this token at the last position, by layer: " Seattle"
  --wrong TOKEN      the same of another token
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
    const followed = [answer, x.text('wrong')].filter((t) => t !== undefined);
    const ids = followed.map((t) => model.toSingleToken(t));
    const lens = await x.step('logit lens', (options) =>
      logitLens(model, prompt, {
        ...options,
        k,
        prependBos: x.prependBos,
        layerNorm: x.values['frozen-ln'] ? 'frozen' : 'recomputed',
        inclMid: x.values['incl-mid'] === true,
        tokens: followed,
      }),
    );
    const { chosen } = lens;
    const [layers, n] = lens.shape;
    const at = ({ values }: { values: Float32Array }, t: number, layer: number) =>
      values[(t * layers + layer + 1) * n - 1];
    const curves = followed.map((text, t) => ({
      ...{ name: `${visible(text)} after ${lens.axes[1].labels[n - 1]}`, token: ids[t], pos: n - 1 },
      values: lens.axes[0].labels.map((_, l) => at(chosen!.prob, t, l)),
    }));
    const about = `model ${modelName(String(lens.meta.model))} · weights ${lens.meta.hash} · ${lens.meta.adapter}`;
    const picture = lensFigure(lens, { curves, notes: [`prompt: “${prompt}”`, about] });
    const rows = (t: number) =>
      lens.axes[0].labels.map((label, l) => [
        label,
        exact(at(chosen!.logit, t, l)),
        percent(at(chosen!.prob, t, l)),
        String(at(chosen!.rank, t, l)),
      ]);
    return {
      title: `Logit lens: “${prompt}”`,
      lines: (screen) => [
        ...lensLines({ lens }, screen),
        ...followed.flatMap((text, t) => [
          '',
          `${visible(text)} at the last position:`,
          ...columns([['layer', 'logit', 'p', 'rank'], ...rows(t)]),
        ]),
      ],
      json: () =>
        plain(lens, {
          top: lens.top,
          ...(chosen && {
            chosen: { logit: plain(chosen.logit), prob: plain(chosen.prob), rank: plain(chosen.rank) },
          }),
        }),
      csv: () => toCsv(lens),
      sections: () => [
        {
          ...picture.section(),
          title: '',
          about: 'Each cell: the top token, tinted by its probability; point at it for those that follow.',
        },
      ],
      svg: (theme) => picture.svg(theme),
    };
  },
};
