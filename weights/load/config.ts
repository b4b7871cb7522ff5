/**
 * A complete configuration from what a file or an argument says, in the names of Hugging Face, of
 * TransformerLens or our own.
 */

import { fileError, shownJson } from '../checks/messages.js';
import type { Config } from '../config.js';
import type { Family } from '../families/family.js';
import { familyNamed, familyNames, familyOfArchitecture } from '../families/index.js';
import { fromTransformerLens } from '../families/transformer-lens.js';
import { Given, refuseForeign, refuseUnread, type Settings } from '../keys/given.js';
import { checkNotQuantised } from '../quantised.js';
import { checkSettings } from '../settings.js';
import { type ConfigHints, complete, OWN } from './complete.js';

/**
 * A complete configuration from a Hugging Face `config.json` (`model_type`, `hidden_size` or `n_embd`, ...),
 * from one of TransformerLens (`n_layers`, `d_model`, ...), or from our own names (`nLayers`, `dModel`, ...).
 * An argument in our own names may hold no setting that there is not; a file may.
 * @throws when it is of a kind of model that is not run, a value is missing that cannot be inferred, or a
 * value is impossible.
 */
export function parseConfig(json: unknown, { name, file = OWN, inferred = {} }: ConfigHints = {}): Config {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw fileError(file, `not an object of settings: ${shownJson(json)}`);
  const given = textPart(json as Record<string, unknown>);
  checkNotQuantised(given, file);
  const known = isHuggingFace(given)
    ? fromHuggingFace(new Given(given, file))
    : 'n_layers' in given || 'd_model' in given
      ? fromTransformerLens(given, file)
      : given;
  if (known === given && file === OWN) checkSettings(given, file);
  return complete(known, { name, file, inferred });
}

/** The part about text of a model that sees pictures too (Gemma 3). */
function textPart(json: Record<string, unknown>): Record<string, unknown> {
  const { text_config: text } = json;
  if (typeof text !== 'object' || text === null || Array.isArray(text)) return json;
  const { model_type: _, architectures: __, text_config: ___, ...outer } = json;
  return { ...outer, ...text };
}

function isHuggingFace(given: Record<string, unknown>): boolean {
  return ['model_type', 'architectures', 'n_embd', 'n_layer', 'n_head', 'vocab_size'].some(
    (key) => key in given,
  );
}

/** The family that a `config.json` names; GPT-2 where it names none. @throws when there is no such family */
function familyOf(c: Given): Family {
  const type = c.first('model_type');
  const classes = c.first('architectures');
  const [first] = Array.isArray(classes) ? classes : [];
  const found = familyNamed(type) ?? (type === undefined ? familyOfArchitecture(first) : undefined);
  if (found) return found;
  if (type === undefined && first === undefined) return familyNamed('gpt2')!;
  throw fileError(
    c.file,
    type === undefined
      ? `architectures is ${shownJson([first])}, and no family has it; those that are run: ${familyNames.join(', ')}`
      : `model_type is ${shownJson(type)}; these are run: ${familyNames.join(', ')}`,
  );
}

/** Hugging Face's names to ours; what the file leaves out stays out. */
function fromHuggingFace(c: Given): Settings {
  const family = familyOf(c);
  refuseForeign(c);
  const settings = family.read(c);
  refuseUnread(c, family.name);
  return { ...settings, family: family.name };
}
