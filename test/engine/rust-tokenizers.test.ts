/**
 * Normalizers, pre-tokenizers, decoders and whole tokenizers give what Hugging Face's Rust library gives
 * (test/fixtures/tokenizers).
 */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { normalizerOf } from '../../engine/tokens/pipeline/normalizers.js';
import { pieceOf } from '../../engine/tokens/pipeline/piece.js';
import { preTokenizerOf } from '../../engine/tokens/pipeline/pre-tokenizers.js';
import { Tokenizer } from '../../engine/tokens/tokenizer.js';

interface Rule<T> {
  json: object;
  results: T[];
}
interface Whole {
  name: string;
  json: object;
  cases: { text: string; ids: number[]; offsets: [number, number][]; decoded: string }[];
  decoded: [number[], string][];
}
const rust = JSON.parse(
  readFileSync(
    process.env.RUST_TOKENIZERS ?? new URL('../fixtures/tokenizers/rust.json', import.meta.url),
    'utf8',
  ),
) as { texts: string[]; normalizers: Rule<string>[]; preTokenizers: Rule<string[]>[]; tokenizers: Whole[] };

/** Fails with the first few differences. */
function same(found: [what: string, got: unknown, wanted: unknown][]): void {
  const bad = found.filter(([, got, wanted]) => JSON.stringify(got) !== JSON.stringify(wanted));
  const shown = bad.slice(0, 8).map((one) => one.map((part) => JSON.stringify(part)).join('\n    '));
  assert.is(bad.length, 0, `${bad.length} differ (what, got, wanted):\n  ${shown.join('\n  ')}`);
}

test('normalizers', () => {
  same(
    rust.normalizers.flatMap(({ json, results }) => {
      const normalize = normalizerOf(json)!;
      return rust.texts.map((text, i): [string, unknown, unknown] => [
        `${JSON.stringify(json)} ${text}`,
        normalize(pieceOf(text, true)).text,
        results[i],
      ]);
    }),
  );
});

test('pre-tokenizers', () => {
  same(
    rust.preTokenizers.flatMap(({ json, results }) => {
      const cut = preTokenizerOf(json)!;
      return rust.texts.map((text, i): [string, unknown, unknown] => [
        `${JSON.stringify(json)} ${text}`,
        text ? cut(pieceOf(text, true)).map((piece) => piece.text) : [],
        results[i],
      ]);
    }),
  );
});

for (const { name, json, cases, decoded } of rust.tokenizers)
  test(`${name}: ids, places in the text, and the text again`, () => {
    const tokenizer = Tokenizer.fromJson(json);
    same(
      cases.flatMap(({ text, ids, offsets, decoded }): [string, unknown, unknown][] => {
        const found = tokenizer.encodeWithOffsets(text);
        // Rust says that a composed character stands for the first of its parts; here it stands for all of
        // them
        const places = text === text.normalize('NFC');
        return [
          [`ids of ${text}`, tokenizer.encode(text), ids],
          [`places in ${text}`, places && found.map(({ start, end }) => [start, end]), places && offsets],
          [`text of ${text}`, tokenizer.decode(ids), decoded],
        ];
      }),
    );
    same(
      decoded.map(([ids, text]): [string, unknown, unknown] => [
        `text of ${ids}`,
        tokenizer.decode(ids),
        text,
      ]),
    );
  });

test.run();
