/** Two workers with an environment of their own, and the main thread beside them: each prints what it predicts. */
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { predict } from './predict.mjs';

const prompt = 'The capital of France is';
const say = (prediction) => console.log(JSON.stringify(prediction));
if (isMainThread) {
  for (const name of ['a', 'b'])
    new Worker(new URL(import.meta.url), { env: { NAME: name } }).on('message', say);
  say(await predict(prompt));
} else parentPort.postMessage(await predict(prompt));
