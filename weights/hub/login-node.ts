/**
 * The access token for the Hub, from where Python's huggingface_hub has it.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expandPath, hfHome } from './cache-node.js';

/**
 * `option`, else `$HF_TOKEN`, `$HUGGING_FACE_HUB_TOKEN`, else the login that `hf auth login` wrote:
 * `$HF_TOKEN_PATH`, by default `$HF_HOME/token`. False as option, or `HF_HUB_DISABLE_IMPLICIT_TOKEN=1`
 * without one, means none.
 * @throws when it holds what no token has; the message does not show it
 */
export async function accessToken(
  option?: string | false,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string | undefined> {
  if (option === false) return undefined;
  if (option) return checked(option, 'the option token');
  if (isSet(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN'])
    if (env[name]?.trim()) return checked(env[name], name);
  const path = env.HF_TOKEN_PATH ? expandPath(env.HF_TOKEN_PATH, env) : join(hfHome(env), 'token');
  const login = await readFile(path, 'utf8').catch(() => ''); // who has no login has no file
  return login.trim() ? checked(login, path) : undefined;
}

function checked(text: string, where: string): string {
  const token = text.trim();
  if (/^[\x21-\x7e]{1,1000}$/.test(token)) return token;
  throw new Error(
    `the Hub's access token in ${where} is none: it holds blanks or characters that no token has`,
  );
}

/** huggingface_hub's notion of a set flag. */
export function isSet(value: string | undefined): boolean {
  return ['1', 'true', 'yes', 'on'].includes(value?.toLowerCase() ?? '');
}
