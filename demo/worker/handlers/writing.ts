/**
 * Writing on from a prompt: what is considered for the next token, tokens one after the other, and two models
 * side by side.
 */

import type { HookedTransformer } from '../../../hooks/transformer/model.js';
import type { Edits } from '../../app/changes.js';
import type { Handler } from '../handler.js';
import { type Guess, guesses, largest, lastLogits } from '../predictions.js';

/** After which tokens. */
export interface ConsiderParams {
  readonly prompt: readonly number[];
  readonly edits: Edits;
  /** So many of the most probable tokens are named. */
  readonly k: number;
}

/** What there is for a next token. */
export interface Considered {
  /** Of the whole vocabulary, for temperatures and cuts that need no further run. */
  readonly logits: Float32Array;
  /** The most probable first. */
  readonly top: readonly Guess[];
}

/** The logits after a prompt. */
export const consider: Handler<ConsiderParams, Considered> = ({ prompt, edits, k }, { engine, signal }) =>
  engine.turn(async () => {
    signal.throwIfAborted();
    const model = engine.changed(edits);
    const logits = await lastLogits(await model.forward(prompt));
    return { logits, top: guesses(model, logits, largest(logits, k)) };
  });

/** How a text goes on. */
export interface WriteParams {
  readonly prompt: readonly number[];
  readonly edits: Edits;
  readonly tokens: number;
  readonly temperature: number;
  readonly topK: number | null;
  readonly topP: number | null;
  readonly seed: number;
}

/** A token that was written. */
export interface Written {
  readonly token: number;
  readonly text: string;
  /** Under the model, before temperature and cuts. */
  readonly logProb: number;
}

/** Writes token after token, as `model.stream` does. */
export const write: Handler<WriteParams, readonly Written[], Written> = async (
  { prompt, edits, tokens, temperature, topK, topP, seed },
  { engine, signal, emit },
) =>
  engine.turn(
    async () => {
      const model = engine.changed(edits);
      const list: Written[] = [];
      const cuts = { ...(topK !== null && { topK }), ...(topP !== null && { topP }) };
      const room = Math.min(tokens, model.config.nCtx - prompt.length);
      if (room < 1)
        throw new Error(
          `The text has ${prompt.length} tokens; this model reads at most ${model.config.nCtx}.`,
        );
      const options = { maxNewTokens: room, temperature, ...(temperature > 0 && cuts), seed, signal };
      for await (const { token, logProb, ended } of model.stream(prompt, options)) {
        const text = model.toStrTokens([token])[0];
        list.push({ token, text, logProb });
        emit(list.at(-1)!);
        if (ended) break;
      }
      return list;
    },
    { patient: true },
  );

/** A text of which each token is rated. */
export interface ScoreParams {
  readonly prompt: readonly number[];
  readonly edits: Edits;
}

/** For each token but the first its log-probability after those before it. */
export const scoreText: Handler<ScoreParams, Float32Array> = ({ prompt, edits }, { engine, signal }) =>
  engine.turn(async () => {
    signal.throwIfAborted();
    if (prompt.length < 2) return new Float32Array();
    const [found] = await engine.changed(edits).logProbs([prompt]);
    return found;
  });

/** What is compared: a model as it was loaded, and changed. */
export interface CompareParams {
  readonly prompt: readonly number[];
  readonly edits: Edits;
  readonly tokens: number;
  readonly k: number;
}

/** What both say. */
export interface Compared {
  readonly plain: readonly Guess[];
  readonly changed: readonly Guess[];
  /** How the text goes on, the most probable token each time. */
  readonly plainText: string;
  readonly changedText: string;
}

/** The next tokens and the continuations of both. */
export const compareModels: Handler<CompareParams, Compared> = ({ prompt, edits, tokens, k }, context) =>
  context.engine.turn(async () => {
    const { engine, signal } = context;
    signal.throwIfAborted();
    const changed = engine.changed(edits);
    const logitsOf = async (model: HookedTransformer) => lastLogits(await model.forward(prompt));
    const [before, after] = [await logitsOf(engine.model), await logitsOf(changed)];
    const both = [...new Set([...largest(after, k), ...largest(before, 3)])].sort(
      (a, b) => after[b] - after[a],
    );
    const maxNewTokens = Math.min(tokens, engine.model.config.nCtx - prompt.length);
    const goesOn = async (model: HookedTransformer) => {
      if (maxNewTokens < 1) return '';
      const ids = await model.generate(prompt, { maxNewTokens, signal, returnType: 'tokens' });
      return model.toString(ids.slice(prompt.length));
    };
    return {
      plain: guesses(engine.model, before, both),
      changed: guesses(changed, after, both),
      plainText: await goesOn(engine.model),
      changedText: await goesOn(changed),
    };
  });
