/** Records of sweeps in files. */

import { open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { textLines } from '../../../weights/checks/text.js';
import { namingFile, pathOf, statOrNull } from '../../../weights/files/disk-node.js';
import { is, signatures } from '../../input/check.js';
import type { RecordStore } from './record.js';

const takes = signatures({
  jsonLines: { file: is.path },
});

/**
 * A record in a file of JSON lines, made when there is none: `{ record: jsonLines('sweep.jsonl') }`. Each
 * line is on the disk before the sweep goes on. What a crash leaves of a last line stays where it is and is
 * not read; the next line begins anew.
 * @throws when it is read: the folder does not exist, or the path is one
 */
export const jsonLines = takes.jsonLines(function jsonLines(file: string | URL): RecordStore {
  const path = pathOf(file);
  return {
    async read() {
      const info = await statOrNull(path);
      if (info?.isDirectory()) throw new Error(`record ${path}: this is a folder; name a file in it`);
      if (info) return textLines(await readFile(path, 'utf8')); // a crash may have cut a character in two;
      if (!(await statOrNull(dirname(path)))?.isDirectory())
        throw new Error(`record ${path}: there is no folder ${dirname(path)}; make it first`);
      return [];
    },
    async append(lines) {
      if (!lines.length) return;
      const failed = (error: unknown) => {
        throw namingFile(error, `record ${path}`);
      };
      const file = await open(path, 'a+').catch(failed);
      try {
        const { size } = await file.stat();
        const last = Buffer.alloc(1);
        if (size) await file.read(last, 0, 1, size - 1);
        const cut = size && last.toString() !== '\n';
        await file.appendFile(`${cut ? '\n' : ''}${lines.join('\n')}\n`).catch(failed);
        await file.datasync().catch(failed);
      } finally {
        await file.close();
      }
    },
  };
});
