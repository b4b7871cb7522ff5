/** `npx glassbox generate`: the model goes on with a text. */

import type { GenerateStep } from '../../hooks/transformer/generate.js';
import { csvText } from '../../interp/notebooks/tables.js';
import { provenance } from '../../interp/results/provenance.js';
import { modelName } from '../../interp/results/text.js';
import type { Command } from './command.js';

/** The command. */
export const generateCommand: Command = {
  name: 'generate',
  summary: 'go on with a text',
  usage: 'PROMPT',
  takes: 1,
  about:
    'Goes on with a text, token by token, until the model ends it. The most probable token is taken each time, unless there is a temperature.',
  options: {
    'max-new-tokens': { type: 'string', short: 'n' },
    temperature: { type: 'string' },
    'top-k': { type: 'string' },
    'top-p': { type: 'string' },
    seed: { type: 'string' },
  },
  help: `  --max-new-tokens N, -n N   default 20
  --temperature T    0 (the default) takes the most probable token, 1 samples from the model’s distribution
  --top-k N          sample from the N most probable tokens only
  --top-p P          sample from the most probable tokens that together have probability P
  --seed N           same seed, same text; default 0
`,
  examples: [
    'generate "When John and Mary went to the shops,"',
    'generate --model gpt2 "My name is" -n 40 --temperature 0.8 --top-k 50 --seed 7',
    'generate - --json < prompt.txt',
  ],
  forms: ['json', 'csv'],
  async run(x) {
    const range = [0, Infinity] as const;
    const settings = {
      maxNewTokens: x.count('max-new-tokens', 20),
      temperature: x.number('temperature', 0, range),
      topK: x.count('top-k', undefined),
      topP: x.number('top-p', undefined, [0, 1]),
      seed: x.count('seed', 0, 0),
    };
    const prompt = await x.prompt();
    const model = await x.model();
    const live = x.text('json') !== '-' && x.text('csv') !== '-';
    if (live) x.write(prompt);
    const steps: Pick<GenerateStep, 'token' | 'text' | 'logProb'>[] = [];
    let ended = false;
    for await (const { token, text, logProb, ...step } of model.stream(prompt, {
      ...settings,
      prependBos: x.prependBos,
      signal: x.signal,
    })) {
      steps.push({ token, text, logProb });
      ended = step.ended;
      if (live) x.write(text);
    }
    if (live) x.write('\n');
    const [tokens] = model.toTokens(prompt, { prependBos: x.prependBos });
    const text = prompt + steps.map((s) => s.text).join('');
    const meta = { ...provenance(model, { method: 'generation', tokens }), ...settings };
    return {
      title: `${modelName(model.config.name)} goes on`,
      lines: () => [],
      json: () => ({ prompt, text, ended, steps, meta }),
      csv: () =>
        csvText(
          ['token', 'text', 'logProb'],
          steps.map((s) => [s.token, s.text, s.logProb]),
        ),
    };
  },
};
