/**
 * The numbers of the shipped model's card, measured with Glassbox:
 *
 *     node --import tsx scripts/tiny/evaluate.ts [folder = weights/tiny] [--show]
 *
 * --show prints the likeliest next tokens of well-known prompts, and what the model answers wrongly.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HookedTransformer } from '../../index.js';
import { vocabularyOf } from './bpe.js';
import { likeliest, measure } from './measure.js';

const args = process.argv.slice(2);
const show = args.includes('--show');
const folder = args.find((arg) => !arg.startsWith('--')) ?? 'weights/tiny';
const vocabulary = vocabularyOf(JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')));
const model = await HookedTransformer.fromPretrained(`./${folder}`.replace(/^\.\/\//, '/'));
const percent = (x: number) => `${(100 * x).toFixed(1)} %`;

console.log(model.gpu.adapter.text);
const { groups, induction, validation } = await measure(model, vocabulary);
for (const [title, { right, of, logitDifference }] of Object.entries(groups)) {
  const difference = logitDifference === null ? '' : `, mean logit difference ${logitDifference.toFixed(2)}`;
  console.log(`${title}: ${right} of ${of} (${percent(right / of)})${difference}`);
}
const { right, first, second } = induction;
console.log(`random tokens said twice: ${percent(right)} of the second half`);
console.log(`  loss ${first.toFixed(2)} in the first half, ${second.toFixed(2)} in the second`);
console.log(`validation loss ${validation.toFixed(3)} nats a token`);
if (show) {
  for (const { prompt, next } of await likeliest(model))
    console.log(`${prompt} -> ${next.map(({ token, p }) => `"${token}" ${percent(p)}`).join(', ')}`);
  for (const [title, { mistakes }] of Object.entries(groups)) {
    if (mistakes.length) console.log(`-- ${title}`);
    for (const { prompt, answer, said } of mistakes.slice(0, 15))
      console.log(`   ${prompt} ->${answer}, not "${said}"`);
  }
}
model.dispose();
