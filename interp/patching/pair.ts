/** Two prompts, or as many of both, whose positions correspond: as long as each other, or aligned. */

import type { TextInput } from '../../engine/tokens/text.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';
import {
  type Align,
  type Partners,
  type PositionPair,
  partnersOf,
} from '../../hooks/interventions/alignment.js';

/** The tokens of a pair. */
export interface Pair {
  /** The prompts that are run and changed. */
  readonly changed: readonly (readonly number[])[];
  /** The prompts that values come from. */
  readonly from: readonly (readonly number[])[];
  /** Positions up to which all prompts are the same. */
  readonly unchanged: number;
  /** Of each position of the changed prompts its partner; null: the same position. */
  readonly partners: Partners | null;
}

/** What a method calls its two prompts. */
interface Named {
  readonly name: string;
  readonly input: TextInput;
}

/**
 * Reads a pair of prompts.
 * @throws when there are not as many of both, a prompt and its other differ in length and are not aligned, or
 * all are the same.
 */
export function readPair(
  model: Model,
  { changed, from, prependBos, align }: { changed: Named; from: Named; prependBos?: boolean; align?: Align },
): Pair {
  const read = ({ name, input }: Named) => {
    try {
      return readInput(model, input, { prependBos }).tokens;
    } catch (e) {
      throw new Error(`the ${name} prompt: ${(e as Error).message}`);
    }
  };
  const [good, bad] = [read(from), read(changed)];
  if (good.length !== bad.length)
    throw new Error(
      `${good.length} ${from.name} prompts and ${bad.length} ${changed.name} ones: patching needs pairs`,
    );
  const partners = align === undefined ? null : partnersOf(align, good, bad, [from.name, changed.name]);
  const firsts = bad.map((tokens, i) => {
    if (!partners && tokens.length !== good[i].length) {
      const width = 1 + Math.max(from.name.length, changed.name.length);
      const line = (name: string, row: readonly number[]) =>
        `\n  ${`${name}:`.padEnd(width)} ${show(model, row)}`;
      throw new Error(
        `the ${from.name} prompt has ${good[i].length} tokens, the ${changed.name} one ${tokens.length}: patching needs the same number, or align: 'diff'.${line(from.name, good[i])}${line(changed.name, tokens)}`,
      );
    }
    const first = tokens.findIndex((t, p) => t !== good[i][p] || (partners && partners[i][p] !== p));
    return first < 0 ? tokens.length : first;
  });
  if (bad.every((tokens, i) => tokens.join() === good[i].join()))
    throw new Error(
      `the ${from.name} and the ${changed.name} prompt are the same: no patch can change anything`,
    );
  return { changed: bad, from: good, unchanged: Math.min(...firsts), partners };
}

/** The pairs of an alignment as a source takes it, and what a result tells of it. */
export function alignmentOf({ partners, changed, from }: Pair): {
  readonly align?: readonly (readonly PositionPair[])[];
  readonly meta: Readonly<Record<string, unknown>>;
} {
  if (!partners) return { meta: {} };
  const align = partners.map((row) => row.flatMap((f, t): PositionPair[] => (f < 0 ? [] : [[f, t]])));
  const pairs = align.reduce((n, list) => n + list.length, 0);
  const left = (rows: Pair['from']) => rows.reduce((n, row) => n + row.length, 0) - pairs;
  return { align, meta: { alignment: align, unpaired: { from: left(from), changed: left(changed) } } };
}

const show = (model: Model, tokens: readonly number[]): string =>
  model.tokenizer ? model.toStrTokens(tokens).join('|') : tokens.join(' ');
