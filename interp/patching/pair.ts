/** Two prompts, or as many of both, that are as long as each other. */

import type { TextInput } from '../../engine/tokens/text.js';
import { readInput } from '../../hooks/input/input.js';
import type { Model } from '../../hooks/input/model.js';

/** The tokens of a pair. */
export interface Pair {
  /** The prompts that are run and changed. */
  readonly changed: readonly (readonly number[])[];
  /** The prompts that values come from. */
  readonly from: readonly (readonly number[])[];
  /** Positions up to which all prompts are the same. */
  readonly unchanged: number;
}

/** What a method calls its two prompts. */
interface Named {
  readonly name: string;
  readonly input: TextInput;
}

/**
 * Reads a pair of prompts.
 * @throws when there are not as many of both, a prompt and its other differ in length, or all are the same.
 */
export function readPair(
  model: Model,
  { changed, from, prependBos }: { changed: Named; from: Named; prependBos?: boolean },
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
  const firsts = bad.map((tokens, i) => {
    if (tokens.length !== good[i].length) {
      const width = 1 + Math.max(from.name.length, changed.name.length);
      const line = (name: string, row: readonly number[]) =>
        `\n  ${`${name}:`.padEnd(width)} ${show(model, row)}`;
      throw new Error(
        `the ${from.name} prompt has ${good[i].length} tokens, the ${changed.name} one ${tokens.length}: patching needs the same number.${line(from.name, good[i])}${line(changed.name, tokens)}`,
      );
    }
    const first = tokens.findIndex((t, p) => t !== good[i][p]);
    return first < 0 ? tokens.length : first;
  });
  if (firsts.every((p, i) => p === bad[i].length))
    throw new Error(
      `the ${from.name} and the ${changed.name} prompt are the same: no patch can change anything`,
    );
  return { changed: bad, from: good, unchanged: Math.min(...firsts) };
}

const show = (model: Model, tokens: readonly number[]): string =>
  model.tokenizer ? model.toStrTokens(tokens).join('|') : tokens.join(' ');
