/**
 * What a model's name in an address may do by itself. An address comes from somebody else, so nothing is
 * loaded from another host, and nothing large is downloaded, before the reader has said yes.
 */

import { HUB_ENDPOINT, hubPage, hubRepo, isShipped } from '../../weights/hub/hub.js';
import { bytesText, isKept, knownModels } from './models.js';
import type { Question } from './state.js';

/** Downloads up to so many bytes need no question. */
export const UNASKED_BYTES = 50e6;
/** The Hub is not waited for any longer before the question is asked. */
const PATIENCE_MS = 10_000;

/** Loads without a question; only after one; or never. */
export type Verdict =
  | { readonly kind: 'load'; readonly name: string }
  | { readonly kind: 'ask'; readonly name: string; readonly question: Question }
  | { readonly kind: 'refuse'; readonly why: string };

/**
 * Judges the model's name of an address. Asks nobody but the Hub, and that only for the size of one of its
 * models.
 */
export async function judge(name: string, page: string): Promise<Verdict> {
  if (isShipped(name)) return { kind: 'load', name };
  const shown = shortened(name);
  const known = hubRepo(name);
  if (known) return fromHub(name, known.repo, 'main');
  const web = /^https?:/i.test(name);
  const path = /^(\.{0,2}[/\\]|\.{1,2}$)/.test(name);
  const url = web || path ? parsed(name, page) : null;
  if (!url || !/^https?:$/.test(url.protocol))
    return {
      kind: 'refuse',
      why: `The address names a model that this page cannot load: ${shown}. It loads those of the Hugging Face Hub, of https addresses, and folders that you choose.`,
    };
  const hub = web ? hubPage(url) : null;
  if (hub && url.protocol === 'https:') return fromHub(url.href, hub.repo, hub.revision);
  const own = path && url.host === new URL(page).host;
  return {
    kind: 'ask',
    name: path ? name : url.href,
    question: {
      text: own
        ? `This address is of a model in the folder ${shown}. If it is on the machine of whoever shared it, choose your copy under “Model”. It may also lie beside this page, on ${url.host}.`
        : `This address asks for a model from ${url.host}, which is neither this page’s host nor the Hugging Face Hub: ${shown}. Nothing has been asked of that host yet.`,
      yes: `Load it from ${url.host}`,
    },
  };
}

async function fromHub(name: string, repo: string, revision: string): Promise<Verdict> {
  if (await isKept(repo)) return { kind: 'load', name };
  const bytes =
    knownModels.find((m) => hubRepo(m.name)?.repo === repo)?.bytes ?? (await sizeOf(repo, revision));
  if (bytes !== null && bytes <= UNASKED_BYTES) return { kind: 'load', name };
  const size = bytes === null ? 'how large it is is not known' : `a download of ${bytesText(bytes)}`;
  return {
    kind: 'ask',
    name,
    question: {
      text: `This address asks for ${shortened(repo)} of the Hugging Face Hub: ${size}, which this browser does not keep yet.`,
      yes: bytes === null ? 'Download it' : `Download ${bytesText(bytes)}`,
    },
  };
}

/** Bytes of the weights of a repository; null when the Hub does not say. */
async function sizeOf(repo: string, revision: string): Promise<number | null> {
  try {
    const url = `${HUB_ENDPOINT}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
    const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS) });
    const { siblings } = (await answer.json()) as { siblings?: unknown };
    if (!answer.ok || !Array.isArray(siblings)) return null;
    const files = siblings as readonly { rfilename?: unknown; size?: unknown }[];
    for (const ending of [/\.safetensors$/, /\.(pth|pt|bin)$/]) {
      const found = files.filter((f) => typeof f.rfilename === 'string' && ending.test(f.rfilename));
      const sizes = found.map((f) => f.size);
      if (sizes.length)
        return sizes.every((s) => typeof s === 'number') ? sizes.reduce((a, b) => a + b, 0) : null;
    }
    return null;
  } catch {
    return null; // not reached: the question is asked, and loading says what is wrong
  }
}

function parsed(name: string, page: string): URL | null {
  try {
    return new URL(name, page);
  } catch {
    return null;
  }
}

/** A name as a sentence may hold it. */
const shortened = (name: string): string => {
  const text = name.replace(/[\p{Cc}\p{Cf}]/gu, '·');
  return text.length > 120 ? `“${text.slice(0, 117)}…”` : `“${text}”`;
};
