/** `npx glassbox score`: how probable texts are, or a whole file. */

import { stat } from 'node:fs/promises';
import { columns, csvText } from '../../interp/notebooks/tables.js';
import { toCsv } from '../../interp/results/export.js';
import { exact, visible } from '../../interp/results/text.js';
import { type PerplexityProgress, perplexity } from '../../interp/texts/perplexity.js';
import { scoreTexts } from '../../interp/texts/scoring.js';
import { textLines } from '../../weights/checks/text.js';
import { streamTexts } from '../../weights/data/rows.js';
import { progress, UsageError } from '../cli.js';
import { DATA_FILES, isTable, tableOptions, textsFrom } from '../data.js';
import { troubleWith } from '../write.js';
import type { Command, Invocation, Outcome } from './command.js';
import { plain } from './results.js';

/** The command. */
export const scoreCommand: Command = {
  name: 'score',
  summary: 'how probable texts are, sorted; the perplexity of a file',
  usage: '[FILE]',
  takes: 1,
  about:
    'Scores the lines of a file (or of stdin): −log p of each text in nats, the most probable first; beginnings that texts share are run once. With --file instead, the perplexity of a whole file, however large.',
  options: {
    text: { type: 'string', multiple: true },
    prefix: { type: 'string' },
    file: { type: 'string' },
    column: { type: 'string' },
    window: { type: 'string' },
    stride: { type: 'string' },
    bos: { type: 'boolean' },
  },
  help: `  FILE               a text a line (- is stdin), or a table:
                     ${DATA_FILES}
  --column NAME      the column of the table that has the texts; default: the only one, else text
  --text TEXT        a text; can be given several times, instead of FILE
  --prefix TEXT      goes before every text: "About "
  --file FILE        the perplexity of this file (of a table: of its texts, with an empty line between them); - is stdin
  --window N         for --file: tokens that the model reads at once; default: its context
  --stride N         for --file: new tokens a window; default: as many as fit; fewer give each more context
  --bos              prepend the beginning-of-text token to texts; default: as the model’s tokenizer does (GPT-2’s does not)
`,
  examples: [
    'score names.txt --prefix "About " --csv scores.csv',
    'score --text "The cat sat on the mat." --text "Mat the on sat cat the."',
    'score --model gpt2 --file book.txt --stride 512 --json',
  ],
  forms: ['json', 'csv'],
  async run(x) {
    const [file, texts] = [x.text('file'), x.values.text as readonly string[] | undefined];
    if ([file, texts, x.args[0]].filter((given) => given !== undefined).length > 1)
      throw new UsageError('FILE, --text and --file: give one of them');
    for (const name of file === undefined ? ['window', 'stride'] : ['prefix'])
      if (x.text(name) !== undefined)
        throw new UsageError(`--${name} is for ${file === undefined ? '--file' : 'texts'}`);
    return file === undefined ? scored(x, texts ?? (await linesOf(x))) : perplexityOf(x, file);
  },
};

async function linesOf(x: Invocation): Promise<string[]> {
  const [file] = x.args;
  if (file === undefined)
    throw new UsageError('score needs a FILE with a text a line (- is stdin), --text, or --file');
  if (isTable(file, x.text('column'))) return textsFrom(file, x.text('column'), x.signal);
  const text = await x.file(file);
  return textLines(text).filter((line) => line !== '');
}

async function scored(x: Invocation, texts: readonly string[]): Promise<Outcome> {
  if (!texts.length) throw new Error('there are no texts to score: every line is empty');
  const model = await x.model();
  const prependBos = x.ownBos;
  const scores = await x.step('scoring', (options) =>
    scoreTexts(model, texts, { ...options, prefix: x.text('prefix'), prependBos }),
  );
  const rows = scores.entries.map((e) => [
    visible(e.text).replaceAll('␣', ' '),
    e.score.toFixed(3),
    String(e.perToken.length),
    exact(e.score / Math.max(1, e.perToken.length)),
  ]);
  const entries = scores.entries.map((e) => ({ ...e, perToken: Array.from(e.perToken) }));
  return {
    title: 'Scores of texts',
    lines: () => [
      ...columns([['text', '−log p', 'tokens', 'a token'], ...rows]),
      `beginning-of-text token ${scores.meta.bos ? 'prepended' : 'not prepended'}`,
    ],
    json: () => plain(scores, { entries }),
    csv: () => toCsv(scores),
  };
}

async function perplexityOf(x: Invocation, file: string): Promise<Outcome> {
  const [window, stride] = [x.count('window', undefined, 2), x.count('stride', undefined)];
  const column = x.text('column');
  const table = isTable(file, column);
  const size = file === '-' || table ? 0 : await sizeOf(file);
  const model = await x.model();
  const bar = progress('reading');
  const onProgress = ({ characters }: PerplexityProgress) => bar.update(Math.min(characters, size), size);
  const { prependBos, signal } = x; // a whole file begins a text
  const options = { window, stride, prependBos, onProgress, signal };
  const found = await perplexity(model, table ? documents(x, file, column) : x.stream(file), options).finally(
    () => bar.end(),
  );
  const { tokens, characters, loss } = found;
  return {
    title: 'Perplexity',
    lines: () => [
      `perplexity ${exact(found.perplexity)}, loss ${loss.toFixed(4)} nats a token: ${tokens} tokens, ${characters} characters`,
    ],
    json: () => found,
    csv: () =>
      csvText(
        ['file', 'tokens', 'characters', 'loss', 'perplexity'],
        [[file, tokens, characters, loss, found.perplexity]],
      ),
  };
}

/** The texts of a table as one: an empty line between them. */
async function* documents(x: Invocation, file: string, column: string | undefined): AsyncGenerator<string> {
  const source = file === '-' ? process.stdin : file;
  let first = true;
  for await (const text of streamTexts(source, { ...tableOptions(file, column), signal: x.signal })) {
    yield first ? text : `\n\n${text}`;
    first = false;
  }
}

async function sizeOf(file: string): Promise<number> {
  try {
    const about = await stat(file);
    if (about.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' });
    return about.size;
  } catch (e) {
    throw new Error(troubleWith(file, e as NodeJS.ErrnoException));
  }
}
