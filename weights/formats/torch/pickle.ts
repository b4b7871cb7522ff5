/**
 * Python's pickle format, protocols 2 to 5, as far as dictionaries of numbers need it. A pickle is a program
 * for a stack machine; this is the machine. It calls nothing but the functions that it is given.
 *
 * Python's values become: dict → Map, list, tuple and set → array, str → string, int and float → number (an
 * int beyond 2⁵³ loses its last digits), None → null, bytes → Uint8Array.

/** What a pickle may ask for by name. */
export interface PickleNames {
  /** The value of `module.name`. @throws to refuse it. */
  find(module: string, name: string): unknown;
  /** The value behind a persistent id. */
  load(id: unknown): unknown;
  /** `target(...args)` of Python. @throws when the target cannot be called. */
  call(target: unknown, args: readonly unknown[]): unknown;
}

/** A pickle that is no pickle, or uses what is not supported. */
export class PickleError extends Error {}

/** More instructions than any state dict has; each may take some 50 bytes of memory. */
const MAX_INSTRUCTIONS = 2 ** 21;
const MARK = Symbol('mark');

/** Runs a pickle and gives its value. @throws PickleError, and what `names` throw. */
export function unpickle(bytes: Uint8Array, names: PickleNames): unknown {
  return new Machine(bytes, names).run();
}

class Machine {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #names: PickleNames;
  readonly #stack: unknown[] = [];
  readonly #memo = new Map<number, unknown>();
  #at = 0;

  constructor(bytes: Uint8Array, names: PickleNames) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#names = names;
  }

  run(): unknown {
    for (let count = 0; count < MAX_INSTRUCTIONS; count++) {
      const code = this.#byte();
      if (code === 0x2e /* STOP */) return this.#pop();
      const instruction = INSTRUCTIONS.get(code);
      if (!instruction) throw new PickleError(`instruction 0x${code.toString(16)} at byte ${this.#at - 1}`);
      instruction(this);
    }
    throw new PickleError(`more than ${MAX_INSTRUCTIONS} instructions`);
  }

  push(value: unknown): void {
    this.#stack.push(value);
  }

  /** The topmost value, taken away. */
  #pop(): unknown {
    const value = this.#stack.pop();
    if (value === undefined || value === MARK)
      throw new PickleError(`nothing on the stack at byte ${this.#at - 1}`);
    return value;
  }

  pop(n = 1): unknown[] {
    const values: unknown[] = [];
    for (let i = 0; i < n; i++) values.unshift(this.#pop());
    return values;
  }

  /** The topmost value. */
  top(): unknown {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  /** What was pushed since the last mark. */
  sinceMark(): unknown[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) throw new PickleError(`no mark at byte ${this.#at - 1}`);
    const values = this.#stack.splice(mark);
    values.shift();
    return values;
  }

  /** A copy of the topmost value's place in the memo. */
  remember(index = this.#memo.size): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    if (!this.#memo.has(index))
      throw new PickleError(`nothing is remembered as ${index} at byte ${this.#at - 1}`);
    this.#stack.push(this.#memo.get(index));
  }

  /** Puts pairs into the dictionary on top of the stack. */
  fill(pairs: readonly unknown[]): void {
    const dict = this.top();
    if (!(dict instanceof Map) || pairs.length % 2)
      throw new PickleError(`no dictionary at byte ${this.#at - 1}`);
    for (let i = 0; i < pairs.length; i += 2) {
      if (dict.has(pairs[i])) throw new PickleError(`a key twice in a dictionary at byte ${this.#at - 1}`);
      dict.set(pairs[i], pairs[i + 1]);
    }
  }

  /** Puts values at the end of the list on top of the stack. */
  append(values: readonly unknown[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw new PickleError(`no list at byte ${this.#at - 1}`);
    for (const value of values) list.push(value);
  }

  global(module: unknown, name: unknown): void {
    if (typeof module !== 'string' || typeof name !== 'string')
      throw new PickleError(`a name that is no text at byte ${this.#at - 1}`);
    this.#stack.push(this.#names.find(module, name));
  }

  persistent(id: unknown): void {
    this.#stack.push(this.#names.load(id));
  }

  call(target: unknown, args: unknown): void {
    if (!Array.isArray(args)) throw new PickleError(`a call without arguments at byte ${this.#at - 1}`);
    this.#stack.push(this.#names.call(target, args));
  }

  #byte(): number {
    return this.take(1)[0];
  }

  /** The next bytes of the program. */
  take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#bytes.length) throw new PickleError(`it ends too early, at byte ${this.#bytes.length}`);
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  /** An unsigned integer of 1, 2, 4 or 8 bytes. */
  uint(width: number): number {
    const bytes = this.take(width);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + bytes[i];
    return value;
  }

  int32(): number {
    this.take(4);
    return this.#view.getInt32(this.#at - 4, true);
  }

  float(): number {
    this.take(8);
    return this.#view.getFloat64(this.#at - 8);
  }

  /** A signed integer of any length. */
  long(width: number): number {
    const bytes = this.take(width);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + bytes[i];
    return bytes[width - 1] & 0x80 ? value - 256 ** width : value;
  }

  text(length: number): string {
    return new TextDecoder().decode(this.take(length));
  }

  /** Text up to the end of the line. */
  line(): string {
    const end = this.#bytes.indexOf(10, this.#at);
    if (end < 0) throw new PickleError('a name without an end');
    const text = this.text(end - this.#at);
    this.take(1);
    return text;
  }
}

const letter = (char: string) => char.charCodeAt(0);
/** What each instruction does, by its code. In the order of Python's pickletools. */
const INSTRUCTIONS: ReadonlyMap<number, (m: Machine) => void> = new Map<number, (m: Machine) => void>([
  [letter('J'), (m) => m.push(m.int32())],
  [letter('K'), (m) => m.push(m.uint(1))],
  [letter('M'), (m) => m.push(m.uint(2))],
  [0x8a, (m) => m.push(m.long(m.uint(1)))], // LONG1
  [0x8b, (m) => m.push(m.long(m.uint(4)))], // LONG4
  [letter('G'), (m) => m.push(m.float())],
  [letter('U'), (m) => m.push(m.text(m.uint(1)))],
  [letter('T'), (m) => m.push(m.text(m.uint(4)))],
  [letter('X'), (m) => m.push(m.text(m.uint(4)))],
  [0x8c, (m) => m.push(m.text(m.uint(1)))], // SHORT_BINUNICODE
  [0x8d, (m) => m.push(m.text(m.uint(8)))], // BINUNICODE8
  [letter('C'), (m) => m.push(m.take(m.uint(1)))],
  [letter('B'), (m) => m.push(m.take(m.uint(4)))],
  [0x8e, (m) => m.push(m.take(m.uint(8)))], // BINBYTES8
  [letter('N'), (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  [letter(']'), (m) => m.push([])],
  [letter('a'), (m) => m.append(m.pop())],
  [letter('e'), (m) => m.append(m.sinceMark())],
  [letter('l'), (m) => m.push(m.sinceMark())],
  [letter(')'), (m) => m.push([])],
  [letter('t'), (m) => m.push(m.sinceMark())],
  [0x85, (m) => m.push(m.pop(1))], // TUPLE1
  [0x86, (m) => m.push(m.pop(2))],
  [0x87, (m) => m.push(m.pop(3))],
  [0x8f, (m) => m.push([])], // EMPTY_SET
  [0x90, (m) => m.append(m.sinceMark())], // ADDITEMS
  [0x91, (m) => m.push(m.sinceMark())], // FROZENSET
  [letter('}'), (m) => m.push(new Map())],
  [letter('s'), (m) => m.fill(m.pop(2))],
  [letter('u'), (m) => m.fill(m.sinceMark())],
  [
    letter('d'),
    (m) => {
      const pairs = m.sinceMark();
      m.push(new Map());
      m.fill(pairs);
    },
  ],
  [letter('0'), (m) => void m.pop()],
  [letter('1'), (m) => void m.sinceMark()],
  [letter('2'), (m) => m.push(m.top())],
  [letter('('), (m) => m.push(MARK)],
  [letter('h'), (m) => m.recall(m.uint(1))],
  [letter('j'), (m) => m.recall(m.uint(4))],
  [letter('q'), (m) => m.remember(m.uint(1))],
  [letter('r'), (m) => m.remember(m.uint(4))],
  [0x94, (m) => m.remember()], // MEMOIZE
  [letter('c'), (m) => m.global(m.line(), m.line())],
  [
    0x93, // STACK_GLOBAL
    (m) => {
      const [module, name] = m.pop(2);
      m.global(module, name);
    },
  ],
  ...[letter('R'), 0x81 /* NEWOBJ */].map((code): [number, (m: Machine) => void] => [
    code,
    (m) => {
      const [target, args] = m.pop(2);
      m.call(target, args);
    },
  ]),
  [letter('b'), (m) => void m.pop()], // BUILD: attributes such as `_metadata` are no weights
  [letter('Q'), (m) => m.persistent(m.pop()[0])],
  [0x80, (m) => void m.uint(1)], // PROTO
  [0x95, (m) => void m.take(8)], // FRAME
]);
