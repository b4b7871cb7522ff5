/**
 * `npx glassbox heads`: which heads look at the previous token, at duplicates, or at what came after them.
 */

import { hues } from '../../interp/figures/draw/colour.js';
import { slices } from '../../interp/figures/draw/layout.js';
import { figure } from '../../interp/figures/figure.js';
import { detectHeads } from '../../interp/heads/detect-heads.js';
import { headScores } from '../../interp/heads/heads.js';
import { type Labelled, labelled } from '../../interp/results/result.js';
import { exact } from '../../interp/results/text.js';
import { UsageError } from '../cli.js';
import { wrap } from '../start/print.js';
import type { Command, Invocation } from './command.js';
import { shown } from './results.js';

const KINDS = ['previous', 'duplicate', 'induction'] as const;
/** Heads that are named for each kind. */
const NAMED = 5;

/** The command. */
export const headsCommand: Command = {
  name: 'heads',
  summary: 'previous-token, duplicate-token and induction heads',
  usage: '[TEXT …]',
  takes: Infinity,
  about:
    'Scores heads by where they attend: to the previous token, to earlier tokens that are the same, to what came after those (induction). On random tokens said twice, or on texts.',
  options: {
    kind: { type: 'string' },
    length: { type: 'string' },
    batch: { type: 'string' },
    seed: { type: 'string' },
    detect: { type: 'string' },
    'exclude-bos': { type: 'boolean' },
    'exclude-current': { type: 'boolean' },
  },
  help: `  TEXT …             score on these texts; without, on random tokens said twice
  --kind NAME        only previous, duplicate or induction
  --length N         random tokens before they are repeated; default 50, or what fits
  --batch N          rows of random tokens; default 4
  --seed N           of the random tokens; default 0
  --detect MEASURE   score as TransformerLens’ head_detector does, with the error measure mul or abs; needs a TEXT
  --exclude-bos      for --detect: leave out attention to the first token
  --exclude-current  for --detect: leave out attention of each token to itself
`,
  examples: [
    'heads',
    'heads --model gpt2 --kind induction --csv induction.csv',
    'heads "one two three, one two three" --detect mul --exclude-bos --svg heads.svg',
  ],
  forms: ['json', 'csv', 'html', 'svg', 'png', 'pdf'],
  async run(x) {
    const kind = x.text('kind') === undefined ? undefined : x.oneOf('kind', KINDS, 'previous');
    const measure = x.text('detect') === undefined ? null : x.oneOf('detect', ['mul', 'abs'], 'mul');
    const kinds = kind ? [kind] : KINDS;
    check(x, measure !== null);
    const result = measure ? await detected(x, kinds, measure) : await scored(x, kind);
    const style = { scale: 'sequential', hue: hues.attention, max: 1 } as const;
    const outcome = shown(result, figure(result, { ...style, title: 'Kinds of heads', meaning: 'score' }));
    return {
      ...outcome,
      lines: (screen) => [
        ...outcome.lines(screen),
        ...parts(result).flatMap((part, i) => wrap(`${kinds[i]}: ${highest(part)}`, screen.width)),
      ],
    };
  },
};

/** @throws UsageError for options that have no meaning here. */
function check(x: Invocation, detects: boolean): void {
  const texts = x.args.length > 0;
  if (detects && !texts) throw new UsageError('--detect needs a TEXT');
  for (const name of ['length', 'batch', 'seed'])
    if (texts && x.text(name) !== undefined)
      throw new UsageError(`--${name} is for random tokens; there is a TEXT`);
  for (const name of ['exclude-bos', 'exclude-current'])
    if (!detects && x.values[name]) throw new UsageError(`--${name} is for --detect`);
}

async function scored(x: Invocation, kind: (typeof KINDS)[number] | undefined): Promise<Labelled> {
  const random = {
    batch: x.count('batch', undefined),
    length: x.count('length', undefined, 2),
    seed: x.count('seed', undefined, 0),
  };
  const model = await x.model();
  return x.step('scoring heads', (options) =>
    headScores(model, {
      ...{ kind, prependBos: x.prependBos, ...options },
      ...(x.args.length ? { on: x.args } : random),
    }),
  );
}

/** TransformerLens' head_detector for each kind. */
async function detected(
  x: Invocation,
  kinds: readonly (typeof KINDS)[number][],
  errorMeasure: 'mul' | 'abs',
): Promise<Labelled> {
  const options = {
    errorMeasure,
    excludeBos: x.values['exclude-bos'] === true,
    excludeCurrentToken: x.values['exclude-current'] === true,
    prependBos: x.prependBos,
    signal: x.signal,
  };
  const model = await x.model();
  const all: Labelled[] = [];
  for (const kind of kinds) {
    const pattern = kind === 'induction' ? 'induction_head' : (`${kind}_token_head` as const);
    all.push(await detectHeads(model, x.args, pattern, options));
  }
  if (all.length === 1) return all[0];
  const values = Float32Array.from(all.flatMap((part) => [...part.values]));
  return labelled(values, [{ name: 'kind', labels: kinds }, ...all[0].axes], { ...all[0].meta });
}

const parts = (result: Labelled): Labelled[] => (result.axes.length === 3 ? slices(result) : [result]);

/** `1.3 0.9821, 2.0 0.7`: the heads with the largest scores. */
function highest({ values, shape: [, heads] }: Labelled): string {
  const order = [...values.keys()]
    .filter((i) => !Number.isNaN(values[i]))
    .sort((a, b) => values[b] - values[a]);
  return order
    .slice(0, NAMED)
    .map((i) => `${Math.floor(i / heads)}.${i % heads} ${exact(values[i])}`)
    .join(', ');
}
