/** What is known of weights on the host: their hash, and the weights themselves. */

import { readBlock, readEmbed, readFinal } from '../../engine/transformer/read-weights.js';
import type { WeightTensors } from '../../engine/transformer/weights.js';
import type { Config } from '../../weights/config.js';
import type { ModelWeights } from '../../weights/formats/types.js';
import { Fingerprint } from '../../weights/processing/fingerprint.js';
import { type WeightViews, weightViews } from '../../weights/processing/views.js';

/** What models that share weights know of them. */
export interface WeightState {
  readonly hash: string;
  readonly views: WeightViews | null;
}

/** The same for models that share weights; of weights changed on the GPU it is known after a while. */
export class KnownWeights {
  #state: WeightState;
  /** Settles when it is known; null: it is. */
  settled: Promise<void> | null = null;

  constructor(state: WeightState) {
    this.#state = state;
  }

  get state(): WeightState {
    return this.#state;
  }

  set state(state: WeightState) {
    this.#state = state;
    this.settled = null;
  }

  /** Weights that were changed on the GPU: their hash is not known before they have been read. */
  static later(read: () => Promise<WeightState>): KnownWeights {
    const known = new KnownWeights({ hash: `pending-${++pending}`, views: null });
    known.settled = read().then((state) => {
      known.state = state;
    });
    known.settled.catch(() => {}); // whoever needs it hears of it
    return known;
  }
}

let pending = 0;

/**
 * Reads weights back from the GPU.
 * @param known those that have not changed, which are not read again
 * @param changed names of tensors, as `mapWeights` calls them
 */
export async function readState(
  weights: WeightTensors,
  config: Config,
  known: ModelWeights | null = null,
  changed: Iterable<string> = [],
): Promise<{ state: WeightState; parts: ModelWeights }> {
  const partOf = (name: string) =>
    /^blocks\.(\d+)/.exec(name)?.[1] ?? (/^W_(E|pos)/.test(name) ? 'embed' : 'final');
  const read = new Set([...changed].map(partOf));
  if (read.has('embed')) read.add('final'); // W_U may be W_E no longer
  const needs = (part: string) => !known || read.has(part);
  const embed = needs('embed') ? await readEmbed(weights) : known!.embed;
  const blocks = [];
  for (const [l, block] of weights.blocks.entries())
    blocks.push(needs(String(l)) ? await readBlock(block) : known!.blocks[l]);
  const final = needs('final') ? await readFinal(weights) : known!.final;
  const fingerprint = new Fingerprint();
  fingerprint.add({ kind: 'embed', weights: embed });
  for (const [layer, block] of blocks.entries()) fingerprint.add({ kind: 'block', layer, weights: block });
  fingerprint.add({ kind: 'final', weights: final });
  return {
    state: { hash: fingerprint.text, views: weightViews(embed, blocks, final, config) },
    parts: { embed, blocks, final },
  };
}
