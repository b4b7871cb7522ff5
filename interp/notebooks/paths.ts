/** Paths of one head, in and out, and paths among some heads, from a map of all paths. */

import { is, signatures } from '../../hooks/input/check.js';
import { type Labelled, labelled } from '../results/result.js';
import { picked } from './select.js';

const takes = signatures({
  pathsOfHead: { paths: is.labelled, head: is.text },
  pathsAmong: { paths: is.labelled, heads: is.texts },
});

const INPUTS = ['q', 'k', 'v'] as const;

/**
 * The paths into a head's queries, keys and values from every head, and out of it into those of every head.
 * @param paths receiver × sender, of all heads, as `headPathAttribution` gives them
 * @param head `L9H9`
 * @returns path (`query in`, …, `value out`) × layer × head
 * @throws when the map lacks a head
 */
export const pathsOfHead = takes.pathsOfHead(function pathsOfHead(paths: Labelled, head: string): Labelled {
  const heads = paths.axes[1].labels;
  const into = picked(
    paths,
    'receiver',
    INPUTS.map((x) => `${head}.${x}`),
  );
  const out = INPUTS.map((x) =>
    picked(
      picked(
        paths,
        'receiver',
        heads.map((h) => `${h}.${x}`),
      ),
      'sender',
      [head],
    ),
  );
  const values = Float32Array.from([...into.values, ...out.flatMap((m) => [...m.values])]);
  const parts = heads.map((h) => /^(L\d+)(H\d+)$/.exec(h)!);
  const axis = (name: string, i: 1 | 2) => ({ name, labels: [...new Set(parts.map((p) => p[i]))] });
  const words = ['query', 'key', 'value']
    .map((w) => `${w} in`)
    .concat(['query', 'key', 'value'].map((w) => `${w} out`));
  return labelled(values, [{ name: 'path', labels: words }, axis('layer', 1), axis('head', 2)], {
    ...paths.meta,
  });
});

/**
 * The paths from some heads to their queries, keys and values.
 * @param paths receiver × sender, of all heads, as `headPathAttribution` gives them
 * @param heads `['L9H9', …]`
 * @returns receiver (`L9H9.q`, …) × sender
 * @throws when the map lacks a head
 */
export const pathsAmong = takes.pathsAmong(function pathsAmong(
  paths: Labelled,
  heads: readonly string[],
): Labelled {
  const receivers = heads.flatMap((head) => INPUTS.map((x) => `${head}.${x}`));
  return picked(picked(paths, 'receiver', receivers), 'sender', heads);
});
