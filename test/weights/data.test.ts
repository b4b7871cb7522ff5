/**
 * Rows of data: JSON lines, CSV and Parquet, from disk, a URL, a data set of the Hub, a Blob or a stream; and
 * what is wrong with them.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type DataSource, loadPairs, readRows, readTexts, streamTexts } from '../../index.js';
import { pairsFrom, textsFrom } from '../../scripts/data.js';
import { csvRows } from '../../weights/data/csv.js';
import { throws } from '../helpers.js';
import { startHub } from './hub-server.js';

const fixtures = fileURLToPath(new URL('../fixtures/data/', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'glassbox-data-'));
test.after(() => rmSync(folder, { recursive: true }));
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const rows = async (source: DataSource, options = {}) => {
  const all: object[] = [];
  for await (const row of readRows(source, options)) all.push(row);
  return all;
};

test('CSV: quotes, line ends, a byte-order mark, separators and line ends in quotes, empty lines', async () => {
  const right = [
    { a: '1', b: 'x, "y"' },
    { a: '', b: 'two\nlines' },
    { a: '3', b: '' },
  ];
  const text = 'a,b\n1,"x, ""y"""\n\n,"two\nlines"\n3,\n';
  assert.equal(await rows(file('a.csv', text)), right);
  assert.equal(await rows(file('b.csv', `\ufeff${text.trimEnd()}`)), right);
  const crlf = right.map((row) => ({ ...row, b: row.b.replace('\n', '\r\n') }));
  assert.equal(await rows(file('c.csv', text.replaceAll('\n', '\r\n'))), crlf);
  assert.equal(await rows(file('d.tsv', 'a\tb\n1\tx, y\n')), [{ a: '1', b: 'x, y' }]);
  assert.equal(await rows(file('e.csv.gz', gzipSync(text))), right);
  assert.equal(await rows(file('f.csv', Buffer.from(`\ufeff${text}`, 'utf16le'))), right);
});

test('CSV gives the same rows wherever it is cut into pieces', async () => {
  const text = 'a,"b ""c"""\r\n"x\r\n,y",""\r\n"""",é\r\n';
  const read = async (pieces: string[]) => {
    const all: object[] = [];
    const stream = (async function* () {
      yield* pieces;
    })();
    for await (const { row, where } of csvRows(stream, 'f', ',')) all.push([where, row]);
    return all;
  };
  const whole = await read([text]);
  assert.equal(whole, [
    ['f, line 2', { a: 'x\r\n,y', 'b "c"': '' }],
    ['f, line 4', { a: '"', 'b "c"': 'é' }],
  ]);
  for (let i = 1; i < text.length; i++)
    assert.equal(await read([text.slice(0, i), text.slice(i)]), whole, `cut at ${i}`);
  assert.equal(await read([...text]), whole);
});

test('CSV: broken rows are told by file and line', async () => {
  const broken = (name: string, text: string) => rows(file(name, text));
  await throws(
    broken('g.csv', 'a,b\n1,2\n3\n'),
    /g\.csv, line 3: 1 field, and the first line names 2 columns/,
  );
  await throws(broken('h.csv', 'a,b\n"x\ny",2\n3,4,5\n'), /h\.csv, line 4: 3 fields, and/);
  await throws(
    broken('i.csv', 'a,b\n1,2\n"3,4\n5,6\n'),
    /i\.csv, line 3: a quote begins here that does not end/,
  );
  await throws(broken('j.csv', 'a,b\n"1"x,2\n'), /j\.csv, line 2: a field in quotes goes on/);
  await throws(broken('k.csv', 'a,a\n1,2\n'), /line 1: column "a" is there twice/);
  await throws(broken('l.csv', 'a,b\n'), /l\.csv: it has no rows/);
  await throws(broken('m.csv', ''), /m\.csv: it is empty/);
  await throws(broken('n.csv', '\ufeff'), /n\.csv: it has no rows/);
  await throws(rows(file('o.csv', Buffer.from([0x61, 0x0a, 0xff, 0xfe, 0x41]))), /o\.csv: not UTF-8 text/);
  await throws(
    rows(file('p.csv.gz', gzipSync('a\n1\n').subarray(0, 15))),
    /p\.csv\.gz: not a whole gzip file/,
  );
});

test('JSON lines and lists, texts, and files without an ending', async () => {
  const lines = '{"a": 1}\r\n\n{"a": "x", "b": {"c": "deep"}}';
  const right = [{ a: 1 }, { a: 'x', b: { c: 'deep' } }];
  assert.equal(await rows(file('a.jsonl', lines)), right);
  assert.equal(await rows(file('a.json', lines)), right);
  assert.equal(await rows(file('b.json', JSON.stringify(right))), right);
  assert.equal(await rows(file('data', lines)), right);
  assert.equal(await rows(file('list.txt', 'one\r\n\r\n two \n')), [{ text: 'one' }, { text: ' two ' }]);
  assert.equal(await rows(file('c.jsonl', '{"b": {"c": 5}}'), { columns: ['b.c'] }), [{ 'b.c': 5 }]);
  await throws(rows(file('d.jsonl', '{"a": 1}\n{"a": \n')), /d\.jsonl, line 2: not JSON/);
  await throws(
    rows(file('e.jsonl', '{"a": 1}\n[1]\n')),
    /e\.jsonl, line 2: a list of 1 .*: an object with columns is needed/,
  );
});

test('Parquet in every compression: groups of rows, dictionaries, whole numbers, fields of structs', async () => {
  for (const name of readdirSync(fixtures).filter((f) => f.endsWith('.parquet'))) {
    const all = (await rows(fixtures + name)) as {
      prompt: string;
      answer: string;
      n: number;
      pair: object;
    }[];
    assert.is(all.length, 7, name);
    assert.equal(all[5], {
      prompt: 'prompt 5, “ü”',
      answer: ' Mary',
      n: 5 * 2 ** 33,
      pair: { clean: 'c5', wrong: 'w5' },
    });
    assert.equal(await readTexts(fixtures + name, { column: 'pair.wrong', limit: 5 }), [
      'w0',
      'w1',
      'w2',
      'w3',
      'w4',
    ]);
  }
  const whole = readFileSync(`${fixtures}prompts.snappy.parquet`);
  assert.equal(await readTexts(new Blob([whole]), { column: 'answer', limit: 1 }), [' John']);
  await throws(
    readTexts(`${fixtures}prompts.none.parquet`, { column: 'question' }),
    /no column "question"; there are "prompt", "answer", "n", "pair"/,
  );
  await throws(rows(file('cut.parquet', whole.subarray(0, 900))), /cut\.parquet: not a whole Parquet file/);
});

test('of a Parquet file only the columns and groups that are asked for are read', async () => {
  const whole = readFileSync(`${fixtures}prompts.none.parquet`);
  const read: number[] = [];
  const blob = new Blob([whole]);
  const { slice } = blob;
  blob.slice = (start = 0, end = blob.size, type?: string) => {
    if (start > 4) read.push(start);
    return slice.call(blob, start, end, type);
  };
  assert.equal(await readTexts(blob, { column: 'answer', limit: 1 }), [' John']);
  const once = read.length;
  await readTexts(blob, { column: 'answer' });
  assert.ok(read.length - once > once, `${read}`);
});

test('which column has the texts', async () => {
  assert.equal(await readTexts(file('one.csv', 'prompt\na\n')), ['a']);
  assert.equal(await readTexts(file('two.csv', 'id,text\n1,a\n')), ['a']);
  await throws(
    readTexts(file('three.csv', 'id,prompt\n1,a\n')),
    /line 2: which column has the texts\? There are "id", "prompt"/,
  );
  await throws(
    readTexts(file('three.csv', 'id,prompt\n1,a\n'), { column: 'promt' }),
    /line 2: there is no column "promt"; there are "id", "prompt"/,
  );
  await throws(
    readTexts(file('n.jsonl', '{"a": "x"}\n{"a": null}'), { column: 'a' }),
    /n\.jsonl, line 2: "a" is null: a text is needed/,
  );
  await throws(readTexts(join(folder, 'nowhere.csv')), /nowhere\.csv: cannot be read: there is no such file/);
});

test('streams are read as they come, and no further than asked', async () => {
  let pieces = 0;
  const stream = (async function* () {
    for (let i = 0; i < 1000; i++) {
      pieces++;
      yield Buffer.from(`{"a": "text ${i} é"}\n`);
    }
  })();
  const texts: string[] = [];
  for await (const text of streamTexts(stream, { format: 'jsonl', limit: 3 })) texts.push(text);
  assert.equal(texts, ['text 0 é', 'text 1 é', 'text 2 é']);
  assert.ok(pieces < 8, `${pieces} pieces`);
  const long = `${'{"a": "0123456789"}\n'.repeat(200_000)}`; // 4 MB: several reads
  assert.is((await readTexts(file('long.jsonl', long))).length, 200_000);
});

test('pairs of prompts: columns by other names, in all formats', async () => {
  const right = [{ clean: 'a', corrupted: 'b', answer: ' x' }];
  const columns = { clean: 'prompt', corrupted: 'other' };
  const csv = file('pairs.csv', 'prompt,other,answer\na,b," x"\n');
  assert.equal(await loadPairs(csv, { columns }), right);
  assert.equal(
    await loadPairs(file('pairs.jsonl', JSON.stringify(right[0])), { needs: ['corrupted'] }),
    right,
  );
  assert.equal(await pairsFrom(csv, { columns: 'clean=prompt, corrupted=other' }), right);
  assert.equal(await textsFrom(csv, 'prompt'), ['a']);
  await throws(
    loadPairs(csv),
    /pairs\.csv, line 2: there is no column "clean"; there are "prompt", "other", "answer"/,
  );
  await throws(
    loadPairs(csv, { columns: { clean: 'prompt' }, needs: ['corrupted'] }),
    /no column "corrupted"/,
  );
  await throws(
    loadPairs(csv, { columns: { klean: 'prompt' } as object }),
    /columns has "klean"; the fields are clean, corrupted/,
  );
  await throws(
    loadPairs(file('p2.jsonl', '{"clean": "a", "answer": 3}')),
    /p2\.jsonl, line 1: \{"clean": text\} is needed/,
  );
  await throws(pairsFrom(csv, { columns: 'prompt' }), /--columns prompt: FIELD=COLUMN is needed/);
});

test('data sets of the Hub: files, patterns, revisions, the token, the cache of Python, URLs', async () => {
  const csv = (n: number) => new TextEncoder().encode(`prompt\nfrom ${n}\n`);
  const hub = await startHub({
    'data/train-0.csv': csv(0),
    'data/train-1.csv': csv(1),
    'data/test.csv': csv(2),
    'README.md': csv(3),
  });
  try {
    const cacheDir = join(folder, 'hub');
    const options = { endpoint: hub.url, cacheDir, token: 'hf_secret' };
    assert.equal(await readTexts('hf://datasets/owner/name/data/test.csv', options), ['from 2']);
    assert.ok(hub.log.every(({ authorization }) => authorization === 'Bearer hf_secret'));
    assert.equal(readdirSync(cacheDir), ['datasets--owner--name']);
    assert.equal(await readTexts('hf://datasets/owner/name@main/data/train-*.csv', options), [
      'from 0',
      'from 1',
    ]);
    assert.equal(
      await readTexts('https://huggingface.co/datasets/owner/name/blob/main/data/test.csv', options),
      ['from 2'],
    );
    const asked = hub.log.length;
    const offline = { ...options, localFilesOnly: true };
    assert.equal(await readTexts('hf://datasets/owner/name/data/test.csv', offline), ['from 2']);
    assert.is(hub.log.length, asked);
    await throws(
      readTexts('hf://datasets/owner/name/data/train.csv', options),
      /no file "data\/train\.csv"; there are data\/test\.csv, data\/train-0\.csv, data\/train-1\.csv/,
    );
    await throws(
      readTexts('hf://datasets/owner/name', options),
      /a file is needed; there are data\/test\.csv/,
    );
    await throws(
      readTexts('hf://datasets/owner/name/*.parquet', options),
      /no file is "\*\.parquet"; there are/,
    );
    await throws(readTexts('hf://datasets/other/name/a.csv', options), /no repository datasets\/other\/name/);
    await throws(readTexts('hf://owner/name/a.csv', options), /named hf:\/\/datasets\/owner\/name\/file/);
    const url = `${hub.url}/owner/name/resolve/main/data/test.csv`;
    assert.equal(await readTexts(url), ['from 2']);
    await throws(
      readTexts(`${hub.url}/owner/name/resolve/main/data/no.csv`),
      /no\.csv: there is no such file/,
    );
  } finally {
    await hub.close();
  }
});

test.run();
