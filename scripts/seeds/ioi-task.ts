/** The eight sentences on indirect objects that two notebooks share. */

import type { Task } from './task.js';

const SENTENCES = [
  ['When John and Mary went to the shops,{} gave the bag to', ' Mary', ' John'],
  ['When Tom and James went to the park,{} gave the ball to', ' Tom', ' James'],
  ['When Dan and Sid went to the shops,{} gave an apple to', ' Dan', ' Sid'],
  ['After Martin and Amy went to the park,{} gave a drink to', ' Martin', ' Amy'],
] as const;

/** Each sentence with either name as the giver; the other one receives. */
const pairs = SENTENCES.flatMap(([sentence, a, b]) => [
  { prompt: sentence.replace('{}', b), correct: a, wrong: b },
  { prompt: sentence.replace('{}', a), correct: b, wrong: a },
]);
/** Prompts with either name as the giver, in pairs. */
export const task: Task = {
  prompts: pairs.map((p) => p.prompt),
  correct: pairs.map((p) => p.correct),
  wrong: pairs.map((p) => p.wrong),
};
