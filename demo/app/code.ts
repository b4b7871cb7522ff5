/** Experiments as code: TypeScript and command lines that compute the same. */

import { editsIn } from './ask.js';
import type { Asked, Experiment } from './state.js';
import { AXES } from './sweep.js';

/** A text as TypeScript writes it. */
export const quote = (text: string): string =>
  `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n').replaceAll('\r', '\\r')}'`;

/** A word of a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[\w./:=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** A value as TypeScript: keys without quotes where they need none, texts in single quotes. */
export function literal(value: unknown, indent = ''): string {
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) {
    if (value.every((v) => typeof v !== 'object')) return `[${value.map((v) => literal(v)).join(', ')}]`;
    const inner = `${indent}  `;
    return `[\n${value.map((v) => `${inner}${literal(v, inner)},\n`).join('')}${indent}]`;
  }
  if (typeof value !== 'object' || value === null) return String(value);
  const pairs = Object.entries(value).map(
    ([k, v]) => `${/^[\w$]+$/.test(k) ? k : quote(k)}: ${literal(v, indent)}`,
  );
  return pairs.length ? `{ ${pairs.join(', ')} }` : '{}';
}

/** The changes of the model as an argument of `model.with`; null where nothing is changed. */
export function withCode(state: Pick<Asked, 'model' | 'experiment'>): string | null {
  const { interventions, sources } = editsIn(state);
  if (!interventions.length) return null;
  const more = Object.keys(sources).length ? `\n  sources: ${literal(sources)},` : '';
  return `{\n  interventions: ${literal(interventions, '  ')},${more}\n}`;
}

/** A program: the model with its changes, the prompts, and `body`. */
export function program(state: Asked, names: readonly string[], body: string): string {
  const { prompts } = state;
  const uses = (name: string) => new RegExp(`\\b${name}\\b`).test(body);
  const prompt = (name: 'clean' | 'corrupted') => {
    const { text, ids, exact } = prompts?.[name] ?? { text: state.experiment[name], ids: [], exact: true };
    return uses(name) ? [`const ${name} = ${exact ? quote(text) : `[${ids.join(', ')}]`};`] : [];
  };
  const changes = withCode(state);
  const { name, dtype } = state.model;
  const format = dtype === 'f32' ? '' : `, { dtype: ${quote(dtype)} }`;
  const load = `await HookedTransformer.fromPretrained(${quote(name)}${format})`;
  return [
    `import { ${[...new Set(['HookedTransformer', ...names])].sort().join(', ')} } from 'glassbox';`,
    '',
    ...(changes
      ? [`const whole = ${load};`, `const model = whole.with(${changes});`]
      : [`const model = ${load};`]),
    ...prompt('clean'),
    ...prompt('corrupted'),
    body,
    'model.dispose();',
    ...(changes ? ['whole.dispose();'] : []),
    '',
  ].join('\n');
}

/** `npx --no-install glassbox …` with the model, its changes, and options that differ from the default. */
export function commandLine(state: Asked, words: readonly string[]): string {
  const { name, dtype } = state.model;
  const edits = editsIn(state);
  const all = [
    ...words,
    ...(name === 'tiny' ? [] : ['--model', name]),
    ...(dtype === 'f32' ? [] : ['--dtype', dtype]),
    ...(state.experiment.bos ? [] : ['--no-bos']),
    ...(edits.interventions.length ? ['--with', JSON.stringify(edits)] : []),
  ];
  return `npx --no-install glassbox ${all.map(shellWord).join(' ')}`;
}

/** Options of TypeScript calls: `, prependBos: false` where it is so. */
export const bosOption = ({ bos }: Experiment): string => (bos ? '' : ', prependBos: false');

/** The metric in TypeScript. */
export function metricCode({ metric, answer, wrong }: Experiment): {
  readonly name: string;
  readonly code: string;
} {
  if (metric === 'logit-diff')
    return { name: 'logitDiff', code: `logitDiff(${quote(answer)}, ${quote(wrong)})` };
  const name = metric === 'prob' ? 'prob' : 'logProb';
  return { name, code: `${name}(${quote(answer)})` };
}

/** The patching map in TypeScript. */
export function patchCode(state: Asked): string {
  const { experiment } = state;
  const { name, code } = metricCode(experiment);
  const by = AXES[experiment.site].map((axis) => `'${axis}'`).join(', ');
  return program(
    state,
    ['figure', name, 'patch', 'toCsv'],
    `const map = await patch(model, {
  clean,
  corrupted,
  at: '${experiment.site}',
  by: [${by}],
  metric: ${code}${bosOption(experiment).replace(', ', ',\n  ')},
});
console.log(figure(map).lines().join('\\n'));
console.log(toCsv(map));`,
  );
}

/** The patching map on the command line. */
export function patchCommand(state: Asked): string {
  const { clean, corrupted, answer, wrong, site, metric } = state.experiment;
  return commandLine(state, [
    ...['patch', '--clean', clean, '--corrupted', corrupted, '--answer', answer],
    ...(metric === 'logit-diff' ? ['--wrong', wrong] : ['--metric', metric]),
    ...['--at', site, '--by', AXES[site].join(',')],
  ]);
}
