/**
 * Proxies of the environment, as curl and Python read it: `https_proxy`, `http_proxy`, `all_proxy`,
 * `no_proxy`, in small or capital letters. Node's own `fetch` reads none of them; the package `undici` is
 * loaded only where one is set.
 */

import { shownUrl } from '../checks/shown.js';
import { parseUrl } from './request.js';

/** What the environment says: a proxy for each protocol, and hosts that are asked directly. */
interface Proxies {
  readonly http: string | null;
  readonly https: string | null;
  readonly except: readonly string[];
}

/** What `fetch` asks through, for what the environment said when it was made. */
let current: { readonly key: string; readonly fetch: typeof fetch } | undefined;

/** `fetch`, through the proxy that the environment names for the address. */
export async function nodeFetch(...[address, init]: Parameters<typeof fetch>): Promise<Response> {
  const proxies = proxiesOf(process.env);
  if (!proxies.http && !proxies.https) return fetch(address, init);
  const key = JSON.stringify(proxies);
  if (current?.key !== key) current = { key, fetch: await proxiedFetch(proxies) };
  return current.fetch(address, init);
}

/** Reads the environment. @throws when a proxy is none, or of a kind that is not supported */
function proxiesOf(env: NodeJS.ProcessEnv): Proxies {
  const named = (name: string) => env[name] || env[name.toUpperCase()] || '';
  const proxy = (name: string): string | null => {
    const text = (named(name) || named('all_proxy')).trim();
    if (!text) return null;
    const whole = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
    if (!/^https?:/i.test(whole))
      throw new Error(`${name} is ${shownUrl(whole)}: only proxies with http:// or https:// are supported`);
    return parseUrl(whole).href;
  };
  return {
    http: proxy('http_proxy'),
    https: proxy('https_proxy'),
    except: named('no_proxy')
      .toLowerCase()
      .split(/[\s,]+/)
      .filter(Boolean),
  };
}

async function proxiedFetch(proxies: Proxies): Promise<typeof fetch> {
  const undici = await import('undici');
  const agent = new undici.Agent({
    factory(origin, options) {
      const url = new URL(origin);
      const proxy = isExcepted(url, proxies.except)
        ? null
        : url.protocol === 'http:'
          ? proxies.http
          : proxies.https;
      if (!proxy) return new undici.Pool(origin, options);
      const { username, password, origin: uri } = new URL(proxy);
      const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
      const token = username ? `Basic ${Buffer.from(login).toString('base64')}` : undefined;
      // Plain http is asked of the proxy itself, as curl does; https goes through a tunnel.
      return new undici.ProxyAgent({ uri, token, proxyTunnel: false });
    },
  });
  const get = undici.fetch as unknown as (address: unknown, init: object) => Promise<Response>;
  return (address, init) => get(address, { ...init, dispatcher: agent });
}

/** Whether a host is asked directly: `*`, its name, a domain that it lies in, each perhaps with a port. */
function isExcepted({ hostname, port, protocol }: URL, except: readonly string[]): boolean {
  const host = hostname.replace(/^\[|\]$/g, '');
  const at = port || (protocol === 'https:' ? '443' : '80');
  return except.some((entry) => {
    if (entry === '*') return true;
    const [, name, wanted] = /^\[?(.+?)\]?(?::(\d+))?$/.exec(entry) ?? [];
    if (name === undefined || (wanted !== undefined && wanted !== at)) return false;
    const domain = name.replace(/^\*?\./, '');
    return host === domain || host.endsWith(`.${domain}`);
  });
}
