/** `npx glassbox cache`: which models are on this disk, and one fewer. */

import { createInterface } from 'node:readline/promises';
import { mib } from '../../engine/gpu/pool.js';
import { listCache, type ModelCache } from '../../hooks/transformer/model-cache-node.js';
import { columns, csvText } from '../../interp/notebooks/tables.js';
import { shown } from '../../weights/checks/shown.js';
import {
  type CachedModel,
  findCached,
  type RemovedModel,
  removeCachedModel,
} from '../../weights/hub/cached-models-node.js';
import { UsageError } from '../cli.js';
import type { Command, Outcome } from './command.js';

/** The command. */
export const cacheCommand: Command = {
  name: 'cache',
  summary: 'the models on this disk: revision, size, last use; removes them',
  usage: '',
  takes: 0,
  about:
    'Lists the models in the cache that Python’s huggingface_hub uses too (HF_HOME, HF_HUB_CACHE), and what Glassbox itself unpacked. With --remove it asks, removes a model with all its revisions, and says how much that freed. Data sets, spaces and other programs’ files are neither listed nor touched.',
  options: {
    remove: { type: 'string', multiple: true },
    yes: { type: 'boolean', short: 'y' },
    'cache-dir': { type: 'string' },
  },
  help: `  --remove NAME      a model to remove, as it is listed or by its short name; may be given several times
  --yes, -y          do not ask
  --cache-dir FOLDER the cache
`,
  examples: ['cache', 'cache --remove gpt2', 'cache --remove owner/name --yes', 'cache --json'],
  forms: ['json', 'csv'],
  modelFree: true,
  async run(x) {
    const cacheDir = x.text('cache-dir');
    const cache = await listCache({ cacheDir });
    const names = (x.values.remove as readonly string[] | undefined) ?? [];
    if (!names.length) return listing(cache);
    const doomed = [...new Set(names.map((name) => findCached(cache.models, name)))];
    if (!x.values.yes && !(await confirmed(doomed, x.signal)))
      return {
        title: 'Cache',
        lines: () => ['nothing was removed'],
        json: () => [],
        csv: () => removedCsv([]),
      };
    const removed: RemovedModel[] = [];
    for (const model of doomed) removed.push(await removeCachedModel(model));
    return {
      title: 'Cache',
      lines: () => removed.map((m) => `removed ${shown(m.name)}: ${mib(m.bytes)} freed`),
      json: () => removed,
      csv: () => removedCsv(removed),
    };
  },
};

const removedCsv = (removed: readonly RemovedModel[]): string =>
  csvText(
    ['name', 'bytes'],
    removed.map((m) => [m.name, m.bytes]),
  );

/** Asks on the terminal. @throws UsageError where nobody can be asked. */
async function confirmed(models: readonly CachedModel[], signal: AbortSignal): Promise<boolean> {
  if (!process.stdin.isTTY) throw new UsageError('--remove asks first, and no terminal is here: add --yes');
  const what = models.map((m) => `${shown(m.name)} (${mib(m.bytes)})`).join(', ');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`remove ${what}? [y/N] `, { signal })).trim());
  } finally {
    terminal.close();
  }
}

const HEADS = ['model', 'size', 'last used', 'revisions'] as const;

function listing(cache: ModelCache): Outcome {
  const { folder, models, unpacked } = cache;
  const total = models.reduce((n, m) => n + m.bytes, 0);
  return {
    title: 'Cache',
    lines: () => [
      models.length
        ? `${models.length} model${models.length === 1 ? '' : 's'}, ${mib(total)}, in ${shown(folder, 120)}`
        : `no models in ${shown(folder, 120)}`,
      ...(models.length
        ? columns([
            HEADS,
            ...models.map((m) => [shown(m.name, 60), mib(m.bytes), dayOf(m.lastUsed), revisionsOf(m)]),
          ])
        : []),
      ...models.flatMap(incompleteLine),
      ...(unpacked.length ? ['unpacked by Glassbox itself, and made again when needed:'] : []),
      ...unpacked.map((u) => `  ${shown(u.folder, 120)}  ${mib(u.bytes)}`),
    ],
    json: () => cache,
    csv: () =>
      csvText(
        ['model', 'bytes', 'last_used', 'revisions', 'incomplete_bytes', 'folder'],
        models.map((m) => [
          ...[m.name, m.bytes, m.lastUsed?.toISOString() ?? '', revisionsOf(m)],
          ...[m.incomplete.bytes, m.folder],
        ]),
      ),
  };
}

const dayOf = (date: Date | null): string => date?.toISOString().slice(0, 10) ?? 'never';

const revisionsOf = ({ revisions }: CachedModel): string =>
  revisions
    .map(({ commit, names }) => `${names.map((n) => `${shown(n, 30)} `).join('')}${commit.slice(0, 7)}`)
    .join(', ') || 'none';

function incompleteLine({ name, incomplete, busy }: CachedModel): string[] {
  if (!incomplete.files) return [];
  const what = `${incomplete.files} download${incomplete.files === 1 ? '' : 's'}, ${mib(incomplete.bytes)}`;
  return [
    `${shown(name)}: ${what}, ${busy.length ? 'under way' : 'broken off: the next download goes on there'}`,
  ];
}
