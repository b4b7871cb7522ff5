/** Settings in our names, checked, and completed by what the weights told and by defaults. */

import { fileError } from '../checks/messages.js';
import type { ActFn, Config } from '../config.js';
import { familyNamed, familyNames } from '../families/index.js';
import { type Ask, asking } from './ask.js';
import { rotaryOf } from './rotary.js';

/** What messages call a configuration that is an argument. */
export const OWN = 'config';

/** What `parseConfig` may know besides the file. */
export interface ConfigHints {
  /** The model's name, for messages and headers. */
  name?: string;
  /** Where the configuration was read, for messages; left out where it is an argument. */
  file?: string;
  /** Used for what the configuration leaves out, e.g. from `inferConfig`. */
  inferred?: Partial<Config>;
}

const ACTIVATIONS: Readonly<Record<string, ActFn>> = {
  gelu_new: 'gelu_new',
  gelu_pytorch_tanh: 'gelu_new', // the same formula
  gelu_fast: 'gelu_new', // likewise
  gelu_accurate: 'gelu_new', // likewise
  gelu: 'gelu',
  gelu_python: 'gelu', // by erf
  quick_gelu: 'quick_gelu',
  silu: 'silu',
  swish: 'silu',
  relu: 'relu',
  relu2: 'relu2',
  leaky_relu: 'leaky_relu',
  tanh: 'tanh',
  sigmoid: 'sigmoid',
  linear: 'linear',
  xielu: 'xielu',
  solu: 'solu',
  solu_ln: 'solu_ln',
};

/**
 * A configuration with all its settings.
 * @param known settings in our names; what is missing or null is inferred, or takes its default
 * @throws an error that names the setting, what it is and what it may be
 */
export function complete(
  known: Record<string, unknown>,
  { name, file = OWN, inferred = {} }: ConfigHints = {},
): Config {
  const { facts = {} } = familyNamed(known.family ?? inferred.family) ?? {};
  const ask = asking(known, { ...facts, ...inferred }, file);
  const { size, oneOf, flag, number } = ask;
  const nLayers = size('nLayers', undefined, 0);
  const nHeads = size('nHeads');
  const dModel = size('dModel');
  const dHead = size('dHead', dModel % nHeads === 0 ? dModel / nHeads : undefined);
  const dVocab = size('dVocab');
  const attnOnly = flag('attnOnly', known.dMlp === 0);
  const eosTokenIds = tokens(ask, 'eosTokenId', known.eosTokenIds ?? ask.value('eosTokenId'), dVocab);
  const tieWordEmbeddings = ask.value('tieWordEmbeddings') ?? null;
  if (tieWordEmbeddings !== null && typeof tieWordEmbeddings !== 'boolean')
    throw ask.fail('tieWordEmbeddings', tieWordEmbeddings, 'true or false');
  const normalization = oneOf('normalization', ['LN', 'LNPre', 'RMS', 'RMSPre', 'none'], 'LN');
  const actFn = activation(ask);
  if (actFn === 'solu_ln' && normalization === 'none')
    throw fileError(file, `actFn is "solu_ln", which has a layer norm, and normalization is "none"`);
  const positionEmbedding = oneOf(
    'positionEmbedding',
    ['standard', 'shortformer', 'rotary', 'none'],
    ask.value('rotary') ? 'rotary' : 'standard',
  );
  const config: Config = {
    nLayers,
    nHeads,
    dModel,
    dHead,
    dMlp: attnOnly ? 0 : size('dMlp', 4 * dModel),
    nCtx: size('nCtx'),
    dVocab,
    dVocabOut: size('dVocabOut', dVocab),
    eps: number('eps', 1e-5, { least: 0, below: 1 })!,
    actFn,
    attnOnly,
    attentionDir: oneOf('attentionDir', ['causal', 'bidirectional'], 'causal'),
    normalization,
    finalRms: flag('finalRms', false),
    positionEmbedding,
    scaleAttn: flag('scaleAttn', true),
    scaleAttnByInverseLayerIdx: flag('scaleAttnByInverseLayerIdx', false),
    bosTokenId: tokens(ask, 'bosTokenId', ask.value('bosTokenId'), dVocab)[0] ?? null,
    eosTokenId: eosTokenIds[0] ?? null,
    eosTokenIds: [...new Set(eosTokenIds)],
    ...(tieWordEmbeddings !== null && { tieWordEmbeddings }),
    name: name ?? (typeof known.name === 'string' ? known.name : 'unnamed'),
    family: oneOf('family', familyNames, 'gpt2'),
    nKeyValueHeads: size('nKeyValueHeads', nHeads),
    gatedMlp: flag('gatedMlp', false),
    parallelAttnMlp: flag('parallelAttnMlp', false),
    sharedNorm: flag('sharedNorm', false),
    normPlaces: oneOf('normPlaces', ['before', 'behind', 'both'], 'before'),
    normGain: oneOf('normGain', ['w', '1+w'], 'w'),
    qkNorm: oneOf('qkNorm', ['none', 'head', 'width'], 'none'),
    rotary: positionEmbedding === 'rotary' ? rotaryOf(ask, dHead) : null,
    windows: windows(ask, nLayers),
    scoreScale: number('scoreScale', null),
    attnScoresSoftCap: softCap(ask, 'attnScoresSoftCap'),
    outputLogitsSoftCap: softCap(ask, 'outputLogitsSoftCap'),
    embedScale: number('embedScale', 1)!,
    qkvBias: flag('qkvBias', true),
    outBias: flag('outBias', true),
    mlpBias: flag('mlpBias', true),
    defaultPrependBos: flag('defaultPrependBos', true),
  };
  checkParts(config, file);
  return config;
}

/** Parts that do not fit together. */
function checkParts(config: Config, file: string): void {
  const { nHeads, nKeyValueHeads, parallelAttnMlp, sharedNorm, normPlaces, actFn, gatedMlp } = config;
  const no = (what: string) => fileError(file, what);
  if (nHeads % nKeyValueHeads !== 0)
    throw no(`nKeyValueHeads is ${nKeyValueHeads}; it must divide nHeads, which is ${nHeads}`);
  if (sharedNorm && !parallelAttnMlp)
    throw no('sharedNorm is true, and parallelAttnMlp is not: only parallel blocks can share a norm');
  if (parallelAttnMlp && normPlaces !== 'before')
    throw no(`parallelAttnMlp is true, and normPlaces is "${normPlaces}": it must be "before"`);
  if (gatedMlp && actFn.startsWith('solu'))
    throw no(`gatedMlp is true, and actFn is "${actFn}", which is not for gates`);
  if (config.windows && config.attentionDir !== 'causal')
    throw no('windows are for attention that is causal, and attentionDir is "bidirectional"');
}

function activation({ value, fail }: Ask): ActFn {
  const given = value('actFn') ?? 'gelu_new';
  if (typeof given !== 'string' || !Object.hasOwn(ACTIVATIONS, given))
    throw fail('actFn', given, `one of ${Object.keys(ACTIVATIONS).join(', ')}`);
  return ACTIVATIONS[given];
}

/** The ids among them that are tokens. */
function tokens({ fail }: Ask, key: 'bosTokenId' | 'eosTokenId', value: unknown, dVocab: number): number[] {
  const many = key === 'eosTokenId' && Array.isArray(value);
  return (many ? value : [value ?? -1]).filter((id: unknown): id is number => {
    if (!Number.isSafeInteger(id) || (id as number) < -1)
      throw fail(
        key,
        value,
        many || key === 'eosTokenId' ? 'a token id, a list of them or null' : 'a token id or null',
      );
    // −1: none. GPT-2's default of 50256 stays in the files of models with a smaller vocabulary.
    return (id as number) >= 0 && (id as number) < dVocab;
  });
}

/** One number for all layers, or a list with one a layer (null: no window). */
function windows({ value, fail }: Ask, nLayers: number): readonly (number | null)[] | null {
  const given = value('windows') ?? null;
  if (given === null) return null;
  const all = Array.isArray(given) ? given : Array.from({ length: nLayers }, () => given);
  const good = all.every((w) => w === null || (Number.isSafeInteger(w) && w > 0));
  if (!good || all.length !== nLayers)
    throw fail('windows', given, `a number of positions, or a list of ${nLayers}, one a layer (null: none)`);
  return all.some((w) => w !== null) ? all : null;
}

/** A limit; null, 0 and negative numbers (TransformerLens' -1) mean none. */
function softCap({ number }: Ask, key: 'attnScoresSoftCap' | 'outputLogitsSoftCap'): number | null {
  const cap = number(key, null, { least: Number.NEGATIVE_INFINITY });
  return cap !== null && cap > 0 ? cap : null;
}
