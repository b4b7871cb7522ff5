/**
 * GPT-2 once more, in plain float64 loops on the host: enough to see that rewriting weights changes no logit.
 */
import type { Config } from '../../weights/config.js';
import type { HostTensor, ModelPart, ModelWeights, NormWeights } from '../../weights/formats/types.js';

/** Collects what `readModel` yields. */
export async function collect(parts: AsyncIterable<ModelPart>): Promise<ModelWeights> {
  const model: { embed?: unknown; blocks: unknown[]; final?: unknown } = { blocks: [] };
  for await (const part of parts) {
    if (part.kind === 'block') model.blocks[part.layer] = part.weights;
    else model[part.kind] = part.weights;
  }
  return model as ModelWeights;
}

/** Logits of one row of tokens, [pos][dVocab]. */
export function logits({ embed, blocks, final }: ModelWeights, config: Config, tokens: number[]): number[][] {
  const { nHeads, dHead, dModel, dVocab, scaleAttn, scaleAttnByInverseLayerIdx } = config;
  const inner = nHeads * dHead;
  const row = ({ data }: HostTensor, i: number) => Array.from(data.subarray(i * dModel, (i + 1) * dModel));
  const sum = (a: number[], b: number[]) => a.map((x, i) => x + b[i]);
  const norm = (x: number[], weights: NormWeights | null) => {
    if (config.normalization === 'none') return x;
    const mean = x.reduce((a, b) => a + b) / dModel;
    const scale = Math.sqrt(x.reduce((a, b) => a + (b - mean) ** 2, 0) / dModel + config.eps);
    return x.map((v, i) => ((v - mean) / scale) * (weights?.w.data[i] ?? 1) + (weights?.b?.data[i] ?? 0));
  };
  const linear = (x: number[], W: HostTensor, b: HostTensor | null) => {
    const out = b ? Array.from(b.data) : new Array<number>(W.shape[1]).fill(0);
    x.forEach((v, i) => {
      for (let j = 0; j < out.length; j++) out[j] += v * W.data[i * out.length + j];
    });
    return out;
  };
  const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

  let residual = tokens.map((token, pos) => sum(row(embed.W_E, token), row(embed.W_pos!, pos)));
  blocks.forEach((block, layer) => {
    const scale = (scaleAttn ? dHead ** -0.5 : 1) / (scaleAttnByInverseLayerIdx ? layer + 1 : 1);
    const qkv = residual.map((x) => linear(norm(x, block.ln1), block.W_QKV, block.b_QKV));
    const z = qkv.map((query, pos) => {
      const out = new Array<number>(inner).fill(0);
      for (let head = 0; head < nHeads; head++) {
        const at = (i: number) => head * dHead + i;
        const scores = qkv.slice(0, pos + 1).map((key) => {
          let dot = 0;
          for (let i = 0; i < dHead; i++) dot += query[at(i)] * key[inner + at(i)];
          return Math.exp(dot * scale);
        });
        const total = scores.reduce((a, b) => a + b);
        scores.forEach((score, from) => {
          for (let i = 0; i < dHead; i++) out[at(i)] += (score / total) * qkv[from][2 * inner + at(i)];
        });
      }
      return out;
    });
    residual = residual.map((x, pos) => sum(x, linear(z[pos], block.W_O, block.b_O)));
    const { mlp } = block;
    if (mlp)
      residual = residual.map((x) =>
        sum(x, linear(linear(norm(x, block.ln2), mlp.W_in, mlp.b_in).map(gelu), mlp.W_out, mlp.b_out)),
      );
  });
  const W_U = final.W_U ?? embed.W_E;
  return residual.map((x) => {
    const out = norm(x, final.lnFinal);
    return Array.from({ length: dVocab }, (_, token) => {
      const dot = row(W_U, token).reduce((total, w, i) => total + w * out[i], 0);
      return dot + (final.b_U?.data[token] ?? 0);
    });
  });
}

/** Log probabilities of `logits`. */
export function logProbs(rows: number[][]): number[] {
  return rows.flatMap((row) => {
    const total = Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
    return row.map((x) => x - total);
  });
}
