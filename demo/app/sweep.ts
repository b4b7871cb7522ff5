/** The patching map that is shown: started when the experiment changes, paused, cancelled, turned to the cell under the cursor. */

import type { PatchAxis } from '../../interp/cells.js';
import type { Client } from './client.js';
import { experimentKey, type MapState, type Site, type State } from './state.js';
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
    store.watch(mapKey, (key) => {
      this.cancel(); // of another experiment
      this.#stop();
      clearTimeout(this.#timer);
      if (key === null) return;
      const kept = this.#finished.get(key);
      if (kept) return store.set({ map: kept });
      const again = store.state.map?.of.split('\n')[0] === key.split('\n')[0]; // only another kind of map
      this.#timer = setTimeout(() => this.start(), again || !store.state.map ? 0 : REST_MS);
    });
  }

  /** Starts the map, again if it was there. */
  async start(): Promise<void> {
    this.#stop();
    const { state } = this.#store;
    const of = mapKey(state);
    if (of === null || !state.prompts) return;
    const { site, metric, answer, wrong } = state.experiment;
    const own = new AbortController();
    this.#running = own;
    let began = performance.now();
    let map: MapState = {
      ...{ of, site, status: 'running', rows: [], columns: [], values: new Float32Array(), preview: null },
      ...{ done: 0, ends: null, ms: 0, first: null, result: null, error: null },
    };
    const change = (next: Partial<MapState>) => {
      if (this.#running !== own) return;
      // Only this method knows the map as it grows; others may have paused it.
      const status = this.#store.state.map?.of === of ? this.#store.state.map.status : map.status;
      map = { ...map, status, ...next };
      this.#store.set({ map });
    };
    try {
      const result = await this.#client.call(
        'patchMap',
        {
          ...{ clean: state.prompts.clean.ids, corrupted: state.prompts.corrupted.ids },
          ...{ at: site, by: AXES[site], metric, answer, wrong },
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
      this.#finished.set(of, map);
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

/** Tells maps apart. Null: none can be computed. */
export function mapKey(state: State): string | null {
  const key = experimentKey(state);
  return key && `${key}\n${state.experiment.site}\n${state.experiment.metric}`;
}
