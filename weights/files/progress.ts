/**
 * Progress of a load, in the event shape that users of transformers.js know.
 */

/** One step of loading a model. Sizes are bytes; `total` is absent when the server does not say. */
export interface LoadProgress {
  /**
   * `initiate`: a file is about to be looked for; `download`: its first byte is awaited; `progress`: some of
   * it is here; `done`: all of it is here and checked; `ready`: the whole model is; `warning`: see `message`.
   */
  readonly status: 'initiate' | 'download' | 'progress' | 'done' | 'ready' | 'warning';
  /** The model: `gpt2`, `./folder`, ... */
  readonly name: string;
  /** The file within the model; absent for `ready`. */
  readonly file?: string;
  /** 0–100 */
  readonly progress?: number;
  readonly loaded?: number;
  readonly total?: number;
  /** Of a `warning`: what was not done, and why. */
  readonly message?: string;
}

/** Called for every event of a load; must not throw. */
export type OnLoadProgress = (event: LoadProgress) => void;

/**
 * Counts bytes and reports at most about 200 times a file, so that a callback that draws does not slow the
 * load. `total` undefined: every 4 MiB.
 */
export function progressCounter(
  onProgress: OnLoadProgress | undefined,
  { name, file, total, loaded = 0 }: { name: string; file: string; total?: number; loaded?: number },
): { add(bytes: number): void; reset(): void } {
  const step = total === undefined ? 2 ** 22 : total / 200;
  let reported = loaded;
  const report = () => {
    reported = loaded;
    const progress = total ? Math.min(100, (100 * loaded) / total) : undefined;
    onProgress?.({ status: 'progress', name, file, progress, loaded, total });
  };
  return {
    add(bytes) {
      loaded += bytes;
      if (loaded - reported >= step || loaded === total) report();
    },
    reset() {
      loaded = 0;
      report();
    },
  };
}
