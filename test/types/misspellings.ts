/**
 * What TypeScript refuses: each line below a mark is an error, and the mark is one where it is not. Nothing
 * here runs.
 */

import { axis, HookedTransformer, labelled, logitDiff, logitLens, loss, patch } from '../../index.js';

const text = 'When John and Mary';

export async function misspelt() {
  const model = await HookedTransformer.fromPretrained('tiny');
  const { cache } = await model.runWithCache(text);
  const map = labelled([1], [axis('layer', ['L0']), axis('pos', ['0'])], {});
  const lens = await logitLens(model, text);
  return [
    // @ts-expect-error
    cache.get('resid_pots', -1),
    // @ts-expect-error
    cache.get('blocks.0.attn.hook_zz'),
    // @ts-expect-error
    cache.has('patern', 0),
    // @ts-expect-error
    model.runWithCache(text, { names: 'paterns' }),
    // @ts-expect-error
    model.runWithCache(text, { names: ['resid_post', 'resid_psot'] }),
    // @ts-expect-error
    model.runWithHooks(text, { hooks: [['blocks.0.hook_resid_prr', (x) => x.mul(2)]] }),
    // @ts-expect-error
    model.runWithGrads(text, loss(), { names: 'mlp_ouut' }),
    // @ts-expect-error
    model.with({ interventions: [{ at: 'blocks.1.attn.hook_zed', head: 1, zero: true }] }),
    // @ts-expect-error
    patch(model, { clean: text, corrupted: text, at: 'resid_prre', metric: logitDiff(' a', ' b') }),
    // @ts-expect-error
    model.runWithCache(text, { prepend_bos: false }),
    // @ts-expect-error
    map.at({ lyer: 0, pos: 0 }),
    // @ts-expect-error
    lens.axes[0].name === 'lyer',
    // @ts-expect-error
    lens.slice({ position: 0 }),
    // @ts-expect-error
    cache.get('z', 0).argmx(),
  ];
}
