/** What a view is: one file in this folder, one line in index.ts. */

import type { Figure } from '../../interp/plots/drawing.js';
import type { Section } from '../../interp/plots/page.js';
import type { Labelled } from '../../interp/result.js';
import type { App } from '../app/app.js';
import type { Card } from '../ui/card.js';

/** What a reader can take away of a view. Whatever is null now is greyed out. */
export interface Takeaway {
  /** The numbers: CSV, JSON. */
  result(): Labelled | null;
  /** SVG, PNG. */
  figure?(): Figure | null;
  /** For the report; default: the figure's. */
  section?(): Section | null;
  /** TypeScript that computes the same. */
  code?(): string;
  /** A command line that does. */
  command?(): string;
}

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
   * Columns of twelve, on a wide screen: up to 4 it stands in the column at the side, up to 8 in the main one, else below
   * both.
   */
  readonly span: number;
  /** Fills its card and keeps it up to date with the store. */
  mount(card: Card, app: App): Takeaway | null;
}
