import { predict } from './predict.mjs';

console.log(JSON.stringify(await predict(process.argv[2])));
