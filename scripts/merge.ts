/**
 * `npm run merge -- part-*.jsonl`: joins the records of a sweep's shards, and writes what the sweep would
 * have written on one machine. No model is loaded.
 */

import { parseArgs } from 'node:util';
import { recordLine } from '../hooks/sweep/record/record.js';
import { jsonLines, mergeRecords, recordResult } from '../index.js';
import { modelName } from '../interp/results/text.js';
import { runMain, terminal, UsageError } from './cli.js';
import { deliver, filesOf, makeFolder } from './sweep/output.js';

const HELP = `Joins the records of the shards of one sweep (npm run sweep -- --shard I/N --record FILE).

Usage: npm run merge -- RECORD... [--csv FILE] [--json FILE] [--svg FILE] [--html FILE] [--record FILE] [--no-color]

  RECORD          the shards' records, in any order
  --record FILE   one record of all, which the sweep could go on from
  --csv FILE, --json FILE, --svg FILE, --html FILE
                  what npm run sweep writes under these names
  --no-color      plain text (so does NO_COLOR=1)
  --help

Examples:
  npm run merge -- part-*.jsonl --csv sweep.csv --html sweep.html
`;

await runMain(async () => {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    strict: true,
    options: {
      ...{ csv: text, json: text, svg: text, html: text, record: text },
      'no-color': { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) return void process.stdout.write(HELP);
  if (!positionals.length) throw new UsageError('which records? npm run merge -- part-*.jsonl');
  const records = await Promise.all(
    positionals.map(async (name) => ({ name, lines: await jsonLines(name).read() })),
  );
  const merged = mergeRecords(records);
  const result = recordResult(merged);
  const name = modelName(String(result.meta.model));
  process.stdout.write(
    `${name}: ${positionals.length} records of a sweep with ${merged.header.cells} cells\n`,
  );
  if (values.record !== undefined) {
    makeFolder(values.record);
    const whole = jsonLines(values.record);
    if ((await whole.read()).length)
      throw new UsageError(`--record ${values.record}: there is such a file already`);
    await whole.append([
      recordLine(merged.header),
      recordLine({ runs: merged.runs }),
      ...[...merged.cells].sort(([a], [b]) => a - b).map(([index, value]) => recordLine({ index, value })),
    ]);
  }
  const say = (...lines: readonly string[]) => void process.stdout.write(`${lines.join('\n')}\n`);
  deliver(result, filesOf(values), terminal({ color: !values['no-color'] }), say);
});
