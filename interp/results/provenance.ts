/** Where a result comes from: enough to make it again. */

import { is, optional, signatures } from '../../hooks/input/check.js';
import type { Model } from '../../hooks/input/model.js';
import { joinedBytes } from './text.js';

const takes = signatures({ provenance: { model: is.model, more: optional(is.plainObject) } });

/** Model, processing, adapter and beginning-of-text, with what the method adds. */
export const provenance = takes.provenance(function provenance(
  model: Model,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  const { config, processing, gpu, tokenizer } = model;
  const tokens = more.tokens as readonly number[] | undefined;
  const bos = tokenizer?.bosTokenId ?? config.bosTokenId;
  return {
    model: config.name,
    hash: model.hash,
    processing: Object.entries(processing).flatMap(([flag, on]) => (on ? [flag] : [])),
    ...(model.adapterWeights && { adapterWeights: { ...model.adapterWeights } }),
    ...(model.edits && { edits: model.edits.lines }),
    adapter: gpu.adapter.text,
    ...(gpu.adapter.choice !== undefined && { adapterChoice: gpu.adapter.choice }),
    ...(tokens && { bos: bos !== null && tokens[0] === bos }),
    ...more,
  };
});

/**
 * `0:<|endoftext|>`, `1:When`, `2:␣John`: the labels of a position axis, with blanks made visible.
 * @param clean of a pair, the prompt that values come from: where it differs from `tokens`, labels have both,
 * `7:. | ;`
 * @param partners of a pair of unequal length, the position in `clean` of each position, or −1: `9:the |
 * 7:the`
 */
export function positionLabels(
  model: Model,
  tokens: readonly number[],
  clean: readonly number[] = tokens,
  partners: readonly number[] | null = null,
): string[] {
  const pieces = (ids: readonly number[]) =>
    joinedBytes(model.tokenizer?.pieces(ids) ?? ids.map((t) => `#${t}`)).map((p) =>
      p.replace(/ /g, '␣').replace(/\n/g, '⏎'),
    );
  const [own, other] = [pieces(tokens), clean === tokens ? null : pieces(clean)];
  if (partners)
    return own.map((p, i) => {
      const f = partners[i];
      return f < 0 || (f === i && clean[f] === tokens[i])
        ? `${i}:${p}`
        : `${f}:${other?.[f] ?? own[f]} | ${i}:${p}`;
    });
  return own.map((p, i) => (other && clean[i] !== tokens[i] ? `${i}:${other[i]} | ${p}` : `${i}:${p}`));
}
