/**
 * What the first argument of `fromPretrained` means.
 */

import { tagOf } from '../checks/kinds.js';
import { shown } from '../checks/shown.js';
import type { FileSource } from '../files/files.js';
import { blobFolder, filesByPath } from '../files/files-blob.js';
import { urlFiles, urlFolder } from '../files/files-web.js';
import { type FilePlatform, filePlatform, type LoadOptions } from '../files/platform.js';
import {
  type HubRepo,
  hubPage,
  hubRepo,
  isShipped,
  knownModels,
  type ShippedModel,
  shippedModels,
} from '../hub/hub.js';
import { webHub } from '../hub/hub-web.js';

/** The shipped models. Written out one by one, so that bundlers see each file and emit it. */
const SHIPPED: Readonly<Record<ShippedModel, Readonly<Record<string, string>>>> = {
  tiny: {
    'config.json': new URL('../tiny/config.json', import.meta.url).href,
    'tokenizer.json': new URL('../tiny/tokenizer.json', import.meta.url).href,
    'model.safetensors': new URL('../tiny/model.safetensors', import.meta.url).href,
  },
  'tiny-llama': {
    'config.json': new URL('../tiny-llama/config.json', import.meta.url).href,
    'tokenizer.json': new URL('../tiny-llama/tokenizer.json', import.meta.url).href,
    'model.safetensors': new URL('../tiny-llama/model.safetensors', import.meta.url).href,
  },
};

/** Whether a source of a model is a URL object, of any realm. */
export const isUrl = (source: object | string): source is URL =>
  typeof source === 'object' && 'href' in source && typeof source.href === 'string';

/**
 * The folder that holds a model:
 *
 * - `'tiny'` (a GPT-2) and `'tiny-llama'`: the models that come with the package;
 * - `'./folder'`, `'/folder'`, `'~/folder'`, a file: URL: a folder on disk; in a browser relative to the page;
 * - `'./folder/model_final.pth'`, and other names in .pth, .pt, .bin or .safetensors: that file, in its folder;
 * - an http(s) URL: a folder on a web server, or a file in it; or a page of the Hub: a repository, a folder or a file in it;
 * - `'gpt2'`, `'gpt2-medium'`, `'gpt2-large'`, `'gpt2-xl'`, `'distilgpt2'`, TransformerLens' toy models (`'attn-only-2l'`,
 *   `'gelu-1l'`, `'solu-4l'`, ...), or `'owner/name'`: the Hub, through the same cache that Python uses;
 * - `'ollama:llama3.2'`, `'ollama:qwen2.5:0.5b'`: a model that Ollama has on this machine; `'lmstudio:owner/name'` (or a part of the
 *   file's name): one of LM Studio;
 * - a `Map` of Blobs by path, or an array of Files. A URL object is its text.
 *
 * @throws when the name means none of these, or the folder does not exist.
 */
export async function resolveModel(
  source: string | URL | ReadonlyMap<string, Blob> | readonly File[],
  options: LoadOptions = {},
): Promise<FileSource> {
  const name = isUrl(source) ? source.href : source;
  if (typeof name !== 'string')
    return blobFolder(
      tagOf(name) === 'Map' ? (name as ReadonlyMap<string, Blob>) : filesByPath(name as File[]),
    );
  const { signal, timeoutMs } = options;
  const platform = filePlatform();
  if (isShipped(name)) {
    const files = SHIPPED[name];
    const folder = files['config.json'].slice(0, -'config.json'.length);
    return platform && folder.startsWith('file:')
      ? platform.folder(folder)
      : urlFiles(name, files, { signal, timeoutMs });
  }
  if (/^https?:/.test(name)) {
    const url = new URL(name);
    const page = hubPage(url);
    if (page) {
      const repo = await openHub(page, { ...options, revision: options.revision ?? page.revision });
      const weights = page.file && /\.(pth|pt|bin|gguf)$/.test(page.file) ? page.file : undefined;
      return page.folder || weights ? { ...subFolder(repo, page.folder), weights } : repo;
    }
    const weights = /[^/]+\.(pth|pt|bin|gguf)$/.exec(url.pathname)?.[0];
    url.pathname = url.pathname.replace(/\/[^/]+\.(safetensors|json|pth|pt|bin|gguf)$/, '/');
    return { ...urlFolder(url.href, { signal, timeoutMs }), weights };
  }
  if (/^(ollama|lmstudio):/.test(name)) {
    const found = await platform?.installed?.(name);
    if (found) return found;
    throw new Error(
      `"${shown(name, 60)}": models of other programs are found in Node only; here give the file itself`,
    );
  }
  if (isPath(name)) {
    if (platform) return pathOnDisk(name, platform);
    const page = (globalThis as { location?: { href: string } }).location?.href;
    if (page) return urlFolder(new URL(name, page).href, { signal, timeoutMs });
    throw new Error(`"${name}": folders cannot be read here; give an http(s) URL or a Map of Blobs`);
  }
  const known = hubRepo(name);
  if (known) return openHub(known, options);
  throw new Error(
    `unknown model "${name}": known names are ${[...shippedModels, ...knownModels].join(', ')}; ` +
      'owner/name is a repository of the Hugging Face Hub; ./name is a folder; ollama:name and lmstudio:name are models of these programs',
  );
}

/** `./x`, `../x`, `.`, `/x`, `~/x`, `C:\x`, `file:...`, `x.pth` */
function isPath(name: string): boolean {
  return /^(\.{1,2}([/\\]|$)|[/~\\]|[A-Za-z]:[/\\]|file:)|\.(pth|pt|safetensors|gguf)$/.test(name);
}

/** A folder, or one checkpoint in it. */
async function pathOnDisk(path: string, platform: FilePlatform): Promise<FileSource> {
  const [, parent, weights] = /^(.*[/\\])?([^/\\]+\.(?:pth|pt|bin|safetensors|gguf))$/.exec(path) ?? [];
  if (weights !== undefined) {
    const folder = await platform.folder(parent ?? '.');
    if (await folder.open(weights)) return { ...folder, weights };
  }
  return platform.folder(path);
}

/** A folder inside a source of files; `''` is its top. */
function subFolder(source: FileSource, folder: string): FileSource {
  const before = folder && `${folder}/`;
  return {
    name: before ? `${source.name}/${folder}` : source.name,
    hub: source.hub,
    open: (path) => source.open(before + path),
    list: async () => {
      const all = await source.list?.();
      return all?.filter((path) => path.startsWith(before)).map((path) => path.slice(before.length)) ?? null;
    },
    finished: async () => source.finished?.(),
  };
}

function openHub({ repo, aliases }: HubRepo, options: LoadOptions): Promise<FileSource> {
  return (filePlatform()?.hub ?? webHub).open(repo, aliases, options);
}
