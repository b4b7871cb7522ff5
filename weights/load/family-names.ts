/**
 * A checkpoint in the names and layout of its family, seen as if it had GPT-2's: matrices [in, out], queries, keys and values in
 * one. What GPT-2 does not have is called alike:
 *
 *     h.{l}.attn.c_attn.weight [dModel, (nHeads + 2·nKeyValueHeads)·dHead]
 *     h.{l}.attn.q_norm.weight   h.{l}.attn.k_norm.weight   h.{l}.ln_1_post.weight   h.{l}.ln_2_post.weight
 *     h.{l}.mlp.c_gate.weight [dModel, dMlp]   .bias                   (gated MLPs)
 *
 * Only what is asked for is read, tensor by tensor.
 */

import { fileError, quoted } from '../checks/messages.js';
import type { Config } from '../config.js';
import type { Family } from '../families/family.js';
import { nearestPrefix } from '../formats/prefix.js';
import { rowBytes } from '../formats/quantised.js';
import { elements, showShape, type TensorSource, transpose } from '../formats/tensors.js';
import type { Blocks } from '../formats/types.js';
import { eachHeadPart, joinedBlocks, turnInto } from './family-layouts.js';

/** A tensor in GPT-2's names, made of those that the file has. */
interface Made {
  readonly shape: readonly number[];
  read(): Promise<Float32Array>;
  /** Rows in blocks, of matrices the other way round: [out, in]. */
  blocks?(wanted: (format: string) => boolean): Promise<Blocks | null>;
}

/** Buffers that old files carry; masks only where they have the shape of one. */
const BUFFERS = /\.(rotary_emb\.inv_freq|masked_bias|embed_positions|embed_scale)$/;
const MASK = /\.(attn|attention)\.bias$/;

/** A checkpoint seen in GPT-2's names, and what it holds besides. */
export interface FamilySource {
  readonly source: TensorSource;
  /** Tensors that are not the model's, and not where its own lie. */
  readonly foreign: readonly string[];
}

/**
 * The checkpoint of a family in GPT-2's names.
 * @throws when it is none, when a tensor has another shape than the configuration says, or for one that the family does not have
 */
export function inFamilyNames(source: TensorSource, family: Family, config: Config): FamilySource {
  const count = source.names().length;
  if (config.nLayers > count)
    throw fileError(
      source.name,
      `the configuration says ${config.nLayers} layers, but there are ${count} tensors`,
    );
  const view = new View(source, family, config);
  view.embedding();
  for (let layer = 0; layer < config.nLayers; layer++) view.block(layer);
  view.end();
  return { source: view.source(), foreign: view.others() };
}

class View {
  readonly #source: TensorSource;
  readonly #family: Family;
  readonly #config: Config;
  readonly #prefix: string;
  readonly #made = new Map<string, Made>();
  /** What the file calls, or would call, the tensors that make one up. */
  readonly #originals = new Map<string, string[]>();
  readonly #used = new Set<string>();

  constructor(source: TensorSource, family: Family, config: Config) {
    this.#source = source;
    this.#family = family;
    this.#config = config;
    const { embed, final, prefix } = family.tensors;
    const found = nearestPrefix(source, [`${embed}.weight`]) ?? nearestPrefix(source, [`${final}.weight`]);
    if (found === null) {
      const names = source.names();
      const some = names.slice(0, 3).map((name) => quoted(name, 40));
      throw fileError(
        source.name,
        `no tensor "${prefix}${embed}.weight", so this is not a checkpoint of ${family.name}` +
          (some.length
            ? ` (it has ${names.length} tensors: ${some.join(', ')}, ...)`
            : ' (it has no tensors)'),
      );
    }
    this.#prefix = found;
  }

  embedding(): void {
    const { embed, positions } = this.#family.tensors;
    this.#copy('wte.weight', `${this.#prefix}${embed}.weight`);
    if (positions) this.#copy('wpe.weight', `${this.#prefix}${positions}.weight`);
  }

  block(layer: number): void {
    const { block, parts } = this.#family.tensors;
    const { nHeads, nKeyValueHeads, dHead, dModel, dMlp, qkvBias, outBias, mlpBias, qkNorm } = this.#config;
    const at = (stem: string) => `${this.#prefix}${block.replace('{}', String(layer))}${stem}`;
    const to = (name: string) => `h.${layer}.${name}`;
    const norm = (name: string, stem: string | undefined) => {
      if (stem)
        for (const part of ['weight', 'bias']) this.#copy(to(`${name}.${part}`), `${at(stem)}.${part}`);
    };
    norm('ln_1', parts.ln1);
    norm('ln_1_post', parts.ln1Post);
    norm('ln_2', parts.ln2);
    norm('ln_2_post', parts.ln2Post);
    if (qkNorm !== 'none') {
      norm('attn.q_norm', parts.qNorm);
      norm('attn.k_norm', parts.kNorm);
    }
    const widths = [nHeads * dHead, nKeyValueHeads * dHead, nKeyValueHeads * dHead];
    const apart = [parts.q, parts.k, parts.v].flatMap((stem) => (stem ? [at(stem)] : []));
    if (parts.qkv) this.#fused(to('attn.c_attn'), at(parts.qkv), widths, qkvBias);
    else this.#joined(to('attn.c_attn'), apart, widths, qkvBias);
    this.#linear(to('attn.c_proj'), at(parts.o), widths[0], dModel, outBias);
    if (parts.gateUp) {
      this.#rows(to('mlp.c_gate'), at(parts.gateUp), 0, dMlp, mlpBias);
      this.#rows(to('mlp.c_fc'), at(parts.gateUp), dMlp, dMlp, mlpBias);
    }
    if (parts.gate) this.#linear(to('mlp.c_gate'), at(parts.gate), dModel, dMlp, mlpBias);
    if (parts.up) this.#linear(to('mlp.c_fc'), at(parts.up), dModel, dMlp, mlpBias);
    this.#linear(to('mlp.c_proj'), at(parts.down), dMlp, dModel, mlpBias);
  }

  /** The final norm, and the unembedding under the first of its names. */
  end(): void {
    const { final, head } = this.#family.tensors;
    for (const part of ['weight', 'bias']) this.#copy(`ln_f.${part}`, `${this.#prefix}${final}.${part}`);
    const names = this.#source.names();
    for (const stem of head) {
      const above = names.filter((name) => name === `${stem}.weight` || name.endsWith(`.${stem}.weight`));
      const mine = above.filter((name) => this.#prefix.startsWith(name.slice(0, -`${stem}.weight`.length)));
      if (mine.length === 0) continue;
      const from = mine[0].slice(0, -'.weight'.length);
      this.#copy('lm_head.weight', mine[0]);
      this.#copy('lm_head.bias', `${from}.bias`);
      return;
    }
    this.#originals.set('lm_head.weight', [`${head[0]}.weight`]);
  }

  source(): TensorSource {
    const made = this.#made;
    const source = this.#source;
    const originals = (name: string) => this.#originals.get(name) ?? [name];
    return {
      name: source.name,
      names: () => [...made.keys()],
      shape: (name) => made.get(name)?.shape,
      file: (name) => source.file(originals(name)[0]),
      original: (name) => originals(name).join(', '),
      read: (name) => {
        const found = made.get(name);
        if (!found) throw fileError(source.name, `no tensor ${quoted(originals(name)[0])}`);
        return found.read();
      },
      blocks: async (name, wanted) => (await made.get(name)?.blocks?.(wanted)) ?? null,
    };
  }

  /** Tensors that are not the model's. @throws for one that lies where the model's own lie */
  others(): string[] {
    const { block } = this.#family.tensors;
    const inBlocks = `${this.#prefix}${block.slice(0, block.indexOf('{}'))}`;
    const others: string[] = [];
    for (const name of this.#source.names()) {
      if (this.#used.has(name) || BUFFERS.test(name)) continue;
      const shape = this.#source.shape(name)!;
      if (MASK.test(name) && shape.length === 4 && shape[0] === 1 && shape[1] === 1) continue;
      const own = name.startsWith(inBlocks) || (this.#prefix !== '' && name.startsWith(this.#prefix));
      if (!own) {
        others.push(name);
        continue;
      }
      const layer = Number(/^\d+(?=\.)/.exec(name.slice(inBlocks.length))?.[0]);
      const { nLayers } = this.#config;
      const why =
        name.startsWith(inBlocks) && layer >= nLayers
          ? `the configuration says ${nLayers} layers (0–${nLayers - 1})`
          : name.endsWith('.bias')
            ? `by its configuration this ${this.#family.name} has no such bias`
            : `${this.#family.name} has no such tensor`;
      throw fileError(this.#source.file(name), `unexpected tensor ${quoted(name)}: ${why}`);
    }
    return others;
  }

  /** A tensor as it is. */
  #copy(to: string, from: string): void {
    const shape = this.#note(to, [from]);
    if (shape)
      this.#made.set(to, {
        shape,
        read: () => this.#source.read(from),
        blocks: (wanted) => this.#blocks(from, wanted),
      });
  }

  #linear(to: string, from: string, dIn: number, dOut: number, bias: boolean): void {
    const turned = this.#family.tensors.matrices === 'out,in';
    const shape = this.#note(`${to}.weight`, [`${from}.weight`]);
    if (shape) {
      this.#check(`${from}.weight`, turned ? [dOut, dIn] : [dIn, dOut]);
      this.#made.set(`${to}.weight`, {
        shape: [dIn, dOut],
        read: () => this.#matrix(`${from}.weight`),
        ...(turned && { blocks: (wanted) => this.#blocks(`${from}.weight`, wanted) }),
      });
    }
    if (bias) this.#copy(`${to}.bias`, `${from}.bias`);
  }

  /** Queries, keys and values, each in a matrix of its own. */
  #joined(to: string, from: readonly string[], widths: readonly number[], bias: boolean): void {
    const { dModel } = this.#config;
    const total = widths.reduce((a, b) => a + b);
    const weights = from.map((stem) => `${stem}.weight`);
    const biases = from.map((stem) => `${stem}.bias`);
    if (this.#note(`${to}.weight`, weights)) {
      weights.forEach((name, i) => {
        this.#check(name, [widths[i], dModel]);
      });
      this.#made.set(`${to}.weight`, {
        shape: [dModel, total],
        read: async () => {
          const out = new Float32Array(dModel * total);
          let first = 0;
          for (const [i, name] of weights.entries()) {
            turnInto(out, total, first, await this.#source.read(name), widths[i], dModel);
            first += widths[i];
          }
          return out;
        },
        blocks: (wanted) => joinedBlocks(this.#source, weights, wanted),
      });
    }
    if (!bias || !this.#note(`${to}.bias`, biases)) return;
    biases.forEach((name, i) => {
      this.#check(name, [widths[i]]);
    });
    this.#made.set(`${to}.bias`, {
      shape: [total],
      read: async () => {
        const out = new Float32Array(total);
        let first = 0;
        for (const [i, name] of biases.entries()) {
          out.set(await this.#source.read(name), first);
          first += widths[i];
        }
        return out;
      },
    });
  }

  /** Queries, keys and values in one matrix. */
  #fused(to: string, from: string, widths: readonly number[], bias: boolean): void {
    const { dModel, nHeads, dHead } = this.#config;
    const total = widths.reduce((a, b) => a + b);
    if (this.#family.tensors.fused !== 'heads') {
      this.#linear(to, from, dModel, total, bias);
      return;
    }
    const weight = `${from}.weight`;
    if (this.#note(`${to}.weight`, [weight])) {
      this.#check(weight, [total, dModel]);
      this.#made.set(`${to}.weight`, {
        shape: [dModel, total],
        read: async () => {
          const data = await this.#source.read(weight);
          const out = new Float32Array(data.length);
          eachHeadPart(nHeads, dHead, (row, column) =>
            turnInto(out, total, column, data.subarray(row * dModel, (row + dHead) * dModel), dHead, dModel),
          );
          return out;
        },
      });
    }
    if (!bias || !this.#note(`${to}.bias`, [`${from}.bias`])) return;
    this.#check(`${from}.bias`, [total]);
    this.#made.set(`${to}.bias`, {
      shape: [total],
      read: async () => {
        const data = await this.#source.read(`${from}.bias`);
        const out = new Float32Array(total);
        eachHeadPart(nHeads, dHead, (row, column) => out.set(data.subarray(row, row + dHead), column));
        return out;
      },
    });
  }

  /** Outputs `first` … `first + n` of a matrix that has twice as many. */
  #rows(to: string, from: string, first: number, n: number, bias: boolean): void {
    const { dModel } = this.#config;
    const weight = `${from}.weight`;
    if (this.#note(`${to}.weight`, [weight])) {
      this.#check(weight, [2 * n, dModel]);
      this.#made.set(`${to}.weight`, {
        shape: [dModel, n],
        read: async () => {
          const all = await this.#source.read(weight);
          const data = all.subarray(first * dModel, (first + n) * dModel);
          return transpose({ shape: [n, dModel], data }).data;
        },
        blocks: async (wanted) => {
          const all = await this.#blocks(weight, wanted);
          if (!all) return null;
          const row = rowBytes(all.format, dModel);
          return { format: all.format, bytes: all.bytes.subarray(first * row, (first + n) * row) };
        },
      });
    }
    if (!bias || !this.#note(`${to}.bias`, [`${from}.bias`])) return;
    this.#check(`${from}.bias`, [2 * n]);
    const read = async () => (await this.#source.read(`${from}.bias`)).slice(first, first + n);
    this.#made.set(`${to}.bias`, { shape: [n], read });
  }

  /** A matrix as [in, out]. */
  async #matrix(name: string): Promise<Float32Array> {
    const data = await this.#source.read(name);
    if (this.#family.tensors.matrices === 'in,out') return data;
    return transpose({ shape: this.#source.shape(name)!, data }).data;
  }

  async #blocks(name: string, wanted: (format: string) => boolean): Promise<Blocks | null> {
    return (await this.#source.blocks?.(name, wanted)) ?? null;
  }

  /** Remembers what a tensor is made of; the shape of the first, or null where one is missing. */
  #note(to: string, from: readonly string[]): readonly number[] | null {
    const missing = from.filter((name) => !this.#source.shape(name));
    this.#originals.set(to, missing.length ? missing : [...from]);
    for (const name of from) this.#used.add(name);
    if (missing.length) return null;
    return this.#source.shape(from[0])!;
  }

  #check(name: string, expected: readonly number[]): void {
    const shape = this.#source.shape(name)!;
    if (showShape(shape) === showShape(expected)) return;
    throw fileError(
      this.#source.file(name),
      `tensor ${quoted(name)} has shape ${showShape(shape)}, the configuration says ${showShape(expected)}` +
        (elements(shape) === elements(expected) ? ' (other axes)' : ''),
    );
  }
}
