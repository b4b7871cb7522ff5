/** Edits of models as JSON. */

import { Tensor } from '../../engine/tensor/tensor.js';
import { isList } from '../../weights/checks/kinds.js';
import { fileError, shownJson } from '../../weights/checks/messages.js';
import { parseJson } from '../../weights/checks/text.js';
import { check, is, signatures } from '../input/check.js';
import type { Model } from '../input/model.js';
import type { ModelEdits } from '../interventions/model-edits.js';
import { EDITS, type EditOptions } from './with.js';

const FORMAT = 'glassbox edits';
/** Of what is written now. */
const VERSION = 1;

const takes = signatures({
  editsToJson: { model: is.model },
  editsFromJson: { json: is.text },
});

/**
 * The edits of a model, numbers of tensors included (they are read back from the GPU), in the order in which
 * they were made: `{ "format": "glassbox edits", "version": 1, "edits": [{ "interventions": …, "sources": …
 * }, …] }`.
 * @throws when functions or caches are among them, which are no data
 */
export const editsToJson = takes.editsToJson(async function editsToJson(model: Model): Promise<string> {
  const tensors = new Map<Tensor, Float32Array>();
  const collect = async (x: unknown): Promise<void> => {
    if (x instanceof Tensor) tensors.set(x, (await x.data()) as Float32Array);
    else if (typeof x === 'object' && x !== null && !ArrayBuffer.isView(x))
      for (const part of Object.values(x)) await collect(part);
  };
  for (const edit of editsOfModel(model)) await collect(edit);
  return jsonOf(model, (t) => tensors.get(t)!);
});

/**
 * What `editsToJson` wrote, as a list for `model.with`, one after another:
 * `editsFromJson(text).reduce((model, edit) => model.with(edit), model)`.
 * Reads also one edit, `{ interventions, sources }`, and a list of interventions.
 * @throws when the text is not JSON, not edits, or of a later version
 */
export const editsFromJson = takes.editsFromJson(function editsFromJson(json: string): EditOptions[] {
  const restore = (_: string, x: unknown) => (NOT_IN_JSON.has(x as string) ? Number(x) : x);
  const read = parseJson(json, 'edits', restore) as Record<string, unknown> | null;
  if (Array.isArray(read)) return [checked({ interventions: read }, 'edits')];
  if (read?.format === 'glassbox interventions')
    return [checked({ interventions: read.interventions }, 'edits')];
  if (read && !('format' in read)) return [checked(read, 'edits')];
  if (read?.format !== FORMAT)
    throw fileError('edits', `a file of format ${shownJson(read?.format)}, not "${FORMAT}"`);
  if (read.version !== VERSION)
    throw fileError(
      'edits',
      `version ${shownJson(read.version)}, and this Glassbox reads version ${VERSION}`,
    );
  if (!Array.isArray(read.edits)) throw fileError('edits', 'it has no list of edits');
  return read.edits.map((edit, i) => checked(edit, `edits[${i}]`));
});

/** The same as `editsToJson`, at once. @throws where there are tensors, too */
export const editsJson = (model: Model): string =>
  jsonOf(model, () => {
    throw new Error('the edits hold tensors, whose numbers are on the GPU: await editsToJson(model)');
  });

function checked(edit: unknown, where: string): EditOptions {
  check(where, EDITS, edit);
  return edit as EditOptions;
}

function editsOfModel(model: Model): EditOptions[] {
  const edits = model.edits as ModelEdits | null;
  if (edits?.gradHooks.length) throw new Error(functions(edits));
  return (edits?.steps ?? []).map((step) => {
    if (step.kind === 'calls') throw new Error(functions(edits!));
    const { list: interventions, sources } = step;
    const cache = Object.keys(sources).find((name) => !sources[name]);
    if (cache !== undefined)
      throw new Error(`edits: source "${cache}" is a cache, which is no data: give { input, interventions }`);
    return {
      interventions,
      ...(Object.keys(sources).length && { sources: sources as EditOptions['sources'] }),
    };
  });
}

const functions = ({ lines }: ModelEdits): string =>
  `edits: functions are no data (${lines.find((line) => /^(hook|gradient) at /.test(line))}): give interventions`;

const NOT_IN_JSON = new Set(['Infinity', '-Infinity', 'NaN']);

function jsonOf(model: Model, read: (t: Tensor) => Float32Array): string {
  const number = (x: number) => (Number.isFinite(x) ? x : String(x));
  const plain = (x: unknown): unknown => {
    if (x instanceof Tensor) return { shape: x.shape, data: Array.from(read(x), number) };
    if (ArrayBuffer.isView(x)) return Array.from(x as Float32Array, number);
    if (isList(x)) return Array.from(x, plain);
    if (typeof x === 'number') return number(x);
    if (typeof x !== 'object' || x === null) return x;
    return Object.fromEntries(Object.entries(x).map(([key, v]) => [key, plain(v)]));
  };
  return JSON.stringify({ format: FORMAT, version: VERSION, edits: editsOfModel(model).map(plain) });
}
