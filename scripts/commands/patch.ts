/** `npx glassbox patch`: activation patching, exact or from gradients. */

import type { Align } from '../../hooks/interventions/alignment.js';
import { compareWithPatching, type PatchingComparison } from '../../interp/attribution/agreement.js';
import { attributionPatch } from '../../interp/attribution/attribution-patching.js';
import { figure } from '../../interp/figures/figure.js';
import { extremes, heatmap } from '../../interp/figures/heatmap.js';
import { scatterFigure } from '../../interp/figures/scatter.js';
import { logitDiff, logProb, prob } from '../../interp/logits/metrics.js';
import { type PatchAxis, patch } from '../../interp/patching/patching.js';
import { exact } from '../../interp/results/text.js';
import { jsonOption, UsageError } from '../cli.js';
import { wrap } from '../start/print.js';
import type { Command, Invocation, Outcome } from './command.js';
import { plain, shown } from './results.js';

const AXES: readonly PatchAxis[] = ['layer', 'pos', 'head', 'neuron', 'query', 'key'];

/** The command. */
export const patchCommand: Command = {
  name: 'patch',
  summary: 'activation patching: which activations carry the answer',
  usage: '',
  takes: 0,
  about:
    'Activation patching: the corrupted prompt is run again and again, each time with one activation taken from the clean run. 0 = the corrupted run, 1 = the clean run: where the cell is 1, that one activation brings the clean answer back. Both prompts need the same number of tokens, or --align. With --method attribution the same from two runs forward and one back: gradient times difference, an approximation; with both, one held against the other.',
  options: {
    method: { type: 'string' },
    verify: { type: 'string' },
    clean: { type: 'string' },
    corrupted: { type: 'string' },
    align: { type: 'string' },
    answer: { type: 'string' },
    wrong: { type: 'string' },
    at: { type: 'string' },
    by: { type: 'string' },
    metric: { type: 'string' },
  },
  help: `  --clean TEXT       a prompt that leads to the answer
  --corrupted TEXT   the same with a detail changed that changes the answer
  --align diff       for prompts of unequal length: tokens that both have go together, and the last with the last;
                     or pairs of positions [clean, corrupted]: --align "[[0,0],[3,4],[-1,-1]]"
  --answer TOKEN     the answer of the clean prompt, one token, with its blank: " Mary"
  --wrong TOKEN      the answer of the corrupted prompt: " John"
  --at NAME          what is patched: resid_pre (the default), resid_mid, resid_post, attn_out, mlp_out, z, q, k, v, pattern,
                     or any other hook point of the blocks
  --by A,B           axes of the map: layer, pos, head, neuron, query, key; default layer,pos or layer,head
  --metric NAME      logit-diff (the default), or log-prob or prob of the answer, which need no --wrong
  --method NAME      exact (the default), attribution (from gradients), or both: what is wrong with it, and where
  --verify N         with --method both: patch only the N cells with the largest attributions
`,
  examples: [
    `patch --clean "When John and Mary went to the shops, John gave the bag to" \\
        --corrupted "When John and Mary went to the shops, Mary gave the bag to" --answer " Mary" --wrong " John"`,
    `patch --model gpt2 --clean "The capital of France is" --corrupted "The capital of Spain is" \\
        --answer " Paris" --wrong " Madrid" --at z --by layer,head --html out/heads.html`,
    `patch --method both --verify 20 --at z --by layer,head,pos --answer " Mary" --wrong " John" \\
        --clean "When John and Mary went to the shops, John gave the bag to" \\
        --corrupted "When John and Mary went to the shops, Mary gave the bag to"`,
  ],
  forms: ['json', 'csv', 'html', 'svg', 'png', 'pdf'],
  async run(x) {
    const [clean, corrupted] = [x.needed('clean'), x.needed('corrupted')];
    const metric = metricOf(x);
    const by = x.text('by')?.split(',') as PatchAxis[] | undefined;
    const wrong = by?.find((axis) => !AXES.includes(axis));
    if (wrong !== undefined) throw new UsageError(`--by ${wrong}: the axes are ${AXES.join(', ')}`);
    const method = x.oneOf('method', ['exact', 'attribution', 'both'], 'exact');
    if (x.text('verify') !== undefined && method !== 'both')
      throw new UsageError(`--verify is for --method both, not for ${method}`);
    const verify = x.count('verify', undefined);
    const align = alignOf(x);
    if (align && method === 'both')
      throw new UsageError('--align is for --method exact or attribution, not both');
    const model = await x.model();
    const pair = { clean, corrupted, metric, at: x.text('at'), by, prependBos: x.prependBos, align };
    if (method === 'both')
      return compared(
        x,
        await x.step('patching', (o) => compareWithPatching(model, { ...pair, verify, ...o })),
      );
    const map = await x.step('patching', async (options) =>
      method === 'exact'
        ? patch(model, { ...pair, ...options })
        : attributionPatch(model, { ...pair, ...options }),
    );
    const outcome = shown(
      map,
      figure(map),
      `${method === 'exact' ? 'Patching' : 'Attribution patching'}: “${corrupted}”, from “${clean}”`,
    );
    const ends = map.meta as { clean: number; corrupted: number; metric: string };
    return {
      ...outcome,
      lines: (screen) => [
        ...outcome.lines(screen),
        ...wrap(
          `Metric: ${ends.metric}; clean ${exact(ends.clean, { sign: true })}, corrupted ${exact(ends.corrupted, { sign: true })}.`,
          screen.width,
        ),
        ...(map.axes.length === 2 ? wrap(highest(map), screen.width) : []),
      ],
    };
  },
};

/** Attribution held against patching: both as a scatter plot, and the agreement in words. */
function compared(x: Invocation, { attributed, exact, checked, agreement }: PatchingComparison): Outcome {
  const title = `Attribution against patching: “${x.needed('corrupted')}”, from “${x.needed('clean')}”`;
  const picture = scatterFigure(exact, checked, {
    title: 'Attribution against patching',
    captions: ['patching', 'attribution'],
  });
  const { lines, ...numbers } = agreement;
  return {
    ...shown(exact, picture, title),
    lines: (screen) => [...picture.lines(screen), ...wrap(lines()[0], screen.width)],
    json: () => ({ exact: plain(exact), attributed: plain(attributed), agreement: numbers }),
  };
}

function alignOf(x: Invocation): Align | undefined {
  const text = x.text('align');
  return text === undefined || text === 'diff' ? text : (jsonOption('--align', text) as Align);
}

function metricOf(x: Invocation) {
  const name = x.oneOf('metric', ['logit-diff', 'log-prob', 'prob'], 'logit-diff');
  const answer = x.needed('answer');
  if (name === 'logit-diff') return logitDiff(answer, x.needed('wrong'));
  if (x.text('wrong') !== undefined)
    throw new UsageError(`--wrong is for --metric logit-diff, not for ${name}`);
  return name === 'prob' ? prob(answer) : logProb(answer);
}

function highest(map: Parameters<typeof heatmap>[0]): string {
  const { highest } = extremes(heatmap(map), 3);
  const cells = highest.map((c) => `${c.row} ${c.column} ${exact(c.value, { sign: true })}`);
  return cells.length ? `Highest: ${cells.join(', ')}.` : 'No cell brings the answer back.';
}
