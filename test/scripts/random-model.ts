/**
 * Writes the random model of test/fixtures/notebooks: `node --import tsx test/scripts/random-model.ts
 * FOLDER`.
 */

import { mkdirSync } from 'node:fs';
import { writeNotebookModel } from './seed.js';

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('a folder is needed');
mkdirSync(folder, { recursive: true });
process.stdout.write(`${writeNotebookModel(folder)}\n`);
