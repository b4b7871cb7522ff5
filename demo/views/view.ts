/** What a view is: one file in this folder, one line in index.ts. */

import type { Figure } from '../../interp/figures/draw/drawing.js';
import type { Section } from '../../interp/figures/page/page.js';
import type { LabelledData } from '../../interp/results/result.js';
import type { App } from '../app/app.js';
import type { Depends } from '../app/captions.js';
import type { Resource } from '../app/resource.js';
import type { Asked, Found } from '../app/state.js';
import type { Card } from '../ui/card.js';

/** What a reader can take away of a view: all of it of one experiment, the one that the view shows. */
export interface Taken {
  readonly of: Asked;
  /** What of the experiment it depends on, for captions. */
  readonly depends: Depends;
  /** In file names: what tells it from others of the view. */
  readonly detail?: string;
  /** The numbers: CSV, JSON. */
  readonly result: LabelledData;
  /** Further numbers of the view, in JSON. */
  readonly also?: Readonly<Record<string, LabelledData>>;
  /** SVG, PNG. */
  figure?(): Figure;
  /** For the report; default: the figure's. Null: nothing. */
  section?(): Section | null;
  /** TypeScript that computes the same. */
  code(): string;
  /** A command line that does. */
  command?(): string;
}

/** What can be taken away now, or a sentence that says why nothing can. */
export type Takeaway = () => Taken | string;

/** Said of numbers that are not there yet. */
export const BEING_COMPUTED = 'Being computed: there is nothing to take away yet.';

/** What can be taken away of a resource's result. */
export function takeaway<T>(resource: Resource<T>, taken: (found: Found<T>) => Taken | string): Takeaway {
  return () => {
    if (!resource.fresh) return BEING_COMPUTED;
    const { found, why } = resource.state;
    return found ? taken(found) : (why ?? BEING_COMPUTED);
  };
}

/** A way to take something away. */
export type TakeForm = 'svg' | 'png' | 'pdf' | 'csv' | 'json' | 'code' | 'command';

/** A view on the experiment. */
export interface View {
  /** Of its card on the page, and of its files. */
  readonly id: string;
  readonly title: string;
  /** In the top bar, where there is little room. */
  readonly nav: string;
  /** A sentence or two for those who see it for the first time. */
  readonly about: string;
  /**
   * Columns of twelve, on a wide screen: up to 4 it stands in the column at the side, up to 8 in the main
   * one, else below both.
   */
  readonly span: number;
  /** It may well be empty: a report does not say that it is missing. */
  readonly optional?: boolean;
  /** What its menu offers. */
  readonly takes: readonly TakeForm[];
  /** Fills its card and keeps it up to date with the store. */
  mount(card: Card, app: App): Takeaway;
}
