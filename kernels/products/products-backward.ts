/**
 * Gradients of the products that have a head or batch axis, per-head inputs and results (head-matmul.ts):
 * products with other strides.
 */

import { type Caps, type Example, type Family, type Launch, noise } from '../core/kernel.js';
import type { HeadInput, HeadResult } from './head-matmul.js';
import { type StridedMatmul, stridedMatmul } from './strided-matmul.js';

type Accumulate = { readonly accumulate?: boolean };

/** Strides of the activations of one head: [tokens, heads, width], seen as [head, token, column]. */
const ofHead = (heads: number, width: number) => ({ batch: width, row: heads * width, col: 1 });
/** The same, [head, column, token]. */
const ofHeadTransposed = (heads: number, width: number) => ({ batch: width, row: 1, col: heads * width });

function inputProduct({ tokens, heads, dModel, dHead, wCols, col0 }: HeadInput & Accumulate): StridedMatmul {
  return {
    batch: heads,
    m: tokens,
    k: dHead,
    n: dModel,
    a: ofHead(heads, dHead),
    b: { batch: dHead, row: 1, col: wCols, offset: col0 },
    c: ofHead(heads, dModel),
  };
}

function inputWeightProduct({ tokens, heads, dModel, dHead, wCols, col0 }: HeadInput): StridedMatmul {
  return {
    batch: heads,
    m: dModel,
    k: tokens,
    n: dHead,
    a: ofHeadTransposed(heads, dModel),
    b: ofHead(heads, dHead),
    c: { batch: dHead, row: wCols, col: 1, offset: col0 },
  };
}

function resultProduct({ tokens, heads, dHead, dModel }: HeadResult): StridedMatmul {
  return {
    batch: heads,
    m: tokens,
    k: dModel,
    n: dHead,
    a: ofHead(heads, dModel),
    b: { batch: dHead * dModel, row: 1, col: dModel },
    c: ofHead(heads, dHead),
  };
}

function resultWeightProduct({ tokens, heads, dHead, dModel }: HeadResult): StridedMatmul {
  return {
    batch: heads,
    m: dHead,
    k: tokens,
    n: dModel,
    a: ofHeadTransposed(heads, dHead),
    b: ofHead(heads, dModel),
    c: { batch: dHead * dModel, row: dModel, col: 1 },
  };
}

/**
 * dX (+)= of `headInput`. Buffers: dY [tokens, heads, dHead], W [dModel, wCols], dX [tokens, heads, dModel].
 */
export const headInputGradient = (o: HeadInput & Accumulate, caps: Caps): Launch =>
  stridedMatmul({ ...inputProduct(o), accumulate: o.accumulate }, caps);

/**
 * dW (+)= of `headInput`, in its own columns of W; db is `columnSums` of dY with cols = heads · dHead and
 * outOffset = col0. Buffers: X [tokens, heads, dModel], dY [tokens, heads, dHead], dW [dModel, wCols].
 */
export const headInputWeightGradient = (o: HeadInput & Accumulate, caps: Caps): Launch =>
  stridedMatmul({ ...inputWeightProduct(o), accumulate: o.accumulate }, caps);

/**
 * dZ (+)= of `headResult`. Buffers: dY [tokens, heads, dModel], W_O [heads · dHead, dModel], dZ [tokens,
 * heads, dHead].
 */
export const headResultGradient = (o: HeadResult & Accumulate, caps: Caps): Launch =>
  stridedMatmul({ ...resultProduct(o), accumulate: o.accumulate }, caps);

/**
 * dW_O (+)= of `headResult`. Buffers: Z [tokens, heads, dHead], dY [tokens, heads, dModel], dW_O [heads ·
 * dHead, dModel].
 */
export const headResultWeightGradient = (o: HeadResult & Accumulate, caps: Caps): Launch =>
  stridedMatmul({ ...resultWeightProduct(o), accumulate: o.accumulate }, caps);

/** A bilinear map, as float64 references see it: f(i, j, l) is called for each Y[l] += X[i] · W[j]. */
type Terms = (f: (x: number, w: number, y: number) => void) => void;

const inputTerms =
  (o: HeadInput): Terms =>
  (f) => {
    for (let th = 0; th < o.tokens * o.heads; th++)
      for (let j = 0; j < o.dHead; j++)
        for (let k = 0; k < o.dModel; k++)
          f(th * o.dModel + k, k * o.wCols + o.col0 + (th % o.heads) * o.dHead + j, th * o.dHead + j);
  };

const resultTerms =
  (o: HeadResult): Terms =>
  (f) => {
    for (let th = 0; th < o.tokens * o.heads; th++)
      for (let j = 0; j < o.dHead; j++)
        for (let m = 0; m < o.dModel; m++)
          f(th * o.dHead + j, ((th % o.heads) * o.dHead + j) * o.dModel + m, th * o.dModel + m);
  };

/** Float64 reference of both gradients, added to what was there. */
function gradientsReference(
  terms: Terms,
  { x, w, dy }: Record<'x' | 'w' | 'dy', ArrayLike<number>>,
  before: Record<'dx' | 'dw', ArrayLike<number>>,
): { dx: Float64Array; dw: Float64Array } {
  const [dx, dw] = [Float64Array.from(before.dx), Float64Array.from(before.dw)];
  terms((i, j, l) => {
    dx[i] += dy[l] * w[j];
    dw[j] += dy[l] * x[i];
  });
  return { dx, dw };
}

/** Checks of the gradients. */
export const productsBackwardFamily: Family = {
  name: 'products-backward',
  about: 'gradients of per-head inputs and results, in both operands',
  examples(caps) {
    const examples: Example[] = [];
    const add = (
      title: string,
      terms: Terms,
      sizes: Record<'x' | 'w' | 'y', number>,
      accumulate: boolean,
      launches: Record<'dx' | 'dw', Launch>,
    ) => {
      const data = { x: noise(sizes.x, 1), w: noise(sizes.w, 2), dy: noise(sizes.y, 3) };
      const zeros = { dx: new Float32Array(sizes.x), dw: new Float32Array(sizes.w) };
      const before = accumulate ? { dx: noise(sizes.x, 4), dw: noise(sizes.w, 5) } : zeros;
      const { dx, dw } = gradientsReference(terms, data, before);
      const close = { atol: 2e-5, rtol: 1e-6 };
      // dW of inputs writes its own columns only: the others are told by what was there
      examples.push(
        {
          title: `dX of ${title}`,
          launch: launches.dx,
          buffers: [data.dy, data.w, before.dx],
          expected: [{ binding: 2, values: dx, ...close }],
        },
        {
          title: `dW of ${title}`,
          launch: launches.dw,
          buffers: [data.x, data.dy, before.dw],
          expected: [{ binding: 2, values: dw, ...close }],
        },
      );
    };
    for (const [tokens, heads, dModel, dHead] of [
      [1, 1, 4, 4],
      [5, 3, 39, 13],
      [17, 4, 64, 16],
    ]) {
      const inner = heads * dHead;
      const accumulate = heads === 3;
      const o = { tokens, heads, dModel, dHead, wCols: 3 * inner, col0: inner, accumulate };
      const about = `${tokens} tokens, ${heads} heads of ${dHead}, d_model ${dModel}${accumulate ? ', accumulate' : ''}`;
      const [wide, narrow] = [tokens * heads * dModel, tokens * inner];
      add(`inputs: ${about}`, inputTerms(o), { x: wide, w: dModel * 3 * inner, y: narrow }, accumulate, {
        dx: headInputGradient(o, caps),
        dw: headInputWeightGradient(o, caps),
      });
      add(`results: ${about}`, resultTerms(o), { x: narrow, w: inner * dModel, y: wide }, accumulate, {
        dx: headResultGradient(o, caps),
        dw: headResultWeightGradient(o, caps),
      });
    }
    return examples;
  },
};
