/** Something that gives its results one by one, and all of them at the end. */

/** `await` gives the whole result, `for await` the cells as they come; leaving the loop early cancels the rest. */
export type Sweep<Cell, Result> = Promise<Result> & AsyncIterable<Cell>;

/** Starts a generator that yields cells and returns the result. */
export function startSweep<Cell, Result>(cells: AsyncGenerator<Cell, Result>): Sweep<Cell, Result> {
  const seen: Cell[] = [];
  let ended = false;
  let wake = () => {};
  let news = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const announce = () => {
    wake();
    news = new Promise((resolve) => {
      wake = resolve;
    });
  };
  const result = (async () => {
    try {
      for (;;) {
        const step = await cells.next();
        if (step.done) {
          if (step.value === undefined) throw new Error('the sweep was stopped before its end');
          return step.value as Result;
        }
        seen.push(step.value);
        announce();
      }
    } finally {
      ended = true;
      announce();
    }
  })();
  async function* iterate(): AsyncGenerator<Cell, void> {
    result.catch(() => {}); // the loop itself throws
    try {
      for (let i = 0; ; i++) {
        while (i >= seen.length && !ended) await news;
        if (i >= seen.length) break;
        yield seen[i];
      }
      await result;
    } finally {
      if (!ended) {
        await cells.return(undefined as Result);
        await result.catch(() => {});
      }
    }
  }
  return Object.assign(result, { [Symbol.asyncIterator]: iterate });
}
