/**
 * The run of a circuit in plain float64 loops, component by component: every reader adds up what its writers
 * wrote, edge by edge. Written from the definition alone, it shares nothing with the engine.
 */
import type { HookedTransformer } from '../../index.js';
import type { NormWeights } from '../../weights/formats/types.js';

type Stream = number[][]; // [pos][dModel]

const add = (a: Stream, b: Stream, sign = 1): Stream =>
  a.map((row, p) => row.map((x, i) => x + sign * b[p][i]));
const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** Logits at the last position when exactly the edges that `keep` names carry what their writer writes. */
export function naiveCircuit(
  model: HookedTransformer,
  clean: readonly number[],
  corrupted: readonly number[],
  keep: (sender: string, receiver: string) => boolean,
): number[] {
  const before = writings(model, corrupted, () => () => true, new Map());
  return unembed(
    model,
    writings(model, clean, (receiver) => (sender) => keep(sender, receiver), before).get('end')!,
  );
}

/** What each component writes; and, as `end`, what the logits read. */
function writings(
  model: HookedTransformer,
  tokens: readonly number[],
  edgesTo: (receiver: string) => (sender: string) => boolean,
  otherwise: ReadonlyMap<string, Stream>,
): Map<string, Stream> {
  const { config, weights: w } = model;
  const { nLayers, nHeads, dHead, dModel, attnOnly } = config;
  const out = new Map<string, Stream>();
  const row = (data: Float32Array, i: number) => Array.from(data.subarray(i * dModel, (i + 1) * dModel));
  const table = (t: number, p: number) => row(w.W_pos.data, p).map((x, i) => x + row(w.W_E.data, t)[i]);
  out.set('input', tokens.map(table));
  // Output biases of attention belong to no writer: they are there in any case.
  let biases = tokens.map(() => new Array<number>(dModel).fill(0));
  const read = (receiver: string) => {
    const has = edgesTo(receiver);
    let sum = biases;
    for (const [sender, written] of out) sum = add(sum, has(sender) ? written : otherwise.get(sender)!);
    return sum;
  };
  const norm = (x: number[], g: NormWeights | null | undefined) => {
    if (config.normalization === 'none') return x;
    const mean = x.reduce((a, b) => a + b) / dModel;
    const scale = Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / dModel + config.eps);
    return x.map((v, i) => ((v - mean) / scale) * (g?.w.data[i] ?? 1) + (g?.b?.data[i] ?? 0));
  };
  const times = (x: number[], data: Float32Array, at: number, cols: number, bias?: Float32Array, b0 = 0) =>
    Array.from({ length: cols }, (_, j) =>
      x.reduce((s, v, i) => s + v * data[at + i * cols + j], bias ? bias[b0 + j] : 0),
    );

  for (let l = 0; l < nLayers; l++) {
    const written = new Map<string, Stream>();
    for (let h = 0; h < nHeads; h++) {
      const name = `a${l}.h${h}`;
      const project = (part: 'q' | 'k' | 'v') => {
        const [W, b] = { q: [w.W_Q, w.b_Q], k: [w.W_K, w.b_K], v: [w.W_V, w.b_V] }[part];
        return read(`${name}<${part}>`).map((x) =>
          times(norm(x, w.ln1[l]), W[l].data, h * dModel * dHead, dHead, b[l].data, h * dHead),
        );
      };
      const [q, k, v] = [project('q'), project('k'), project('v')];
      const z = q.map((query, p) => {
        const e = k
          .slice(0, p + 1)
          .map((key) => Math.exp(query.reduce((s, x, i) => s + x * key[i], 0) / Math.sqrt(dHead)));
        const total = e.reduce((a, b) => a + b);
        return query.map((_, i) => e.reduce((s, x, from) => s + (x / total) * v[from][i], 0));
      });
      written.set(
        name,
        z.map((x) => times(x, w.W_O[l].data, h * dHead * dModel, dModel)),
      );
    }
    for (const [name, stream] of written) out.set(name, stream);
    biases = add(
      biases,
      tokens.map(() => Array.from(w.b_O[l].data)),
    );
    if (attnOnly) continue;
    const mlp = read(`m${l}`).map((x) => {
      const post = times(norm(x, w.ln2[l]), w.W_in[l].data, 0, config.dMlp, w.b_in[l].data).map(gelu);
      return times(post, w.W_out[l].data, 0, dModel, w.b_out[l].data);
    });
    out.set(`m${l}`, mlp);
  }
  out.set('end', [norm(read('logits').at(-1)!, w.lnFinal)]);
  return out;
}

function unembed({ config, weights: { W_U, b_U } }: HookedTransformer, end: Stream): number[] {
  const { dVocab } = config;
  return Array.from({ length: dVocab }, (_, t) =>
    end[0].reduce((s, x, i) => s + x * W_U.data[i * dVocab + t], b_U.data[t]),
  );
}
