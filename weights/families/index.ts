/** The families of models: a new one is a file beside this one, and a line here. */

import type { Family } from './family.js';
import { gemma } from './gemma.js';
import { gemma2 } from './gemma2.js';
import { gemma3 } from './gemma3.js';
import { gptNeo } from './gpt-neo.js';
import { gptNeox } from './gpt-neox.js';
import { gpt2 } from './gpt2.js';
import { gptj } from './gptj.js';
import { llama } from './llama.js';
import { mistral } from './mistral.js';
import { olmo2 } from './olmo2.js';
import { phi } from './phi.js';
import { phi3 } from './phi3.js';
import { qwen2 } from './qwen2.js';
import { qwen3 } from './qwen3.js';
import { stablelm } from './stablelm.js';
import { starcoder2 } from './starcoder2.js';

const families: readonly Family[] = [
  gpt2,
  llama,
  mistral,
  qwen2,
  qwen3,
  gptNeox,
  gptj,
  gptNeo,
  gemma,
  gemma2,
  gemma3,
  olmo2,
  phi,
  phi3,
  stablelm,
  starcoder2,
];

/** What `Config.family` may be. */
export const familyNames: readonly string[] = families.map(({ name }) => name);

/** The family of that name (`model_type` of `config.json`); undefined where there is none. */
export const familyNamed = (name: unknown): Family | undefined =>
  families.find((family) => family.name === name || family.aliases?.includes(name as string));

/** The family that has a class of models (`architectures` of `config.json`). */
export const familyOfArchitecture = (name: unknown): Family | undefined =>
  families.find(({ architectures }) => architectures.includes(name as string));

/** The family of a GGUF file (`general.architecture`). */
export const familyOfGguf = (name: unknown): Family | undefined =>
  families.find(({ gguf }) => gguf !== undefined && gguf === name);
