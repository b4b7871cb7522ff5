/**
 * `npm run bench`: how fast this adapter is, and how much of that Glassbox gets out of it.
 *
 * A model of GPT-2 small's size with random weights: its kernels against the adapter's ceilings, its matrix
 * products and forward pass against other libraries on the same adapter, experiments against the loop of
 * whole runs; interleaved in rounds, medians, ratios round by round. Results are compared, too: a fast wrong
 * answer is an error.
 */

import { parseArgs } from 'node:util';
import { Gpu } from '../engine/gpu/gpu.js';
import '../index.js';
import { cores, cpuMs } from './bench/cpu-node.js';
import { SMALL } from './bench/model.js';
import { openJax } from './bench/peers/jax.js';
import { ORT_HINT, openOrt } from './bench/peers/ort-node.js';
import type { Peer } from './bench/peers/peer.js';
import { openTfjs } from './bench/peers/tfjs.js';
import { type Report, tableOf, tableText } from './bench/report.js';
import { Bench, type Entry } from './bench/section.js';
import { sections } from './bench/sections.js';
import { runMain, UsageError } from './cli.js';
import { writeWhole } from './write.js';

const HELP = `Usage: npm run bench -- [options]

  --only a,b           of: ${sections.map((s) => s.id).join(', ')} (default: all)
  --tokens 1,15,120    lengths of prompts
  --rounds 5           interleaved rounds; the figures are medians
  --peers a,b          of: jax, tfjs, ort (default: all that are installed); none
  --clock cpu|wall     cpu: CPU time / cores, immune to other programs; default on software adapters, which run inside
                       this process. wall: elapsed time; default on real GPUs
  --quick              a few minutes: prompts of 1 and 15 tokens, 3 rounds, smaller samples
  --json file          write everything measured, both clocks, round by round

${ORT_HINT}
GLASSBOX_ADAPTER=hardware|software|opengles chooses the adapter.`;

const PEERS = ['jax', 'tfjs', 'ort'] as const;

await runMain(async (signal) => {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', short: 'h' },
      only: { type: 'string' },
      tokens: { type: 'string' },
      rounds: { type: 'string' },
      peers: { type: 'string', default: PEERS.join(',') },
      clock: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
    },
  });
  if (values.help) return console.log(HELP);
  const { quick } = values;
  const ids = sections.map((s) => s.id);
  const only = oneOf('--only', ids, values.only ?? ids.join(','));
  const wanted = values.peers === 'none' ? [] : oneOf('--peers', PEERS, values.peers);
  const tokens = (values.tokens ?? (quick ? '1,15' : '1,15,120'))
    .split(',')
    .map((t) => positive('--tokens', t));
  const rounds = positive('--rounds', values.rounds ?? (quick ? '3' : '5'));

  const gpu = await Gpu.open();
  const software = gpu.caps.adapterClass === 'software';
  const clock = values.clock ?? (software ? 'cpu' : 'wall');
  if (clock !== 'cpu' && clock !== 'wall') throw new UsageError(`--clock ${clock}: must be cpu or wall`);
  console.log(gpu.adapter.text);
  const of = clock === 'cpu' ? `CPU time / ${cores} cores` : 'elapsed time';
  console.log(`medians of ${rounds} interleaved rounds; ${of}`);
  const contests = only.some((id) => id === 'products' || id === 'forward');
  const peers = contests ? await openPeers(wanted, software) : [];
  console.log();

  const bench = new Bench({
    gpu,
    size: SMALL,
    tokens,
    rounds,
    minMs: quick ? 30 : 60,
    budgetMs: quick ? 5_000 : 30_000,
    clock,
    cpuMs,
    peers,
    quick,
    signal,
  });
  const entries: Entry[] = [];
  const about = {
    adapter: gpu.adapter.text,
    date: new Date().toISOString(),
    platform: `Node ${process.version.slice(1)}, ${process.platform} ${process.arch}, ${cores} cores`,
    clock,
    rounds,
    peers: peers.map(({ id, name, version }) => ({ id, name, version })),
  } as const;
  for (const section of sections.filter((s) => only.includes(s.id))) {
    for await (const entry of section.run(bench)) {
      entries.push(entry);
      process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${entry.section}: ${entry.name}` : '');
    }
    if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    console.log(`${tableText(tableOf(section, { ...about, entries }))}\n`);
    const report: Report = { ...about, entries };
    if (values.json) writeWhole(values.json, `${JSON.stringify(report, null, 1)}\n`);
  }
  await bench.dispose();
  gpu.destroy();
});

async function openPeers(wanted: readonly string[], software: boolean): Promise<Peer[]> {
  const peers: Peer[] = [];
  if (wanted.includes('jax')) peers.push(await openJax());
  if (wanted.includes('tfjs')) peers.push(await openTfjs());
  if (wanted.includes('ort')) {
    const ort = await openOrt({ software });
    if (ort) peers.push(ort);
    else console.log(ORT_HINT);
  }
  if (peers.length) console.log(`against ${peers.map((p) => `${p.name} ${p.version}`).join(', ')}`);
  return peers;
}

function oneOf(option: string, all: readonly string[], list: string): string[] {
  const chosen = list.split(',');
  for (const name of chosen)
    if (!all.includes(name)) throw new UsageError(`${option} ${name}: must be of ${all.join(', ')}`);
  return chosen;
}

function positive(option: string, text: string): number {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) throw new UsageError(`${option} ${text}: must be a positive integer`);
  return n;
}
