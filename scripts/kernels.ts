/**
 * `npm run kernels [family …]`: every kernel variant that this adapter can run, with its worst error against
 * the float64 reference, as a share of what is allowed. Exits with 1 when one fails.
 */

import '../index.js'; // registers where GPUs come from
import { families } from '../kernels/index.js';
import { KernelChecker } from './check-kernels.js';

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !families.some((f) => f.name === name));
if (unknown.length) {
  console.error(`no such family: ${unknown.join(', ')}. There are ${families.map((f) => f.name).join(', ')}`);
  process.exit(2);
}

const checker = await KernelChecker.open();
console.log(checker.gpu.adapter.text);
let checks = 0;
let failed = 0;
for (const family of families) {
  if (wanted.length && !wanted.includes(family.name)) continue;
  console.log(`\n${family.name}: ${family.about}`);
  const variants = new Map<string, string[]>();
  for (const example of family.examples(checker.gpu.caps)) {
    const { worst, failures } = await checker.check(example);
    checks++;
    if (failures.length) failed++;
    const name = example.launch.kernel.name;
    const error = `${(100 * worst).toPrecision(2)} %`.padStart(9);
    const lines = [
      `  ${failures.length ? 'FAILS' : error}  ${example.title}`,
      ...failures.map((f) => `         ${f}`),
    ];
    variants.set(name, [...(variants.get(name) ?? []), ...lines]);
  }
  for (const [name, lines] of variants) console.log(`  ${name}\n  ${lines.join('\n  ')}`);
}
console.log(`\n${checks} checks, ${failed} failed`);
process.exit(failed ? 1 : 0);
