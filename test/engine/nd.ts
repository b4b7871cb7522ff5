/** Arrays of float64 on the host, in plain loops: what operations on tensors are held against. */

/** Numbers in row-major order. */
export interface Nd {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

export const size = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);
export const strides = (shape: readonly number[]): number[] => shape.map((_, i) => size(shape.slice(i + 1)));

/** An array whose entries f gives by their indices. */
export function build(shape: readonly number[], f: (at: number[]) => number): Nd {
  const by = strides(shape);
  const data = Array.from({ length: size(shape) }, (_, i) =>
    f(shape.map((d, a) => Math.floor(i / by[a]) % d)),
  );
  return { shape, data };
}

/** The entry at some indices; axes of length 1 repeat, axes in front may be left out. */
export function get({ shape, data }: Nd, at: readonly number[]): number {
  const own = at.slice(at.length - shape.length);
  return data[strides(shape).reduce((n, s, i) => n + (shape[i] === 1 ? 0 : own[i] * s), 0)];
}

export function broadcast(...shapes: (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, i) => Math.max(...shapes.map((s) => s[i - rank + s.length] ?? 1)));
}

/** Element by element. */
export const map = (f: (...x: number[]) => number, ...all: Nd[]): Nd =>
  build(broadcast(...all.map((a) => a.shape)), (at) => f(...all.map((a) => get(a, at))));

/** Without some axes (all where none are named), or with length 1 there. */
export function reduce(a: Nd, axes: readonly number[] | null, keep: boolean, f: (x: number[]) => number): Nd {
  const gone = (axes ?? a.shape.map((_, i) => i)).map((i) => (i < 0 ? i + a.shape.length : i));
  const lists = new Map<number, number[]>();
  const outShape = a.shape.map((d, i) => (gone.includes(i) ? 1 : d));
  const by = strides(outShape);
  const order = strides(a.shape);
  a.data.forEach((x, i) => {
    const key = a.shape.reduce(
      (n, d, axis) => n + (gone.includes(axis) ? 0 : (Math.floor(i / order[axis]) % d) * by[axis]),
      0,
    );
    lists.set(key, [...(lists.get(key) ?? []), x]);
  });
  const data = Array.from({ length: size(outShape) }, (_, i) => f(lists.get(i)!));
  return { shape: a.shape.flatMap((d, i) => (gone.includes(i) ? (keep ? [1] : []) : [d])), data };
}

/** Lines along an axis made new, of any length. */
export function along(a: Nd, axis: number, f: (x: number[]) => number[]): Nd {
  const at = axis < 0 ? axis + a.shape.length : axis;
  const line = (i: number[]) =>
    Array.from({ length: a.shape[at] }, (_, k) =>
      get(
        a,
        i.map((x, j) => (j === at ? k : x)),
      ),
    );
  const n = f(line(a.shape.map(() => 0))).length;
  return build(
    a.shape.map((d, i) => (i === at ? n : d)),
    (i) => f(line(i))[i[at]],
  );
}

/** Σ over every index that the result has not, straight from the definition. */
export function einsum(inputs: readonly string[], output: string, all: readonly Nd[]): Nd {
  const lengths = new Map<string, number>();
  for (const [j, term] of inputs.entries())
    for (const [i, c] of [...term].entries()) lengths.set(c, Math.max(lengths.get(c) ?? 1, all[j].shape[i]));
  const summed = [...lengths.keys()].filter((c) => !output.includes(c));
  const over = build(
    summed.map((c) => lengths.get(c)!),
    () => 0,
  );
  const by = strides(over.shape);
  return build(
    [...output].map((c) => lengths.get(c)!),
    (at) => {
      let sum = 0;
      for (let s = 0; s < size(over.shape); s++) {
        const index = new Map([...output].map((c, i) => [c, at[i]]));
        for (const [i, c] of summed.entries()) index.set(c, Math.floor(s / by[i]) % over.shape[i]);
        sum += all.reduce(
          (p, a, j) =>
            p *
            get(
              a,
              [...inputs[j]].map((c) => index.get(c)!),
            ),
          1,
        );
      }
      return sum;
    },
  );
}
