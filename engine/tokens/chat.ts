/**
 * Conversations as instruction-tuned models read them: a template of the model, in the language Jinja, makes one text of messages.
 * What runs the template (`@huggingface/jinja`) is loaded when it is first needed. It strips blanks where Python's `lstrip` is given
 * other characters.
 */

import { shown } from '../../weights/checks/shown.js';
import { toTokens } from './text.js';
import type { Tokenizer } from './tokenizer.js';

/** One turn. Templates may read more than these two: `tool_calls`, `name` … */
export interface ChatMessage {
  /** `system`, `user`, `assistant`, or what else the model's template knows. */
  readonly role: string;
  readonly content?: unknown;
  readonly [more: string]: unknown;
}

/** Options of `chat`. */
export interface ChatOptions {
  /** End with what begins the model's answer. Default: unless the last message is the assistant's. */
  readonly addGenerationPrompt?: boolean;
  /** Another template than the model's, or the name of one of several that it has. */
  readonly template?: string;
  /** What the template may read besides: `tools`, `documents`, `enable_thinking` … */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/** Files of a tokenizer by name, parsed. */
type Files = Readonly<Record<string, object>>;

/**
 * The tokens of a conversation, markers of turns included, exactly as the template has them (no beginning-of-text token is added).
 * @throws when the model has no template, or its template refuses the messages, with what it says
 */
export async function chatTokens(
  tokenizer: Tokenizer | null,
  files: Files,
  messages: readonly ChatMessage[],
  options: ChatOptions = {},
): Promise<number[]> {
  const text = await chatText(files, messages, options);
  return toTokens(tokenizer, text, { prependBos: false })[0];
}

/** The text of a conversation, as the template writes it. */
export async function chatText(
  files: Files,
  messages: readonly ChatMessage[],
  { addGenerationPrompt, template, variables = {} }: ChatOptions = {},
): Promise<string> {
  for (const [i, message] of messages.entries())
    if (typeof message?.role !== 'string')
      throw new Error(`chat: message ${i} has no role: { role: 'user', content: 'text' } is one`);
  if (!messages.length) throw new Error('chat: there are no messages: [{ role: "user", content: "text" }]');
  const settings = {
    ...files['special_tokens_map.json'],
    ...files['tokenizer_config.json'],
  } as Readonly<Record<string, unknown>>;
  const { Template } = await import('@huggingface/jinja');
  const special = Object.entries(settings).flatMap(([name, value]) => {
    const content =
      typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
    return name.endsWith('_token') && typeof content === 'string' ? [[name, content]] : [];
  });
  try {
    return new Template(templateOf(settings.chat_template, template)).render({
      ...Object.fromEntries(special),
      tools: null,
      documents: null,
      ...variables,
      messages,
      add_generation_prompt: addGenerationPrompt ?? messages.at(-1)!.role !== 'assistant',
    });
  } catch (e) {
    if (e instanceof NoTemplate) throw e;
    throw new Error(`chat: the template of the model says: ${shown((e as Error).message, 200)}`, {
      cause: e,
    });
  }
}

class NoTemplate extends Error {}

/** The template's text: a model has one, or several by name, of which one is `default`. */
function templateOf(own: unknown, wanted: string | undefined): string {
  if (wanted !== undefined && /[{%]/.test(wanted)) return wanted;
  const named = new Map<unknown, unknown>(
    Array.isArray(own)
      ? own.map((one: { name?: unknown; template?: unknown } | null) => [one?.name, one?.template])
      : [['default', own]],
  );
  const found = named.get(wanted ?? 'default');
  if (typeof found === 'string') return found;
  const names = [...named.keys()].filter((name) => typeof named.get(name) === 'string');
  throw new NoTemplate(
    names.length
      ? `chat: the model has no template "${shown(wanted ?? 'default', 40)}"; it has ${shown(names.join(', '), 100)}`
      : 'chat: the model has no chat template (it may not be tuned for chat): give { template: "…" }, in Jinja',
  );
}
