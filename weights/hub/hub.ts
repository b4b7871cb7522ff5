/**
 * The Hugging Face Hub: which repository a model's name means, and what its answers say.
 */

import { isCommit, isContentHash, isSafePath, safePath } from '../checks/paths.js';
import { shown, shownUrl } from '../checks/shown.js';
import { bareEtag, bodyLength, type RequestOptions, refusal, request } from '../files/request.js';
import { NetworkError, type RetryOptions, ShortBodyError, withRetries } from '../files/retry.js';

/** A repository of the Hub. */
export interface HubRepo {
  /** `owner/name`; of a data set `datasets/owner/name` */
  readonly repo: string;
  /** Older names of the same repository: Python's cache files a model under the name it was asked for. */
  readonly aliases: readonly string[];
}

const GPT2: Readonly<Record<string, HubRepo>> = {
  gpt2: { repo: 'openai-community/gpt2', aliases: ['gpt2'] },
  'gpt2-small': { repo: 'openai-community/gpt2', aliases: ['gpt2'] },
  'gpt2-medium': { repo: 'openai-community/gpt2-medium', aliases: ['gpt2-medium'] },
  'gpt2-large': { repo: 'openai-community/gpt2-large', aliases: ['gpt2-large'] },
  'gpt2-xl': { repo: 'openai-community/gpt2-xl', aliases: ['gpt2-xl'] },
  distilgpt2: { repo: 'distilbert/distilgpt2', aliases: ['distilgpt2'] },
};

/**
 * TransformerLens' toy models, by the names that it gives them: attention only, exact GELU, SoLU with layer
 * norm.
 */
function toyModels(): Record<string, HubRepo> {
  const toys: Record<string, HubRepo> = {};
  const add = (repo: string, ...names: string[]) => {
    for (const name of names) toys[name] = { repo, aliases: [] };
  };
  const c4 = (name: string, repo: string) =>
    add(`NeelNanda/${repo}W_C4_Code`, name, `${name}-new`, `${name}-c4-code`);
  for (let l = 1; l <= 4; l++) {
    c4(`attn-only-${l}l`, `Attn_Only_${l}L512`);
    c4(`gelu-${l}l`, `GELU_${l}L512`);
    c4(`solu-${l}l`, `SoLU_${l}L512`);
  }
  for (const l of [6, 8, 10, 12]) c4(`solu-${l}l`, `SoLU_${l}L${128 * l}`);
  const old = { 1: 9, 2: 10, 4: 11, 6: 13, 8: 21, 10: 22, 12: 23 };
  for (const [l, version] of Object.entries(old))
    add(`NeelNanda/SoLU_${l}L_v${version}_old`, `solu-${l}l-pile`, `solu-${l}l-old`);
  for (const l of [1, 4])
    add(
      `NeelNanda/SoLU_${l}L512W_Wiki_Finetune`,
      ...['wiki', 'wiki-finetune', 'finetune'].map((suffix) => `solu-${l}l-${suffix}`),
    );
  add(
    'NeelNanda/Attn-Only-2L512W-Shortformer-6B-big-lr',
    'attn-only-2l-demo',
    'attn-only-2l-shortformer-6b-big-lr',
    'attn-only-2l-induction-demo',
    'attn-only-demo',
  );
  add('ArthurConmy/redwood_attn_2l', 'redwood_attn_2l');
  return toys;
}

/** Models known by a short name. */
const KNOWN: Readonly<Record<string, HubRepo>> = { ...GPT2, ...toyModels() };

/** The models that come with the package. */
export const shippedModels = ['tiny', 'tiny-llama'] as const;
/** The name of one of them. */
export type ShippedModel = (typeof shippedModels)[number];

/** Whether a name is that of a model that comes with the package. */
export const isShipped = (name: string): name is ShippedModel =>
  (shippedModels as readonly string[]).includes(name);

/** The short names, for messages; of several for one model, the first. */
export const knownModels: readonly string[] = Object.keys(KNOWN).filter(
  (name) => !/-(new|c4-code|old|finetune|big-lr|induction-demo)$/.test(name),
);

/** The public Hub; `$HF_ENDPOINT` replaces it in Node. */
export const HUB_ENDPOINT = 'https://huggingface.co';

/** `gpt2` → `openai-community/gpt2`; `owner/name` is itself; anything else is null. */
export function hubRepo(name: string): HubRepo | null {
  if (Object.hasOwn(KNOWN, name)) return KNOWN[name];
  const known = Object.values(KNOWN).find(({ repo }) => repo === name);
  if (known) return known;
  // The Hub's own rule for names; no `..`, so that a name cannot leave the cache folder.
  const valid = /^[\w][\w.-]*\/[\w][\w.-]*$/.test(name) && !name.includes('..') && !name.includes('--');
  return valid ? { repo: name, aliases: [] } : null;
}

/** What the address of a page of the Hub names. */
export interface HubPage extends HubRepo {
  readonly revision: string;
  /** The folder within the repository, `''` for its top. */
  readonly folder: string;
  /** The file in it, where the address is one of a file. */
  readonly file?: string;
}

/**
 * The address of a repository's page, of a folder in it or of a file; null for other addresses. @throws for
 * impossible paths
 */
export function hubPage(url: URL): HubPage | null {
  if (url.hostname !== new URL(HUB_ENDPOINT).hostname) return null;
  const [, name, kind, revision = 'main', rest = ''] =
    /^\/([^/]+\/[^/]+)(?:\/(tree|blob|resolve)\/([^/]+)(?:\/(.*?))?)?\/?$/.exec(url.pathname) ?? [];
  const repo = name === undefined ? null : hubRepo(name);
  if (!repo) return null;
  const decoded = (text: string) => {
    try {
      return decodeURIComponent(text);
    } catch {
      throw new Error(`${shownUrl(url.href)}: not an address of the Hub (its % signs are wrong)`);
    }
  };
  const path = rest && safePath(decoded(rest), shownUrl(url.href));
  const at = { ...repo, revision: decoded(revision) };
  if (kind === 'tree' || path === '') return { ...at, folder: path };
  const cut = path.lastIndexOf('/');
  return { ...at, folder: path.slice(0, Math.max(0, cut)), file: path.slice(cut + 1) };
}

/** Where the Hub serves a file. */
export function resolveUrl(endpoint: string, repo: string, revision: string, file: string): string {
  return `${endpoint.replace(/\/+$/, '')}/${repo}/resolve/${encodeURIComponent(revision)}/${file}`;
}

/** What the Hub says of a file before it is downloaded. */
export interface HubFile {
  /** 40 hex digits: the commit that the revision means. */
  readonly commit: string;
  /** SHA-256 (64 hex digits) of large files, git's blob SHA-1 (40) of small ones; of mirrors, any text. */
  readonly etag: string;
  /** In bytes; null when the Hub does not say. */
  readonly size: number | null;
}

const MAX_ETAG_LENGTH = 200;

/** Reads a HEAD answer of `resolveUrl`. @throws when it is not one of the Hub, or says what cannot be. */
export function hubFile(headers: Headers, url: string): HubFile {
  const fail = (what: string) => new Error(`${shownUrl(url)}: ${what}`);
  const commit = headers.get('x-repo-commit');
  const etag = bareEtag(headers.get('x-linked-etag') ?? headers.get('etag'));
  if (!commit || !etag)
    throw fail('the answer has no X-Repo-Commit and ETag; this is not a Hugging Face Hub');
  if (!isCommit(commit)) throw fail(`its X-Repo-Commit "${shown(commit)}" is no commit (40 hex digits)`);
  if (etag.length > MAX_ETAG_LENGTH) throw fail(`its ETag is longer than ${MAX_ETAG_LENGTH} characters`);
  const linked = headers.get('x-linked-size');
  if (linked !== null && !/^\d{1,15}$/.test(linked))
    throw fail(`its X-Linked-Size "${shown(linked)}" is no number of bytes`);
  return { commit, etag, size: linked === null ? bodyLength({ headers }) : Number(linked) };
}

/** Says what a refusal means and what to do. */
export function hubRefusal(status: number, headers: Headers, repo: string, hasToken: boolean): string {
  const code = headers.get('x-error-code');
  const said = headers.get('x-error-message');
  if (code === 'RevisionNotFound') return `the Hub's repository ${repo} has no such revision`;
  if (code === 'GatedRepo' || status === 403)
    return `access to the Hub's repository ${repo} is restricted: request it on its page, and set HF_TOKEN`;
  if (code === 'RepoNotFound' || status === 401)
    return (
      `the Hub has no repository ${repo}, or it is private or gated` +
      `${hasToken ? ' and the given token may not read it' : ' (then set HF_TOKEN)'}${repo.startsWith('datasets/') ? '' : `. For a folder write ./${repo}`}`
    );
  return `the Hub answered ${status} for ${repo}${said ? `: ${shown(said)}` : ''}`;
}

/** A repository's files as the Hub's API lists them: size and hash by path, where it tells them. */
export interface HubListing {
  readonly commit: string;
  readonly files: ReadonlyMap<string, { readonly size?: number; readonly hash?: string }>;
}

/** Bytes of a list: 100,000 files with their hashes. */
const MAX_LISTING_BYTES = 32_000_000;

/**
 * Asks for the list of a repository's files, with retries. Paths that cannot be are left out: nobody asks for
 * them.
 * @throws HttpError for a refusal, and what `withRetries` throws
 */
export async function hubListing(
  endpoint: string,
  repo: string,
  revision: string,
  options: RequestOptions & RetryOptions,
): Promise<HubListing> {
  const kind = repo.startsWith('datasets/') ? '' : 'models/';
  const url = `${endpoint.replace(/\/+$/, '')}/api/${kind}${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
  return withRetries(async () => {
    const answer = await request(url, options);
    if (answer.status !== 200)
      throw refusal(answer, hubRefusal(answer.status, answer.headers, repo, options.token !== undefined));
    const bytes = await answer.bytes(MAX_LISTING_BYTES);
    const promised = bodyLength(answer);
    if (promised !== null && bytes.length !== promised)
      throw new ShortBodyError(`${shownUrl(url)}: ${bytes.length} of ${promised} bytes arrived`);
    return readListing(bytes, url);
  }, options);
}

/** @throws NetworkError, since a broken answer may pass */
function readListing(bytes: Uint8Array, url: string): HubListing {
  let json: { sha?: unknown; siblings?: unknown } | null = null;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // told below
  }
  if (!isCommit(json?.sha) || !Array.isArray(json.siblings))
    throw new NetworkError(
      `${shownUrl(url)}: the answer has no sha and siblings; this is not a Hugging Face Hub`,
    );
  const files = new Map<string, { size?: number; hash?: string }>();
  for (const entry of json.siblings as unknown[]) {
    if (typeof entry !== 'object' || entry === null) continue;
    const { rfilename, size, blobId, lfs } = entry as Record<string, unknown>;
    if (!isSafePath(rfilename)) continue;
    const hash = (lfs as { sha256?: unknown } | null)?.sha256 ?? blobId;
    files.set(rfilename, {
      size: Number.isSafeInteger(size) && (size as number) >= 0 ? (size as number) : undefined,
      hash: typeof hash === 'string' && isContentHash(hash) ? hash : undefined,
    });
  }
  return { commit: json.sha, files };
}
