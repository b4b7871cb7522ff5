/** Conversations: as transformers writes them, in tokens as they are. */

import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chatText } from '../../engine/tokens/chat.js';
import { type ChatMessage, HookedTransformer } from '../../index.js';
import { throws } from '../helpers.js';

interface Case {
  template: string;
  messages: ChatMessage[];
  addGenerationPrompt: boolean;
  variables: Record<string, unknown>;
  text?: string;
  error?: string;
}

const { templates, cases } = JSON.parse(
  readFileSync(new URL('../fixtures/chat/chat.json', import.meta.url), 'utf8'),
) as { templates: Record<string, string>; cases: Case[] };
const special = { bos_token: '<s>', eos_token: { content: '</s>' } };

test('templates give the texts of transformers, and refuse what they refuse', async () => {
  let refused = 0;
  for (const { template, messages, text, error, ...options } of cases) {
    const files = { 'tokenizer_config.json': { ...special, chat_template: templates[template] } };
    const got = chatText(files, messages, options);
    if (error === undefined) assert.is(await got, text, `${template}: ${JSON.stringify(messages)}`);
    else {
      refused++;
      await throws(got, new RegExp(`the template of the model says: .*${error.slice(0, 20)}`));
    }
  }
  assert.ok(refused >= 2 && cases.length - refused > 25);
});

test('a model says a conversation in tokens; several templates have names; what is missing is said', async () => {
  using model = await HookedTransformer.fromPretrained('tiny');
  const messages = [{ role: 'user', content: 'The cat' }];
  const template =
    '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}A:{% endif %}';
  const tokens = await model.chat(messages, { template });
  assert.is(model.toString(tokens), 'user: The cat\nA:');
  assert.equal(tokens, model.toTokens('user: The cat\nA:', { prependBos: false })[0]);
  const answered = [...messages, { role: 'assistant', content: 'sat' }];
  assert.is(model.toString(await model.chat(answered, { template })), 'user: The cat\nassistant: sat\n');
  await throws(model.chat(messages), /no chat template .*\{ template/);
  await throws(model.chat([]), /no messages/);
  await throws(model.chat([{ content: 'x' } as never], { template }), /message 0 has no role/);
  const files = {
    'tokenizer_config.json': {
      chat_template: [
        { name: 'default', template: 'd' },
        { name: 'tool_use', template: 't' },
      ],
    },
  };
  assert.is(await chatText(files, messages, { template: 'tool_use' }), 't');
  assert.is(await chatText(files, messages), 'd');
  await throws(chatText(files, messages, { template: 'rag' }), /no template "rag"; it has default, tool_use/);
});

test.run();
