/** Whether a checkpoint holds the tensors that its configuration asks for, and no others of a model. */

import { fileError, quoted } from '../checks/messages.js';
import type { Config } from '../config.js';
import { findBeside, nearestPrefix } from '../formats/prefix.js';
import { showShape, type TensorSource } from '../formats/tensors.js';
import { checkNoQuantisedTensors } from '../quantised.js';
import { expectedShapes } from './expected-shapes.js';

/** The unembedding. */
export const HEAD = 'lm_head.weight';

/** Checks names and shapes; gives each tensor's name in the source by its name without prefix. */
export function checkNames(source: TensorSource, config: Config): Map<string, string> {
  const held = source.names();
  const prefix = findPrefix(source);
  if (config.nLayers > held.length)
    throw fileError(
      source.name,
      `the configuration says ${config.nLayers} layers, but there are ${held.length} tensors`,
    );
  const shapes = expectedShapes(config);
  const names = new Map<string, string>();
  const missing: string[] = [];
  const known = expectedShapes(config, { optional: true });
  for (const key of known.keys()) {
    const name = prefix + key;
    if (source.shape(name)) names.set(key, name);
    else if (shapes.has(key)) missing.push(name);
  }
  const { dVocab, dVocabOut, dModel, tieWordEmbeddings } = config;
  const head = findBeside(source, prefix, HEAD);
  if (head !== null && missing[0] === `${prefix}wte.weight` && tieWordEmbeddings !== false) {
    names.set('wte.weight', head); // one matrix, saved under its other name
    missing.shift();
  } else if (head !== null) names.set(HEAD, head);
  else if (tieWordEmbeddings !== true) checkNoOtherHead(source, config, prefix, known);
  checkNoQuantisedTensors(held, source.name);
  checkNothingElse(source, config, prefix, known);
  if (missing.length > 0) throw missingTensors(source, config, missing);
  if (tieWordEmbeddings === false && head === null)
    throw fileError(
      source.name,
      `there is no tensor "${called(source, HEAD)}", and the configuration does not say tie_word_embeddings: true`,
    );
  const bias = findBeside(source, prefix, 'lm_head.bias');
  if (bias !== null) names.set('lm_head.bias', bias);
  for (const [key, shape] of [
    ...known,
    [HEAD, [dVocabOut, dModel]],
    ['lm_head.bias', [dVocabOut]],
  ] as const) {
    const name = names.get(key);
    if (name !== undefined) checkShape(source, name, shape);
  }
  if (dVocabOut !== dVocab && !names.has('lm_head.weight'))
    throw fileError(
      source.name,
      `the configuration says ${dVocabOut} outputs and ${dVocab} tokens, and there is no unembedding ("${called(source, HEAD)}"), so that the embedding would be used`,
    );
  return names;
}

/** What stands before `wpe.weight`: '' or 'transformer.' or whatever a wrapper made of it. */
export function findPrefix(source: TensorSource): string {
  const found = nearestPrefix(source, ['wte.weight', 'wpe.weight']);
  if (found !== null) return found;
  if (source.original) return ''; // names were translated, and the embedding is missing or is saved as the head
  const names = source.names();
  checkNoQuantisedTensors(names, source.name);
  const some = names.slice(0, 3).map((name) => quoted(name, 40));
  throw fileError(
    source.name,
    'no tensor "wte.weight" or "transformer.wte.weight", and no "embed.W_E", so this is not a GPT-2 checkpoint' +
      (some.length ? ` (it has ${names.length} tensors: ${some.join(', ')}, ...)` : ' (it has no tensors)'),
  );
}

function missingTensors(source: TensorSource, config: Config, missing: string[]): Error {
  const some = missing.slice(0, 3).map((name) => quoted(called(source, name)));
  const more = missing.length > 3 ? ` and ${missing.length - 3} more` : '';
  const hint = missing.every((name) => /ln(_1|_2|_f)?\./.test(name))
    ? ". For a model without layer norm weights set normalization: 'none', 'LNPre' or 'RMSPre'"
    : missing.every((name) => /\.(mlp|ln_2)\./.test(name))
      ? '. For an attention-only model set attnOnly: true'
      : '';
  return fileError(
    source.name,
    `${missing.length} of the tensors of a model with ${config.nLayers} layers are missing: ` +
      `${some.join(', ')}${more}${hint}`,
  );
}

/**
 * A tensor inside the blocks that such a model has no place for means that config and checkpoint disagree.
 */
function checkNothingElse(
  source: TensorSource,
  config: Config,
  prefix: string,
  shapes: ReadonlyMap<string, readonly number[]>,
): void {
  for (const name of source.names()) {
    const layer = layerOf(name, prefix);
    const inFinalNorm = name.startsWith(`${prefix}ln_f.`);
    if ((layer === undefined && !inFinalNorm) || shapes.has(name.slice(prefix.length))) continue;
    if (/\.attn\.(bias|masked_bias)$/.test(name)) continue;
    const why =
      Number(layer) >= config.nLayers
        ? `the configuration says ${config.nLayers} layers (0–${config.nLayers - 1})`
        : config.attnOnly && /\.(mlp|ln_2)\./.test(name)
          ? 'the configuration says attnOnly'
          : name.includes('.mlp.ln.') && config.actFn !== 'solu_ln'
            ? `the configuration says actFn '${config.actFn}'; only 'solu_ln' has a norm in its MLP`
            : !['LN', 'RMS'].includes(config.normalization) && /\.?ln(_1|_2|_f)?\./.test(name)
              ? `the configuration says normalization '${config.normalization}'`
              : 'GPT-2 has no such tensor';
    throw fileError(source.file(name), `unexpected tensor ${quoted(called(source, name))}: ${why}`);
  }
}

/** A head under another name must not be lost: the embedding would be used in its place. */
function checkNoOtherHead(
  source: TensorSource,
  { dVocabOut, dModel }: Config,
  prefix: string,
  known: ReadonlyMap<string, unknown>,
): void {
  const shapes = [
    [dVocabOut, dModel],
    [dModel, dVocabOut],
  ].map(showShape);
  const other = source.names().find((name) => {
    const ours = name.startsWith(prefix) && known.has(name.slice(prefix.length));
    const embedding = name.endsWith('wte.weight'); // of another model deeper down
    return (
      !ours &&
      !embedding &&
      layerOf(name, prefix) === undefined &&
      shapes.includes(showShape(source.shape(name)!))
    );
  });
  if (other !== undefined)
    throw fileError(
      source.file(other),
      `tensor ${quoted(called(source, other))} has the shape of an unembedding, and there is no "${HEAD}": ` +
        'rename it if it is the head, else remove it or set tie_word_embeddings: true',
    );
}

/** The file's own name for a tensor. */
export const called = (source: TensorSource, name: string): string => source.original?.(name) ?? name;

/** The layer number in a block tensor's name, as text; undefined for other tensors. */
function layerOf(name: string, prefix: string): string | undefined {
  if (!name.startsWith(`${prefix}h.`)) return undefined;
  return /^\d+(?=\.)/.exec(name.slice(prefix.length + 2))?.[0];
}

function checkShape(source: TensorSource, name: string, expected: readonly number[]): void {
  const found = source.shape(name)!;
  if (showShape(found) === showShape(expected)) return;
  const transposed = showShape([...found].reverse()) === showShape(expected);
  throw fileError(
    source.file(name),
    `tensor ${quoted(called(source, name))} has shape ${showShape(found)}, the configuration says ${showShape(expected)}` +
      (transposed ? ' (it is transposed: nn.Linear stores [out, in], GPT-2 checkpoints [in, out])' : ''),
  );
}
