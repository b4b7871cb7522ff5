/**
 * Vector-Jacobian products of attention (attention.ts): see tape.ts. Stored keys and values of a prefix are
 * constants.
 */

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
import { type AttentionSetting, geometry, tables, withHeads } from './attention-windows.js';
import { softCapGradient } from './soft-cap.js';

type Make = (save: Save) => Backward;

/** Of attention in one kernel. Inputs: q, k, v [tokens, head, dHead]; their gradients share one buffer. */
export const attentionBackward =
  (q: Tensor, k: Tensor, v: Tensor, setting: AttentionSetting): Make =>
  (save) => {
    const own = [save(q), save(k), save(v)];
    const [tokens, heads, dHead] = q.shape;
    const kvHeads = k.shape[1];
    const { batch, layer } = setting;
    return (dz, { constant }) => {
      const { gpu } = dz;
      const all = heads + 2 * kvHeads;
      const dqkv = dz.empty([tokens, all, dHead], dz.label);
      const stats = dz.empty([tokens, heads, 4], 'maximum, sum, mean');
      const starts = [0, heads, heads + kvHeads];
      const [dq, dk, dv] = starts.map((at) => ({ stride: all * dHead, offset: at * dHead }));
      withHeads([...own, dz], ([q, k, v, dz]) => {
        const o = { ...geometry(setting), dHead, q, k, v, dz };
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
      const part = (i: number) => dqkv.window([null, [starts[i], starts[i + 1] ?? all]]);
      return constant.has('pattern') ? [null, null, part(2)] : [part(0), part(1), part(2)];
    };
  };

/** Of q · k · scale, capped. Inputs: q, k. */
export const attentionScoresBackward =
  (q: Tensor, k: Tensor, scores: Tensor, setting: AttentionSetting): Make =>
  (save) => {
    const own = [save(q), save(k)];
    const { batch, layer, facts } = setting;
    const capped = facts.softCap ? save(scores) : null;
    const dHead = q.shape[2];
    const window = ({ shape }: Tensor) => ({ stride: shape[1] * dHead, offset: 0 });
    return (dCapped, { wants }) => {
      const { gpu } = dCapped;
      const dS = capped ? softCapGradient(capped, dCapped, facts.softCap!) : dCapped;
      const make = (t: Tensor) => dS.empty(t.shape, dS.label);
      const [dq, dk] = [wants(0) ? make(own[0]) : null, wants(1) ? make(own[1]) : null];
      withDense([dS], ([d]) =>
        withHeads(own, ([q, k]) => {
          const o = { ...geometry(setting), dHead };
          if (dq) {
            const launch = queryGradient({ ...o, k, dq: window(dq), prefix: batch.store !== null }, gpu.caps);
            gpu.launch(launch, [d.binding(), k.binding, ...tables(batch, layer), dq.binding()]);
          }
          if (dk) {
            const words = batch.layout.words.binding();
            gpu.launch(keyGradient({ ...o, q, dk: window(dk) }, gpu.caps), [
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
  (pattern: Tensor, setting: AttentionSetting): Make =>
  (save) => {
    const own = save(pattern);
    return (dP, { constant }) => {
      if (constant.has('pattern')) return [null];
      const dS = dP.empty(own.shape, dP.label);
      withDense([own, dP], ([p, d]) =>
        dP.gpu.launch(scoresGradient(geometry(setting), dP.gpu.caps), [
          p.binding(),
          d.binding(),
          setting.batch.layout.words.binding(),
          dS.binding(),
        ]),
      );
      return [dS];
    };
  };

/** Of pattern · v. Inputs: pattern, v. */
export const attendBackward =
  (pattern: Tensor, v: Tensor, setting: AttentionSetting): Make =>
  (save) => {
    const [p, own] = [save(pattern), save(v)];
    const [tokens, kvHeads, dHead] = v.shape;
    const { batch, layer } = setting;
    return (dz, { wants }) => {
      const { gpu } = dz;
      const dP = wants(0) ? dz.empty(p.shape, dz.label) : null;
      const dv = wants(1) ? dz.empty([tokens, kvHeads, dHead], dz.label) : null;
      withDense([p], ([p]) =>
        withHeads([own, dz], ([v, dz]) => {
          const o = { ...geometry(setting), dHead, dz };
          if (dP) {
            const launch = patternGradient({ ...o, v, prefix: batch.store !== null }, gpu.caps);
            gpu.launch(launch, [dz.binding, v.binding, ...tables(batch, layer), dP.binding()]);
          }
          if (dv) {
            const at = { stride: kvHeads * dHead, offset: 0 };
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
