/** Four workers sweep at once, with an environment of their own; prints each one's numbers. */
import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { map } from './map.mjs';

if (isMainThread)
  for (let i = 0; i < 4; i++)
    new Worker(new URL(import.meta.url), { env: { OWN: 'yes' } }).on('message', (line) => console.log(line));
else parentPort.postMessage(await map());
