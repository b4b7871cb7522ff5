/**
 * A transformer in float64, written for the tests of norms: it shares no code with the library, and takes the
 * model's weights as they act (`model.weights`), so that it knows nothing of processing either.
 */
import type { Config, HookedTransformer } from '../../index.js';

type Vector = Float64Array<ArrayBuffer>;

/** A norm's gain and bias; null: it has none. */
interface GainBias {
  readonly w: { readonly data: Float32Array };
  readonly b: { readonly data: Float32Array } | null;
}

/** Called with each activation of one position (and head); what it returns goes on. */
export type Edit = (name: string, pos: number, x: Vector, head: number) => Vector | undefined;

/** Everything of one run, by hook name: one vector a position ([head] first for z and result). */
export type Acts = Map<string, Vector[]>;

const zip = (a: Vector, b: ArrayLike<number>, f: (x: number, y: number) => number): Vector =>
  a.map((x, i) => f(x, b[i]));
/** a + b */
export const plus = (a: Vector, b: ArrayLike<number>): Vector => zip(a, b, (x, y) => x + y);
/** Σ a · b */
export const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

/** The model, position by position. */
export class Reference {
  readonly config: Config;
  readonly #model: HookedTransformer;

  constructor(model: HookedTransformer) {
    this.#model = model;
    this.config = model.config;
  }

  /** Does the norm there take the mean off? */
  centres(place: 'ln1' | 'ln2' | 'ln_final'): boolean {
    const { normalization, finalRms } = this.config;
    return normalization.startsWith('LN') && !(place === 'ln_final' && finalRms);
  }

  /** x less its mean, where the norm takes it off. */
  centred(x: Vector, place: 'ln1' | 'ln2' | 'ln_final'): Vector {
    const mean = this.centres(place) ? x.reduce((a, b) => a + b, 0) / x.length : 0;
    return x.map((v) => v - mean);
  }

  scale(x: Vector, place: 'ln1' | 'ln2' | 'ln_final'): number {
    const d = this.centred(x, place);
    return Math.sqrt(dot(d, d) / d.length + this.config.eps);
  }

  affine(n: Vector, weights: GainBias | null | undefined): Vector {
    return n.map((v, i) => v * (weights?.w.data[i] ?? 1) + (weights?.b?.data[i] ?? 0));
  }

  get lnFinal(): GainBias | null {
    return this.#model.weights.lnFinal;
  }

  /** The whole final norm of one vector, with a scale of its own or another. */
  finalNorm(x: Vector, scale = this.scale(x, 'ln_final')): Vector {
    const n = this.centred(x, 'ln_final').map((v) => v / scale);
    return this.affine(n, this.lnFinal);
  }

  /** The direction of a token's logit. */
  column(token: number): Vector {
    const { data, shape } = this.#model.weights.W_U;
    return Float64Array.from({ length: shape[0] }, (_, i) => data[i * shape[1] + token]);
  }

  bias(token: number): number {
    return this.#model.weights.b_U.data[token];
  }

  /** Logits of what the unembedding reads. */
  unembed(x: Vector): Vector {
    return Float64Array.from({ length: this.config.dVocab }, (_, t) => dot(x, this.column(t)) + this.bias(t));
  }

  run(tokens: readonly number[], edit: Edit = () => undefined): Acts {
    const { nLayers, nHeads, dModel, dHead, dMlp } = this.config;
    const w = this.#model.weights;
    const acts: Acts = new Map();
    const at = (name: string, pos: number, x: Vector, head = 0): Vector => {
      const seen = edit(name, pos, x, head) ?? x;
      if (!acts.has(name)) acts.set(name, []);
      acts.get(name)!.push(seen);
      return seen;
    };
    const norm = (
      name: string,
      place: 'ln1' | 'ln2' | 'ln_final',
      p: number,
      x: Vector,
      g?: GainBias | null,
    ) => {
      const [scale] = at(`${name}.hook_scale`, p, Float64Array.of(this.scale(x, place)));
      const n = this.centred(x, place).map((v) => v / scale);
      return this.affine(at(`${name}.hook_normalized`, p, n), g);
    };
    const times = (x: Vector, W: Float32Array, cols: number, from: number, b?: ArrayLike<number>) =>
      Float64Array.from({ length: cols }, (_, j) => {
        let sum = b?.[j] ?? 0;
        for (let i = 0; i < x.length; i++) sum += x[i] * W[from + i * cols + j];
        return sum;
      });
    const row = (data: Float32Array, i: number) =>
      Float64Array.from(data.subarray(i * dModel, (i + 1) * dModel));
    const shortformer = this.config.positionEmbedding === 'shortformer';

    let x = tokens.map((t, p) => at('hook_embed', p, row(w.W_E.data, t)));
    const positions = tokens.map((_, p) => at('hook_pos_embed', p, row(w.W_pos.data, p)));
    if (!shortformer) x = x.map((v, p) => plus(v, positions[p]));
    for (let l = 0; l < nLayers; l++) {
      const name = (hook: string) => `blocks.${l}.${hook}`;
      x = x.map((v, p) => at(name('hook_resid_pre'), p, v));
      const n = x.map((v, p) => norm(name('ln1'), 'ln1', p, v, w.ln1[l]));
      const withPos = shortformer ? n.map((v, p) => plus(v, positions[p])) : n;
      const out = x.map(() => Float64Array.from(w.b_O[l].data));
      for (let h = 0; h < nHeads; h++) {
        const part = (W: Float32Array, b: Float32Array, from: Vector[]) =>
          from.map((v) => times(v, W, dHead, h * dModel * dHead, b.subarray(h * dHead, (h + 1) * dHead)));
        const q = part(w.W_Q[l].data, w.b_Q[l].data, withPos);
        const k = part(w.W_K[l].data, w.b_K[l].data, withPos);
        const v = part(w.W_V[l].data, w.b_V[l].data, n).map((x, p) => at(name('attn.hook_v'), p, x, h));
        for (let p = 0; p < tokens.length; p++) {
          const scores = k.slice(0, p + 1).map((key) => dot(q[p], key) / Math.sqrt(dHead));
          const most = Math.max(...scores);
          const e = scores.map((s) => Math.exp(s - most));
          const total = e.reduce((a, b) => a + b, 0);
          const pattern = at(
            name('attn.hook_pattern'),
            p,
            Float64Array.from(e, (x) => x / total),
            h,
          );
          const z = Float64Array.from({ length: dHead }, (_, i) =>
            pattern.reduce((s, a, j) => s + a * v[j][i], 0),
          );
          const seen = at(name('attn.hook_z'), p, z, h);
          const result = times(seen, w.W_O[l].data, dModel, h * dHead * dModel);
          out[p] = plus(out[p], at(name('attn.hook_result'), p, result, h));
        }
      }
      x = x.map((v, p) => plus(v, at(name('hook_attn_out'), p, out[p])));
      if (!this.config.attnOnly) {
        x = x.map((v, p) => at(name('hook_resid_mid'), p, v));
        x = x.map((v, p) => {
          const read = norm(name('ln2'), 'ln2', p, v, w.ln2[l]);
          const pre = times(read, w.W_in[l].data, dMlp, 0, w.b_in[l].data);
          const post = at(
            name('mlp.hook_post'),
            p,
            pre.map((y) => Math.max(0, y)),
          ); // relu
          return plus(
            v,
            at(name('hook_mlp_out'), p, times(post, w.W_out[l].data, dModel, 0, w.b_out[l].data)),
          );
        });
      }
      x = x.map((v, p) => at(name('hook_resid_post'), p, v));
    }
    x.forEach((v, p) => {
      const read = norm('ln_final', 'ln_final', p, v, this.lnFinal);
      at('logits', p, this.unembed(read));
    });
    return acts;
  }
}
