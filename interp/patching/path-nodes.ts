/** Senders and receivers of paths: heads, MLPs, their inputs, the logits. */

import type { Model } from '../../hooks/input/model.js';
import { indexOf } from '../../hooks/input/selection.js';
import { shownJson } from '../../weights/checks/messages.js';
import type { Config } from '../../weights/config.js';
import type { Axis } from '../results/result.js';
import { cellsOf, type PatchAxis } from './cells.js';
import type { Pair } from './pair.js';

/** A head; without `head` the MLP of the layer. */
export interface PathSender {
  readonly layer: number;
  readonly head?: number;
}

/** An input of a head (of all heads of the layer without `head`), or of an MLP. */
export interface PathReceiver {
  readonly layer: number;
  readonly head?: number;
  readonly input: 'q' | 'k' | 'v' | 'mlp';
}

/** Every head, every MLP, or these. */
export type PathSenders = 'heads' | 'mlps' | readonly PathSender[];

/** An axis of a map of paths. */
export type SenderAxis = 'layer' | 'head' | 'sender' | 'pos';

/** A head, or with null an MLP; at one position, or null: at all. */
export interface Sender {
  readonly layer: number;
  readonly head: number | null;
  readonly pos: number | null;
}

/** Where a path leads. */
export type Receiver = PathReceiver | 'logits';

/** Does the sender come before the receiver? @param read the position whose logits are read, or null: all */
export function reaches(
  { layer, head, pos }: Sender,
  to: Receiver,
  read: number | null,
  { parallelAttnMlp }: Config,
): boolean {
  if (to === 'logits') return pos === null || read === null || pos === read;
  const within = layer === to.layer && to.input === 'mlp' && head !== null && !parallelAttnMlp;
  return layer < to.layer || within;
}

/**
 * The senders in row-major order of the axes. @throws when they are not in the model, or `by` does not fit
 * them.
 */
export function sendersOf(
  model: Model,
  { senders = 'heads', by }: { senders?: PathSenders; by?: readonly SenderAxis[] },
  { changed: prompts, from, partners }: Pick<Pair, 'changed' | 'from' | 'partners'>,
): { axes: Axis[]; senders: Sender[] } {
  const fail = (axes: string) => {
    throw new Error(
      `pathPatch: by [${by?.join(', ')}]: the axes of these senders are ${axes}, and pos if it is asked for`,
    );
  };
  const named = (axes: readonly string[]) => {
    const given = by?.filter((axis) => axis !== 'pos') ?? axes;
    if (axes.some((a) => !given.includes(a as PatchAxis)) || given.length !== axes.length)
      fail(axes.join(', '));
  };
  if (senders === 'heads' || senders === 'mlps') {
    const usual: PatchAxis[] = senders === 'heads' ? ['layer', 'head'] : ['layer'];
    named(usual);
    const site = senders === 'heads' ? 'z' : 'mlp_out';
    const { axes, parts } = cellsOf(
      model,
      site,
      (by as PatchAxis[]) ?? usual,
      {},
      prompts,
      'pathPatch',
      from,
      partners,
    );
    const one = (part: (typeof parts)[number]): Sender => ({
      layer: part.layer as number,
      head: (part.head as number) ?? null,
      pos: (part.pos as number) ?? null,
    });
    return { axes, senders: parts.map(one) };
  }
  if (!Array.isArray(senders) || !senders.length)
    throw new Error(`pathPatch: senders: 'heads', 'mlps' or a list of { layer, head } is needed`);
  named(['sender']);
  const nodes = senders.map((sender) => nodeOf(model, sender, 'sender'));
  const labels = nodes.map(({ layer, head }) => (head === null ? `L${layer} MLP` : `L${layer}H${head}`));
  const list = { name: 'sender', labels };
  if (!by?.includes('pos')) return { axes: [list], senders: nodes.map((node) => ({ ...node, pos: null })) };
  const { axes, parts } = cellsOf(
    model,
    'mlp_out',
    ['pos'],
    { layer: 0 },
    prompts,
    'pathPatch',
    from,
    partners,
  );
  const at = parts.map((part) => part.pos as number);
  return by[0] === 'pos'
    ? { axes: [axes[0], list], senders: at.flatMap((pos) => nodes.map((node) => ({ ...node, pos }))) }
    : { axes: [list, axes[0]], senders: nodes.flatMap((node) => at.map((pos) => ({ ...node, pos }))) };
}

/** A head, or with null an MLP, of this model. @throws when it has none. */
export function nodeOf(
  { config }: Model,
  { layer, head }: PathSender,
  what: string,
): { layer: number; head: number | null } {
  if (head === undefined && config.attnOnly)
    throw new Error(`${what} { layer: ${layer} }: this model has no MLPs: name a \`head\``);
  return {
    layer: indexOf(layer, config.nLayers, `${what}: layer`),
    head: head === undefined ? null : indexOf(head, config.nHeads, `${what}: head`),
  };
}

/** The receivers. @throws when one is not in the model. */
export function receiversOf({ config }: Model, receivers: 'logits' | readonly PathReceiver[]): Receiver[] {
  if (receivers === 'logits') return ['logits'];
  if (!Array.isArray(receivers) || !receivers.length)
    throw new Error(`pathPatch: receivers: 'logits' or a list of { layer, head, input } is needed`);
  return receivers.map(({ layer, head, input }: PathReceiver) => {
    const what = `receiver { layer: ${layer}, input: ${shownJson(input)} }`;
    if (!['q', 'k', 'v', 'mlp'].includes(input))
      throw new Error(`${what}: the inputs are 'q', 'k', 'v' of heads, and 'mlp'`);
    if (input === 'mlp' && head !== undefined) throw new Error(`${what}: an MLP has no heads`);
    if (input === 'mlp' && config.attnOnly) throw new Error(`${what}: this model has no MLPs`);
    const l = indexOf(layer, config.nLayers, `${what}: layer`);
    if (head === undefined) return { layer: l, input };
    const heads = input === 'k' || input === 'v' ? config.nKeyValueHeads : config.nHeads;
    return { layer: l, head: indexOf(head, heads, `${what}: head`), input };
  });
}

/** `logits`, `L9H6.q`, `L9 MLP`. */
export function receiverLabel(receiver: Receiver): string {
  if (receiver === 'logits') return receiver;
  const { layer, head, input } = receiver;
  return input === 'mlp' ? `L${layer} MLP` : `L${layer}${head === undefined ? '' : `H${head}`}.${input}`;
}
