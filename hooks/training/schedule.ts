/** Learning-rate schedules: the factor on the peak rate, by step. */

import { is, needed, options, signatures } from '../input/check.js';

/** The factor for a step; the first is 0. */
export type Schedule = (step: number) => number;

/** What the schedules have in common. */
export interface ScheduleOptions {
  /** Steps of the whole run. */
  readonly steps: number;
  /** Steps of a linear rise at the beginning, from 1/warmup on. Default 0. */
  readonly warmup?: number;
  /** What the factor ends at. Default 0. */
  readonly end?: number;
}

const scheduleOf =
  ({ steps, warmup = 0, end = 0 }: ScheduleOptions, fall: (share: number) => number): Schedule =>
  (step) => {
    if (step < warmup) return (step + 1) / warmup;
    const share = Math.min(1, (step - warmup) / Math.max(1, steps - warmup));
    return end + (1 - end) * fall(share);
  };

const SCHEDULE = options<ScheduleOptions>({
  steps: needed(is.count),
  warmup: is.whole,
  end: is.notNegative,
});

const takes = signatures({
  cosineSchedule: { options: SCHEDULE },
  linearSchedule: { options: SCHEDULE },
  constantSchedule: { options: options<{ readonly warmup?: number }>({ warmup: is.whole }) },
});

/** Half a cosine down. */
export const cosineSchedule = takes.cosineSchedule(
  (options: ScheduleOptions): Schedule =>
    scheduleOf(options, (share) => 0.5 * (1 + Math.cos(Math.PI * share))),
);

/** A straight line down. */
export const linearSchedule = takes.linearSchedule(
  (options: ScheduleOptions): Schedule => scheduleOf(options, (share) => 1 - share),
);

/** The peak rate throughout, after the warm-up. */
export const constantSchedule = takes.constantSchedule(
  ({ warmup = 0 }: { readonly warmup?: number } = {}): Schedule =>
    scheduleOf({ steps: Number.POSITIVE_INFINITY, warmup, end: 1 }, () => 1),
);
