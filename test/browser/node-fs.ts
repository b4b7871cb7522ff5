/** `node:fs` for tests that run in a page: reading a fixture that the server has. */

interface Request {
  open(method: string, url: string, asynchronous: boolean): void;
  overrideMimeType(type: string): void;
  send(): void;
  readonly status: number;
  readonly statusText: string;
  readonly responseText: string;
}
const { XMLHttpRequest } = globalThis as unknown as { XMLHttpRequest: new () => Request };

/** The file at a URL, as text or as bytes. Blocks, as the real one does. */
export function readFileSync(url: URL | string, encoding?: string): string | Uint8Array {
  const request = new XMLHttpRequest();
  request.open('GET', String(url), false);
  // A request that blocks gives text only; this charset keeps each byte in one character.
  request.overrideMimeType('text/plain; charset=x-user-defined');
  request.send();
  if (request.status < 200 || request.status > 299)
    throw new Error(`${url}: ${request.status} ${request.statusText}`);
  const bytes = Uint8Array.from(request.responseText, (char) => char.charCodeAt(0) & 255);
  return encoding ? new TextDecoder().decode(bytes) : bytes;
}
