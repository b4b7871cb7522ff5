/** Gated MLPs of TransformerLens' checkpoints: their b_in stands behind the gate. */

/** A tensor in GPT-2's names, made of those that the file has. */
export interface Made {
  readonly shape: readonly number[];
  /** What the file calls it. */
  readonly original: string;
  read(): Promise<Float32Array>;
}

/**
 * TransformerLens' gated MLPs are act(x · W_gate) ∘ (x · W_in) + b_in: what b_in adds to the output goes into
 * b_out, and b_in is zero.
 * @param made tensors in GPT-2's names, of which those of `mlp` are changed
 */
export function biasBehindGate(made: Map<string, Made>, mlp: string): void {
  const [before, W, b] = ['c_fc.bias', 'c_proj.weight', 'c_proj.bias'].map((x) => made.get(`${mlp}.${x}`));
  if (!made.has(`${mlp}.c_gate.weight`) || !before || !W || !b) return;
  const [dMlp, dModel] = W.shape;
  made.set(`${mlp}.c_fc.bias`, { ...before, read: async () => new Float32Array(dMlp) });
  made.set(`${mlp}.c_proj.bias`, {
    ...b,
    read: async () => {
      const bIn = await before.read();
      const sum = Float64Array.from(await b.read());
      if (bIn.some((x) => x !== 0)) {
        const rows = await W.read();
        bIn.forEach((x, n) => {
          for (let i = 0; i < dModel; i++) sum[i] += x * rows[n * dModel + i];
        });
      }
      return Float32Array.from(sum);
    },
  });
}
