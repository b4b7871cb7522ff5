/**
 * The changes of the model that a reader has put together, as data: heads, MLPs, attention, neurons and
 * positions that are silenced or scaled, and directions that are added. `editsOf` says them as `model.with`
 * takes them, so that every view, program and command is of the same changed model.
 */

import type { Intervention } from '../../hooks/interventions/interventions.js';
import type { ModelInfo } from '../worker/handlers/model.js';

/** What is changed. */
export type Part = 'head' | 'attn' | 'mlp' | 'neuron' | 'resid';
/** What happens to it. */
export type Deed = 'zero' | 'mean' | 'scale' | 'steer';

/** One change. */
export interface Change {
  readonly part: Part;
  readonly layer: number;
  /** Of a head or a neuron; else null. */
  readonly index: number | null;
  /** Null: at all positions, those of generated tokens included. */
  readonly pos: number | null;
  readonly deed: Deed;
  /** The factor of `scale`, the strength of `steer`. */
  readonly by: number;
  /**
   * Of `steer`: a text that has the property and one that has not; the direction is read at their last
   * tokens.
   */
  readonly plus?: string;
  readonly minus?: string;
  /** Kept in the list, but not applied. */
  readonly off?: boolean;
}

/** What `model.with` takes. */
export interface Edits {
  readonly interventions: readonly Intervention[];
  /** Texts that values come from, by name. */
  readonly sources: Readonly<Record<string, string>>;
}

/** The list, and whether everything else is changed instead. */
export interface Changes {
  readonly changes: readonly Change[];
  /** Everything of the same kind but these: all other heads, layers, neurons of these layers. */
  readonly others: boolean;
  /** The text of which means are taken. */
  readonly clean: string;
}

export const PARTS: readonly (readonly [Part, string, at: string])[] = [
  ['head', 'Head', 'z'],
  ['attn', 'Attention', 'attn_out'],
  ['mlp', 'MLP', 'mlp_out'],
  ['neuron', 'Neuron', 'post'],
  ['resid', 'Residual', 'resid_pre'],
];

export const DEEDS: readonly (readonly [Deed, string, title: string])[] = [
  ['zero', 'set to zero', 'Its output becomes 0'],
  ['mean', 'set to its mean', 'The mean over the tokens of the clean prompt'],
  ['scale', 'times', 'Multiplied by a number'],
  ['steer', 'steered', 'A direction is added: what the first text has more than the second'],
];

const hookOf = (part: Part): string => PARTS.find(([p]) => p === part)![2];

/** Where a change is: `L1H2`, `mlp 3`, `neuron 2.17`, `2_pre`. */
export function whereOf({ part, layer, index, pos }: Change): string {
  const at = pos === null ? '' : ` at ${pos}`;
  if (part === 'head') return `L${layer}H${index}${at}`;
  if (part === 'neuron') return `L${layer} neuron ${index}${at}`;
  if (part === 'resid') return `${layer}_pre${at}`;
  return `${layer}_${part}_out${at}`;
}

/** A change in words: `L1H2 set to zero`. */
export function inWords(change: Change): string {
  const { deed, by, plus, minus } = change;
  const where = whereOf(change);
  if (deed === 'scale') return `${where} × ${by}`;
  if (deed === 'steer') return `${where} + ${by} · (“${plus}” − “${minus}”)`;
  return `${where} ${DEEDS.find(([d]) => d === deed)![1]}`;
}

/** Why a change does not fit a model; null: it does. */
export function changeProblem(
  { part, layer, index, deed, plus, minus }: Change,
  info: ModelInfo,
): string | null {
  if (!(layer >= 0 && layer < info.nLayers))
    return `Layer ${layer}: this model has layers 0 to ${info.nLayers - 1}.`;
  if (part === 'head' && !(index !== null && index >= 0 && index < info.nHeads))
    return `Head ${index}: this model has heads 0 to ${info.nHeads - 1}.`;
  if (part === 'neuron' && !(index !== null && index >= 0 && index < info.dMlp))
    return `Neuron ${index}: this model has neurons 0 to ${info.dMlp - 1}.`;
  if (deed === 'steer' && (!plus || !minus))
    return 'Steering needs two texts: with the property, and without it.';
  return null;
}

/** The changes as interventions. @param info of the model, for what "everything but" means */
export function editsOf({ changes, others, clean }: Changes, info: ModelInfo): Edits {
  const live = changes.filter((c) => !c.off && changeProblem(c, info) === null);
  const steering = live.filter((c) => c.deed === 'steer');
  const plain = live.filter((c) => c.deed !== 'steer');
  const chosen = others ? allBut(plain, info) : plain.map(interventionOf);
  const interventions = [...chosen, ...steering.flatMap(steered)];
  const named = steering.flatMap(({ plus, minus }, i) => [
    [`plus${i}`, plus!],
    [`minus${i}`, minus!],
  ]);
  const mean = plain.some((c) => c.deed === 'mean') ? [['clean', clean]] : [];
  return { interventions, sources: Object.fromEntries([...mean, ...named]) };
}

const actionOf = ({ deed, by }: Change): Partial<Intervention> =>
  deed === 'zero'
    ? { zero: true }
    : deed === 'scale'
      ? { scale: by }
      : { mean: { mean: 'clean', over: 'all' } };

const indexOf = ({ part, index }: Pick<Change, 'part' | 'index'>): Partial<Intervention> =>
  index === null ? {} : part === 'head' ? { head: index } : { neuron: index };

function interventionOf(change: Change): Intervention {
  const { part, layer, pos } = change;
  return { at: hookOf(part), layer, ...indexOf(change), ...(pos !== null && { pos }), ...actionOf(change) };
}

/** A direction: the difference of two texts at their last tokens, added as often as it is strong. */
function steered({ part, layer, pos, by }: Change, i: number): Intervention[] {
  const where = { at: hookOf(part), layer, ...(pos !== null && { pos }) };
  return [
    { ...where, add: { from: `plus${i}`, pos: -1 }, times: by },
    { ...where, add: { from: `minus${i}`, pos: -1 }, times: -by },
  ];
}

/**
 * What is of the same kind as the changes, but none of them: the first change of a kind says what happens.
 */
function allBut(changes: readonly Change[], info: ModelInfo): Intervention[] {
  const kinds = [...new Set(changes.map((c) => c.part))];
  return kinds.flatMap((part) => {
    const own = changes.filter((c) => c.part === part);
    const action = actionOf(own[0]);
    const at = hookOf(part);
    const layers = Array.from({ length: info.nLayers }, (_, l) => l);
    if (part === 'head' || part === 'neuron') {
      const size = part === 'head' ? info.nHeads : info.dMlp;
      // Of neurons only the layers that are named: all others of the model would silence every MLP.
      return layers.flatMap((layer): Intervention[] => {
        const kept = own.filter((c) => c.layer === layer).map((c) => c.index);
        if (part === 'neuron' && !kept.length) return [];
        const rest = Array.from({ length: size }, (_, i) => i).filter((i) => !kept.includes(i));
        return rest.length ? [{ at, layer, [part]: rest, ...action }] : [];
      });
    }
    const named = new Set(own.map((c) => c.layer));
    return layers.flatMap((layer): Intervention[] => (named.has(layer) ? [] : [{ at, layer, ...action }]));
  });
}

/** Whether a text is a change, as addresses and storage give it. */
export function readChange(value: unknown): Change | null {
  if (typeof value !== 'object' || value === null) return null;
  const {
    part,
    layer,
    index = null,
    pos = null,
    deed,
    by = 1,
    plus,
    minus,
    off,
  } = value as Record<string, unknown>;
  const whole = (x: unknown) => Number.isInteger(x) && (x as number) >= 0;
  if (!PARTS.some(([p]) => p === part) || !DEEDS.some(([d]) => d === deed) || !whole(layer)) return null;
  if ((index !== null && !whole(index)) || (pos !== null && !whole(pos)) || !Number.isFinite(by)) return null;
  const text = (x: unknown) => (typeof x === 'string' ? x : undefined);
  const [a, b] = [text(plus), text(minus)];
  return {
    ...{
      part: part as Part,
      layer: layer as number,
      index: index as number | null,
      pos: pos as number | null,
    },
    ...{
      deed: deed as Deed,
      by: by as number,
      ...(a !== undefined && { plus: a }),
      ...(b !== undefined && { minus: b }),
    },
    ...(off === true && { off: true }),
  };
}
