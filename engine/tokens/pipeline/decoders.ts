/**
 * Decoders of tokenizer.json: from tokens' entries to text. As in Hugging Face's Rust library. `ByteLevel` is
 * not here: its tokens are bytes (`Tokenizer.bytes`).
 */

import { list, optionalText, quoted, record } from '../file.js';
import { patternOf } from './pattern.js';

/** Changes a list of entries; joined, the last one's result is the text. */
export type Decoder = (entries: string[]) => string[];

/** The byte that an entry stands for in a vocabulary of SentencePiece's: `<0xE2>`; else null. */
export function byteOf(entry: string): number | null {
  const found = /^<0x([0-9A-Fa-f]{2})>$/.exec(entry);
  return found ? Number.parseInt(found[1], 16) : null;
}

/** Runs of bytes become text; each byte of a run that is not UTF-8 becomes U+FFFD. */
const byteFallback: Decoder = (entries) => {
  const made: string[] = [];
  let run: number[] = [];
  const end = () => {
    if (!run.length) return;
    try {
      made.push(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(run)));
    } catch {
      for (let i = 0; i < run.length; i++) made.push('\ufffd');
    }
    run = [];
  };
  for (const entry of entries) {
    const byte = byteOf(entry);
    if (byte !== null) run.push(byte);
    else {
      end();
      made.push(entry);
    }
  }
  end();
  return made;
};

/** What English tokenizers of BERT's kind undo: blanks before punctuation. */
const tidy = (text: string): string =>
  text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");

function wordPiece(json: Record<string, unknown>, where: string): Decoder {
  const prefix = optionalText(json.prefix, `${where}.prefix`) ?? '##';
  const cleanup = json.cleanup !== false;
  return (entries) =>
    entries.map((entry, i) => {
      const text = i === 0 ? entry : entry.startsWith(prefix) ? entry.slice(prefix.length) : ` ${entry}`;
      return cleanup ? tidy(text) : text;
    });
}

function strip(json: Record<string, unknown>, where: string): Decoder {
  const content = optionalText(json.content, `${where}.content`) ?? ' ';
  const [start, stop] = [Number(json.start ?? 0), Number(json.stop ?? 0)];
  return (entries) =>
    entries.map((entry) => {
      const chars = [...entry];
      let from = 0;
      while (from < Math.min(start, chars.length) && chars[from] === content) from++;
      let to = chars.length;
      while (chars.length - to < Math.min(stop, chars.length) && chars[to - 1] === content) to--;
      return chars.slice(from, Math.max(from, to)).join('');
    });
}

function metaspace(json: Record<string, unknown>, where: string): Decoder {
  const mark = optionalText(json.replacement, `${where}.replacement`) ?? '▁';
  const scheme = json.prepend_scheme ?? (json.add_prefix_space === false ? 'never' : 'always');
  return (entries) =>
    entries.map((entry, i) => entry.replaceAll(mark, i === 0 && scheme !== 'never' ? '' : ' '));
}

function ctc(json: Record<string, unknown>, where: string): Decoder {
  const pad = optionalText(json.pad_token, `${where}.pad_token`) ?? '<pad>';
  const word = optionalText(json.word_delimiter_token, `${where}.word_delimiter_token`) ?? '|';
  return (entries) =>
    entries
      .filter((entry, i) => i === 0 || entry !== entries[i - 1])
      .map((entry) => {
        const text = entry.replaceAll(pad, '');
        return json.cleanup === false ? text : tidy(text).replaceAll(word, ' ');
      })
      .filter((text) => text !== '');
}

/** The decoder that tokenizer.json describes; null: entries are joined by blanks. */
export function decoderOf(json: unknown, where = 'decoder'): Decoder | null {
  if (json == null) return null;
  const given = record(json, where);
  switch (given.type) {
    case 'Sequence': {
      const steps = list(given.decoders, `${where}.decoders`).flatMap(
        (step, i) => decoderOf(step, `${where}[${i}]`) ?? [],
      );
      return (entries) => steps.reduce((made, step) => step(made), entries);
    }
    case 'ByteFallback':
      return byteFallback;
    case 'Fuse':
      return (entries) => [entries.join('')];
    case 'Strip':
      return strip(given, where);
    case 'Replace': {
      const pattern = patternOf(given.pattern, `${where}.pattern`);
      const content = optionalText(given.content, `${where}.content`) ?? '';
      return (entries) =>
        entries.map((entry) => {
          let made = '';
          let done = 0;
          for (const [from, to] of pattern(entry)) {
            made += entry.slice(done, from) + content;
            done = to;
          }
          return made + entry.slice(done);
        });
    }
    case 'WordPiece':
      return wordPiece(given, where);
    case 'Metaspace':
      return metaspace(given, where);
    case 'BPEDecoder': {
      const suffix = optionalText(given.suffix, `${where}.suffix`) ?? '</w>';
      return (entries) =>
        entries.map((entry, i) => entry.replaceAll(suffix, i === entries.length - 1 ? '' : ' '));
    }
    case 'CTC':
      return ctc(given, where);
    case 'ByteLevel':
      return (entries) => entries;
    default:
      throw new Error(`tokenizer.json: ${where} is of type ${quoted(given.type)}, which is not known`);
  }
}
