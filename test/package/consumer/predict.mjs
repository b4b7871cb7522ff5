import { HookedTransformer } from 'glassbox';

/** What the shipped model thinks comes next: plain JavaScript, the same in Node and in a page. */
export async function predict(prompt) {
  const model = await HookedTransformer.fromPretrained('tiny');
  const logits = await model.forward(prompt);
  const last = logits.slice([0, -1]);
  const row = await last.data();
  const token = row.indexOf(row.reduce((a, b) => Math.max(a, b)));
  const prediction = { text: model.toString([token]), logit: row[token] };
  for (const held of [last, logits, model]) held.dispose();
  return prediction;
}
