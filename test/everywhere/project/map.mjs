import { HookedTransformer, logitDiff, patch } from 'glassbox';

/** A patching map of the shipped model, as one line of numbers. */
export async function map() {
  const model = await HookedTransformer.fromPretrained('tiny');
  const said = (name) => `When John and Mary went to the store, ${name} gave a drink to`;
  const metric = logitDiff(' Mary', ' John');
  const result = await patch(model, {
    clean: said('John'),
    corrupted: said('Mary'),
    at: 'resid_pre',
    by: ['layer', 'pos'],
    metric,
  });
  model.dispose();
  return Array.from(result.values, (value) => value.toFixed(5)).join(' ');
}
