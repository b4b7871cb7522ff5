/**
 * GPT-2's `tokenizer.json`, rebuilt from the byte-pair ranks that tiktoken ships: the merge that makes a
 * token is the pair of pieces left when byte-pair encoding runs on its bytes with lower ranks only.
 */

import { Tiktoken } from 'js-tiktoken/lite';
import r50k from 'js-tiktoken/ranks/r50k_base';
import { BYTE_TO_CHAR } from '../../engine/tokens/bytes.js';

/** OpenAI's own encoder, for comparison. */
export const tiktoken = new Tiktoken(r50k);

/** Each token in the vocabulary's writing, by rank. */
function entriesByRank(): string[] {
  const [, first, ...words] = r50k.bpe_ranks.split(' ');
  const binary = words.map(atob);
  return [...Array(Number(first)).fill(''), ...binary].map((bytes) =>
    Array.from(bytes as string, (char) => BYTE_TO_CHAR[char.charCodeAt(0)]).join(''),
  );
}

function lastPair(entry: string, rank: number, ranks: Map<string, number>): [string, string] {
  let parts = Array.from(entry);
  while (parts.length > 2) {
    let best = rank;
    let at = -1;
    for (let i = 0; i + 1 < parts.length; i++) {
      const r = ranks.get(parts[i] + parts[i + 1]);
      if (r !== undefined && r < best) [best, at] = [r, i];
    }
    parts = [...parts.slice(0, at), parts[at] + parts[at + 1], ...parts.slice(at + 2)];
  }
  return [parts[0], parts[1]];
}

/** The file as the Hub has it, `type` of the model left out as there. */
export function gpt2TokenizerJson(): object {
  const entries = entriesByRank();
  const ranks = new Map(entries.map((entry, rank) => [entry, rank]));
  const merges = entries.flatMap((entry, rank) =>
    rank < 256 ? [] : [lastPair(entry, rank, ranks).join(' ')],
  );
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      {
        id: 50256,
        special: true,
        content: '<|endoftext|>',
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: true,
      },
    ],
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: { ...byteLevel, add_prefix_space: true, trim_offsets: false },
    decoder: { ...byteLevel, add_prefix_space: true },
    model: {
      dropout: null,
      unk_token: '',
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      vocab: { ...Object.fromEntries(ranks), '<|endoftext|>': 50256 },
      merges,
    },
  };
}
