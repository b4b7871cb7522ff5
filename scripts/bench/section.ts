/** What a benchmark is made of: sections, each of which yields entries as it goes; and what they share. */

import type { Gpu } from '../../engine/gpu/gpu.js';
import type { HookedTransformer } from '../../hooks/transformer/model.js';
import { type Candidate, type Clock, measure, medianMs, type Sample } from './measure.js';
import { loadRandom, type RandomModel, randomModel, type Size } from './model.js';
import type { Peer } from './peers/peer.js';

/** A line of a section's table, and the numbers behind it. */
export interface Entry {
  readonly section: string;
  readonly name: string;
  /** By column key; units are the column's. */
  readonly figures: Readonly<Record<string, number>>;
  readonly texts?: Readonly<Record<string, string>>;
  /** Of each candidate, both clocks, round by round. */
  readonly samples?: Readonly<Record<string, readonly Sample[]>>;
  /** Peers that could not do this, and what they said. */
  readonly failures?: Readonly<Record<string, string>>;
}

/** A column of a section's table: a figure or a text of its entries. */
export interface Column {
  readonly key: string;
  readonly label: string;
  readonly digits?: number;
  /** Put behind the number: ` %`, `×`. */
  readonly unit?: string;
}

/** One part of the benchmark. */
export interface Section {
  readonly id: string;
  readonly title: string;
  /** What exactly is measured. */
  readonly about: string;
  columns(peers: readonly { readonly id: string; readonly name: string }[]): readonly Column[];
  run(b: Bench): AsyncGenerator<Entry>;
}

/** Settings of a benchmark. */
export interface BenchSettings {
  /** Of adapter choice 'auto': the one that models are loaded on. */
  readonly gpu: Gpu;
  /** Of the random model. */
  readonly size: Size;
  /** Lengths of prompts. */
  readonly tokens: readonly number[];
  readonly rounds: number;
  /** See `measure`. */
  readonly minMs: number;
  /** Most milliseconds that one slow candidate may take for its rounds. */
  readonly budgetMs: number;
  readonly clock: Clock;
  readonly cpuMs?: () => number;
  readonly peers: readonly Peer[];
  /** Fewer and smaller samples where a section takes long. */
  readonly quick: boolean;
  readonly signal?: AbortSignal;
}

/** A benchmark while it runs. */
export class Bench {
  readonly settings: BenchSettings;
  /** Of this adapter, once measured: multiply-adds in GFLOPS, a copy in GB/s. */
  ceilings: { readonly gflops: number; readonly gbs: number } | null = null;
  #model: Promise<HookedTransformer> | null = null;
  #random: RandomModel | null = null;

  constructor(settings: BenchSettings) {
    this.settings = settings;
  }

  get gpu(): Gpu {
    return this.settings.gpu;
  }

  /** Samples of candidates; `more` in place of the settings. */
  measure(candidates: readonly Candidate[], more: Partial<BenchSettings> = {}): Promise<Sample[][]> {
    return measure(candidates, { ...this.settings, ...more });
  }

  ms(samples: readonly Sample[]): number {
    return medianMs(samples, this.settings.clock);
  }

  /** The random model on the host, made once. */
  random(): RandomModel {
    return (this.#random ??= randomModel(this.settings.size));
  }

  /** The random model on the GPU, loaded once. */
  model(): Promise<HookedTransformer> {
    return (this.#model ??= loadRandom(this.random()));
  }

  async dispose(): Promise<void> {
    (await this.#model)?.dispose();
    this.#model = null;
  }
}
