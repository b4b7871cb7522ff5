/** A folder that has only `tokenizer.model` gives SentencePiece's ids and texts (test/fixtures/tokenizers/sentencepiece.py). */

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { readTokenizer } from '../../hooks/transformer/load-tokenizer.js';
import { blobFolder } from '../../weights/files/files-blob.js';

interface Model {
  name: string;
  /** `tokenizer.model`, base64. */
  model: string;
  bos: number;
  eos: number;
  cases: [text: string, ids: number[], decoded: string][];
}
const file = new URL('../fixtures/tokenizers/sentencepiece.json', import.meta.url);
const models = JSON.parse(readFileSync(file, 'utf8')) as Model[];

/** What SentencePiece writes for what it does not know; ours, as transformers', is `<unk>`. */
const UNKNOWN = '\u2047';

for (const { name, model, bos, eos, cases } of models)
  test(`${name}: ids, and back`, async () => {
    const bytes = Uint8Array.from(Buffer.from(model, 'base64'));
    const folder = blobFolder(new Map([['tokenizer.model', new Blob([bytes])]]));
    const files = await readTokenizer(folder, undefined, {});
    const tokenizer = Tokenizer.fromJson(files['tokenizer.json'], files['tokenizer_config.json']);
    assert.equal([tokenizer.bosTokenId, tokenizer.eosTokenId], [bos, eos]);
    const wrong = cases.flatMap(([text, ids, decoded]) => {
      const found = tokenizer.encode(text);
      const back = tokenizer.decode(ids);
      const same = back === decoded || decoded.includes(UNKNOWN);
      return String(found) === String(ids) && same ? [] : [{ text, found, ids, back, decoded }];
    });
    assert.equal(wrong, []);
  });

test.run();
