/** Measures in a worker, section by section: the same code as `npm run bench`. */

import { registerWebGpu } from '../../engine/gpu/adapter-web.js';
import { Gpu } from '../../engine/gpu/gpu.js';
import type { Peer } from '../../scripts/bench/peers/peer.js';
import { Bench } from '../../scripts/bench/section.js';
import { sections } from '../../scripts/bench/sections.js';
import type { BenchNews, BenchOrder } from './protocol.js';
import { SIZES } from './sizes.js';

registerWebGpu();

/** Other libraries, fetched when they are asked for. */
const PEERS: Readonly<Record<string, () => Promise<Peer>>> = {
  jax: async () => (await import('../../scripts/bench/peers/jax.js')).openJax(),
  tfjs: async () => (await import('../../scripts/bench/peers/tfjs.js')).openTfjs(),
};

const scope = globalThis as unknown as {
  postMessage(message: BenchNews): void;
  onmessage: ((event: MessageEvent<BenchOrder>) => void) | null;
};

scope.onmessage = async ({ data: { only, size, rounds, quick, peers: wanted } }) => {
  const say = (news: BenchNews) => scope.postMessage(news);
  let id = '';
  try {
    const gpu = await Gpu.open();
    const peers: Peer[] = [];
    for (const id of wanted) peers.push(await PEERS[id]());
    const names = peers.map(({ id, name, version }) => ({ id, name, version }));
    say({ kind: 'adapter', text: gpu.adapter.text, peers: names });
    const bench = new Bench({
      ...{ gpu, rounds, quick, size: SIZES[size].size, peers, clock: 'wall' },
      tokens: quick ? [1, 15] : [1, 15, 120],
      minMs: quick ? 30 : 60,
      budgetMs: quick ? 5_000 : 30_000,
    });
    for (const section of sections.filter((s) => only.includes(s.id))) {
      id = section.id;
      say({ kind: 'section', id });
      try {
        for await (const entry of section.run(bench)) say({ kind: 'entry', entry });
      } catch (e) {
        say({ kind: 'problem', id, message: (e as Error).message });
      }
    }
    await bench.dispose();
    gpu.destroy();
    say({ kind: 'done' });
  } catch (e) {
    say({ kind: 'problem', id, message: (e as Error).message });
    say({ kind: 'done' });
  }
};
