/** `npx glassbox download`: models into the cache, so that they load without a network. */

import { mib } from '../../engine/gpu/pool.js';
import { openPretrained, planModel } from '../../hooks/transformer/load.js';
import { type ModelPlan, planLines } from '../../hooks/transformer/plan.js';
import { csvText } from '../../interp/notebooks/tables.js';
import { modelName } from '../../interp/results/text.js';
import type { LoadProgress } from '../../weights/files/progress.js';
import { progress, UsageError } from '../cli.js';
import { readAdapter } from '../load.js';
import type { Command } from './command.js';

/** What is said of a model. */
interface Entry {
  readonly model: string;
  readonly layers: number;
  readonly heads: number;
  readonly dModel: number;
  readonly parameters: number;
  readonly file: string;
}

/** The command. */
export const downloadCommand: Command = {
  name: 'download',
  summary: 'models of the Hugging Face Hub into the cache',
  usage: 'MODEL …',
  takes: Infinity,
  about:
    'Downloads models into the cache that Python’s huggingface_hub uses too (HF_HOME, HF_HUB_CACHE), and checks what came. Broken downloads go on where they stopped. HF_ENDPOINT names a mirror, HF_TOKEN opens gated models.',
  options: {
    revision: { type: 'string' },
    'cache-dir': { type: 'string' },
    plan: { type: 'boolean' },
    memory: { type: 'string' },
  },
  help: `  --revision NAME    branch, tag or commit; default main
  --cache-dir FOLDER the cache
  --plan             download the settings only, and say what the model takes in every dtype, and which fits
  --memory GIB       with --plan: memory that weights may take (default: what is free, where the adapter is the CPU)
`,
  examples: [
    'download gpt2',
    'download gpt2-medium distilgpt2',
    'download owner/name --revision v1.0 --json',
    'download gpt2-xl --plan --memory 4',
  ],
  forms: ['json', 'csv'],
  modelFree: true,
  async run(x) {
    if (!x.args.length) throw new UsageError('download needs the name of a MODEL, e.g. gpt2');
    const [revision, cacheDir] = [x.text('revision'), x.text('cache-dir')];
    if (x.values.plan) {
      const memory = x.text('memory') === undefined ? undefined : 2 ** 30 * Number(x.text('memory'));
      if (memory !== undefined && !(memory > 0))
        throw new UsageError(`--memory ${x.text('memory')}: a number of GiB is needed`);
      const adapter = readAdapter(x.text('adapter'));
      const plans: ModelPlan[] = [];
      for (const model of x.args)
        plans.push(await planModel(model, { revision, cacheDir, adapter, memory, signal: x.signal }));
      const rows = plans.flatMap(({ model, dtypes }) => dtypes.map((d) => ({ model, ...d })));
      return {
        title: 'What fits',
        lines: () => plans.flatMap(planLines),
        json: () => plans,
        csv: () =>
          csvText(
            Object.keys(rows[0]),
            rows.map((row) => Object.values(row).map((value) => String(value ?? ''))),
          ),
      };
    }
    const entries: Entry[] = [];
    for (const model of x.args) {
      const bar = progress(`downloading ${modelName(model)}`);
      const onProgress = ({ loaded, total }: LoadProgress) => {
        if (loaded !== undefined && total) bar.update(loaded, total);
      };
      const options = { revision, cacheDir, onProgress, signal: x.signal };
      const { config, tensors } = await openPretrained(model, options).finally(() => bar.end());
      const names = tensors.names();
      const parameters = names.reduce((n, t) => n + tensors.shape(t)!.reduce((a, b) => a * b, 1), 0);
      const { nLayers: layers, nHeads: heads, dModel } = config;
      entries.push({ model, layers, heads, dModel, parameters, file: tensors.file(names[0]) });
    }
    return {
      title: 'Downloads',
      lines: () =>
        entries.map(
          (e) =>
            `${e.model}: ${e.layers} layers × ${e.heads} heads, ${(e.parameters / 1e6).toFixed(1)} million numbers (${mib(4 * e.parameters)} on the GPU), in ${e.file}`,
        ),
      json: () => entries,
      csv: () =>
        csvText(
          Object.keys(entries[0]),
          entries.map((e) => Object.values(e)),
        ),
    };
  },
};
