/** Generation: one new token after stored keys and values, and a whole text. */

import type { HookedTransformer } from '../../hooks/transformer/model.js';
import type { Candidate } from './measure.js';
import { someTokens } from './model.js';
import type { Bench, Entry, Section } from './section.js';

const NEW = 16;

/** Generation. */
export const decode: Section = {
  id: 'decode',
  title: 'Generation',
  about: `one token after so many stored ones, its logits on the GPU; and ${NEW} new tokens by generate, the prompt included`,
  columns: () => [
    { key: 'ms', label: 'ms' },
    { key: 'msPerToken', label: 'ms / token' },
    { key: 'tokensPerSecond', label: 'tokens/s' },
    { key: 'dispatches', label: 'dispatches', digits: 0 },
    { key: 'bindGroups', label: 'new bind groups', digits: 0 },
  ],
  async *run(b: Bench): AsyncGenerator<Entry> {
    const model = await b.model();
    const { dVocab, nCtx } = model.config;
    for (const stored of [...new Set([...b.settings.tokens, b.settings.quick ? 15 : nCtx - 1])]) {
      const prefix = await model.prefix(someTokens(stored, dVocab));
      try {
        const step = oneToken(model, prefix);
        const [samples] = await b.measure([step]);
        const before = { ...model.gpu.stats };
        await step.run(1);
        const ms = b.ms(samples);
        yield {
          section: 'decode',
          name: `one token after ${stored}`,
          figures: {
            ms,
            msPerToken: ms,
            tokensPerSecond: 1000 / ms,
            dispatches: model.gpu.stats.dispatches - before.dispatches,
            bindGroups: model.gpu.stats.bindGroups - before.bindGroups,
          },
          samples: { ours: samples },
        };
      } finally {
        prefix.store.dispose();
      }
    }
    const prompt = someTokens(b.settings.tokens.find((n) => n > 1) ?? 1, dVocab);
    const [samples] = await b.measure([generated(model, prompt)]);
    const ms = b.ms(samples);
    yield {
      section: 'decode',
      name: `generate, ${prompt.length} + ${NEW} tokens`,
      figures: { ms, msPerToken: ms / NEW, tokensPerSecond: (1000 * NEW) / ms },
      samples: { ours: samples },
    };
  },
};

const oneToken = (
  model: HookedTransformer,
  prefix: Awaited<ReturnType<HookedTransformer['prefix']>>,
): Candidate => ({
  name: 'one token',
  async run(repeats) {
    for (let i = 0; i < repeats; i++) {
      using _logits = await model.forward([[(i + 7) % model.config.dVocab]], { prefix });
      await model.gpu.finish();
    }
  },
});

const generated = (model: HookedTransformer, prompt: readonly number[]): Candidate => ({
  name: 'generate',
  async run(repeats) {
    for (let i = 0; i < repeats; i++)
      await model.generate(prompt, { maxNewTokens: NEW, stopAtEos: false, returnType: 'tokens' });
  },
});
