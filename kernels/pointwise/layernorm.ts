/**
 * Norms over the last axis: layer norm (Ba et al. 2016), and with `rms` the root mean square norm, which
 * centres nothing (Zhang and Sennrich 2019). The scale can be a second output, for `hook_scale`, or an input,
 * for when a hook has changed it. A scale that is not finite gives NaN: x / ∞ would be an ordinary 0.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { kernel, notFinite, orNan, otherKinds, type Team, teamFor } from '../core/wgsl.js';

/** What the normalised numbers are multiplied by: weights w, or 1 + w (Gemma). */
export type Gain = 'w' | '1+w';

/** What a norm multiplies by and adds; without `gain` neither. */
export interface Affine {
  readonly gain?: Gain | null;
  readonly bias?: boolean;
}

/** Float64 reference: normalised rows [rows, width] and their scales [rows]. `scale`: use these instead. */
export function layernormReference(
  x: ArrayLike<number>,
  width: number,
  eps: number,
  affine?: { w: ArrayLike<number>; b?: ArrayLike<number> },
  { scale, rms = false, gain = 'w' }: { scale?: ArrayLike<number>; rms?: boolean; gain?: Gain } = {},
): { y: Float64Array; scale: Float64Array } {
  const rows = x.length / width;
  const y = new Float64Array(x.length);
  const scales = new Float64Array(rows);
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: width }, (_, c) => x[r * width + c]);
    const mean = rms ? 0 : row.reduce((a, v) => a + v, 0) / width;
    const variance = row.reduce((a, v) => a + (v - mean) ** 2, 0) / width;
    scales[r] = scale ? scale[r] : Math.sqrt(variance + eps);
    row.forEach((v, c) => {
      const n = Number.isFinite(scales[r]) ? (v - mean) / scales[r] : Number.NaN;
      y[r * width + c] = affine ? n * ((gain === '1+w' ? 1 : 0) + affine.w[c]) + (affine.b?.[c] ?? 0) : n;
    });
  }
  return { y, scale: scales };
}

/** What happens to the scale: found and used, written out too, or taken as an input. */
type Scale = 'computed' | 'written' | 'given';

/**
 * The shader. Mean and variance are found by the corrected two-pass method (Chan, Golub, LeVeque 1983):
 * deviations are taken from a rounded mean, and their own mean corrects both results. Exact for rows far from
 * zero.
 */
function layernormWgsl(
  width: number,
  { gain, bias }: Affine,
  scale: Scale,
  rms: boolean,
  team: Team,
): string {
  const step = width % 4 ? 1 : 4;
  const type = step === 4 ? 'vec4f' : 'f32';
  const columns = width / step;
  let binding = 0;
  const bind = (name: string, of: string, mode: 'read' | 'read_write', about: string) =>
    `@group(0) @binding(${binding++}) var<storage, ${mode}> ${name}: array<${of}>; // ${about}`;
  const perColumn = (body: string) =>
    `for (var c = lane; c < ${columns}u; c += ${team.threads}u) { let d = X[at + c] - mean; ${body} }`;
  const sum = (x: string) => (step === 4 ? `dot(${x}, vec4f(1f))` : x);
  const square = step === 4 ? 'dot(d, d)' : 'd * d';
  return /* wgsl */ `${team.enable}
${bind('X', type, 'read', '[rows, width]')}
${scale === 'given' ? bind('S', 'f32', 'read', '[rows]') : ''}
${gain ? bind('w', type, 'read', '[width]') : ''}
${bias ? bind('b', type, 'read', '[width]') : ''}
${bind('Y', type, 'read_write', '[rows, width]')}
${scale === 'written' ? bind('S', 'f32', 'read_write', '[rows]') : ''}
struct Params {
  rows: u32,
  eps: f32, // inside the square root
}
@group(1) @binding(0) var<uniform> params: Params;
${team.reduce('total', 'vec2f')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * ${columns}u;

  ${
    rms
      ? 'let mean = 0f;'
      : `var sum = ${type}();
  for (var c = lane; c < ${columns}u; c += ${team.threads}u) { sum += X[at + c]; }
  let mean = total(vec2f(${sum('sum')}, 0f), lane).x / ${width}f;`
  }

  var moments = vec2f(); // sums of the deviations and of their squares
  ${perColumn(`moments += vec2f(${sum('d')}, ${square});`)}
  moments = total(moments, lane) / ${width}f;
  let error = ${rms ? '0f' : 'moments.x'}; // of the rounded mean
  ${
    scale === 'given'
      ? 'let scale = S[row];'
      : `let variance = moments.y - error * error;
  let scale = sqrt(${orNan('max(variance, 0f)', 'variance')} + params.eps);`
  }
  ${scale === 'written' ? 'if (lane == 0u) { S[row] = scale; }' : ''}
  let gain = ${inverseOfScale('scale')};
  ${perColumn(`Y[at + c] = (d - error) * gain${gain ? ` * ${gainOf(gain)}` : ''}${bias ? ' + b[c]' : ''};`)}
}`;
}

/** WGSL: 1 / scale, and NaN where the scale is infinite or NaN. */
export const inverseOfScale = (scale: string): string =>
  `select(1f / ${scale}, bitcast<f32>(bitcast<u32>(${scale}) | 0x7fc00000u), ${notFinite(scale)})`;

/** WGSL: the gain of column c. */
export const gainOf = (gain: Gain): string => (gain === '1+w' ? '(1f + w[c])' : 'w[c]');

function launch(
  o: Affine & { rows: number; width: number; eps: number; rms?: boolean },
  scale: Scale,
  caps: Caps,
): Launch {
  const team = teamFor(caps);
  const { rms = false, gain = null, bias = false } = o;
  const affine = gain ? `${gain}${bias ? '+b' : ''}` : 'plain';
  const name = `${rms ? 'rmsnorm' : 'layernorm'}/${o.width}/${affine}/scale-${scale}/${team.name}`;
  return {
    kernel: kernel(name, () => layernormWgsl(o.width, { gain, bias }, scale, rms, team)),
    params: { rows: o.rows, eps: o.eps },
    grid: line(o.rows),
  };
}

/**
 * Y = (X − mean) / S [· w] [+ b] with S = √(variance + eps), row by row; with `rms` the mean counts as 0 in
 * both. Buffers: X [rows, width], with `gain` w [width], with `bias` b [width], Y [rows, width], with
 * `scaleOut` S [rows].
 */
export function layernorm(
  o: Affine & { rows: number; width: number; eps: number; scaleOut?: boolean; rms?: boolean },
  caps: Caps,
): Launch {
  return launch(o, o.scaleOut ? 'written' : 'computed', caps);
}

/**
 * Y = (X − mean) / S [· w] [+ b], with S as given.
 * Buffers: X [rows, width], S [rows], with `gain` w [width], with `bias` b [width], Y [rows, width].
 */
export function normalize(o: Affine & { rows: number; width: number; rms?: boolean }, caps: Caps): Launch {
  return launch({ ...o, eps: 0 }, 'given', caps);
}

/** Checks of the norms. */
export const layernormFamily: Family = {
  name: 'layernorm',
  about: 'Y = (X − mean) / √(variance + eps) [· w] [+ b] over the last axis; X, Y [rows, width]',
  examples(ownCaps) {
    const eps = 1e-5;
    const examples: Example[] = [];
    const add = (
      rows: number,
      width: number,
      title: string,
      change: (x: number) => number,
      { caps = ownCaps, rms = false }: { caps?: Caps; rms?: boolean } = {},
    ) => {
      const x = noise(rows * width, width, 3).map(change);
      const [w, b] = [noise(width, 2), noise(width, 3)];
      const given = noise(rows, 4).map((s) => 2 + s);
      const affines: Affine[] = [{ gain: 'w', bias: true }, {}];
      if (rms) affines.push({ gain: 'w' }, { gain: '1+w' });
      for (const affine of affines) {
        const { gain, bias } = affine;
        const wb = gain ? (bias ? [w, b] : [w]) : [];
        const weights = gain ? { w, b: bias ? b : undefined } : undefined;
        const expect = (scale?: Float32Array) =>
          layernormReference(x, width, eps, weights, { rms, gain: gain ?? 'w', scale });
        const ref = expect();
        const out = 1 + wb.length;
        const tolerance = { atol: 1e-5, rtol: 1e-5 };
        const about = `[${rows}, ${width}]${gain ? `, · ${gain}${bias ? ' + b' : ''}` : ''}, ${title}`;
        examples.push({
          title: `norm ${about}`,
          launch: layernorm({ rows, width, ...affine, eps, rms }, caps),
          buffers: [x, ...wb, x.length],
          expected: [{ binding: out, values: ref.y, ...tolerance }],
        });
        examples.push({
          title: `norm with scale ${about}`,
          launch: layernorm({ rows, width, ...affine, eps, scaleOut: true, rms }, caps),
          buffers: [x, ...wb, x.length, rows],
          expected: [
            { binding: out, values: ref.y, ...tolerance },
            { binding: out + 1, values: ref.scale, ...tolerance },
          ],
        });
        examples.push({
          title: `normalize ${about}`,
          launch: normalize({ rows, width, ...affine, rms }, caps),
          buffers: [x, given, ...wb, x.length],
          expected: [{ binding: out + 1, values: expect(given).y, ...tolerance }],
        });
      }
    };
    add(5, 39, 'ordinary', (x) => x);
    add(3, 1, 'one column', (x) => x);
    add(15, 768, 'ordinary', (x) => x);
    add(2, 1600, 'ordinary', (x) => x);
    add(3, 768, 'mean 1000', (x) => x + 1000);
    add(3, 39, 'mean 1000', (x) => x + 1000);
    add(2, 64, 'constant rows', () => 7.25);
    add(3, 39, 'root mean square', (x) => x + 1, { rms: true });
    add(2, 768, 'root mean square', (x) => x, { rms: true });
    add(12, 8, 'root mean square of heads', (x) => x - 1, { rms: true });
    for (const caps of otherKinds(ownCaps)) {
      add(3, 600, 'as on other adapters', (x) => x, { caps }); // more columns than threads, in fours and one by one
      add(2, 139, 'as on other adapters', (x) => x, { caps });
    }
    return examples;
  },
};
