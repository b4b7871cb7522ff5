/**
 * Suggestions for names that do not exist: the nearest one, and what TransformerLens, PyTorch and others call
 * the same thing.
 */

/**
 * Other names of options, without underscores and in small letters, and what the same thing is called here.
 */
const SPELLINGS: Readonly<Record<string, readonly string[]>> = {
  activationname: ['at', 'name'],
  actname: ['at', 'name'],
  answertokens: ['token', 'answer', 'tokens'],
  batch: ['batchSize'],
  bwdhooks: ['gradHooks'],
  beta1: ['betas'],
  beta2: ['betas'],
  cleancache: ['clean'],
  cleanprompt: ['clean'],
  cleantokens: ['clean'],
  corruptedprompt: ['corrupted'],
  corruptedtokens: ['corrupted'],
  corrupttokens: ['corrupted'],
  device: ['adapter'],
  dim: ['axis'],
  dims: ['axis'],
  dosample: ['temperature'],
  epochs: ['steps'],
  epsilon: ['eps'],
  fwdhooks: ['hooks'],
  headindex: ['head'],
  headindices: ['heads'],
  incorrecttoken: ['incorrectTokens', 'wrong', 'incorrect'],
  indexaxisnames: ['by'],
  keepdim: ['keepDims'],
  layerindex: ['layer'],
  layernormeps: ['eps'],
  learningrate: ['lr'],
  maxlength: ['maxNewTokens'],
  maxtokens: ['maxNewTokens'],
  namesfilter: ['names'],
  neuronslice: ['neurons'],
  noiselevel: ['noise'],
  noisestd: ['noise'],
  numbatches: ['batches'],
  numnoisesamples: ['samples'],
  numsamples: ['samples'],
  nsamples: ['samples'],
  numsteps: ['steps'],
  numvectors: ['vectors'],
  nvectors: ['vectors'],
  pastkvcache: ['prefix'],
  patchingmetric: ['metric'],
  posslice: ['pos'],
  projectoutputonto: ['projectOnto'],
  randomseed: ['seed'],
  setprependbos: ['prependBos'],
  topk: ['topK', 'k'],
  torchdtype: ['dtype'],
  usepastkvcache: ['kvCache'],
  windowsize: ['window'],
};

/** What to do instead, of options that other libraries have and nothing here is called like. */
const ADVICE: Readonly<Record<string, string>> = {
  freqpenalty: 'repetitions are not penalised; temperature, topK and topP choose among tokens',
  hooks:
    'this reads the model as it is, without hooks; runWithHooks, runWithCache, runWithGrads and generate take them',
  paddingside: 'rows are never padded',
  removebatchdim: 'cache.row(i) is one row',
  repetitionpenalty: 'repetitions are not penalised; temperature, topK and topP choose among tokens',
  returntype: 'forward gives logits; model.loss(…) and model.logProbs(…) give losses',
  losspertoken: 'model.logProbs(…) and lossPerToken(…) have a number for each token',
};

/** What to say of an option that does not exist, beside its name; null where there is nothing to say. */
export function adviceOn(word: string): string | null {
  const bare = plain(word);
  return Object.hasOwn(ADVICE, bare) ? `: ${ADVICE[bare]}` : null;
}

const plain = (word: string): string => word.replace(/[_\-\s]/g, '').toLowerCase();

/**
 * The one of some words that a word probably means (its camelCase, another library's name for it, a slip), or
 * ''.
 */
export function suggestion(word: string, words: readonly string[]): string {
  const bare = plain(word);
  const same = words.find((w) => plain(w) === bare);
  if (same !== undefined) return same;
  const known = Object.hasOwn(SPELLINGS, bare) ? SPELLINGS[bare].find((w) => words.includes(w)) : undefined;
  return known ?? nearestOf(word, words);
}

/** The word that is nearest to another, if it is near; else ''. */
export function nearestOf(word: string, words: readonly string[]): string {
  if (word.length > 60) return '';
  const far = (w: string) => distance(word, w);
  const best = [...words].sort((a, b) => far(a) - far(b))[0];
  return best && far(best) <= Math.max(1, word.length >> 1) && far(best) < best.length ? best : '';
}

/** Letters to insert, delete, change or swap to get from one word to another. */
function distance(a: string, b: string): number {
  const d = Array.from({ length: a.length + 1 }, (_, i) => [i, ...Array<number>(b.length).fill(0)]);
  for (let j = 1; j <= b.length; j++) d[0][j] = j;
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      d[i][j] = Math.min(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        d[i][j] = Math.min(d[i][j], d[i - 2][j - 2] + 1);
    }
  return d[a.length][b.length];
}
