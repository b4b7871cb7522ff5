/**
 * Numbers that are none. Tensors are IEEE: NaN and infinity travel through every operation, as in any array
 * library, and a cache shows what it holds. But a result made of them would look like one, so whoever reads
 * numbers for a user asks here first.

/** The first entry that is NaN or infinite, or −1. */
export function firstNotFinite(values: ArrayLike<number>): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

/**
 * Passes numbers through.
 * @param what names entry i: `the metric of prompt 3`
 * @throws when one is NaN or infinite: an Error that names it
 */
export function finite<T extends ArrayLike<number>>(values: T, what: (i: number) => string): T {
  const i = firstNotFinite(values);
  if (i >= 0) throw notFinite(what(i), values[i]);
  return values;
}

/** Says that something is not a number, and how to find out why. */
export const notFinite = (what: string, value: number): Error =>
  new Error(
    `${what} is ${Number.isNaN(value) ? 'not a number (NaN)' : value}: a weight or an activation overflows, or a hook or an intervention made it so. runWithCache keeps activations as they are: the first hook point that is not finite is the cause`,
  );
