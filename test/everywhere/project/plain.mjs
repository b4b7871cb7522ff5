import { map } from './map.mjs';

console.log(await map());
