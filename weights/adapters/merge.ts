/**
 * A base model's tensors with a LoRA adapter added: W + s·B·A, summed in float64 and rounded once. The sum is that of the
 * checkpoint's own matrices, before anything is split, joined, folded or centred.
 *
 *     base_model.model.{module}.lora_A.weight [r, in]          lora_B.weight [out, r]           linear layers
 *     base_model.model.{module}.lora_embedding_A [r, tokens]   lora_embedding_B [width, r]      embeddings: (B·A)ᵀ is added
 *     base_model.model.{module}.weight                         instead of the base's            (`modules_to_save`)
 *
 * Where the base has one matrix for embedding and unembedding and the adapter changes one of them, they become two, as in PEFT's
 * running model.
 */

import { fileError, quoted } from '../checks/messages.js';
import type { Config } from '../config.js';
import { familyNamed } from '../families/index.js';
import { nearestPrefix } from '../formats/prefix.js';
import { showShape, type TensorSource } from '../formats/tensors.js';
import { hasGpt2Names } from '../load/model-names.js';
import type { AdapterSettings } from './settings.js';

/** An adapter that was opened. */
export interface Adapter {
  /** As it was named: a folder, a repository, files. */
  readonly name: string;
  readonly settings: AdapterSettings;
  readonly tensors: TensorSource;
}

/** A base with its adapter. */
export interface Merged {
  readonly source: TensorSource;
  /** Whether embedding and unembedding, one matrix in the base, are two now. */
  readonly untied: boolean;
  /** How many modules are changed. */
  readonly modules: number;
}

/** What happens to one tensor of the base. */
interface Change {
  /** Its name in the base; the embedding's, for an unembedding that the base does not have. */
  readonly from: string;
  /** A tensor of the adapter that stands in its place. */
  readonly instead?: string;
  /** Names of A and B, what their product is multiplied by, and whether it is turned. */
  readonly added?: {
    readonly a: string;
    readonly b: string;
    readonly scale: number;
    readonly turned: boolean;
  };
}

const PARTS = /^(.*)\.(lora_A\.weight|lora_B\.weight|lora_embedding_A|lora_embedding_B)$/;

/**
 * The base's tensors, changed.
 * @throws when the adapter is for another base: modules that it does not have, matrices of other shapes; when matrices are
 *   missing that its settings promise; for tensors that are not LoRA's
 */
export function mergeAdapter(base: TensorSource, config: Config, adapter: Adapter): Merged {
  const view = new Base(base, config, adapter);
  const changes = view.changes();
  const { embed, head } = view;
  const touched = (name: string) => changes.has(name);
  const tied = !base.shape(head) || !base.shape(embed);
  const untied = tied && (touched(embed) || touched(head));
  if (untied) {
    if (adapter.settings.tied) throw view.fail('ensure_weight_tying is set, which is not supported');
    const from = base.shape(embed) ? embed : head;
    for (const name of [embed, head]) if (!touched(name)) changes.set(name, { from });
  }
  const shape = (name: string) => base.shape(changes.get(name)?.from ?? name);
  return {
    untied,
    modules: new Set([...changes].flatMap(([name, c]) => (c.added || c.instead ? [stemOf(name)] : []))).size,
    source: {
      ...base,
      names: () => [...new Set([...base.names(), ...changes.keys()])],
      blocks: async (name, wanted) =>
        changes.has(name) ? null : ((await base.blocks?.(name, wanted)) ?? null),
      shape,
      file: (name) => base.file(changes.get(name)?.from ?? name),
      async read(name) {
        const change = changes.get(name);
        if (!change) return base.read(name);
        const { instead, added } = change;
        const data = instead ? adapter.tensors.read(instead) : base.read(change.from);
        return added ? sum(await data, shape(name)!, added, adapter) : data;
      },
    },
  };
}

class Base {
  readonly embed: string;
  readonly head: string;
  readonly #base: TensorSource;
  readonly #config: Config;
  readonly #adapter: Adapter;
  /** Names of matrices in the base by the names of their modules in transformers. */
  readonly #modules = new Map<string, string>();
  /** What the adapter calls them: wrappers of several models put more before. */
  readonly #called = new Map<string, string>();
  /** What stands before names of the family in transformers. */
  readonly #prefix: string;

  constructor(base: TensorSource, config: Config, adapter: Adapter) {
    this.#base = base;
    this.#config = config;
    this.#adapter = adapter;
    const { embed, final, prefix, head } = familyNamed(config.family)!.tensors;
    const held = nearestPrefix(base, [`${embed}.weight`]) ?? nearestPrefix(base, [`${final}.weight`]);
    if (held === null)
      throw this.fail(
        `the base ${base.name} does not have the names of ${config.family} in transformers, and only such checkpoints take adapters (no GGUF files, no files of TransformerLens)`,
      );
    this.#prefix = prefix;
    for (const name of base.names()) {
      if (!name.endsWith('.weight')) continue;
      const stem = stemOf(name);
      const below = stem.startsWith(held) && !head.includes(stem);
      this.#modules.set(below ? prefix + stem.slice(held.length) : stem, name);
    }
    this.embed = `${held}${embed}.weight`;
    const heads = head.map((stem) => `${stem}.weight`);
    this.head =
      base.names().find((name) => heads.some((h) => name === h || name.endsWith(`.${h}`))) ?? heads[0];
    const at = (name: string) => this.#modules.has(name);
    if (!base.shape(this.embed)) this.#modules.set(`${prefix}${embed}`, this.embed);
    if (!head.some(at)) for (const stem of head) this.#modules.set(stem, this.head);
  }

  /** An error about the adapter. */
  fail(what: string): Error {
    const { base } = this.#adapter.settings;
    return fileError(
      this.#adapter.tensors.name,
      `${what}${base ? ` (the adapter was made for ${quoted(base, 50)})` : ''}`,
    );
  }

  changes(): Map<string, Change> {
    const { tensors, settings } = this.#adapter;
    const changes = new Map<string, Change>();
    const low = new Map<string, Map<string, string>>();
    const missing: string[] = [];
    const add = (name: string, more: Partial<Change>) =>
      changes.set(name, { from: this.#held(name), ...changes.get(name), ...more });
    for (const key of tensors.names()) {
      const [, path, part] = PARTS.exec(key) ?? [];
      if (path !== undefined) {
        const module = moduleOf(path);
        if (!low.has(module)) low.set(module, new Map());
        low.get(module)!.set(part, key);
        continue;
      }
      if (/\.lora_/.test(key))
        throw this.fail(`tensor ${quoted(key)} is not one of LoRA's, as it is merged here`);
      const whole = moduleOf(key).replace(/\.(base_layer|modules_to_save)\.(?:default\.)?/, '.');
      const stem = whole.replace(/\.(weight|bias)$/, '');
      const weight = this.#find(stem);
      if (weight === null) missing.push(stem);
      else {
        const name = whole.endsWith('.bias') ? `${stemOf(weight)}.bias` : weight;
        if (!settings.isSaved(stem) && name !== this.embed && name !== this.head)
          throw this.fail(`it holds ${quoted(stem)}, which modules_to_save does not name`);
        this.#sameShape(stem, tensors.shape(key)!, this.#base.shape(this.#held(name)));
        add(name, { instead: key });
      }
    }
    for (const [module, parts] of low) {
      const name = this.#find(module);
      if (name === null) missing.push(module);
      else {
        add(name, { added: this.#product(module, name, parts) });
        this.#called.set(name, module);
      }
    }
    if (missing.length) throw this.#notThere(missing, low.size);
    if (!changes.size) throw this.fail('it holds no matrices of LoRA');
    this.#complete(changes);
    return changes;
  }

  /** The matrix of a module, under whatever stands before it; null: there is none. */
  #find(module: string): string | null {
    let rest = module;
    for (;;) {
      const name = this.#modules.get(rest) ?? this.#modules.get(this.#prefix + rest);
      if (name !== undefined) return name;
      const dot = rest.indexOf('.');
      // A number of a layer is never left out.
      if (dot < 0 || /^\d+$/.test(rest.slice(0, dot))) return null;
      rest = rest.slice(dot + 1);
    }
  }

  /** The tensor that the base has, where embedding and unembedding are one. */
  #held(name: string): string {
    if (this.#base.shape(name)) return name;
    return name === this.head ? this.embed : name === this.embed ? this.head : name;
  }

  /** A and B of a module, checked. */
  #product(module: string, name: string, parts: ReadonlyMap<string, string>): NonNullable<Change['added']> {
    const { tensors, settings } = this.#adapter;
    const embedding = parts.has('lora_embedding_A') || parts.has('lora_embedding_B');
    const [first, second] = embedding
      ? ['lora_embedding_A', 'lora_embedding_B']
      : ['lora_A.weight', 'lora_B.weight'];
    const [a, b] = [parts.get(first), parts.get(second)];
    if (!a || !b || parts.size > 2)
      throw this.fail(
        `of ${quoted(module)} there is ${a ? 'A without B' : b ? 'B without A' : 'neither A nor B'}`,
      );
    const [A, B] = [tensors.shape(a)!, tensors.shape(b)!];
    const rank = settings.rank(module);
    if (A.length !== 2 || B.length !== 2 || A[0] !== rank || B[1] !== rank)
      throw this.fail(
        `the matrices of ${quoted(module)} are ${showShape(A)} and ${showShape(B)}, and its rank is ${rank}: [${rank}, in] and [out, ${rank}] are needed`,
      );
    const config = this.#config;
    const inOut = familyNamed(config.family)!.tensors.matrices === 'in,out' || hasGpt2Names(this.#base);
    // Embeddings lie [tokens, width], and so does every unembedding.
    const turned = embedding || (inOut && name !== this.head && name !== this.embed);
    const full = turned ? [A[1], B[0]] : [B[0], A[1]];
    this.#sameShape(module, full, this.#base.shape(this.#held(name)));
    return { a, b, scale: settings.scale(module), turned };
  }

  #sameShape(module: string, own: readonly number[], held: readonly number[] | undefined): void {
    if (held && showShape(held) === showShape(own)) return;
    throw this.fail(
      `it is for another base than ${this.#config.name}: ${quoted(module)} is ${showShape(own)}, and the base has ${held ? showShape(held) : 'no such tensor'}`,
    );
  }

  #notThere(missing: readonly string[], all: number): Error {
    const more = missing.length > 1 ? ` and ${missing.length - 1} more` : '';
    const none = missing.length >= all ? ': none of its modules fits' : '';
    return this.fail(
      `it is for another base than ${this.#config.name}, which has no ${quoted(missing[0])}${more}${none}`,
    );
  }

  /** Settings and file must name the same modules. */
  #complete(changes: ReadonlyMap<string, Change>): void {
    const { settings } = this.#adapter;
    const norm = /(norm|ln_\w+|layernorm)$/;
    for (const [module, name] of this.#modules) {
      const shape = this.#base.shape(this.#held(name));
      const embedding = name === this.embed || name.endsWith('wpe.weight');
      const linear = shape?.length === 2 && !embedding && name !== this.head && !norm.test(module);
      const wanted = settings.targets(this.#called.get(name) ?? module, linear);
      const { added } = changes.get(name) ?? {};
      if (wanted === null || shape?.length !== 2 || wanted === !!added) continue;
      if (added)
        throw this.fail(`it holds matrices of ${quoted(module)}, which target_modules does not name`);
      throw this.fail(
        `target_modules names ${quoted(module)}, and its matrices are missing: the file is incomplete`,
      );
    }
  }
}

/** Without `.weight` or `.bias`. */
const stemOf = (name: string): string => name.replace(/\.(weight|bias)$/, '');

/** A name of the adapter as the base calls it. */
const moduleOf = (path: string): string => path.replace(/^base_model\.model\./, '');

/** W + s·B·A. */
async function sum(
  base: Float32Array,
  [rows, columns]: readonly number[],
  { a, b, scale, turned }: NonNullable<Change['added']>,
  { tensors }: Adapter,
): Promise<Float32Array> {
  const [A, B] = await Promise.all([tensors.read(a), tensors.read(b)]);
  for (const [name, data] of [
    [a, A],
    [b, B],
  ] as const) {
    const i = data.findIndex((x) => !Number.isFinite(x));
    if (i >= 0)
      throw fileError(
        tensors.name,
        `tensor ${quoted(name)} holds ${data[i]} at index ${i}; the adapter is corrupt`,
      );
  }
  const r = turned ? A.length / rows : A.length / columns;
  const out = new Float32Array(base.length);
  const row = new Float64Array(columns);
  // Row o of the sum: Σ_k left[o, k] · right[k, :], where left is B, or Aᵀ.
  for (let o = 0; o < rows; o++) {
    row.fill(0);
    for (let k = 0; k < r; k++) {
      const x = turned ? A[k * rows + o] : B[o * r + k];
      if (x === 0) continue;
      if (turned) for (let i = 0; i < columns; i++) row[i] += x * B[i * r + k];
      else for (let i = 0, j = k * columns; i < columns; i++, j++) row[i] += x * A[j];
    }
    for (let i = 0, j = o * columns; i < columns; i++, j++) out[j] = base[j] + scale * row[i];
  }
  return out;
}
