/**
 * A Hub for tests, with the habits, good and bad, of real ones: the Hub, its storage and a stranger, on three
 * origins.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The commit of every answer. */
export const COMMIT = 'c0ffee'.padEnd(40, '0');
/** Hash of large files. */
export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
/** Hash of small files. */
export const gitSha = (bytes: Uint8Array) =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');

/** What is done at a request. */
export interface Act {
  status?: number;
  /** Headers in place of the usual; null removes one. */
  set?: Record<string, string | null>;
  /** An answer 307 to there. */
  redirect?: 'stranger' | 'loop' | string;
  /** The connection is closed without an answer. */
  reset?: boolean;
  /** No answer. */
  silence?: boolean;
  /** Another body, with its own length. */
  bytes?: Uint8Array;
  /** So many bytes, then the connection is closed. */
  cutAfter?: number;
  /** So many bytes, then nothing. */
  stallAfter?: number;
  /** Everything, whatever range was asked for. */
  ignoreRange?: boolean;
  /** Bytes without end. */
  endless?: boolean;
}

/** At which requests: `list` is the API, `storage` where large files are; the first `times`, default all. */
export interface Rule {
  kind: 'head' | 'get' | 'storage' | 'list';
  file?: string;
  times?: number;
  act: Act;
}

/** A request that came. */
export interface Logged {
  at: 'hub' | 'storage' | 'stranger';
  kind: string;
  file: string;
  authorization?: string;
  range?: string;
  ifRange?: string;
}

/** A running Hub. */
export interface Hub {
  readonly url: string;
  readonly log: Logged[];
  /** Bytes of bodies sent. */
  readonly sent: number;
  /** What happens from now on. */
  rules: Rule[];
  close(): Promise<void>;
}

/**
 * Starts one with the repository `owner/name`, formerly `old/name`; files over 10,000 bytes are in the
 * storage.
 */
export async function startHub(files: Record<string, Uint8Array>, rules: Rule[] = []): Promise<Hub> {
  const servers: ReturnType<typeof createServer>[] = [];
  const log: Logged[] = [];
  let sent = 0;
  const hub = { rules: rules.map((rule) => ({ ...rule })) };
  const listen = async (answer: (request: IncomingMessage, response: ServerResponse) => void) => {
    const server = createServer((request, response) => {
      response.on('error', () => {});
      answer(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    servers.push(server);
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  };
  const note = (at: Logged['at'], kind: string, file: string, { headers }: IncomingMessage): Act => {
    const { authorization, range, 'if-range': ifRange } = headers;
    log.push({ at, kind, file, authorization, range, ifRange: ifRange as string | undefined });
    const rule = hub.rules.find((r) => r.kind === kind && (r.file ?? file) === file && (r.times ?? 1) > 0);
    if (rule?.times !== undefined) rule.times--;
    return rule?.act ?? {};
  };

  function answer(
    request: IncomingMessage,
    response: ServerResponse,
    usual: Record<string, string>,
    bytes: Uint8Array,
    act: Act,
    status = 200,
  ): unknown {
    if (act.reset) return request.socket.destroy();
    if (act.silence) return;
    const headers: Record<string, string> = { ...usual };
    const set = () => {
      for (const [name, value] of Object.entries(act.set ?? {}))
        if (value === null) delete headers[name];
        else headers[name] = value;
    };
    if (act.redirect) {
      const to = act.redirect === 'stranger' ? stranger + request.url : act.redirect;
      return response.writeHead(act.status ?? 307, { location: to === 'loop' ? request.url! : to }).end();
    }
    if (act.status !== undefined) {
      for (const name of Object.keys(headers)) delete headers[name];
      set();
      return response.writeHead(act.status, headers).end();
    }
    const body = act.bytes ?? bytes;
    const first = act.ignoreRange ? undefined : /^bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1];
    const start = Number(first ?? 0);
    const location = headers.location !== undefined;
    if (!act.endless && !location) headers['content-length'] = String(body.length - start);
    if (first !== undefined) headers['content-range'] = `bytes ${start}-${body.length - 1}/${body.length}`;
    set();
    response.writeHead(location ? 302 : first === undefined ? status : 206, headers);
    if (request.method === 'HEAD' || location) return response.end();
    const write = (part: Uint8Array) => {
      sent += part.length;
      return response.write(part);
    };
    if (act.endless) {
      const more = () => {
        while (!response.destroyed && sent < 1e8)
          if (!write(new Uint8Array(65536))) return response.once('drain', more);
      };
      return more();
    }
    const stop = act.cutAfter ?? act.stallAfter;
    if (stop === undefined) {
      write(body.subarray(start));
      return response.end();
    }
    write(body.subarray(start, start + stop));
    if (act.cutAfter !== undefined) setTimeout(() => response.destroy(), 10);
  }

  const stranger = await listen((request, response) => {
    note('stranger', 'stranger', request.url!, request);
    const [, file] = /\/resolve\/[^/]+\/(.+)$/.exec(request.url!) ?? [];
    const bytes = files[file] ?? new Uint8Array();
    answer(request, response, { 'x-repo-commit': COMMIT, etag: `"${gitSha(bytes)}"` }, bytes, {});
  });
  const storage = await listen((request, response) => {
    const file = request.url!.slice(1);
    const act = note('storage', 'storage', file, request);
    answer(request, response, { etag: `"${sha256(act.bytes ?? files[file])}"` }, files[file], act);
  });
  const url = await listen((request, response) => {
    const path = request
      .url!.replace(/\?.*/, '')
      .replace('/old/', '/owner/')
      .replace('/api/datasets/', '/api/models/') // the same files as a data set
      .replace(/^\/datasets\//, '/');
    if (path.startsWith('/api/models/owner/name/revision/')) {
      const siblings = Object.entries(files).map(([rfilename, { length }]) => ({ rfilename, size: length }));
      const act = note('hub', 'list', '', request);
      const json = JSON.stringify({ sha: COMMIT, siblings });
      return answer(request, response, {}, new TextEncoder().encode(json), act);
    }
    const [, file] = /^\/owner\/name\/resolve\/[^/]+\/(.+)$/.exec(path) ?? [];
    const act = note('hub', request.method === 'HEAD' ? 'head' : 'get', file ?? path, request);
    const common: Record<string, string> = { 'x-repo-commit': COMMIT };
    if (request.url!.startsWith('/old/'))
      return answer(request, response, {}, files[file], { redirect: path });
    if (file === undefined)
      return answer(request, response, {}, files[file], {
        status: 404,
        set: { 'x-error-code': 'RepoNotFound' },
      });
    const bytes = files[file];
    if (!bytes && act.status === undefined)
      return answer(request, response, {}, bytes, {
        status: 404,
        set: { ...common, 'x-error-code': 'EntryNotFound', ...act.set },
      });
    if (!bytes) return answer(request, response, common, new Uint8Array(), act);
    if (bytes.length <= 10_000)
      return answer(request, response, { ...common, etag: `"${gitSha(bytes)}"` }, bytes, act);
    const linked = { 'x-linked-etag': `"${sha256(bytes)}"`, 'x-linked-size': String(bytes.length) };
    answer(request, response, { ...common, location: `${storage}/${file}`, ...linked }, bytes, act);
  });
  return Object.assign(hub, {
    url,
    log,
    get sent() {
      return sent;
    },
    async close() {
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
    },
  });
}
