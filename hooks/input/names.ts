/**
 * The hook points of a model, by TransformerLens' names, and its shorthands.
 * Always-on points exist in every run; on-demand ones (`attn.hook_result`, `hook_q_input`, ...) cost extra work,
 * which asking for them switches on.
 */

import { isRegExp } from '../../weights/checks/kinds.js';
import { quoted } from '../../weights/checks/messages.js';
import type { Config } from '../../weights/config.js';
import { is, optional, options, signatures } from './check.js';

/** What a user may say for a set of hook points. */
export type NameFilter = string | RegExp | ((name: string) => boolean) | readonly (string | RegExp)[];

const ATTENTION_IN = ['hook_attn_in', 'hook_q_input', 'hook_k_input', 'hook_v_input'];
const ON_DEMAND = new Set([...ATTENTION_IN, 'attn.hook_result', 'hook_mlp_in']);

/** Hook points of one block, in order of execution, without `blocks.{l}.`. */
function blockHooks({ attnOnly, normalization, actFn }: Config): string[] {
  const norm = (name: string) =>
    normalization === 'none' ? [] : [`${name}.hook_scale`, `${name}.hook_normalized`];
  const attention = ['q', 'k', 'v', 'attn_scores', 'pattern', 'z', 'result'].map((n) => `attn.hook_${n}`);
  const mlp = [
    'hook_resid_mid',
    'hook_mlp_in',
    ...norm('ln2'),
    'mlp.hook_pre',
    ...(actFn === 'solu_ln' ? ['mlp.hook_mid', ...norm('mlp.ln')] : []),
    'mlp.hook_post',
    'hook_mlp_out',
  ];
  return [
    'hook_resid_pre',
    ...ATTENTION_IN,
    ...norm('ln1'),
    ...attention,
    'hook_attn_out',
    ...(attnOnly ? [] : mlp),
    'hook_resid_post',
  ];
}

const takes = signatures({
  hookNames: { config: is.config, options: options<{ onDemand?: boolean }>({ onDemand: is.boolean }) },
  actName: { name: is.text, layer: optional(is.layer), layerType: optional(is.layerType) },
});

/** All hook points of a model in order of execution. GPT-2 small has 208 without the on-demand ones. */
export const hookNames = takes.hookNames(function hookNames(
  config: Config,
  { onDemand = true }: { onDemand?: boolean } = {},
): string[] {
  const block = blockHooks(config).filter((n) => onDemand || !ON_DEMAND.has(n));
  const layers = Array.from({ length: config.nLayers }, (_, l) => block.map((n) => `blocks.${l}.${n}`));
  const final = config.normalization === 'none' ? [] : ['ln_final.hook_scale', 'ln_final.hook_normalized'];
  return ['hook_embed', 'hook_pos_embed', ...layers.flat(), ...final];
});

/** The layer in a hook point's name, or null. */
export function layerOf(name: string): number | null {
  const m = /^blocks\.(\d+)\./.exec(name);
  return m && Number(m[1]);
}

/** True for [batch, head, query, key]. */
export const isPattern = (name: string): boolean => /hook_(attn_scores|pattern)$/.test(name);

const LAYER_TYPES: Record<string, string> = {
  a: 'attn',
  m: 'mlp',
  b: '',
  block: '',
  blocks: '',
  attention: 'attn',
};
const ALIASES: Record<string, string> = {
  attn: 'pattern',
  attn_logits: 'attn_scores',
  key: 'k',
  query: 'q',
  value: 'v',
  mlp_pre: 'pre',
  mlp_mid: 'mid',
  mlp_post: 'post',
};
const IN_ATTENTION = new Set(['k', 'v', 'q', 'z', 'result', 'pattern', 'attn_scores']);
const IN_MLP = new Set(['pre', 'post', 'mid']);

/**
 * TransformerLens' `get_act_name`: the hook point that a shorthand names.
 * @param layer negative layers count from the end only where a model resolves them (`cache.get`)
 * @param layerType `'ln1'`, `'ln2'` for scale and normalized; `'a'`, `'m'` and the like are accepted
 * @example actName('resid_mid', 4) // blocks.4.hook_resid_mid
 * @example actName('k6a') // blocks.6.attn.hook_k
 * @example actName('scale', 2, 'ln1') // blocks.2.ln1.hook_scale
 */
export const actName = takes.actName(function actName(
  name: string,
  layer?: number | null,
  layerType?: string | null,
): string {
  if (name.includes('.'))
    return layer == null || name.startsWith('blocks.') ? name : `blocks.${layer}.${name}`;
  if (name.startsWith('hook_') && layer == null) return name;
  const compact = /^([a-z]+)(\d+)([a-z]?.*)$/.exec(name);
  if (compact && layer == null) return actName(compact[1], Number(compact[2]), compact[3] || layerType);
  const short = ALIASES[name] ?? name.replace(/^hook_/, '');
  let type = layerType == null ? '' : (LAYER_TYPES[layerType] ?? layerType);
  if (IN_ATTENTION.has(short)) type = 'attn';
  else if (IN_MLP.has(short)) type = 'mlp';
  if (layer == null)
    return short === 'scale' || short === 'normalized' ? `ln_final.hook_${short}` : `hook_${short}`;
  return `blocks.${layer}.${type ? `${type}.` : ''}hook_${short}`;
});

/** `blocks.3.attn.hook_z` if that is a hook point of the model, else an Error that says what is wrong with it. */
export function checkName(name: string, config: Config): string {
  if (hookNames(config).includes(name)) return name;
  const layer = layerOf(name);
  if (layer !== null && layer >= config.nLayers)
    throw new Error(
      `hook ${quoted(name)}: this model has ${config.nLayers} layers (0–${config.nLayers - 1})`,
    );
  if (config.attnOnly && /mlp|resid_mid|ln2/.test(name))
    throw new Error(`hook ${quoted(name)}: this model has no MLPs (attention only)`);
  if (config.normalization === 'none' && /ln/.test(name))
    throw new Error(`hook ${quoted(name)}: this model has no layer norms`);
  const known = [...new Set(hookNames(config).map((n) => n.replace(/^blocks\.\d+/, 'blocks.{l}')))];
  throw new Error(`hook ${quoted(name)}: no such hook point. This model has: ${known.join(', ')}`);
}

/**
 * The hook points that a filter names. A string is a full name, a name without its layer (`hook_resid_pre`,
 * `attn.hook_z`: all layers), or a shorthand (`resid_pre`, `z`, `k6a`). Order of execution.
 * @throws when it names none.
 */
export function matchNames(filter: NameFilter, config: Config): string[] {
  const all = hookNames(config);
  if (typeof filter === 'function' || isRegExp(filter)) {
    const test = typeof filter === 'function' ? filter : (n: string) => n.search(filter) >= 0;
    const found = all.filter((n) => test(n));
    if (!found.length)
      throw new Error(
        `no hook point matches ${typeof filter === 'function' ? 'the given function' : String(filter)}`,
      );
    return found;
  }
  if (typeof filter === 'string') {
    const exact = [filter, actName(filter)].find((n) => all.includes(n));
    if (exact) return [exact];
    if (layerOf(filter) !== null) checkName(filter, config);
    const everywhere = all.filter((n) => {
      const local = n.replace(/^blocks\.\d+\./, '');
      return (
        local === filter ||
        local.split('.').at(-1) === filter ||
        local === actName(filter, 0).slice('blocks.0.'.length)
      );
    });
    if (!everywhere.length) checkName(filter, config);
    return everywhere;
  }
  const wanted = new Set(filter.flatMap((f) => matchNames(f, config)));
  if (!wanted.size) throw new Error('an empty list names no hook point');
  return all.filter((n) => wanted.has(n));
}
