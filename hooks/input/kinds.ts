/** Kinds of arguments of the methods of a model. */

import {
  callback,
  either,
  having,
  integer,
  isList,
  isRegExp,
  type Kind,
  listOf,
  number,
  oneOf,
  path,
  plainObject,
  problemOf,
  prompt,
  prompts,
  range,
  shownValue,
  tensor,
  text,
  tokens,
} from '../../engine/kinds.js';

export * from '../../engine/kinds.js';

/** A model that is loaded. */
export const model: Kind = having(
  'a HookedTransformer (await HookedTransformer.fromPretrained(…))',
  'config',
  'gpu',
  'gpuWeights',
);
/** What `model.generate` and the like read: text or tokens, or a residual stream. */
export const input: Kind = {
  ...either(prompts, tensor),
  what: 'text, texts, token ids or rows of token ids (or a residual stream)',
};
/** What a run kept. */
export const cache: Kind = having('an ActivationCache (as runWithCache gives it)', 'names', 'get', 'row');
/** One position, or [start, end). */
export const pos: Kind = { ...either(integer, range), what: 'a position, or [start, end)' };
/** Which positions of two prompts correspond; what it may hold is checked where the prompts are known. */
export const align: Kind = {
  ...either(
    oneOf('diff'),
    listOf(listOf({ what: '', is: (v) => typeof v === 'number' || isList(v) }, ''), ''),
  ),
  what: "'diff', or a list of pairs of positions, [[0, 0], [3, 4]] (of several prompts a list each)",
};
/** A metric: `logitDiff(…)` and the like, or a function of the logits. */
export const metric: Kind = {
  ...either(having('', 'name', 'prepare', 'per'), callback),
  what: "a metric, like logitDiff(' Mary', ' John'), or a function of the logits",
};
/** A token: its text or its id. */
export const token: Kind = {
  ...either(text, { what: '', is: (v) => typeof v === 'number' }),
  what: "the text of a token, like ' Mary', or its id",
};
/** One token for all prompts, or a list with an entry a prompt. */
export const answers: Kind = {
  ...either(token, listOf(either(token, listOf(token, '')), '')),
  what: "the text of a token, like ' Mary', or its id, or a list with an entry for each prompt",
};
const name: Kind = {
  what: 'a name or a RegExp',
  is: (v) => (typeof v === 'string' && v !== '') || isRegExp(v),
};
/** Which hook points. */
export const names: Kind = {
  ...either(name, callback, listOf(name, '')),
  what: "hook points: a name like 'resid_post', a list of names, a RegExp or a function of the name",
};
const isHook = (value: unknown): boolean =>
  isList(value) && value.length === 2 && names.is(value[0]) && typeof value[1] === 'function';
/** Functions and the hook points that they are called at. */
export const hooks: Kind = {
  what: 'a list of pairs [hook points, function]',
  is: (value) => isList(value) && Array.prototype.every.call(value, isHook),
  problem: (value, at) => {
    const what = `a list of pairs [hook points, function] is needed: [['resid_post', (x, hook) => x]]`;
    if (!isList(value) || isHook(value)) return `${at} is ${shownValue(value)}: ${what}`;
    const bad = Array.prototype.findIndex.call(value, (x) => !isHook(x));
    return `${at}[${bad}] is ${shownValue(value[bad])}: ${what}`;
  },
};
/** Interventions as data: each is checked when it is known which model and prompts they are for. */
export const interventions: Kind = listOf(plainObject, 'a list of interventions, [{ at, … }]');
/** Lists of interventions. */
export const counterfactuals: Kind = {
  ...listOf(interventions, 'a list of counterfactuals, each a list of interventions, [[{ at, … }], …]'),
};
/** Runs to take values from, by name. */
export const sources: Kind = {
  ...plainObject,
  what: "runs by name, { clean: 'a text' }",
};
/** What counts as a constant on the way back. */
export const constants: Kind = listOf(
  oneOf('pattern', 'scale', 'gate'),
  "a list of 'pattern', 'scale' and 'gate'",
);
/** Texts or rows of token ids: the subjects whose embeddings are measured. */
export const subjects: Kind = listOf(prompt, 'a list of texts or of token ids');
/** A rule of noise; those that are texts are read where noise is made. */
export const noise: Kind = { ...either(number, text), what: "a number, or 's3', 'u0.2', 'm', 't5'" };
/** Rows of token ids. */
export const rows: Kind = listOf(tokens, 'rows of token ids: a list of lists');
/** Texts. */
export const texts: Kind = listOf(text, 'a list of texts');
/** A trainer. */
export const trainer: Kind = having('a Trainer', 'model', 'step', 'train', 'state');
/** What `for await` goes through. */
export const iterable: Kind = {
  what: 'something to iterate over: a list, a generator',
  is: (v) => typeof v === 'object' && v !== null && (Symbol.iterator in v || Symbol.asyncIterator in v),
};
/** A layer, from the end when negative; null or none where a name says it or has none. */
export const layer: Kind = { ...either(integer, oneOf(null)), what: 'a whole number, the layer' };
/** `'ln1'`, `'attn'` and the like. */
export const layerType: Kind = { ...either(text, oneOf(null)), what: "a part of a block, like 'ln1'" };
/** A model's configuration. */
export const config: Kind = having("a model's config", 'nLayers', 'nHeads');
/** A token for all positions, one for each row, or a list with one for each position. */
export const tokensAt: Kind = {
  ...answers,
  what: 'a token (its text or id), one for each row, or a list with one for each position',
};
/** Where a model comes from. */
export const source: Kind = {
  ...either(path, having('', 'get', 'keys'), listOf(having('', 'name', 'arrayBuffer'), '')),
  what: 'a name, a path, a URL, files, or a Map of Blobs by name',
};
/** Numbers, lists of them, lists of lists, a factored matrix: what becomes a tensor. */
export const nested: Kind = {
  ...either({ what: '', is: isList }, number, having('', 'A', 'B', 'AB')),
  what: 'numbers, or lists of lists of them, or a FactoredMatrix,',
};
/** Which entries of an axis. */
export const selection: Kind = {
  ...either(integer, listOf(integer, ''), plainObject),
  what: 'an index, a list of them, or { start, end }',
};
/** -1 or null: after all blocks. */
export const streamLayer: Kind = { ...either(integer, oneOf(null)), what: 'a layer (-1 or null: after all)' };
/** A labelled array, as methods give it. */
export const labelled: Kind = having(
  'a result: { values, shape, axes, meta }',
  'values',
  'shape',
  'axes',
  'meta',
);
/** Where a sweep keeps its cells. */
export const record: Kind = having("a record, jsonLines('sweep.jsonl')", 'read', 'append');
/** A run that counterfactuals leave: its prompts, or these with sources and interventions. */
export const base: Kind = {
  what: 'text, tokens, or { input, sources, interventions }',
  is: (value) => prompts.is(value) || having('', 'input').is(value),
  problem: (value, at) =>
    plainObject.is(value)
      ? `${at}.input is missing: ${prompts.what}`
      : problemOf({ ...base, problem: undefined }, value, at),
};
