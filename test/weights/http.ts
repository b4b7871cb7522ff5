/**
 * A web server for tests: files by path, with the habits, good and bad, of real ones.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface TestServer {
  readonly url: string;
  /** `GET /path bytes=0-9`, in the order in which they came. */
  readonly requests: string[];
  close(): Promise<void>;
}

/** Serves with `answer` until closed. */
export async function serve(
  answer: (request: IncomingMessage, response: ServerResponse, path: string) => void,
): Promise<TestServer> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = new URL(request.url!, 'http://localhost').pathname;
    requests.push([request.method, path, request.headers.range].filter(Boolean).join(' '));
    answer(request, response, path);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export interface SendOptions {
  headers?: Record<string, string>;
  /** Answer 200 with everything, whatever range was asked for. */
  ignoreRange?: boolean;
  /** Cut the connection after this many bytes of the body. */
  cutAfter?: number;
}

/** Sends a file, or the range of it that was asked for. */
export function send(
  request: IncomingMessage,
  response: ServerResponse,
  bytes: Uint8Array,
  { headers = {}, ignoreRange = false, cutAfter }: SendOptions = {},
): void {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec((!ignoreRange && request.headers.range) || '') ?? [];
  const start = Number(first ?? 0);
  const end = Math.min(last ? Number(last) + 1 : bytes.length, bytes.length);
  if (first !== undefined && start >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end();
    return;
  }
  const range = first === undefined ? {} : { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` };
  response.writeHead(first === undefined ? 200 : 206, {
    'content-type': 'application/octet-stream',
    'content-length': String(end - start),
    ...range,
    ...headers,
  });
  const body = bytes.subarray(start, end);
  if (request.method === 'HEAD') response.end();
  else if (cutAfter === undefined) response.end(body);
  else response.write(body.subarray(0, cutAfter), () => setTimeout(() => response.destroy(), 20));
}
