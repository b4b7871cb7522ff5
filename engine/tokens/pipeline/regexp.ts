/**
 * A matcher of regular expressions whose time is bounded by the size of expression × text, for expressions on
 * which JavaScript's could take for ever, such as `(a+)+$`. Same priorities, so same matches: it goes the
 * ways a backtracking matcher goes, and never twice from one place of the expression at one place of the text
 * (Cox 2010, “Regular Expression Matching: the Virtual Machine Approach”, `bitstate`).

/** One match. */
export interface Found {
  readonly index: number;
  readonly 0: string;
}

type Test = (char: string) => boolean;

type Node =
  | { kind: 'char'; test: Test }
  | { kind: 'all'; parts: Node[] }
  | { kind: 'any'; ways: Node[] }
  | { kind: 'repeat'; body: Node; least: number; most: number; lazy: boolean }
  | { kind: 'look'; body: Node; behind: boolean; negative: boolean };

type Step =
  | { op: 'char'; test: Test }
  | { op: 'split'; first: number; second: number }
  | { op: 'look'; program: Step[]; behind: boolean; negative: boolean; seen: Map<number, boolean> }
  | { op: 'match' };

const MOST_STEPS = 20000;
const QUANTIFIER = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})(\??)/;

/** True where a backtracking matcher may take more than about the square of the text's length. */
export function mayNeverEnd(source: string): boolean {
  const loose = (node: Node): number => {
    // how many unbounded repetitions stand one behind the other; Infinity: one inside another
    if (node.kind === 'all') return node.parts.reduce((sum, part) => sum + loose(part), 0);
    if (node.kind === 'any') return Math.max(...node.ways.map(loose));
    if (node.kind === 'look') return loose(node.body);
    if (node.kind === 'char') return 0;
    const inner = loose(node.body);
    if (node.most <= 1) return inner;
    return inner > 0 || branches(node.body) ? Infinity : node.most === Infinity ? 1 : 0;
  };
  return loose(new Parser(source).parse()) > 3;
}

const branches = (node: Node): boolean =>
  (node.kind === 'any' && node.ways.length > 1) ||
  (node.kind === 'all' && node.parts.some(branches)) ||
  (node.kind === 'repeat' && (node.least !== node.most || branches(node.body)));

/** What JavaScript's expression with the flags `gu` finds. */
export class LinearRegExp {
  readonly #program: Step[];

  /** @throws a SyntaxError for back-references and for expressions that are too long. */
  constructor(source: string) {
    this.#program = programOf(new Parser(source).parse(), false);
  }

  *matchAll(text: string): Generator<Found> {
    for (const step of this.#program) forget(step);
    let seen = new Set<number>();
    for (let at = 0; at <= text.length; ) {
      const end = run(this.#program, text, at, false, seen);
      if (end >= 0) {
        yield { index: at, 0: text.slice(at, end) };
        seen = new Set();
      }
      at = end > at ? end : at + (text.codePointAt(at)! > 0xffff ? 2 : 1);
    }
  }
}

function forget(step: Step): void {
  if (step.op !== 'look') return;
  step.seen.clear();
  for (const inner of step.program) forget(inner);
}

/** The end of the match that begins at `start` (of a look behind: its beginning), or −1. */
function run(
  program: readonly Step[],
  text: string,
  start: number,
  back: boolean,
  seen: Set<number>,
): number {
  const todo = [0, start];
  const width = text.length + 1;
  while (todo.length) {
    let at = todo.pop()!;
    let pc = todo.pop()!;
    for (;;) {
      const state = pc * width + at;
      if (seen.has(state)) break;
      seen.add(state);
      const step = program[pc];
      if (step.op === 'match') return at;
      if (step.op === 'split') {
        todo.push(step.second, at);
        pc = step.first;
      } else if (step.op === 'char') {
        const char = back ? charBefore(text, at) : charAt(text, at);
        if (char === '' || !step.test(char)) break;
        at += back ? -char.length : char.length;
        pc++;
      } else {
        let held = step.seen.get(at);
        if (held === undefined) {
          held = run(step.program, text, at, step.behind, new Set()) >= 0;
          step.seen.set(at, held);
        }
        if (held === step.negative) break;
        pc++;
      }
    }
  }
  return -1;
}

const charAt = (text: string, at: number): string =>
  at < text.length ? String.fromCodePoint(text.codePointAt(at)!) : '';

function charBefore(text: string, at: number): string {
  if (at <= 0) return '';
  const two = at > 1 ? String.fromCodePoint(text.codePointAt(at - 2)!) : '';
  return two.length === 2 ? two : text[at - 1];
}

function programOf(node: Node, back: boolean): Step[] {
  const steps: Step[] = [];
  const add = (step: Step): number => {
    if (steps.length >= MOST_STEPS) throw new SyntaxError('it is too long');
    return steps.push(step) - 1;
  };
  const split = () => {
    const step = { op: 'split' as const, first: 0, second: 0 };
    return { step, at: add(step) };
  };
  const emit = (node: Node): void => {
    if (node.kind === 'char') add({ op: 'char', test: node.test });
    else if (node.kind === 'all')
      for (const part of back ? [...node.parts].reverse() : node.parts) emit(part);
    else if (node.kind === 'any') {
      const ends: { first: number; second: number }[] = [];
      for (const [i, way] of node.ways.entries()) {
        const last = i === node.ways.length - 1;
        const fork = last ? null : split();
        if (fork) fork.step.first = fork.at + 1;
        emit(way);
        if (!last) ends.push(split().step);
        if (fork) fork.step.second = steps.length;
      }
      for (const end of ends) end.first = end.second = steps.length;
    } else if (node.kind === 'look') {
      const program = programOf(node.body, node.behind);
      add({ op: 'look', program, behind: node.behind, negative: node.negative, seen: new Map() });
    } else {
      for (let i = 0; i < node.least; i++) emit(node.body);
      const turn = (step: { first: number; second: number }, into: number, past: number) => {
        [step.first, step.second] = node.lazy ? [past, into] : [into, past];
      };
      if (node.most === Infinity) {
        const fork = split();
        emit(node.body);
        const again = split().step;
        again.first = again.second = fork.at;
        turn(fork.step, fork.at + 1, steps.length);
        return;
      }
      const forks = [];
      for (let i = node.least; i < node.most; i++) {
        forks.push(split());
        emit(node.body);
      }
      for (const { step, at } of forks) turn(step, at + 1, steps.length);
    }
  };
  emit(node);
  add({ op: 'match' });
  return steps;
}

/** Reads an expression that JavaScript has accepted with the flag `u`. */
class Parser {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Node {
    const node = this.#ways();
    if (this.#at < this.#source.length) throw new SyntaxError(`unexpected ")" at ${this.#at}`);
    return node;
  }

  #ways(): Node {
    const ways = [this.#sequence()];
    while (this.#source[this.#at] === '|') {
      this.#at++;
      ways.push(this.#sequence());
    }
    return ways.length === 1 ? ways[0] : { kind: 'any', ways };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#source.length && !'|)'.includes(this.#source[this.#at]))
      parts.push(this.#repeated());
    return parts.length === 1 ? parts[0] : { kind: 'all', parts };
  }

  #repeated(): Node {
    const body = this.#atom();
    const found = QUANTIFIER.exec(this.#source.slice(this.#at));
    if (!found) return body;
    this.#at += found[0].length;
    const [sign, least, comma, most, lazy] = found;
    const range: [number, number] =
      sign[0] === '*'
        ? [0, Infinity]
        : sign[0] === '+'
          ? [1, Infinity]
          : sign[0] === '?'
            ? [0, 1]
            : [Number(least), most ? Number(most) : comma ? Infinity : Number(least)];
    return { kind: 'repeat', body, least: range[0], most: range[1], lazy: lazy === '?' };
  }

  #atom(): Node {
    const rest = this.#source.slice(this.#at);
    const group = /^\((?:\?(?::|<?[=!]|<[^>]*>))?/.exec(rest);
    if (group) {
      this.#at += group[0].length;
      const body = this.#ways();
      this.#at++; // ")"
      const look = /^\(\?(<?)([=!])$/.exec(group[0]);
      return look ? { kind: 'look', body, behind: look[1] === '<', negative: look[2] === '!' } : body;
    }
    const one = /^(?:\[(?:\\.|[^\]\\])*\]|\\[pPu]\{[^}]*\}|\\x..|\\u....|\\c.|\\.|.)/su.exec(rest)![0];
    this.#at += one.length;
    if (/^\\[1-9k]/.test(one)) throw new SyntaxError('a back-reference is not supported');
    if (one === '\\b' || one === '\\B' || one === '^' || one === '$')
      throw new SyntaxError(`${one} is not supported here`);
    return { kind: 'char', test: testOf(one) };
  }
}

function testOf(atom: string): Test {
  const expression = new RegExp(`^(?:${atom})$`, atom === '.' ? 'u' : 'us');
  const known = new Map<string, boolean>();
  return (char) => {
    let yes = known.get(char);
    if (yes === undefined) {
      yes = expression.test(char);
      if (known.size < 4096) known.set(char, yes);
    }
    return yes;
  };
}
