/** What a notebook may be told, and what it says that it is going to run. */

import type { RecordStore } from '../../hooks/sweep/record/record.js';
import type { Fact } from '../tracing/facts.js';
import type { PromptPair } from './pairs.js';

/** A number, or a word, that a notebook may be told. */
export interface Setting {
  /** Without it. */
  readonly usual: number | string;
  /** In a quick run. Default `usual`. */
  readonly quick?: number | string;
  /** For the shipped model of four layers. Default `usual`. */
  readonly tiny?: number | string;
  /** A line of the help. */
  readonly help: string;
}

/** A part of what a notebook is going to do. */
export interface PlanStep {
  readonly what: string;
  /** Forward passes, and how many tokens each has. A backward pass counts as two. */
  readonly runs: number;
  readonly tokens: number;
}

/** What a researcher brings along instead of a notebook's own prompts. */
export interface NotebookInputs {
  readonly pairs?: readonly PromptPair[];
  readonly names?: readonly string[];
  /** Texts with `{}` where the name goes. */
  readonly templates?: readonly string[];
  readonly facts?: readonly Fact[];
  readonly prompt?: string;
  readonly subject?: string;
  readonly answer?: string;
}

/** Options of `runNotebook`. */
export interface NotebookOptions {
  /** Prompts, names and templates in place of the notebook's own. */
  readonly inputs?: NotebookInputs;
  /** Values of its settings, by name. */
  readonly settings?: Readonly<Record<string, number | string>>;
  /** A small version: fewer prompts, names and samples. Default false. */
  readonly quick?: boolean;
  /** A store for each long step, by its name: a run that was stopped goes on from there. */
  readonly record?: (step: string) => RecordStore;
  /** Steps with how much of them is done. */
  readonly onProgress?: (step: string, done: number, total: number) => void;
  /** Every step once it is over. */
  readonly onStep?: (step: string) => void;
  readonly signal?: AbortSignal;
}

/** Options of something long, as a step hands them on. */
export interface StepOptions {
  readonly onProgress: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
  /** Where the step is recorded and the run records. */
  readonly record?: RecordStore;
}
