/**
 * Programs with a command line of their own, as commands: `glassbox sweep …` is `npm run sweep -- …`. Each is
 * a file in scripts/, loaded when it is named.

/** A program. */
export interface Program {
  readonly name: string;
  /** For the list of commands. */
  readonly summary: string;
  /** Runs it: it reads `process.argv`. */
  readonly load: () => Promise<unknown>;
}

/** All there are, in the order of the help. */
export const programs: readonly Program[] = [
  {
    name: 'start',
    summary: 'a first look: predictions, lens, attention and patching of a sentence',
    load: () => import('../start.js'),
  },
  {
    name: 'sweep',
    summary: 'counterfactual runs over any axes of a hook point, with a record and shards',
    load: () => import('../sweep.js'),
  },
  { name: 'merge', summary: 'joins the records of a sweep’s shards', load: () => import('../merge.js') },
  {
    name: 'convert',
    summary: 'writes any model that loads as safetensors, and checks it',
    load: () => import('../convert.js'),
  },
  {
    name: 'bench',
    summary: 'how fast this adapter is, and how much of it is used',
    load: () => import('../bench.js'),
  },
  {
    name: 'toys',
    summary: 'trains a small model that learns in minutes, measured on the way',
    load: () => import('../toys.js'),
  },
  {
    name: 'train:tiny',
    summary: 'trains the shipped model from nothing',
    load: () => import('../train-tiny.js'),
  },
];

/** Runs a program with the words behind its name. */
export async function runProgram({ load }: Program, args: readonly string[]): Promise<void> {
  process.argv = [...process.argv.slice(0, 2), ...args];
  await load();
}
