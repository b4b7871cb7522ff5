/** What the page of benchmarks and its worker say to each other. */

import type { Report } from '../../scripts/bench/report.js';
import type { Entry } from '../../scripts/bench/section.js';

/** From the page: what is to be measured. To stop, the page ends the worker. */
export interface BenchOrder {
  /** Ids of sections. */
  readonly only: readonly string[];
  /** Key of `SIZES`. */
  readonly size: string;
  readonly rounds: number;
  /** Ids of the other libraries that do the same work. */
  readonly peers: readonly string[];
  /** Smaller samples. */
  readonly quick: boolean;
}

/** From the worker. */
export type BenchNews =
  | { readonly kind: 'adapter'; readonly text: string; readonly peers: Report['peers'] }
  /** A section begins. */
  | { readonly kind: 'section'; readonly id: string }
  | { readonly kind: 'entry'; readonly entry: Entry }
  /** The section could not be finished. */
  | { readonly kind: 'problem'; readonly id: string; readonly message: string }
  | { readonly kind: 'done' };
