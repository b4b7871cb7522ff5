/** Vector-Jacobian products of attention (attention.ts): see tape.ts. Stored keys and values of a prefix are constants. */

import {
  keyGradient,
  patternGradient,
  queryGradient,
  scoresGradient,
  valueGradient,
} from '../../../kernels/attention/attention-backward.js';
import { fusedKeyGradient, fusedQueryGradient } from '../../../kernels/attention/attention-fused-backward.js';
import { withDense } from '../../tensor/launches.js';
import type { Backward, Save } from '../../tensor/tape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Batch } from '../batch.js';
import { type AttentionSetting, geometry, tables, withHeads } from './attention-windows.js';

type Make = (save: Save) => Backward;

/** Of attention in one kernel. Inputs: q, k, v [tokens, head, dHead]; their gradients share one buffer. */
export const attentionBackward =
  (q: Tensor, k: Tensor, v: Tensor, { batch, layer, scale }: AttentionSetting): Make =>
  (save) => {
    const own = [save(q), save(k), save(v)];
    const [tokens, heads, dHead] = q.shape;
    const width = heads * dHead;
    return (dz, { constant }) => {
      const { gpu } = dz;
      const dqkv = dz.empty([tokens, 3, heads, dHead], dz.label);
      const stats = dz.empty([tokens, heads, 4], 'maximum, sum, mean');
      const [dq, dk, dv] = [0, 1, 2].map((i) => ({ stride: 3 * width, offset: i * width }));
      withHeads([...own, dz], ([q, k, v, dz]) => {
        const o = { ...geometry(batch), heads, dHead, q, k, v, dz, scale };
        const inputs = [q, k, v, dz].map((t) => t.binding);
        const outputs = [dqkv.binding(), stats.binding()];
        const launch = fusedQueryGradient({ ...o, dq, prefix: batch.store !== null }, gpu.caps);
        gpu.launch(launch, [...inputs, ...tables(batch, layer), ...outputs]);
        const words = batch.layout.words.binding();
        gpu.launch(fusedKeyGradient({ ...o, dk, dv }, gpu.caps), [
          ...inputs,
          words,
          stats.binding(),
          dqkv.binding(),
        ]);
      });
      const part = (i: number) => dqkv.window([null, i]);
      return constant.has('pattern') ? [null, null, part(2)] : [part(0), part(1), part(2)];
    };
  };

/** Of q · k · scale. Inputs: q, k. */
export const attentionScoresBackward =
  (q: Tensor, k: Tensor, { batch, layer, scale }: AttentionSetting): Make =>
  (save) => {
    const own = [save(q), save(k)];
    const [tokens, heads, dHead] = q.shape;
    const at = { stride: heads * dHead, offset: 0 };
    return (dS, { wants }) => {
      const { gpu } = dS;
      const make = () => dS.empty([tokens, heads, dHead], dS.label);
      const [dq, dk] = [wants(0) ? make() : null, wants(1) ? make() : null];
      withDense([dS], ([d]) =>
        withHeads(own, ([q, k]) => {
          const o = { ...geometry(batch), heads, dHead, scale };
          if (dq) {
            const launch = queryGradient({ ...o, k, dq: at, prefix: batch.store !== null }, gpu.caps);
            gpu.launch(launch, [d.binding(), k.binding, ...tables(batch, layer), dq.binding()]);
          }
          if (dk) {
            const words = batch.layout.words.binding();
            gpu.launch(keyGradient({ ...o, q, dk: at }, gpu.caps), [
              d.binding(),
              q.binding,
              words,
              dk.binding(),
            ]);
          }
        }),
      );
      return [dq, dk];
    };
  };

/** Of the softmax of scores. Input: the scores. */
export const attentionPatternBackward =
  (pattern: Tensor, heads: number, batch: Batch): Make =>
  (save) => {
    const own = save(pattern);
    return (dP, { constant }) => {
      if (constant.has('pattern')) return [null];
      const dS = dP.empty(own.shape, dP.label);
      withDense([own, dP], ([p, d]) =>
        dP.gpu.launch(scoresGradient({ ...geometry(batch), heads }, dP.gpu.caps), [
          p.binding(),
          d.binding(),
          batch.layout.words.binding(),
          dS.binding(),
        ]),
      );
      return [dS];
    };
  };

/** Of pattern · v. Inputs: pattern, v. */
export const attendBackward =
  (pattern: Tensor, v: Tensor, { batch, layer }: Omit<AttentionSetting, 'scale'>): Make =>
  (save) => {
    const [p, own] = [save(pattern), save(v)];
    const [tokens, heads, dHead] = v.shape;
    return (dz, { wants }) => {
      const { gpu } = dz;
      const dP = wants(0) ? dz.empty(p.shape, dz.label) : null;
      const dv = wants(1) ? dz.empty([tokens, heads, dHead], dz.label) : null;
      withDense([p], ([p]) =>
        withHeads([own, dz], ([v, dz]) => {
          const o = { ...geometry(batch), heads, dHead, dz };
          if (dP) {
            const launch = patternGradient({ ...o, v, prefix: batch.store !== null }, gpu.caps);
            gpu.launch(launch, [dz.binding, v.binding, ...tables(batch, layer), dP.binding()]);
          }
          if (dv) {
            const at = { stride: heads * dHead, offset: 0 };
            const words = batch.layout.words.binding();
            gpu.launch(valueGradient({ ...o, dv: at }, gpu.caps), [
              p.binding(),
              dz.binding,
              words,
              dv.binding(),
            ]);
          }
        }),
      );
      return [dP, dv];
    };
  };
