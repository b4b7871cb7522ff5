/** Models to choose from, and what of them the browser keeps. */

import { HUB_ENDPOINT, hubListing, hubRepo } from '../../weights/hub/hub.js';
import { CACHE_NAME } from '../../weights/hub/hub-web.js';

import { type Contents, contentsOf, FORMATS } from './formats.js';

/** A model that can be loaded by name. */
export interface KnownModel {
  readonly name: string;
  readonly about: string;
  /** Of its weights: what is downloaded, and what they take on the GPU. */
  readonly bytes: number;
}

/** Sizes are those of model.safetensors. */
export const knownModels: readonly KnownModel[] = [
  { name: 'tiny', about: 'comes with this page: 4 layers, 4 heads, 2,449 tokens', bytes: 4_497_904 },
  {
    name: 'tiny-llama',
    about: 'comes with this page: a Llama of 4 layers, 4 heads on 2 of keys and values',
    bytes: 1_915_944,
  },
  { name: 'distilgpt2', about: '6 layers, 12 heads', bytes: 352_824_413 },
  { name: 'gpt2', about: '12 layers, 12 heads', bytes: 548_105_171 },
  { name: 'gpt2-medium', about: '24 layers, 16 heads', bytes: 1_519_984_962 },
  { name: 'gpt2-large', about: '36 layers, 20 heads', bytes: 3_247_159_078 },
  { name: 'gpt2-xl', about: '48 layers, 25 heads', bytes: 6_431_829_964 },
];

/** `548 MB`, `1.5 GB` */
export const bytesText = (bytes: number): string =>
  bytes < 5e4
    ? '0 MB'
    : bytes >= 999.5e6
      ? `${(bytes / 1e9).toFixed(1)} GB`
      : `${(bytes / 1e6).toFixed(bytes < 9.95e6 ? 1 : 0)} MB`;

/** Weights that are so large are not kept on the host as well. */
const HOST_LIMIT = 1e9;

/** Whether a model's weights may be kept twice, on the host and on the GPU. */
export const hostWeights = (name: string): boolean =>
  (knownModels.find((m) => m.name === name)?.bytes ?? HOST_LIMIT) < HOST_LIMIT;

/** A repository that the browser keeps, and how much of it. */
export interface KeptRepo {
  readonly repo: string;
  readonly bytes: number;
}

/** The repositories of the Hub of which the browser keeps weights, with all their files. */
export async function keptRepos(): Promise<KeptRepo[]> {
  const cache = await storage();
  const found = new Map<string, { bytes: number; weights: boolean }>();
  for (const request of (await cache?.keys()) ?? []) {
    const repo = /^\/([\w.-]+(?:\/[\w.-]+)?)\/resolve\//.exec(new URL(request.url).pathname)?.[1];
    if (repo === undefined) continue;
    const answer = await cache!.match(request);
    const bytes = (await answer?.blob())?.size ?? 0;
    const one = found.get(repo) ?? { bytes: 0, weights: false };
    const weights = one.weights || FORMATS.some((f) => f.endings.test(request.url));
    found.set(repo, { bytes: one.bytes + bytes, weights });
  }
  return [...found].filter(([, { weights }]) => weights).map(([repo, { bytes }]) => ({ repo, bytes }));
}

/** What the Hub says of a repository. @throws what `hubListing` throws */
export async function lookUp(repo: string, revision: string, signal: AbortSignal): Promise<Contents> {
  const { files } = await hubListing(HUB_ENDPOINT, repo, revision, {
    signal,
    timeoutMs: 15_000,
    attempts: 1,
  });
  return contentsOf(new Map([...files].map(([name, { size }]) => [name, size])));
}

/** A repository as `fromPretrained` takes it: with a revision its page on the Hub. */
export const hubName = (repo: string, revision: string): string =>
  revision === '' || revision === 'main'
    ? repo
    : `${HUB_ENDPOINT}/${repo}/tree/${encodeURIComponent(revision)}`;

/** Whether the browser keeps weights of a repository of the Hub. */
export async function isKept(repo: string): Promise<boolean> {
  const keys = (await (await storage())?.keys()) ?? [];
  const own = `/${repo}/`;
  return keys.some(({ url }) => {
    const { pathname } = new URL(url);
    return pathname.includes(own) && FORMATS.some((f) => f.endings.test(pathname));
  });
}

/** Takes a model out of the browser's storage. */
export async function forget(name: string): Promise<void> {
  const cache = await storage();
  for (const request of (await cache?.keys()) ?? [])
    if (belongs(request.url, name)) await cache!.delete(request);
}

/** What this page keeps, and may keep. Null where browsers do not say. */
export async function quota(): Promise<{ readonly used: number; readonly of: number } | null> {
  const { usage, quota } = (await navigator.storage?.estimate?.()) ?? {};
  return usage === undefined || quota === undefined ? null : { used: usage, of: quota };
}

async function storage(): Promise<Cache | null> {
  try {
    return (await globalThis.caches?.open(CACHE_NAME)) ?? null;
  } catch {
    return null; // private windows
  }
}

function belongs(url: string, name: string): boolean {
  const repo = hubRepo(name)?.repo ?? name;
  return repo !== undefined && new URL(url).pathname.includes(`/${repo}/`);
}

/** What may be done when a model did not fit: the next smaller ones. */
export function whatFits(name: string): string {
  const size = knownModels.find((m) => m.name === name)?.bytes ?? Number.POSITIVE_INFINITY;
  const smaller = knownModels.filter((m) => m.bytes < size).at(-1);
  return smaller
    ? `${name} takes ${Number.isFinite(size) ? bytesText(size) : 'more than there is'} of GPU memory. ${smaller.name} takes ${bytesText(smaller.bytes)}.`
    : `${name} does not fit.`;
}
