/** `npx glassbox counterfactual`: one changed run beside the run that it leaves. */

import { describeIntervention, interventionsFromJson } from '../../hooks/interventions/describe.js';
import type { Intervention } from '../../hooks/interventions/interventions.js';
import { guessFigure } from '../../interp/figures/guesses.js';
import { provenance } from '../../interp/results/provenance.js';
import { labelled } from '../../interp/results/result.js';
import { exact, visible } from '../../interp/results/text.js';
import { UsageError } from '../cli.js';
import type { Command } from './command.js';
import { shown } from './results.js';

/** The command. */
export const counterfactualCommand: Command = {
  name: 'counterfactual',
  summary: 'one run with some activations changed, beside the run that it leaves',
  usage: '',
  takes: 0,
  about:
    'Runs the corrupted prompt, the same with interventions, and the clean prompt, and shows the next tokens of all three. Values come from the run "clean" where an intervention says { "from": "clean" }.',
  options: {
    clean: { type: 'string' },
    corrupted: { type: 'string' },
    answer: { type: 'string' },
    wrong: { type: 'string' },
    interventions: { type: 'string' },
    'top-k': { type: 'string' },
  },
  help: `  --clean TEXT           where values come from
  --corrupted TEXT       what is run, and changed
  --interventions LIST   JSON, or a file with it: '[{"at":"resid_pre","layer":1,"pos":14,"set":{"from":"clean"}}]'
  --answer TOKEN         listed in any case, with its blank: " Mary"
  --wrong TOKEN          as well; the difference of both logits is printed
  --top-k N              tokens of each run; default 4
`,
  examples: [
    'counterfactual --clean "Paris is in" --corrupted "Rome is in" --answer " France" --interventions changes.json',
  ],
  forms: ['json', 'csv', 'html', 'svg', 'png', 'pdf'],
  async run(x) {
    const [clean, corrupted] = [x.needed('clean'), x.needed('corrupted')];
    const given = x.needed('interventions');
    const text = /^\s*[[{]/.test(given) ? given : await x.file(given);
    const list = interventionsFromJson<Intervention[]>(text);
    if (!Array.isArray(list) || !list.length)
      throw new UsageError('--interventions: a list of interventions is needed');
    const k = x.count('top-k', 4);
    const model = await x.model();
    const answers = [x.text('answer'), x.text('wrong')].map((t) =>
      t === undefined ? null : model.toSingleToken(t),
    );
    const { prependBos } = x;
    const changed = await model.runWithInterventions(corrupted, list, { sources: { clean }, prependBos });
    const runs: Float32Array[] = [];
    for (const logits of [
      await model.forward(corrupted, { prependBos }),
      changed.logits,
      await model.forward(clean, { prependBos }),
    ]) {
      const last = logits.slice({ batch: 0, pos: -1 });
      runs.push(await last.data());
      for (const t of [last, logits]) t.dispose();
    }
    const top = (run: Float32Array) => [...run.keys()].sort((a, b) => run[b] - run[a] || a - b).slice(0, k);
    const [before, after, whole] = runs;
    const asked = answers.filter((t) => t !== null);
    const tokens = [...new Set([...asked, ...top(before), ...top(after)])].sort(
      (a, b) => after[b] - after[a] || a - b,
    );
    const probs = runs.map((run) => {
      const most = run.reduce((m, v) => Math.max(m, v), -Infinity);
      const sum = run.reduce((s, v) => s + Math.exp(v - most), 0);
      return tokens.map((t) => Math.exp(run[t] - most) / sum);
    });
    const axes = [
      { name: 'run', labels: ['corrupted', 'patched', 'clean'] },
      { name: 'token', labels: tokens.map((t) => model.toString([t])) },
    ];
    const what = describeIntervention(list);
    const meta = provenance(model, {
      ...{ method: 'one counterfactual', metric: 'p', unit: 'probability', intervention: what },
      ...{
        tokens: model.toTokens(corrupted, { prependBos })[0],
        cleanTokens: model.toTokens(clean, { prependBos })[0],
      },
    });
    const result = labelled(Float32Array.from(probs.flat()), axes, meta);
    const [answer, wrong] = answers;
    const told =
      answer === null || wrong === null
        ? []
        : [
            `${visible(x.text('answer')!)} − ${visible(x.text('wrong')!)}: ${[before, after].map((r) => exact(r[answer] - r[wrong], { sign: true })).join(' → ')} (clean ${exact(whole[answer] - whole[wrong], { sign: true })})`,
          ];
    const picture = guessFigure(result, {
      title: 'One counterfactual',
      ...(answer !== null && { answer: x.text('answer')! }),
      ...(wrong !== null && { wrong: x.text('wrong')! }),
      lines: [{ text: what }, ...told.map((text) => ({ text }))],
      notes: [`clean: “${clean}”`, `corrupted: “${corrupted}”`],
    });
    return shown(result, picture, `One counterfactual: ${what}`);
  },
};
