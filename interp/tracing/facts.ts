/** Collections of factual prompts: ROME's `known_1000.json`, facts that GPT-2 XL knows. */

import { is, signatures } from '../../hooks/input/check.js';
import { fileError, quoted, shownJson } from '../../weights/checks/messages.js';
import { parseJson } from '../../weights/checks/text.js';

/** A prompt that a fact completes. */
export interface Fact {
  /** Ends where the answer begins: `The Space Needle is in downtown`. */
  readonly prompt: string;
  /** Occurs in the prompt. */
  readonly subject: string;
  /** The answer, without a blank: `Seattle`. */
  readonly attribute: string;
  /** The prompt with `{}` for the subject. */
  readonly template?: string;
  /** What GPT-2 XL wrote. */
  readonly prediction?: string;
  readonly knownId?: number;
  readonly relationId?: string;
}

const takes = signatures({
  readFacts: { json: is.text },
});

/**
 * Facts from JSON: a list of `{ prompt, subject, attribute, ... }` with ROME's other fields, which may be
 * missing.
 * @throws an Error that names the row and what is wrong with it.
 */
export const readFacts = takes.readFacts(function readFacts(json: string): Fact[] {
  const rows = parseJson(json, 'facts');
  if (!Array.isArray(rows)) throw new Error('facts: a list of { prompt, subject, attribute } is needed');
  return rows.map(readFact);
});

const OPTIONAL = [
  ['template', 'template', 'string'],
  ['prediction', 'prediction', 'string'],
  ['known_id', 'knownId', 'number'],
  ['relation_id', 'relationId', 'string'],
] as const;

function readFact(row: Record<string, unknown> | null, i: number): Fact {
  if (typeof row !== 'object' || row === null)
    throw fileError(`facts, row ${i}`, `${shownJson(row)} is no object`);
  const field = (name: string, type: 'string' | 'number'): unknown => {
    const value = row[name];
    const kind = typeof value;
    if (kind === type && value !== '') return value;
    throw fileError(`facts, row ${i}`, `"${name}" must be a ${type}, not ${shownJson(value)}`);
  };
  const text = (name: string) => field(name, 'string') as string;
  const [prompt, subject, attribute] = ['prompt', 'subject', 'attribute'].map(text);
  if (!prompt.includes(subject))
    throw fileError(
      `facts, row ${i}`,
      `the subject ${quoted(subject)} does not occur in ${quoted(prompt, 100)}`,
    );
  const more = OPTIONAL.flatMap(([name, ours, type]) => (name in row ? [[ours, field(name, type)]] : []));
  return { prompt, subject, attribute, ...Object.fromEntries(more) };
}
