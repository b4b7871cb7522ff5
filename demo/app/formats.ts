/** What the page can load: formats of checkpoints, and formats of numbers on the GPU. A new one is a line. */

/** A format of checkpoints. */
export interface Format {
  readonly name: string;
  readonly endings: RegExp;
  /** Settings and tokenizer stand in the file. */
  readonly whole?: boolean;
}

/** The first one that a repository has is the one that is loaded. */
export const FORMATS: readonly Format[] = [
  { name: 'safetensors', endings: /\.safetensors$/ },
  { name: 'PyTorch', endings: /\.(pth|pt|bin)$/ },
  { name: 'GGUF', endings: /\.gguf$/, whole: true },
];

/** A format of weights on the GPU. */
export interface Dtype {
  readonly name: 'f32' | 'f16' | 'q8' | 'q4';
  readonly about: string;
  /** Bytes a weight. */
  readonly bytes: number;
}

export const DTYPES: readonly Dtype[] = [
  { name: 'f32', about: 'as exact as the numbers of papers; GGUF files as they are', bytes: 4 },
  { name: 'f16', about: 'half the memory, weights rounded', bytes: 2 },
  { name: 'q8', about: 'a quarter of the memory, weights rounded to 8 bits', bytes: 34 / 32 },
  { name: 'q4', about: 'a seventh of the memory, weights rounded to 4 bits', bytes: 18 / 32 },
];

export type DtypeName = Dtype['name'];

/** What a folder or repository holds. */
export interface Contents {
  /** Of the format that would be loaded; null: there is none. */
  readonly format: Format | null;
  /** Of the checkpoint's files; null where a size is not known. */
  readonly bytes: number | null;
  /** What is missing, in sentences. */
  readonly missing: readonly string[];
}

/** Looks through files by path and size. */
export function contentsOf(files: ReadonlyMap<string, number | undefined>): Contents {
  const names = [...files.keys()];
  const format = FORMATS.find(({ endings }) => names.some((n) => endings.test(n))) ?? null;
  const own = format ? names.filter((n) => format.endings.test(n)) : [];
  const sizes = own.map((n) => files.get(n));
  const has = (name: string) => names.some((n) => n.split('/').at(-1) === name);
  const missing = [
    ...(format?.whole || has('config.json') ? [] : ['config.json, which says what kind of model it is']),
    ...(format ? [] : [`weights (${FORMATS.map((f) => f.name).join(' or ')})`]),
    ...(format?.whole || has('tokenizer.json') || has('vocab.json') || has('tokenizer.model')
      ? []
      : ['tokenizer.json, without which text is not read']),
  ];
  const bytes =
    sizes.every((s) => s !== undefined) && own.length ? sizes.reduce((a, b) => a! + b!, 0)! : null;
  return { format, bytes, missing };
}
