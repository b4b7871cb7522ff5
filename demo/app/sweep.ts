/**
 * The patching map that is shown: started when the experiment changes, paused, cancelled, turned to the cell
 * under the cursor.
 */

import type { PatchAxis } from '../../interp/patching/cells.js';
import { type Ask, ask, editsIn, frozen } from './ask.js';
import type { Client } from './client.js';
import type { MapState, Site, State } from './state.js';
import type { Store } from './store.js';

/** The axes of each kind of map. */
export const AXES: Readonly<Record<Site, readonly PatchAxis[]>> = {
  resid_pre: ['layer', 'pos'],
  attn_out: ['layer', 'pos'],
  mlp_out: ['layer', 'pos'],
  z: ['layer', 'head'],
};

/** Typing is over when nothing was typed for so long. */
const REST_MS = 300;
/** Finished maps that are kept, so that switching back is instant. */
const KEPT = 12;

/** Runs the map of the state's experiment. */
export class Sweep {
  readonly #store: Store<State>;
  readonly #client: Client;
  readonly #finished = new Map<string, MapState>();
  #running: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(store: Store<State>, client: Client) {
    this.#store = store;
    this.#client = client;
    let last = '';
    store.watch(
      (state) => mapAsk(state).key,
      (key) => {
        this.#stop();
        clearTimeout(this.#timer);
        const kept = key === null ? null : (this.#finished.get(key) ?? null);
        if (store.state.map !== kept) store.set({ map: kept });
        const again = last === '' || last === store.state.prompts?.clean.ids.join(); // only another kind of map
        if (key !== null) last = store.state.prompts!.clean.ids.join();
        if (key !== null && !kept) this.#timer = setTimeout(() => this.start(), again ? 0 : REST_MS);
      },
    );
  }

  /** Starts the map, again if it was there. */
  async start(): Promise<void> {
    this.#stop();
    const { key } = mapAsk(this.#store.state);
    if (key === null) return;
    const of = frozen(this.#store.state);
    const { site, metric, answer, wrong } = of.experiment;
    const own = new AbortController();
    this.#running = own;
    let began = performance.now();
    let map: MapState = {
      ...{
        key,
        of,
        site,
        status: 'running',
        rows: [],
        columns: [],
        values: new Float32Array(),
        preview: null,
      },
      ...{ done: 0, ends: null, ms: 0, first: null, result: null, error: null },
    };
    const change = (next: Partial<MapState>) => {
      if (this.#running !== own) return;
      // Only this method knows the map as it grows; others may have paused it.
      const status = this.#store.state.map?.key === key ? this.#store.state.map.status : map.status;
      map = { ...map, status, ...next };
      this.#store.set({ map });
    };
    try {
      const result = await this.#client.call(
        'patchMap',
        {
          ...{ clean: of.prompts!.clean.ids, corrupted: of.prompts!.corrupted.ids },
          ...{ at: site, by: AXES[site], metric, answer, wrong },
          edits: editsIn(of),
        },
        {
          signal: own.signal,
          onEvent: (event) => {
            if (event.kind === 'plan') {
              began = performance.now();
              const [rows, columns] = event.axes.map((a) => a.labels);
              const values = new Float32Array(event.cells).fill(Number.NaN);
              return change({ status: 'running', rows, columns, values });
            }
            if (event.kind === 'estimates') return change({ preview: event.values });
            for (const [index, value] of event.cells) map.values[index] = value;
            const ms = map.ms + performance.now() - began;
            began = performance.now();
            const done = map.done + event.cells.length;
            change({ done, ends: event.ends, ms, first: map.first ?? { done, ms } });
          },
        },
      );
      change({ status: 'done', result, values: result.values });
      this.#finished.set(key, map);
      if (this.#finished.size > KEPT) this.#finished.delete(this.#finished.keys().next().value!);
    } catch (e) {
      if (!own.signal.aborted) change({ status: 'failed', error: (e as Error).message });
    }
  }

  /** Interrupts the sweep, or goes on. */
  pause(paused: boolean): void {
    const { map } = this.#store.state;
    if (!map || (map.status !== 'running' && map.status !== 'paused')) return;
    this.#store.set({ map: { ...map, status: paused ? 'paused' : 'running' } });
    this.#client.call('steer', { paused });
  }

  /** Ends the sweep; cells that are there stay. */
  cancel(): void {
    const { map } = this.#store.state;
    if (!map || (map.status !== 'running' && map.status !== 'paused')) return;
    this.#stop();
    this.#store.set({ map: { ...map, status: 'cancelled' } });
  }

  /** The cell that is looked at comes first, with its neighbours. */
  look(index: number | null): void {
    if (this.#store.state.map?.status === 'running') this.#client.call('steer', { near: index });
  }

  #stop(): void {
    this.#running?.abort(new DOMException('the sweep was cancelled', 'AbortError'));
    this.#running = null;
  }
}

/** What a map needs: the pair, the answer, and the wrong one where the metric reads it. */
export function mapAsk(state: State): Ask {
  const { site, metric } = state.experiment;
  const answers = metric === 'logit-diff' ? (['answer', 'wrong'] as const) : (['answer'] as const);
  return ask(state, ['pair', ...answers], site, metric);
}
