/** `npx glassbox doctor`: can numbers be trusted on this machine, and how fast is it? */

import { listAdapters } from '../../engine/gpu/adapter.js';
import { mib } from '../../engine/gpu/pool.js';
import { vulkanDrivers } from '../../engine/gpu/vulkan-node.js';
import { modelName, percent } from '../../interp/results/text.js';
import { families } from '../../kernels/index.js';
import { UsageError, version } from '../cli.js';
import {
  clockInWords,
  type Examination,
  examineKernels,
  examineModel,
  measureSpeed,
} from '../doctor/examine.js';
import { readAdapter } from '../load.js';
import { wrap } from '../start/print.js';
import type { Command } from './command.js';

/** Failures that are listed. */
const LISTED = 8;

/** The command. */
export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'checks this machine: the adapter, its speed, and whether its numbers can be trusted',
  usage: '',
  takes: 0,
  about:
    'Examines the adapter: its limits and speed; every kernel against a float64 reference; the shipped model against what it computes in float64. Says in one sentence whether numbers can be trusted here; exit code 1 if not. Takes about 20 s on two CPU cores without a GPU.',
  options: { only: { type: 'string' } },
  help: [
    '  --only A,B         check only these families of kernels:',
    ...wrap(families.map((f) => f.name).join(', '), 90).map((line) => `                     ${line}`),
  ].join('\n'),
  examples: ['doctor', 'doctor --adapter software', 'doctor --json doctor.json'],
  forms: ['json'],
  modelFree: true,
  async run(x) {
    const adapter = readAdapter(x.text('adapter'));
    const only = x.text('only')?.split(',') ?? null;
    const unknown = only?.find((name) => !families.some((f) => f.name === name));
    if (unknown !== undefined)
      throw new UsageError(`--only ${unknown}: there are ${families.map((f) => f.name).join(', ')}`);
    const model = await x.model();
    const { gpu } = model;
    const speed = await measureSpeed(gpu, model);
    const kernels = await x.step('checking kernels', (o) => examineKernels(adapter, only, o));
    const shipped = await x.step('checking the shipped model', (o) => examineModel(adapter, o));
    const { caps, maxBindingBytes, maxBufferBytes, text } = gpu.adapter;
    const { trusted, sentence } = verdict(kernels, shipped, only);
    const adapters = await listAdapters();
    const refused = process.platform === 'linux' ? vulkanDrivers().refused : [];
    return {
      title: 'Doctor',
      failed: !trusted,
      json: () => ({
        glassbox: version(),
        node: process.version,
        platform: `${process.platform} ${process.arch}`,
        adapter: text,
        adapters,
        refusedDrivers: refused,
        limits: { maxBindingBytes, maxBufferBytes, ...caps },
        ...{ speed, kernels, model: shipped, trusted, sentence },
      }),
      lines: ({ width }) => [
        text,
        ...adapters.map((a) => `--adapter ${a.index}: ${a.name} (${a.kind})`),
        ...refused.map(({ file, why }) => `not used: ${file}: ${why}`),
        `buffers up to ${mib(maxBufferBytes)}, bindings up to ${mib(maxBindingBytes)}; workgroups of up to ${caps.maxInvocations} threads with ${caps.maxWorkgroupStorage / 1024} KiB`,
        `${speed.gflops.toFixed(1)} GFLOPS of multiply-adds, ${speed.gigabytesPerSecond.toFixed(1)} GB/s copied, ${speed.forwardMs.toFixed(2)} ms for a forward pass of ${modelName(model.config.name)} over 15 tokens (${clockInWords(speed.clock)})`,
        ...summary('kernels', kernels),
        ...summary('the shipped model', shipped),
        '',
        ...wrap(sentence, width),
      ],
    };
  },
};

const summary = (what: string, { checks, worst, worstOf, failures }: Examination): string[] => [
  `${what}: ${checks - failures.length} of ${checks} checks pass${checks ? `; the worst error is ${percent(worst)} of what is allowed (${worstOf})` : ''}`,
  ...failures.slice(0, LISTED).map((f) => `  FAILS  ${f.what}: ${f.why}`),
  ...(failures.length > LISTED ? [`  … and ${failures.length - LISTED} more`] : []),
];

/** Whether numbers can be trusted, and one sentence that says it. */
export function verdict(
  kernels: Examination,
  shipped: Examination,
  only: readonly string[] | null = null,
): { trusted: boolean; sentence: string } {
  const failed = [
    ...(kernels.failures.length
      ? [`${kernels.failures.length} of ${kernels.checks} kernel checks fail`]
      : []),
    ...(shipped.failures.length
      ? [`the shipped model is off in ${shipped.failures.length} of ${shipped.checks} numbers`]
      : []),
  ];
  const trusted = !failed.length;
  const sentence = trusted
    ? `Numbers can be trusted here: ${only ? `the kernels of ${only.join(', ')}` : 'all kernels'} agree with their references, and the shipped model with float64.`
    : `Numbers CANNOT be trusted here: ${failed.join(', and ')}; try --adapter software, and report this with the output of --json.`;
  return { trusted, sentence };
}
