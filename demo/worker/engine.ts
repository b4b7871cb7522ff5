/** The model that the worker holds, and whose turn it is on the GPU. */

import type { HookedTransformer } from '../../hooks/transformer/model.js';
import type { Edits } from '../app/changes.js';

/** What waits for the GPU. */
interface Waiting {
  start(): void;
}

/** One model, one run at a time. */
export class Engine {
  #model: HookedTransformer | null = null;
  #changed: {
    readonly of: HookedTransformer;
    readonly key: string;
    readonly model: HookedTransformer;
  } | null = null;
  #busy = false;
  readonly #urgent: Waiting[] = [];
  readonly #patient: Waiting[] = [];

  /** @throws while no model is loaded. */
  get model(): HookedTransformer {
    if (!this.#model) throw new Error('no model is loaded: choose one');
    return this.#model;
  }

  /** The model, or null. */
  get current(): HookedTransformer | null {
    return this.#model;
  }

  /**
   * The model with what the reader changes in it. It lives until other changes, or another model, are asked
   * for.
   */
  changed(edits: Edits): HookedTransformer {
    const { model } = this;
    if (!edits.interventions.length) return model;
    const key = JSON.stringify(edits);
    if (this.#changed?.of === model && this.#changed.key === key) return this.#changed.model;
    this.#changed?.model.dispose();
    this.#changed = { of: model, key, model: model.with(edits) };
    return this.#changed.model;
  }

  /** Puts another model in; the one before gives its memory back. */
  replace(model: HookedTransformer | null): void {
    this.#changed?.model.dispose();
    this.#changed = null;
    this.#model?.dispose();
    this.#model = model;
  }

  /**
   * Runs `f` when the GPU is free. Sweeps take a turn for each part and are patient: what a reader has just
   * asked for goes in between, one request to one part.
   */
  async turn<T>(f: () => Promise<T>, { patient = false } = {}): Promise<T> {
    if (this.#busy)
      await new Promise<void>((start) => (patient ? this.#patient : this.#urgent).push({ start }));
    this.#busy = true;
    try {
      return await f();
    } finally {
      const [first, second] = patient ? [this.#urgent, this.#patient] : [this.#patient, this.#urgent];
      const next = first.shift() ?? second.shift();
      if (next) next.start();
      else this.#busy = false;
    }
  }
}
