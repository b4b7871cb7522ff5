/**
 * Matrix products: `linear` and `unembed` with their tiles (see linear.ts and unembed.ts), and the examples that hold every
 * variant against float64.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import { packed } from '../core/stored.js';
import { otherKinds } from '../core/wgsl.js';
import { type Linear, linear, linearReference, linearWith, tilesFor } from './linear.js';
import { tileName } from './matmul-tiled.js';
import { type Unembed, unembed, unembedReference, unembedTilesFor, unembedWith } from './unembed.js';

export { linear, unembed };

/** Allowed error for sums of `terms` products of noise(…, 1): 1e-6 · Σ|a||b|, |a||b| being ¼ on average. */
const tolerance = (terms: number) => (1e-6 * terms) / 4;

function linearExample(o: Linear, launch: Launch, title: string, scale = 1): Example {
  const { rows, inner, cols } = o;
  const x = noise(rows * inner, 1, scale);
  const { rounded: w, words } = packed(noise(inner * cols, 2), o.stored ?? 'f32');
  const b = o.bias ? noise(cols, 3) : undefined;
  const r = o.residual || o.times ? noise(rows * cols, 4) : undefined;
  const y = o.accumulate ? noise(rows * cols, 5) : undefined;
  const what =
    [b && 'bias', o.act, r && (o.times ? 'times' : 'residual'), y && 'accumulate']
      .filter(Boolean)
      .join(', ') || 'bare';
  return {
    title: `linear ${rows}×${inner}×${cols}, ${what}, ${title}${o.stored ? `, ${o.stored}` : ''}`,
    launch,
    buffers: [x, words, ...(b ? [b] : []), ...(r ? [r] : []), y ?? rows * cols],
    expected: [
      {
        binding: 2 + (b ? 1 : 0) + (r ? 1 : 0),
        values: linearReference(o, { x, w, b, r, y }),
        atol: tolerance(inner) * scale + 1e-6,
        rtol: 1e-6,
      },
    ],
  };
}

function linearExamples(caps: Caps): Example[] {
  const tiles = [null, ...tilesFor(caps)];
  const examples: Example[] = [];
  // Every variant: rows around its tile, columns that leave its last workgroup half empty, every epilogue.
  tiles.forEach((t, n) => {
    const name = t ? tileName(t) : 'plain';
    const [inner, cols] = [
      [64, 100],
      [20, 84],
      [52, 36],
    ][n % 3];
    for (const rows of [1, 2, 3, 5, 8, 15, 16, 17, 33, 120]) {
      const o = { rows, inner, cols, bias: true };
      examples.push(linearExample(o, linearWith(o, t), name));
    }
    const epilogues: Partial<Linear>[] = [
      {},
      { residual: true },
      { bias: true, act: 'gelu' },
      { bias: true, act: 'relu', residual: true },
      { accumulate: true },
    ];
    const o = { rows: 11, inner: 4, cols: 4, ...epilogues[n % epilogues.length] };
    examples.push(linearExample(o, linearWith(o, t), name));
    for (const rows of [1, 7]) {
      const o = { rows, inner, cols, bias: true, stored: 'f16' } as const;
      examples.push(linearExample(o, linearWith(o, t), name));
    }
    // The argument of tanh must not overflow: tanh(89) is NaN on some adapters.
    const huge = { rows: 3, inner: 8, cols: 12, bias: true, act: 'gelu_new' } as const;
    examples.push(linearExample(huge, linearWith(huge, t), `${name}, huge`, 1000));
    const other = {
      rows: 5,
      inner,
      cols,
      bias: n % 2 === 0,
      times: true,
      stored: n % 3 ? 'f32' : 'f16',
    } as const;
    examples.push(linearExample(other, linearWith(other, t), name));
  });
  // What `linear` itself chooses, for sizes that are not multiples of 4 and for GPT-2's.
  const chosen: Linear[] = [
    { rows: 5, inner: 39, cols: 117, bias: true },
    { rows: 17, inner: 13, cols: 101, bias: true, act: 'gelu_new' },
    { rows: 2, inner: 101, cols: 13, bias: true, residual: true },
    { rows: 3, inner: 40, cols: 50257 },
    { rows: 16, inner: 768, cols: 132, bias: true },
    { rows: 1, inner: 3072, cols: 768, bias: true, residual: true },
    { rows: 13, inner: 1105, cols: 64, accumulate: true },
    { rows: 1, inner: 3, cols: 8, accumulate: true },
    { rows: 15, inner: 768, cols: 96, bias: true, act: 'gelu_new', stored: 'f16' },
    { rows: 9, inner: 1105, cols: 64, accumulate: true, stored: 'f16' },
  ];
  for (const o of chosen) examples.push(linearExample(o, linear(o, caps), 'as chosen'));
  // More terms, rows and columns than one block of any tile.
  for (const kind of otherKinds(caps))
    for (const rows of [1, 9, 70]) {
      const o = { rows, inner: 132, cols: 140, bias: true };
      examples.push(linearExample(o, linear(o, kind), 'as chosen on other adapters'));
    }
  return examples;
}

function unembedExample(o: Unembed, launch: Launch, title: string): Example {
  const { rows, inner, cols, col0, stride } = o;
  const x = noise(rows * inner, 5);
  const { rounded: w, words } = packed(noise(cols * inner, 6), o.stored ?? 'f32');
  const b = o.bias ? noise(stride, 7) : undefined;
  // Y is given zeros, so that a store outside the chunk shows.
  return {
    title: `unembed ${rows}×${inner}×${cols} at ${col0} of ${stride}${b ? ', bias' : ''}, ${title}${o.stored ? `, ${o.stored}` : ''}`,
    launch,
    buffers: [x, words, ...(b ? [b] : []), new Float32Array(rows * stride)],
    expected: [
      { binding: b ? 3 : 2, values: unembedReference(o, { x, w, b }), atol: tolerance(inner), rtol: 1e-6 },
    ],
  };
}

function unembedExamples(caps: Caps): Example[] {
  const examples: Example[] = [];
  for (const t of [null, ...unembedTilesFor(caps)]) {
    const name = t ? `${t.rows}×${t.cols}` : 'plain';
    for (const [rows, bias] of [
      [1, true],
      [3, false],
      [8, true],
      [17, false],
    ] as const) {
      const o = { rows, inner: 20, cols: 101, col0: 13, stride: 117, bias };
      examples.push(unembedExample(o, unembedWith(o, t), name));
      const half = { ...o, stored: 'f16' } as const;
      if (rows < 8) examples.push(unembedExample(half, unembedWith(half, t), name));
      const capped = { ...o, softCap: 0.8 };
      if (rows < 8) examples.push(unembedExample(capped, unembedWith(capped, t), `${name}, capped`));
    }
  }
  for (const [rows, inner] of [
    [1, 64],
    [3, 39],
    [15, 8],
  ]) {
    const o = { rows, inner, cols: 50257, col0: 0, stride: 50257, bias: rows > 1 };
    examples.push(unembedExample(o, unembed(o, caps), 'as chosen'));
  }
  return examples;
}

/** All matrix products with shared weights, with examples of every tile. */
export const matmulFamily: Family = {
  name: 'matmul',
  about: 'Y = act(X·W + b) + R, X [rows, inner], W [inner, cols]; logits = X·Wᵀ + b',
  examples: (caps) => [...linearExamples(caps), ...unembedExamples(caps)],
};
