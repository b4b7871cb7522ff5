/** Experiments as code: TypeScript and command lines that compute the same. */

import type { Asked, Experiment } from './state.js';
import { AXES } from './sweep.js';

const quote = (text: string): string =>
  `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n').replaceAll('\r', '\\r')}'`;

/** A word of a POSIX shell. */
export const shellWord = (text: string): string =>
  /^[\w./:=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;

/** A program: the model, the prompts, and `body`. */
export function program(state: Asked, names: readonly string[], body: string): string {
  const { clean, corrupted } = state.experiment;
  const uses = (name: string) => new RegExp(`\\b${name}\\b`).test(body);
  return [
    `import { ${[...new Set(['HookedTransformer', ...names])].sort().join(', ')} } from 'glassbox';`,
    '',
    `const model = await HookedTransformer.fromPretrained(${quote(state.model.name)});`,
    ...(uses('clean') ? [`const clean = ${quote(clean)};`] : []),
    ...(uses('corrupted') ? [`const corrupted = ${quote(corrupted)};`] : []),
    body,
    'model.dispose();',
    '',
  ].join('\n');
}

/** `npx --no-install glassbox …` with the model and options that differ from the default. */
export function commandLine(state: Asked, words: readonly string[]): string {
  const { name } = state.model;
  const all = [
    ...words,
    ...(name === 'tiny' ? [] : ['--model', name]),
    ...(state.experiment.bos ? [] : ['--no-bos']),
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
