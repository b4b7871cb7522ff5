/** What the page knows: one state, one selection, shared by all views. */

import type { LabelledData } from '../../interp/results/result.js';
import type { How } from '../worker/handlers/counterfactual.js';
import type { ModelInfo } from '../worker/handlers/model.js';
import type { NextTokens } from '../worker/handlers/next-tokens.js';
import type { MetricName } from '../worker/handlers/patch-map.js';
import type { ReadPrompts } from '../worker/handlers/prompts.js';
import type { Change } from './changes.js';
import type { DtypeName } from './formats.js';
import type { StoredNumbers } from './share.js';

/** The model, and what happens to it. */
export interface ModelState {
  /** `asking`: an address wants it, and the reader has not yet said yes. */
  readonly status: 'asking' | 'loading' | 'ready' | 'failed' | 'lost';
  /** As `fromPretrained` was asked for it; of files their folder, `./folder`. */
  readonly name: string;
  /** Number format of its weights on the GPU. */
  readonly dtype: DtypeName;
  /** The model that can be used; while another loads, the one before it. */
  readonly info: ModelInfo | null;
  /** Bytes that are here and bytes in all, of the file that loads. */
  readonly progress: { readonly file: string; readonly loaded: number; readonly total: number } | null;
  /** A sentence, when it failed or was lost. */
  readonly error: string | null;
  /** What is asked before an address may load it. */
  readonly question: Question | null;
}

/** What a reader is asked before a model is loaded that an address names. */
export interface Question {
  readonly text: string;
  /** On the button that loads it. */
  readonly yes: string;
}

/** What kind of map is shown. */
export type Site = 'resid_pre' | 'attn_out' | 'mlp_out' | 'z';

/** What is asked, all of it: a shared address holds this. */
export interface Experiment {
  readonly clean: string;
  readonly corrupted: string;
  readonly answer: string;
  readonly wrong: string;
  /** The beginning-of-text token in front. */
  readonly bos: boolean;
  readonly site: Site;
  readonly metric: MetricName;
  /** What the one counterfactual that is looked at puts in. */
  readonly how: How;
  /** Of causal traces; '' means: the words that look like one. */
  readonly subject: string;
  /** Tokens that were generated after the clean prompt, and stand after both. */
  readonly written: readonly number[];
  /** The token after which all views read; null: the last one of the prompt. */
  readonly cursor: number | null;
  /** What is changed in the model, see `Changes`. */
  readonly changes: readonly Change[];
  readonly others: boolean;
}

/**
 * Which activation of a layer: the residual stream before, in the middle of and after it, or what its two
 * parts add.
 */
export type Part = 'pre' | 'mid' | 'post' | 'attn_out' | 'mlp_out';

/**
 * A place in the model. What is null is not part of the selection: a head has no position, a cell of the
 * residual stream no head.
 */
export interface Place {
  readonly layer: number | null;
  /**
   * Of a layer; null where a head is meant, or the whole layer. The state after a layer is the one before the
   * next.
   */
  readonly part: Part | null;
  readonly head: number | null;
  readonly pos: number | null;
  /** The token that is attended to. */
  readonly key: number | null;
}

/** Of the two runs. */
export type Reading = 'clean' | 'corrupted';

/** The experiment that a result belongs to, as it was when the result was asked for. */
export type Asked = Pick<State, 'model' | 'experiment' | 'prompts' | 'reading'>;

/** A result, and its experiment. */
export interface Found<T> {
  readonly value: T;
  readonly of: Asked;
}

/** The patching map, as far as it has been filled. */
export interface MapState {
  /** Tells maps apart, see `mapAsk`. */
  readonly key: string;
  readonly of: Asked;
  readonly site: Site;
  readonly status: 'running' | 'paused' | 'cancelled' | 'done' | 'failed';
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** NaN where nothing is known yet. Changed in place; `done` tells that there are more. */
  readonly values: Float32Array;
  /** Estimates beneath exact values (attribution patching); null: there are none. */
  readonly preview: Float32Array | null;
  readonly done: number;
  readonly ends: { readonly clean: number; readonly corrupted: number } | null;
  /** Milliseconds of computing so far. */
  readonly ms: number;
  /**
   * Cells and milliseconds of the first part, which compiles kernels and says nothing of the others' speed.
   */
  readonly first: { readonly done: number; readonly ms: number } | null;
  readonly result: LabelledData | null;
  readonly error: string | null;
}

/** Everything. */
export interface State {
  readonly model: ModelState;
  readonly experiment: Experiment;
  /** Prompts as tokens, with the texts and the model that they belong to; null until some have been read. */
  readonly prompts: ReadPrompts | null;
  /** Whose activations are shown by the views that read one run. */
  readonly reading: Reading;
  /** Clicked. */
  readonly locked: Place | null;
  /** Under the cursor or the keyboard's focus. */
  readonly hover: Place | null;
  /** The map of this experiment; null while there is none. */
  readonly map: MapState | null;
  /** What comes next after the prompts; null while it is not known. */
  readonly next: Found<NextTokens> | null;
  /** Numbers that came with the address. */
  readonly stored: StoredNumbers | null;
  /** What of the address was not understood, in sentences. */
  readonly unread: readonly string[];
  readonly theme: 'auto' | 'light' | 'dark';
  /** The theme in effect. */
  readonly dark: boolean;
}

/** What views show: the place under the cursor, else the one that was clicked. */
export const shownPlace = (state: State): Place | null => state.hover ?? state.locked;

/** A place. */
export const place = (parts: Partial<Place>): Place => ({
  layer: null,
  part: null,
  head: null,
  pos: null,
  key: null,
  ...parts,
});

/** Whether they are the same place. */
export const samePlace = (a: Place | null, b: Place | null): boolean =>
  a === b ||
  (a !== null &&
    b !== null &&
    a.layer === b.layer &&
    a.part === b.part &&
    a.head === b.head &&
    a.pos === b.pos &&
    a.key === b.key);

/** The state after a layer, under its one name: the state before the next layer, or after the last one. */
export const stateAfter = (layer: number, nLayers: number, pos: number | null): Place =>
  layer + 1 < nLayers ? place({ layer: layer + 1, part: 'pre', pos }) : place({ layer, part: 'post', pos });

/** A head, as it is called everywhere. */
export const headName = (layer: number, head: number): string => `L${layer}H${head}`;

/** A place in words: `head L1H2`, `2_pre at 14:␣to`. @param pieces of the prompt */
export function placeName({ layer, part, head, pos, key }: Place, pieces: readonly string[]): string {
  const at = (p: number) => `${p}:${(pieces[p] ?? '').replaceAll(' ', '␣')}`;
  const where =
    head !== null && layer !== null
      ? `head ${headName(layer, head)}`
      : layer === null
        ? ''
        : `${layer}_${part ?? 'pre'}`;
  const token = pos === null ? '' : where ? ` at ${at(pos)}` : `token ${at(pos)}`;
  return `${where}${token}${key === null ? '' : ` from ${at(key)}`}`;
}
