/** Files that a user picked or dropped: Blobs by path. */

import { tagOf } from '../checks/kinds.js';
import { inFolder, nearestFolder } from './candidates.js';
import { checkRange, type FileSource, type RandomAccess } from './files.js';

/**
 * Files by path, as the folder among them that holds the model (see `nearestFolder`).
 * @throws when two folders hold one, equally near the top
 */
export function blobFolder(blobs: ReadonlyMap<string, Blob>, name = 'the given files'): FileSource {
  const all: FileSource = {
    name,
    async open(path) {
      const blob = blobs.get(path);
      return blob ? blobFile(path, blob) : null;
    },
    list: async () => [...blobs.keys()],
  };
  const folder = nearestFolder([...blobs.keys()], name) || commonFolder([...blobs.keys()]);
  return folder === '' ? all : { ...inFolder(all, folder), name };
}

/** `top/` where all paths begin with it, else `''`. */
function commonFolder(paths: readonly string[]): string {
  const folder = /^[^/]*\//.exec(paths[0] ?? '')?.[0] ?? '';
  return paths.every((path) => path.startsWith(folder)) ? folder : '';
}

/** How a path from beside the folder names it: `./top`. Undefined where the files have none in common. */
export function folderName(files: ReadonlyMap<string, Blob> | readonly File[]): string | undefined {
  const paths = [
    ...(tagOf(files) === 'Map'
      ? (files as ReadonlyMap<string, Blob>)
      : filesByPath(files as readonly File[])
    ).keys(),
  ];
  const top = commonFolder(paths).slice(0, -1);
  return top && top !== '.' ? `./${top}` : undefined;
}

/** Files as browsers give them: of a picked folder each knows its path. */
export function filesByPath(files: readonly File[]): Map<string, Blob> {
  const path = (file: File & { webkitRelativePath?: string }) => file.webkitRelativePath || file.name;
  return new Map(files.map((file) => [path(file), file]));
}

/** A Blob or File as a file; only the wanted parts of it are read. */
export function blobFile(name: string, blob: Blob): RandomAccess {
  const file: RandomAccess = {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(file, offset, length);
      return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
    },
  };
  return file;
}
