/** What a notebook may be told, and what it says that it is going to run. */

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
