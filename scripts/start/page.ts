/** The report of `npm start` as one HTML file. */

import { attentionFigure } from '../../interp/figures/attention.js';
import { hues } from '../../interp/figures/draw/colour.js';
import { heatmapSvg } from '../../interp/figures/draw/svg.js';
import { heatmap } from '../../interp/figures/heatmap.js';
import { barTable, lensTable, tokenStrip } from '../../interp/figures/page/html.js';
import { page, type Section } from '../../interp/figures/page/page.js';
import { escapeHtml, exact, modelName, percent, visible } from '../../interp/results/text.js';
import { doubt, type Report } from './compute.js';
import { defaults } from './options.js';

/** The whole page. `version`: Glassbox's. */
export function reportPage(report: Report, version: string): string {
  const { model, options, guesses, adapter, tokens } = report;
  const best = guesses[0];
  const shared = {
    model: model.name,
    weights: model.processing.length ? model.processing.join(', ') : 'as they are',
    BOS: options.bos ? 'prepended' : 'no',
    adapter,
    glassbox: version,
  };
  const code = (text: string) => `<code>${escapeHtml(text)}</code>`;
  const size = `${model.layers} layers, ${model.heads} heads each, ${model.dModel} numbers wide`;
  return page({
    title: `Inside ${model.name}, completing a sentence`,
    lead: `${escapeHtml(size[0].toUpperCase() + size.slice(1))}. Its guess for the next token is ${code(best.text)}, with ${percent(best.prob)}. Below: how the guess forms, and where in the network it comes from.`,
    intro: pairHtml(report),
    sections: [
      guessSection(report, shared),
      lensSection(report, shared),
      attentionSection(report, shared),
      patchingSection(report, shared),
    ],
    footer: `${tokens.clean.length} tokens a prompt. To make this page again:<code>${escapeHtml(command(options))}</code>`,
  });
}

type Facts = Readonly<Record<string, string>>;

/** Both prompts, their answers, and the metric of each. */
function pairHtml({ tokens, options, patching }: Report): string {
  const { clean, corrupted } = patching.meta as { clean: number; corrupted: number };
  const row = (
    name: string,
    own: string[],
    other: string[],
    answer: string,
    role: string,
    metric: number,
  ) => {
    const mark = (i: number) => (own[i] === other[i] ? '' : role === 'answer' ? 'new' : 'old');
    return `<dt>${name}</dt><dd>${tokenStrip(own, mark)} <code class="chip ${role}">${escapeHtml(visible(answer))}</code></dd><dd class="num">logit difference ${exact(metric, { sign: true })}</dd>`;
  };
  return `<dl class="pair">${row('clean', tokens.clean, tokens.corrupted, options.answer, 'answer', clean)}${row('corrupted', tokens.corrupted, tokens.clean, options.wrong, 'wrong', corrupted)}</dl>`;
}

function guessSection({ guesses, options }: Report, shared: Facts): Section {
  const rows = guesses.map((g) => ({
    rank: g.rank,
    label: g.text,
    fraction: g.prob,
    values: [percent(g.prob), g.logit.toFixed(2).replace('-', '−')],
    role: g.role,
  }));
  return {
    title: 'The next token',
    about: `What the model expects after “${escapeHtml(options.prompt)}”.`,
    figure: barTable(rows, ['probability', 'logit']),
    source: { prompt: options.prompt, ...shared },
  };
}

function lensSection({ lens, options }: Report, shared: Facts): Section {
  const map = heatmap(lens, { scale: 'sequential', hue: hues.probability, max: 1 });
  const top = lens.top.map((row) =>
    row.map((cell) => cell.map(({ text, prob }) => ({ text: visible(text), prob }))),
  );
  return {
    title: 'Logit lens: the guess, layer by layer',
    about:
      'Each row reads the residual stream at the start of a layer as if the model stopped there; the last row is the model’s real output. The cell holds the top token for the position after it, the stronger the tint the more probable; point at it for the first five. Outlined: the answer.',
    figure: lensTable(map, top, { target: visible(options.answer) }),
    source: { prompt: options.prompt, 'layer norm': 'final, computed anew for each row', ...shared },
  };
}

function attentionSection({ attention, model, options }: Report, shared: Facts): Section {
  const { layer, head, why } = attention;
  return {
    title: 'Attention: where a head looks',
    about: `${escapeHtml(why)} Point at a token to see where head <b class="head-name">${layer}.${head}</b> looks from there: the text is tinted by its attention. Below, its whole pattern, and all other heads.`,
    figure: attentionFigure({ ...attention, layers: model.layers, heads: model.heads }),
    source: { prompt: options.clean, ...shared },
  };
}

function patchingSection(report: Report, shared: Facts): Section {
  const { patching, tokens, options } = report;
  const { metric, clean, corrupted } = patching.meta as { metric: string; clean: number; corrupted: number };
  const max = patching.values.reduce((m, v) => Math.max(m, Math.abs(v)), 1);
  const map = heatmap(patching, { max });
  const width = Math.max(12, Math.min(58, Math.floor(930 / map.columns.length)));
  const svg = heatmapSvg(map, {
    cell: [width, 26],
    title: 'patched',
    captions: ['layer', 'token'],
    meaning: '0 = corrupted run, 1 = clean run',
    mark: (pos) => tokens.clean[pos] !== tokens.corrupted[pos],
  });
  return {
    title: 'Patching: which activations carry the answer',
    about: `The corrupted prompt is run again and again, each time with one activation of the residual stream (at the start of a layer, at one token) taken from the clean run. In red: the token that differs. <b>1</b> means that this one activation brings the clean answer back, <b>0</b> that it changes nothing, below zero that it makes things worse. ${escapeHtml(doubt(report))}`,
    figure: `<div class="scroll">${svg}</div>`,
    source: {
      metric,
      'in the clean run': exact(clean),
      'in the corrupted run': exact(corrupted),
      clean: options.clean,
      corrupted: options.corrupted,
      ...shared,
    },
  };
}

/** A folder's path is of one machine only: its name is enough. */
const shownModel = (model: string): string => {
  const name = modelName(model);
  return name === model || /^https?:/.test(model) ? model : `./${name}`;
};

/** The command line that gives this page. */
function command(options: Report['options']): string {
  const quote = (text: string) => (/^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
  const shown = { ...options, model: shownModel(options.model) };
  const given = (['model', 'clean', 'corrupted', 'answer', 'wrong', 'prompt'] as const)
    .filter((name) => options[name] !== (name === 'prompt' ? options.clean : defaults[name]))
    .flatMap((name) => [`--${name}`, quote(shown[name])]);
  const head = options.head ? ['--head', `${options.head.layer}.${options.head.head}`] : [];
  const more = [...given, ...head, ...(options.bos ? [] : ['--no-bos'])];
  return ['npm start', ...(more.length ? ['--', ...more] : [])].join(' ');
}
