/**
 * Gated activations (Shazeer 2020): Y = act(G) ∘ X, and their gradients. Where nobody looks at G and X the
 * second of the two products multiplies by act(G) itself (`linear` with `times`).
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { kernel, perElement, perElementMain } from '../core/wgsl.js';
import { type Gate, slopeReference, slopeWgsl } from './activation-backward.js';
import { ACTIVATIONS, type Activation, activate, activationWgsl } from './activation-functions.js';

/** Y = act(G) ∘ X, element by element. Buffers: G [n], X [n], Y [n]. */
export function gated(o: { n: number; act: Activation }, _caps: Caps): Launch {
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> G: array<f32>;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read_write> Y: array<f32>;
struct Params {
  n: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

${activationWgsl(o.act)}
${perElementMain()}
  Y[i] = X[i] * act(G[i]);
}`;
  return { kernel: kernel(`gated/${o.act}`, code), params: { n: o.n }, grid: perElement(o.n) };
}

/**
 * dG = dY · X · act′(G); dX is `gated` of G and dY. Buffers: G [n], X [n], dY [n], dG [n].
 * @param o.gate of act, as in `activationBackward`
 */
export function gatedBackward(o: { n: number; act: Activation; gate?: Gate }, _caps: Caps): Launch {
  const { n, act, gate = 'live' } = o;
  const code = () => /* wgsl */ `
@group(0) @binding(0) var<storage, read> G: array<f32>;
@group(0) @binding(1) var<storage, read> X: array<f32>;
@group(0) @binding(2) var<storage, read> dY: array<f32>;
@group(0) @binding(3) var<storage, read_write> dG: array<f32>;
struct Params {
  n: u32,
}
@group(1) @binding(0) var<uniform> params: Params;

${slopeWgsl(act, gate)}
${perElementMain()}
  dG[i] = dY[i] * X[i] * slope(G[i]);
}`;
  return { kernel: kernel(`gatedBackward/${act}/${gate}`, code), params: { n }, grid: perElement(n) };
}

/** Checks of gated activations. */
export const gatedFamily: Family = {
  name: 'gated',
  about: 'Y = act(G) ∘ X and its gradients; G, X, Y [n]',
  examples: (caps) =>
    ACTIVATIONS.flatMap((act) => {
      const n = 515;
      const extremes = [0, -0, 13, -13, 100, -100, 1e4, -1e4];
      const g = noise(n, 1, 6);
      g.set(extremes);
      const [x, dy] = [noise(n, 2), noise(n, 3)];
      const close = { atol: 2e-6, rtol: 2e-6 };
      const forward: Example = {
        title: act,
        launch: gated({ n, act }, caps),
        buffers: [g, x, n],
        expected: [{ binding: 2, values: x.map((v, i) => v * activate(act, g[i])), ...close }],
      };
      const backward = (['live', 'frozen'] as const).map(
        (gate): Example => ({
          title: `gradient of the gate, ${act}, gate ${gate}`,
          launch: gatedBackward({ n, act, gate }, caps),
          buffers: [g, x, dy, n],
          expected: [
            { binding: 3, values: x.map((v, i) => v * dy[i] * slopeReference(act, g[i], gate)), ...close },
          ],
        }),
      );
      return [forward, ...backward];
    }),
};
