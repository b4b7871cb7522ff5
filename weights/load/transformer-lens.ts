/**
 * Checkpoints in TransformerLens' names, told from Hugging Face's by themselves and seen as if they had
 * GPT-2's:
 *
 *     embed.W_E [dVocab, dModel]   pos_embed.W_pos [nCtx, dModel]
 *     blocks.{l}.ln1.w|b [dModel]                                      (absent without norm weights, 'LNPre')
 *     blocks.{l}.attn.W_Q|W_K|W_V [head, dModel, dHead]   b_Q|b_K|b_V [head, dHead]
 *     blocks.{l}.attn.W_O [head, dHead, dModel]           b_O [dModel]
 *     blocks.{l}.attn._W_K|_W_V [key head, dModel, dHead]   _b_K|_b_V  (grouped heads)   q_norm.w|k_norm.w
 *     blocks.{l}.ln2.w|b   ln1_post.w|ln2_post.w [dModel]
 *     blocks.{l}.mlp.W_in [dModel, dMlp]   b_in   W_gate [dModel, dMlp]   W_out [dMlp, dModel]   b_out
 *     blocks.{l}.mlp.ln.w|b [dMlp]                                     (solu_ln)
 *     ln_final.w|b [dModel]   unembed.W_U [dModel, dVocab]   b_U [dVocab]
 *
 * Biases may be missing: they are zero then, as in TransformerLens. The causal masks `attn.mask` and
 * `attn.IGNORE`, and tables of rotary positions, are ignored. The first SoLU models (`NeelNanda/SoLU_*_old`)
 * call norms `norm1`, `norm2`, `norm`, and have matrices the other way round: those of up to 6 layers all,
 * W_pos those of up to 8.
 */

import { fileError, quoted } from '../checks/messages.js';
import type { Config } from '../config.js';
import { countLayers, nearestPrefix } from '../formats/prefix.js';
import { elements, showShape, type TensorSource, transpose } from '../formats/tensors.js';
import { biasBehindGate, type Made } from '../processing/gated-bias.js';

/** A checkpoint in GPT-2's names, and what TransformerLens' layout told of its configuration. */
export interface Gpt2Source {
  readonly source: TensorSource;
  readonly inferred: Partial<Config>;
}

const QKV = ['Q', 'K', 'V'] as const;
const EMBED = 'embed.W_E';
const UNEMBED = 'unembed.W_U';
/** What xIELU begins with (Huang & Schlag 2024): α = 0.8 and β = 0.5, the α's as inverses of softplus. */
const XIELU: Readonly<Record<string, number>> = {
  alpha_p: Math.log(Math.expm1(0.8)),
  alpha_n: Math.log(Math.expm1(0.3)),
  beta: 0.5,
  eps: -1e-6,
};

/**
 * The checkpoint in GPT-2's names: itself where it has them already.
 * @throws an error that names file and tensor when a checkpoint in TransformerLens' names is incomplete, or
 * has
 *   tensors that are not GPT-2's.
 */
export function inGpt2Names(source: TensorSource): Gpt2Source {
  const prefix = nearestPrefix(source, [EMBED]);
  if (prefix === null) return { source, inferred: {} };
  const parts = new Parts(source, prefix);
  const { made } = parts;

  parts.copy('wte.weight', EMBED, parts.reversed);
  parts.copy('wpe.weight', 'pos_embed.W_pos', parts.old && parts.nLayers <= 8);
  for (let l = 0; l < parts.nLayers; l++) {
    const [from, to] = [`blocks.${l}`, `h.${l}`];
    parts.norm(`${to}.ln_1`, `${from}.ln1`);
    parts.attention(`${to}.attn`, `${from}.attn`);
    parts.norm(`${to}.ln_2`, `${from}.ln2`);
    for (const which of ['1', '2']) parts.copy(`${to}.ln_${which}_post.weight`, `${from}.ln${which}_post.w`);
    for (const which of ['q', 'k'])
      parts.copy(`${to}.attn.${which}_norm.weight`, `${from}.attn.${which}_norm.w`);
    parts.linear(`${to}.mlp.c_gate`, `${from}.mlp`, 'gate');
    parts.linear(`${to}.mlp.c_fc`, `${from}.mlp`, 'in');
    parts.norm(`${to}.mlp.ln`, `${from}.mlp.ln`);
    parts.fixedXielu(`${to}.mlp.c_fc.bias`, `${from}.mlp.act_fn`);
    parts.linear(`${to}.mlp.c_proj`, `${from}.mlp`, 'out');
    biasBehindGate(parts.made, `${to}.mlp`);
  }
  parts.norm('ln_f', 'ln_final');
  parts.head();
  parts.copy('lm_head.bias', 'unembed.b_U');
  parts.checkNothingElse();

  const find = (name: string): Made => {
    const found = made.get(name);
    if (!found) throw fileError(source.name, `no tensor ${quoted(name)}`);
    return found;
  };
  return {
    source: {
      name: source.name,
      names: () => [...made.keys()],
      shape: (name) => made.get(name)?.shape,
      file: (name) => source.file(made.get(name)?.original ?? name),
      original: (name) => made.get(name)?.original ?? parts.originalOf(name),
      read: (name) => find(name).read(),
    },
    inferred: parts.inferred,
  };
}

class Parts {
  readonly made = new Map<string, Made>();
  readonly nLayers: number;
  /** The first SoLU models' names. */
  readonly old: boolean;
  /** ... and matrices [out, in]. */
  readonly reversed: boolean;
  inferred: Partial<Config> = {};
  readonly #source: TensorSource;
  readonly #prefix: string;
  /** Their names by what they are called here. */
  readonly #names = new Map<string, string>();
  readonly #used = new Set<string>();

  constructor(source: TensorSource, prefix: string) {
    this.#source = source;
    this.#prefix = prefix;
    const own = source.names().filter((name) => name.startsWith(prefix));
    this.old = own.some((name) => /(^|\.)norm[12]?\.[wb]$/.test(name.slice(prefix.length)));
    for (const name of own) {
      const known = this.#modern(name.slice(prefix.length));
      const other = this.#names.get(known);
      if (other !== undefined)
        throw this.#error(`tensors ${quoted(other)} and ${quoted(name)} are the same one of the model`);
      this.#names.set(known, name);
    }
    this.nLayers = countLayers(source, prefix, /^blocks\.(\d+)\./);
    this.reversed = this.old && this.nLayers <= 6;
  }

  #modern(name: string): string {
    return this.old ? name.replace('norm', 'ln').replace(/^ln\./, 'ln_final.') : name;
  }

  /** What a tensor in GPT-2's names would be called in this file, for messages. */
  originalOf(name: string): string {
    const theirs = name
      .replace(/^h\./, 'blocks.')
      .replace(/^wte\.weight$/, EMBED)
      .replace(/^wpe\.weight$/, 'pos_embed.W_pos')
      .replace(/^lm_head\.weight$/, UNEMBED)
      .replace(/\.c_attn\.weight$/, '.W_Q, W_K, W_V')
      .replace('attn.c_proj.weight', 'attn.W_O')
      .replace('c_fc.weight', 'W_in')
      .replace('c_proj.weight', 'W_out')
      .replace('ln_f.', 'ln_final.')
      .replace(/ln_([12])\./, 'ln$1.')
      .replace(/(ln\d?|ln_final)\.(w|b)(eight|ias)$/, '$1.$2');
    return this.#prefix + theirs;
  }

  shape(name: string): readonly number[] | undefined {
    const theirs = this.#names.get(name);
    return theirs === undefined ? undefined : this.#source.shape(theirs);
  }

  /** A tensor as it is, or a matrix the other way round. */
  copy(to: string, from: string, transposed = false): void {
    const shape = this.shape(from);
    if (!shape) return;
    const source = this.#source;
    const name = this.#use(from);
    const made = transposed ? [...shape].reverse() : shape;
    this.made.set(to, {
      shape: made,
      original: name,
      read: async () => {
        const data = await source.read(name);
        return transposed ? transpose({ shape, data }).data : data;
      },
    });
  }

  /**
   * The unembedding, a row a token. Its absence means nothing here; only the configuration can say that it is
   * the embedding.
   */
  head(): void {
    this.copy('lm_head.weight', UNEMBED, !this.reversed);
    if (!this.shape(UNEMBED)) this.inferred = { ...this.inferred, tieWordEmbeddings: false };
  }

  /** Gain and bias of a norm; a missing bias (RMS norm) is zero. */
  norm(to: string, from: string): void {
    this.copy(`${to}.weight`, `${from}.w`);
    this.copy(`${to}.bias`, `${from}.b`);
    const shape = this.shape(`${from}.w`);
    if (!shape) return;
    if (from.endsWith('.mlp.ln')) this.inferred = { ...this.inferred, actFn: 'solu_ln' };
    if (this.shape(`${from}.b`)) return;
    this.#zeros(`${to}.bias`, `${from}.b`, shape);
    if (from === 'ln_final') this.inferred = { ...this.inferred, finalRms: true };
    if (from.endsWith('.ln1')) this.inferred = { ...this.inferred, normalization: 'RMS' };
  }

  /** W_in and b_in, or W_out and b_out, or W_gate. */
  linear(to: string, from: string, which: 'gate' | 'in' | 'out'): void {
    this.copy(`${to}.weight`, `${from}.W_${which}`, this.reversed);
    this.copy(`${to}.bias`, `${from}.b_${which}`);
    const shape = this.made.get(`${to}.weight`)?.shape;
    if (shape && !this.shape(`${from}.b_${which}`))
      this.#zeros(`${to}.bias`, `${from}.b_${which}`, [shape[1]]);
  }

  /**
   * xIELU's parameters, which TransformerLens saves: only those that it begins with. Checked when `beside` is
   * read.
   */
  fixedXielu(beside: string, from: string): void {
    if (!this.shape(`${from}.alpha_p`)) return;
    const names = ['alpha_p', 'alpha_n', 'beta', 'eps'].flatMap((name) =>
      this.shape(`${from}.${name}`) ? [[name, this.#use(`${from}.${name}`)] as const] : [],
    );
    const bias = this.made.get(beside);
    if (!bias) return;
    this.made.set(beside, {
      ...bias,
      read: async () => {
        for (const [name, theirs] of names) {
          const [value] = await this.#source.read(theirs);
          if (Math.abs(value - XIELU[name]) > 1e-4)
            throw this.#error(
              `tensor "${theirs}" is ${value}: only xIELU with its first parameters is supported (${XIELU[name]})`,
            );
        }
        return bias.read();
      },
    });
  }

  attention(to: string, from: string): void {
    const names = QKV.map((x) => `${from}.${this.#grouped(from, `W_${x}`)}`);
    const missing = names.filter((name) => !this.shape(name));
    if (missing.length)
      throw this.#error(`tensor ${missing.map((name) => quoted(name)).join(', ')} is missing`);
    const parts = names.map((name) => this.#perHead(name));
    const [[nHeads, dModel, dHead], [nKeyValueHeads]] = parts.map(({ shape }) => shape);
    const wanted = [nHeads, nKeyValueHeads, nKeyValueHeads].map((n) => showShape([n, dModel, dHead]));
    if (parts.some(({ shape }, i) => showShape(shape) !== wanted[i]))
      throw this.#error(
        `${names[0]}, W_K and W_V have shapes ${parts.map(({ shape }) => showShape(shape)).join(', ')}`,
      );
    this.inferred = { ...this.inferred, nHeads, dHead, ...(nKeyValueHeads !== nHeads && { nKeyValueHeads }) };
    const widths = parts.map(({ shape }) => shape[0] * dHead);
    const dAttn = widths[0] + 2 * widths[1];
    this.made.set(`${to}.c_attn.weight`, {
      shape: [dModel, dAttn],
      original: `${this.#prefix}${from}.W_Q, W_K, W_V`,
      read: async () => {
        const out = new Float32Array(dModel * dAttn);
        let first = 0;
        for (const [part, W] of (await Promise.all(parts.map((p) => p.read()))).entries()) {
          for (let head = 0; head < parts[part].shape[0]; head++)
            for (let i = 0; i < dModel; i++) {
              const row = (head * dModel + i) * dHead;
              out.set(W.subarray(row, row + dHead), i * dAttn + first + head * dHead);
            }
          first += widths[part];
        }
        return out;
      },
    });
    this.#biases(`${to}.c_attn.bias`, from, widths);
    if (!this.shape(`${from}.W_O`)) return;
    const W_O = this.#perHead(`${from}.W_O`);
    this.made.set(`${to}.c_proj.weight`, { ...W_O, shape: [W_O.shape[0] * W_O.shape[1], W_O.shape[2]] });
    this.copy(`${to}.c_proj.bias`, `${from}.b_O`);
    if (!this.shape(`${from}.b_O`)) this.#zeros(`${to}.c_proj.bias`, `${from}.b_O`, [dModel]);
  }

  /** A weight of grouped heads is called `_W_K`, where each head has its own `W_K`. */
  #grouped(from: string, name: string): string {
    return this.shape(`${from}._${name}`) ? `_${name}` : name;
  }

  /** b_Q, b_K and b_V, one after another. */
  #biases(to: string, from: string, widths: readonly number[]): void {
    const source = this.#source;
    const parts = QKV.map((x, i) => {
      const name = `${from}.${this.#grouped(from, `b_${x}`)}`;
      const shape = this.shape(name);
      if (shape && elements(shape) !== widths[i])
        throw this.#error(`tensor "${name}" has shape ${showShape(shape)}: ${widths[i]} values are needed`);
      return shape ? this.#use(name) : null;
    });
    const total = widths.reduce((a, b) => a + b);
    this.made.set(to, {
      shape: [total],
      original: `${this.#prefix}${from}.b_Q, b_K, b_V`,
      read: async () => {
        const out = new Float32Array(total);
        let first = 0;
        for (const [part, name] of parts.entries()) {
          if (name) out.set(await source.read(name), first);
          first += widths[part];
        }
        return out;
      },
    });
  }

  /** A matrix per head, [head, in, out]. */
  #perHead(from: string): Made {
    const source = this.#source;
    const original = this.#use(from);
    const shape = this.shape(from)!;
    if (shape.length !== 3)
      throw this.#error(`tensor ${quoted(original)} has shape ${showShape(shape)}: three axes are needed`);
    const [heads, ...matrix] = shape;
    if (!this.reversed) return { shape, original, read: () => source.read(original) };
    const size = elements(matrix);
    return {
      shape: [heads, matrix[1], matrix[0]],
      original,
      read: async () => {
        const out = await source.read(original);
        const turned = new Float32Array(out.length);
        for (let at = 0; at < out.length; at += size)
          turned.set(transpose({ shape: matrix, data: out.subarray(at, at + size) }).data, at);
        return turned;
      },
    };
  }

  checkNothingElse(): void {
    for (const [name, theirs] of this.#names) {
      if (this.#used.has(name) || /\.attn\.(mask|IGNORE)$/.test(name)) continue;
      if (/\.attn\.rotary_(sin|cos)(_local)?$/.test(name) && !this.shape('pos_embed.W_pos')) continue;
      if (/^(blocks|embed|pos_embed|unembed|ln_final)\./.test(name))
        throw this.#error(`unexpected tensor ${quoted(theirs)}: a model of GPT-2's kind has none`);
    }
  }

  #zeros(to: string, from: string, shape: readonly number[]): void {
    this.made.set(to, {
      shape,
      original: this.#prefix + from,
      read: async () => new Float32Array(elements(shape)),
    });
  }

  #use(name: string): string {
    this.#used.add(name);
    return this.#names.get(name)!;
  }

  #error(what: string): Error {
    return fileError(this.#source.name, what);
  }
}
