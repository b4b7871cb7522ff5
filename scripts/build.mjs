/** `npm run build`: the library as JavaScript with types in dist/, and the shipped model beside it. */

import { execFileSync } from 'node:child_process';
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (path) => new URL(path, new URL('..', import.meta.url));

rmSync(at('dist'), { recursive: true, force: true });
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  cwd: root,
  stdio: 'inherit',
});
for (const name of ['tiny', 'tiny-llama'])
  cpSync(at(`weights/${name}`), at(`dist/weights/${name}`), { recursive: true });
cpSync(at('scripts/seeds/published'), at('dist/scripts/seeds/published'), { recursive: true });
