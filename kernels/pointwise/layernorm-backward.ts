/**
 * Gradients of norms, Y = (X − mean) / S [· w] [+ b]: of its input, with the scale S differentiated, frozen,
 * or taken apart from it (when somebody reads or changes `hook_scale`). Those of w and b are sums over rows
 * (`columnSums`): dw = Σ dY · N, where N is the norm without w and b, and db = Σ dY.
 */

import { type Caps, type Example, type Family, type Launch, line, lineIndex, noise } from '../core/kernel.js';
import { kernel, orNan, otherKinds, type Team, teamFor } from '../core/wgsl.js';
import { type Gain, gainOf, inverseOfScale } from './layernorm.js';

interface Sizes {
  readonly rows: number;
  readonly width: number;
  /** Nothing was centred: the mean counts as 0. */
  readonly rms?: boolean;
  /** dX += … */
  readonly accumulate?: boolean;
}

/** What a kernel differentiates: all of it, with S a constant, with S given, or S alone. */
type Part = 'whole' | 'frozen' | 'given' | 'scale';

interface Source {
  readonly width: number;
  readonly gain: Gain | null;
  readonly rms: boolean;
  readonly accumulate: boolean;
  readonly part: Part;
  /** The gradient of S is an input. */
  readonly dScale: boolean;
}

/**
 * With d = X − mean and g = 1 / S: dX = g · (dN − mean dN) − d · c, where dN = dY · w and
 * c = g³ · mean(dN · d) − dS · g / width. Mean and variance as in layernorm.ts.
 */
function backwardWgsl(o: Source, team: Team): string {
  const { width, gain, rms, accumulate, part, dScale } = o;
  const step = width % 4 ? 1 : 4;
  const type = step === 4 ? 'vec4f' : 'f32';
  const columns = width / step;
  let binding = 0;
  const bind = (name: string, of: string, mode: 'read' | 'read_write', about: string) =>
    `@group(0) @binding(${binding++}) var<storage, ${mode}> ${name}: array<${of}>; // ${about}`;
  const forColumns = (body: string) =>
    `for (var c = lane; c < ${columns}u; c += ${team.threads}u) { ${body} }`;
  const ones = step === 4 ? 'vec4f(1f)' : '1f';
  const dot = (a: string, b: string) => (step === 4 ? `dot(${a}, ${b})` : `${a} * ${b}`);
  const dN = part === 'scale' ? `${type}()` : `dY[at + c]${gain ? ` * ${gainOf(gain)}` : ''}`;
  const steep = part === 'whole' ? 'products * g * g * g' : '0f';
  return /* wgsl */ `${team.enable}
${bind('X', type, 'read', '[rows, width]')}
${part === 'given' ? bind('S', 'f32', 'read', '[rows]') : ''}
${gain ? bind('w', type, 'read', '[width]') : ''}
${part === 'scale' ? '' : bind('dY', type, 'read', '[rows, width]')}
${dScale ? bind('dS', 'f32', 'read', '[rows]') : ''}
${bind('dX', type, 'read_write', '[rows, width]')}
${part === 'given' ? bind('dS', 'f32', 'read_write', '[rows]') : ''}
struct Params {
  rows: u32,
  eps: f32, // inside the square root
}
@group(1) @binding(0) var<uniform> params: Params;
${team.reduce('total', 'vec4f')}

@compute @workgroup_size(${team.threads})
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = ${lineIndex};
  if (row >= params.rows) { return; }
  let at = row * ${columns}u;

  ${
    rms
      ? 'let mean = 0f;'
      : `var sum = ${type}();
  ${forColumns('sum += X[at + c];')}
  let mean = total(vec4f(${dot('sum', ones)}, 0f, 0f, 0f), lane).x / ${width}f;`
  }

  var m = vec4f(); // means of the deviations d, of their squares, of dN, of dN · d
  ${forColumns(`let d = X[at + c] - mean; let dn = ${dN}; m += vec4f(${dot('d', ones)}, ${dot('d', 'd')}, ${dot('dn', ones)}, ${dot('dn', 'd')});`)}
  m = total(m, lane) / ${width}f;
  let error = ${rms ? '0f' : 'm.x'}; // of the rounded mean
  let variance = m.y - error * error;
  let scale = ${part === 'given' ? 'S[row]' : `sqrt(${orNan('max(variance, 0f)', 'variance')} + params.eps)`};
  let g = ${inverseOfScale('scale')};
  let products = m.w - error * m.z;
  let shift = ${rms ? '0f' : 'm.z'};
  let c3 = ${steep}${dScale ? ` - dS[row] * g / ${width}f` : ''};
  ${forColumns(`let d = X[at + c] - mean - error; let dn = ${dN}; dX[at + c] = ${accumulate ? 'dX[at + c] + ' : ''}(dn - shift) * g - d * c3;`)}
  ${part === 'given' ? `if (lane == 0u) { dS[row] = -products * ${width}f * g * g; }` : ''}
}`;
}

function launch(
  o: Sizes & { gain?: Gain | null; eps?: number },
  part: Part,
  dScale: boolean,
  caps: Caps,
): Launch {
  const { rows, width, rms = false, accumulate = false, gain = null, eps = 0 } = o;
  const team = teamFor(caps);
  const how = [part, gain, dScale && 'dScale', accumulate && 'accumulate'].filter(Boolean);
  const name = `${rms ? 'rmsnorm' : 'layernorm'}Backward/${width}/${how.join('+')}/${team.name}`;
  const source = { width, gain, rms, accumulate, part, dScale };
  return {
    kernel: kernel(name, () => backwardWgsl(source, team)),
    params: { rows, eps },
    grid: line(rows),
  };
}

/**
 * dX of Y = (X − mean) / S [· w] [+ b] with S = √(variance + eps).
 * Buffers in order: X [rows, width], w [width] (with `gain`), dY [rows, width], dS [rows] (with `dScale`),
 * dX.
 * @param o.frozenScale S counts as a constant, so that the norm is a linear map
 * @param o.dScale a gradient of S, from whoever else has read it, is added (frozen or not)
 */
export function layernormBackward(
  o: Sizes & { gain?: Gain | null; eps: number; frozenScale?: boolean; dScale?: boolean },
  caps: Caps,
): Launch {
  return launch(o, o.frozenScale ? 'frozen' : 'whole', o.dScale ?? false, caps);
}

/**
 * dX and dS of Y = (X − mean) / S [· w] [+ b], where S came from elsewhere: see `normalize`.
 * Buffers in order: X [rows, width], S [rows], w [width] (with `gain`), dY [rows, width], dX, dS [rows].
 */
export function normalizeBackward(o: Sizes & { gain?: Gain | null }, caps: Caps): Launch {
  return launch(o, 'given', false, caps);
}

/** dX of S = √(variance + eps) alone. Buffers in order: X [rows, width], dS [rows], dX. */
export function layernormScaleBackward(o: Sizes & { eps: number }, caps: Caps): Launch {
  return launch(o, 'scale', true, caps);
}

/**
 * Float64 reference of all three. Given `scale`: it came from elsewhere; without `dy`: of the scale alone.
 */
export function layernormBackwardReference(
  x: ArrayLike<number>,
  width: number,
  o: {
    eps?: number;
    rms?: boolean;
    frozenScale?: boolean;
    w?: ArrayLike<number>;
    gain?: Gain | null;
    dy?: ArrayLike<number>;
    scale?: ArrayLike<number>;
    dScale?: ArrayLike<number>;
    dx?: ArrayLike<number>;
  },
): { dx: Float64Array; dScale: Float64Array } {
  const rows = x.length / width;
  const dx = new Float64Array(x.length);
  const dScale = new Float64Array(rows);
  const columns = Array.from({ length: width }, (_, c) => c);
  const mean = (f: (c: number) => number) => columns.reduce((a, c) => a + f(c), 0) / width;
  for (let r = 0; r < rows; r++) {
    const at = r * width;
    const mu = o.rms ? 0 : mean((c) => x[at + c]);
    const own = Math.sqrt(mean((c) => (x[at + c] - mu) ** 2) + (o.eps ?? 0));
    const s = o.scale?.[r] ?? own;
    const d = (c: number) => x[at + c] - mu;
    const dn = (c: number) => (o.dy ? o.dy[at + c] * (o.w ? (o.gain === '1+w' ? 1 : 0) + o.w[c] : 1) : 0);
    const shift = o.rms ? 0 : mean(dn);
    dScale[r] = (-mean((c) => dn(c) * d(c)) * width) / (s * s);
    const toScale = (o.scale || o.frozenScale ? 0 : dScale[r]) + (o.dScale?.[r] ?? 0);
    for (const c of columns)
      dx[at + c] = (o.dx?.[at + c] ?? 0) + (dn(c) - shift) / s + (toScale * d(c)) / (width * own);
  }
  return { dx, dScale };
}

/** Checks of the gradients of norms. */
export const layernormBackwardFamily: Family = {
  name: 'layernorm-backward',
  about: 'dX (and dS) of Y = (X − mean) / S [· w] [+ b] over the last axis; X, Y [rows, width], S [rows]',
  examples(ownCaps) {
    const eps = 1e-5;
    const examples: Example[] = [];
    const add = (
      rows: number,
      width: number,
      title: string,
      { change = (v: number) => v, caps = ownCaps, rms = false, rtol = 1e-5 } = {},
    ) => {
      const x = noise(rows * width, width, 3).map(change);
      const [dy, before, w] = [noise(x.length, 2), noise(x.length, 3), noise(width, 4)];
      const [scale, dScale] = [noise(rows, 5).map((s) => 2 + s), noise(rows, 6, 5)];
      const about = `[${rows}, ${width}], ${title}`;
      [0, 1, 2, 3].forEach((n) => {
        const gain: Gain | null = n % 2 ? null : rms && n ? '1+w' : 'w';
        const accumulate = n > 1;
        const dx = accumulate ? before : undefined;
        const weights = gain ? [w] : [];
        const out = 2 + weights.length;
        const reference = { eps, rms, dy, dx, gain, w: gain ? w : undefined };
        const what = `${about}${gain ? `, · ${gain}` : ''}${accumulate ? ', accumulate' : ''}`;
        for (const frozenScale of [false, true]) {
          const read = frozenScale === n > 0; // so that each comes with each
          const ref = { ...reference, frozenScale, dScale: read ? dScale : undefined };
          examples.push({
            title: `norm ${what}${frozenScale ? ', frozen' : ''}${read ? ', dS' : ''}`,
            launch: layernormBackward(
              { rows, width, gain, eps, rms, accumulate, frozenScale, dScale: read },
              caps,
            ),
            buffers: [x, ...weights, dy, ...(read ? [dScale] : []), dx ?? x.length],
            expected: [
              {
                binding: out + (read ? 1 : 0),
                values: layernormBackwardReference(x, width, ref).dx,
                atol: 1e-5,
                rtol,
              },
            ],
          });
        }
        const given = layernormBackwardReference(x, width, { ...reference, scale });
        examples.push({
          title: `normalize ${what}`,
          launch: normalizeBackward({ rows, width, gain, rms, accumulate }, caps),
          buffers: [x, scale, ...weights, dy, dx ?? x.length, rows],
          expected: [
            { binding: out + 1, values: given.dx, atol: 1e-5, rtol },
            { binding: out + 2, values: given.dScale, atol: 1e-5 * Math.sqrt(width), rtol },
          ],
        });
        if (gain)
          examples.push({
            title: `scale ${what}`,
            launch: layernormScaleBackward({ rows, width, eps, rms, accumulate }, caps),
            buffers: [x, dScale, dx ?? x.length],
            expected: [
              {
                binding: 2,
                values: layernormBackwardReference(x, width, { eps, rms, dx, dScale }).dx,
                atol: 1e-5,
                rtol,
              },
            ],
          });
      });
    };
    add(5, 39, 'ordinary');
    add(3, 1, 'one column');
    add(15, 768, 'ordinary');
    add(3, 768, 'mean 1000', { change: (v) => v + 1000, rtol: 1e-4 });
    add(3, 39, 'root mean square', { rms: true });
    add(2, 768, 'root mean square', { rms: true });
    for (const caps of otherKinds(ownCaps)) {
      add(3, 600, 'as on other adapters', { caps }); // more columns than threads, in fours and one by one
      add(2, 139, 'as on other adapters', { caps });
    }
    return examples;
  },
};
