/**
 * `adapter_config.json` of a PEFT adapter: what a low-rank update (LoRA, Hu et al. 2021) is multiplied by,
 * and where it goes.
 */

import { fileError, quoted, shownJson } from '../checks/messages.js';

/** What an adapter says of itself. */
export interface AdapterSettings {
  /** The model it was made for (`base_model_name_or_path`); null where it does not say. */
  readonly base: string | null;
  /** Rank of a module's matrices. */
  rank(module: string): number;
  /** What B·A is multiplied by: α / r, or α / √r (`use_rslora`). */
  scale(module: string): number;
  /**
   * Whether a matrix of the base is to be changed. `linear`: it is one of a linear layer, and not the
   * unembedding. Null where that cannot be told: there is no list, or a pattern that is not JavaScript's.
   */
  targets(module: string, linear: boolean): boolean | null;
  /** Whether a module is kept whole in the file (`modules_to_save`). */
  isSaved(module: string): boolean;
  /** `ensure_weight_tying`. */
  readonly tied: boolean;
}

/** What other kinds of adapters are called in papers. */
const KINDS: Readonly<Record<string, string>> = {
  PROMPT_TUNING: 'prompt tuning',
  MULTITASK_PROMPT_TUNING: 'multitask prompt tuning',
  P_TUNING: 'p-tuning',
  PREFIX_TUNING: 'prefix tuning',
  ADALORA: 'AdaLoRA',
  ADAPTION_PROMPT: 'an adaption prompt (LLaMA-Adapter)',
  IA3: 'IA³',
  LOHA: 'LoHa',
  LOKR: 'LoKr',
  VERA: 'VeRA',
  XLORA: 'X-LoRA',
  LN_TUNING: 'tuning of norms',
  TRAINABLE_TOKENS: 'trainable tokens',
};

/** Settings that change what the matrices mean, by what they are called in papers. */
const VARIANTS: Readonly<Record<string, string>> = {
  use_dora: 'DoRA',
  use_qalora: 'QA-LoRA',
  use_bdlora: 'BD-LoRA',
  alora_invocation_tokens: 'activated LoRA',
  arrow_config: 'Arrow',
  kasa_config: 'KaSA',
  monteclora_config: 'MonteCLoRA',
  lora_bias: 'biases of B',
  layer_replication: 'repeated layers',
  target_parameters: 'LoRA of parameters that are no layers',
  trainable_token_indices: 'trainable tokens',
};

/** Settings that are read here, or matter to training only. Any other that is set is refused. */
const READ = new Set([
  ...['peft_type', 'task_type', 'auto_mapping', 'peft_version', 'base_model_name_or_path', 'revision'],
  ...['inference_mode', 'r', 'target_modules', 'exclude_modules', 'lora_alpha', 'lora_dropout', 'bias'],
  ...['fan_in_fan_out', 'use_rslora', 'modules_to_save', 'init_lora_weights', 'layers_to_transform'],
  ...['layers_pattern', 'rank_pattern', 'alpha_pattern', 'megatron_core', 'megatron_config', 'loftq_config'],
  ...['eva_config', 'corda_config', 'lora_ga_config', 'velora_config', 'qalora_group_size', 'runtime_config'],
  'ensure_weight_tying',
]);

/** Ways to begin that change the base model's own weights, so that the adapter is one of another base. */
const CHANGES_BASE = /^(pissa|olora|corda|lora_ga|loftq)/i;
const MOST_PATTERN = 2000;

/**
 * Reads the settings of a LoRA adapter.
 * `fan_in_fan_out` is not asked: how the base's matrices lie is known from its family, as PEFT decides it,
 * too.
 * @throws an error that names the setting, for other kinds of adapters by their name
 */
export function adapterSettings(json: unknown, file: string): AdapterSettings {
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw fileError(file, 'not an object of settings');
  const c = json as Record<string, unknown>;
  const bad = (key: string, needed: string) =>
    fileError(file, `${key} is ${shownJson(c[key])}: ${needed} is needed`);
  refuseOtherKinds(c, file);
  const number = (key: string, usual: number): number => {
    const value = c[key] ?? usual;
    if (typeof value !== 'number' || !Number.isFinite(value)) throw bad(key, 'a number');
    return value;
  };
  const texts = (key: string): string | readonly string[] | null => {
    const value = c[key] ?? null;
    const good =
      value === null ||
      typeof value === 'string' ||
      (Array.isArray(value) && value.every((x) => typeof x === 'string'));
    if (!good) throw bad(key, 'a text or a list of texts');
    return value as string | readonly string[] | null;
  };
  const r = number('r', 8);
  if (!Number.isSafeInteger(r) || r < 1) throw bad('r', 'a whole number from 1');
  const alpha = number('lora_alpha', 8);
  const ranks = patterns(c, 'rank_pattern', file);
  const alphas = patterns(c, 'alpha_pattern', file);
  const rank = (module: string) => ranks(module) ?? r;
  const saved = [texts('modules_to_save') ?? []].flat().map((name) => named(name));
  const isSaved = (module: string) => saved.some((pattern) => pattern.test(module));
  return {
    base: typeof c.base_model_name_or_path === 'string' ? c.base_model_name_or_path || null : null,
    rank,
    scale: (module) => {
      const n = rank(module);
      return (alphas(module) ?? alpha) / (c.use_rslora === true ? Math.sqrt(n) : n);
    },
    isSaved,
    targets: targetsOf(texts('target_modules'), texts('exclude_modules'), isSaved, layersOf(c, file, texts)),
    tied: c.ensure_weight_tying === true,
  };
}

function refuseOtherKinds(c: Readonly<Record<string, unknown>>, file: string): void {
  const no = (what: string) =>
    fileError(file, `${what}: only LoRA is merged (of other kinds save the merged model with PEFT)`);
  const kind = String(c.peft_type ?? 'LORA').toUpperCase();
  if (kind !== 'LORA')
    throw no(
      `the adapter is ${Object.hasOwn(KINDS, kind) ? KINDS[kind] : 'of another kind'} (peft_type ${quoted(kind, 40)})`,
    );
  const empty = (value: unknown) =>
    value === undefined ||
    value === null ||
    value === false ||
    (typeof value === 'object' && Object.keys(value).length === 0);
  for (const [key, value] of Object.entries(c)) {
    if (READ.has(key) || empty(value)) continue;
    const what = Object.hasOwn(VARIANTS, key) ? `the adapter uses ${VARIANTS[key]} (${key})` : '';
    throw no(what || `${quoted(key, 40)} is ${shownJson(value)}, which is not known here`);
  }
  if (!empty(c.bias) && c.bias !== 'none')
    throw no(`bias is ${shownJson(c.bias)}, so biases of the base were trained, too`);
  const start = c.init_lora_weights;
  if (typeof start === 'string' && CHANGES_BASE.test(start))
    throw fileError(
      file,
      `init_lora_weights is ${shownJson(start)}: such an adapter belongs to a base with other weights. Save it with PEFT's path_initial_model_for_weight_conversion, or save the merged model`,
    );
}

/** A regular expression of Python's that is one of JavaScript's; null: it is none. */
function pythonPattern(text: string): RegExp | null {
  if (text.length > MOST_PATTERN) return null;
  try {
    return new RegExp(text.replaceAll('(?P<', '(?<'), 's');
  } catch {
    return null;
  }
}

/** `modules_to_save` names a module by its last names, and means what is in it, too. */
const named = (name: string): RegExp => pythonPattern(`(^|^.*\\.)(${name})($|\\..*)`) ?? /^(?!)/;

/** `rank_pattern`, `alpha_pattern`: of the first key that the end of a module's name matches, the number. */
function patterns(
  c: Readonly<Record<string, unknown>>,
  key: string,
  file: string,
): (module: string) => number | undefined {
  const given = c[key] ?? {};
  if (typeof given !== 'object' || Array.isArray(given))
    throw fileError(file, `${key} is ${shownJson(given)}: an object of numbers is needed`);
  const all = Object.entries(given as object).map(([text, value]) => {
    const pattern = pythonPattern(`^(.*\\.)?(${text})$`);
    if (!pattern) throw fileError(file, `${key}: ${quoted(text)} is no pattern of JavaScript's`);
    if (typeof value !== 'number' || !Number.isFinite(value) || (key === 'rank_pattern' && !(value >= 1)))
      throw fileError(file, `${key}: ${quoted(text, 40)} is ${shownJson(value)}: a number is needed`);
    return { pattern, value };
  });
  return (module) => all.find(({ pattern }) => pattern.test(module))?.value;
}

/** Whether a module lies in one of `layers_to_transform`. */
function layersOf(
  c: Readonly<Record<string, unknown>>,
  file: string,
  texts: (key: string) => string | readonly string[] | null,
): (module: string) => boolean {
  const given = c.layers_to_transform ?? [];
  const layers = [given].flat();
  if (!layers.every((l) => Number.isSafeInteger(l)))
    throw fileError(
      file,
      `layers_to_transform is ${shownJson(given)}: a layer or a list of layers is needed`,
    );
  if (!layers.length) return () => true;
  const lists = [texts('layers_pattern') ?? []].flat().filter(Boolean);
  const found = lists.length
    ? lists.map((list) => pythonPattern(`^(?:.*?\\.)?(?:${list})\\.(\\d+)\\.`))
    : [/^.*?\.[^.]*\.(\d+)\./];
  return (module) => {
    const layer = found.map((pattern) => pattern?.exec(module)?.[1]).find((l) => l !== undefined);
    return layer !== undefined && layers.includes(Number(layer));
  };
}

/** `target_modules` as PEFT means it: all linear layers, a pattern of the whole name, or ends of names. */
function targetsOf(
  targets: string | readonly string[] | null,
  excluded: string | readonly string[] | null,
  isSaved: (module: string) => boolean,
  inLayers: (module: string) => boolean,
): AdapterSettings['targets'] {
  const ends = (names: readonly string[], module: string) =>
    names.some((name) => module === name || module.endsWith(`.${name}`));
  const whole = (text: string) => pythonPattern(`^(?:${text})$`);
  const [target, out] = [targets, excluded].map((given) => (typeof given === 'string' ? whole(given) : null));
  return (module, linear) => {
    if (typeof excluded === 'string' && excluded && !out) return null;
    if (out?.test(module) || (Array.isArray(excluded) && ends(excluded, module)) || isSaved(module))
      return false;
    if (targets === null) return null;
    if (typeof targets !== 'string')
      return targets.includes(module) || (ends(targets, module) && inLayers(module));
    if (targets.toLowerCase() === 'all-linear') return linear;
    return target ? target.test(module) : null;
  };
}
