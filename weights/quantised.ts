/**
 * Checkpoints whose matrices are packed integers (GPTQ, AWQ, bitsandbytes, ...): told by their configuration
 * or their tensors, so that the error says what to load instead.
 */

import { fileError, quoted } from './checks/messages.js';

const METHODS: Readonly<Record<string, string>> = {
  gptq: 'GPTQ',
  awq: 'AWQ',
  bitsandbytes: 'bitsandbytes',
  bnb: 'bitsandbytes',
};

/** Endings of tensors that only a quantised layer has. */
const TENSORS: readonly (readonly [ending: RegExp, method: string])[] = [
  [/\.(g_idx|qzeros|qweight)$/, 'GPTQ or AWQ'],
  [/\.(SCB|weight_format|weight\.(absmax|nested_absmax|quant_map|quant_state\..*))$/, 'bitsandbytes'],
];

/**
 * Refuses settings (of `config.json`) that say that the weights are quantised. @throws an error that names
 * the method.
 */
export function checkNotQuantised(given: Readonly<Record<string, unknown>>, file: string): void {
  const about = given.quantization_config;
  if (typeof about !== 'object' || about === null) return;
  const {
    quant_method: method,
    load_in_8bit: in8,
    load_in_4bit: in4,
    bits,
  } = about as Record<string, unknown>;
  if (method === undefined && in8 === false && in4 === false) return;
  const bytes = in8 === true || in4 === true ? 'bitsandbytes' : 'an unnamed method';
  const name = typeof method === 'string' ? (METHODS[method.toLowerCase()] ?? quoted(method, 30)) : bytes;
  const width = Number.isInteger(bits) ? bits : in8 === true ? 8 : in4 === true ? 4 : null;
  throw fileError(file, quantised(name, width, given._name_or_path));
}

/**
 * Refuses a checkpoint that holds tensors of a quantised layer. @throws an error that names the method and a
 * tensor.
 */
export function checkNoQuantisedTensors(names: readonly string[], file: string): void {
  for (const [ending, method] of TENSORS) {
    const found = names.find((name) => ending.test(name));
    if (found !== undefined)
      throw fileError(file, `tensor ${quoted(found)}: ${quantised(method, null, null)}`);
  }
}

function quantised(method: string, bits: unknown, origin: unknown): string {
  const from = typeof origin === 'string' && /^[\w.-]+\/[\w.-]+$/.test(origin) ? ` (${origin}?)` : '';
  return (
    `this checkpoint is quantised by ${method}${bits === null ? '' : ` to ${bits} bits`}, and only floating-point weights ` +
    `are read. Load the model that it was made from${from}, in F32, F16 or BF16`
  );
}
