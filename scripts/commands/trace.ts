/** `npx glassbox trace`: causal tracing. */

import type { NoiseRule } from '../../hooks/interventions/noise.js';
import { traceFigure } from '../../interp/figures/trace.js';
import { causalTrace, type TraceKind } from '../../interp/tracing/causal-trace.js';
import { joinTraces } from '../../interp/tracing/joined-traces.js';
import { traceAll } from '../../interp/tracing/trace-kinds.js';
import type { Command } from './command.js';
import { shown } from './results.js';

/** The command. */
export const traceCommand: Command = {
  name: 'trace',
  summary: 'causal tracing (ROME): where the model keeps a fact',
  usage: 'PROMPT',
  takes: 1,
  about:
    'Causal tracing (Meng et al. 2022, ROME): noise on the subject of a factual prompt takes the answer away; restoring the clean run’s activation at one token and layer brings it back, or not. The scores are probabilities of the answer.',
  options: {
    subject: { type: 'string' },
    answer: { type: 'string' },
    kind: { type: 'string' },
    window: { type: 'string' },
    noise: { type: 'string' },
    samples: { type: 'string' },
    seed: { type: 'string' },
    bos: { type: 'boolean' },
  },
  help: `  --subject TEXT     what is corrupted; default: the first capitalised words
  --answer TOKEN     the token whose probability is traced, with its blank: " Seattle"; default: the model's first choice
  --kind NAME        state (the residual stream, the default), mlp, attn, or all: the three side by side
  --window N         layers of MLP or attention that are restored together; default 10
  --noise X          standard deviation, or s3: three times that of the subject’s embeddings; default ROME’s for the
                     family: 0.1 for GPT-2, 0.025 for GPT-J, 0.03 for Pythia and NeoX, s3 for others
  --samples N        draws of the noise; default 10
  --seed N           of NumPy’s RandomState; default 1
  --bos              prepend the beginning-of-text token; default: as the model’s tokenizer does (GPT-2’s does not)
`,
  examples: [
    'trace "The Space Needle is in downtown"',
    'trace --model gpt2-xl "The Space Needle is in downtown" --kind all --html out/trace.html',
    'trace "The Space Needle is in downtown" --subject Needle --window 2 --kind attn --csv trace.csv',
  ],
  forms: ['json', 'csv', 'html', 'svg', 'png', 'pdf'],
  async run(x) {
    const kind = x.oneOf('kind', ['state', 'mlp', 'attn', 'all'], 'state');
    const noise = x.text('noise');
    const settings = {
      window: x.count('window', undefined),
      samples: x.count('samples', undefined),
      seed: x.count('seed', undefined, 0),
      noise: (noise?.trim() && Number.isFinite(Number(noise)) ? Number(noise) : noise) as NoiseRule,
      subject: x.text('subject'),
      answer: x.text('answer'),
      prependBos: x.ownBos,
    };
    const prompt = await x.prompt();
    const model = await x.model();
    const all = { prompt, ...settings };
    const one = kind === 'state' ? null : (kind as TraceKind);
    const traces = await x.step('tracing', async (options) =>
      kind === 'all'
        ? traceAll(model, { ...all, ...options })
        : [await causalTrace(model, { ...all, kind: one, ...options })],
    );
    const [{ scores }] = traces;
    const result = traces.length > 1 ? joinTraces(traces) : scores;
    return shown(result, traceFigure(traces), `Causal trace: “${prompt}”`);
  },
};
