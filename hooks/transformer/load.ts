/** Loading a model: files, configuration, tokenizer, weights part by part to the GPU. */

import type { AdapterChoice } from '../../engine/gpu/adapter.js';
import { Gpu } from '../../engine/gpu/gpu.js';
import type { Tokenizer } from '../../engine/tokens/tokenizer.js';
import { unsupported } from '../../engine/transformer/supported.js';
import { GpuWeights } from '../../engine/transformer/weights.js';
import { type AdapterFacts, type AdapterSource, withAdapter } from '../../weights/adapters/load.js';
import { fileError, shownJson } from '../../weights/checks/messages.js';
import type { Config } from '../../weights/config.js';
import { modelFolder } from '../../weights/files/candidates.js';
import { type FileSource, readJson } from '../../weights/files/files.js';
import { folderName } from '../../weights/files/files-blob.js';
import { FILE_OPTIONS, type LoadOptions as FileOptions } from '../../weights/files/platform.js';
import type { OnLoadProgress } from '../../weights/files/progress.js';
import { openCheckpoint } from '../../weights/formats/open.js';
import { memoryTensors, type TensorSource } from '../../weights/formats/tensors.js';
import type { BlockWeights, EmbedWeights, FinalWeights } from '../../weights/formats/types.js';
import type { Gguf } from '../../weights/gguf/file.js';
import { ggufConfig, ggufTensors } from '../../weights/gguf/model.js';
import { ggufOf, quantisedFormats } from '../../weights/gguf/open.js';
import { ggufTokenizer } from '../../weights/gguf/tokenizer.js';
import { inferConfig, readModel } from '../../weights/load/checkpoint.js';
import { parseConfig } from '../../weights/load/config.js';
import { isUrl, resolveModel } from '../../weights/load/resolve.js';
import { Fingerprint } from '../../weights/processing/fingerprint.js';
import {
  defaultProcessing,
  PROCESSING,
  type Processed,
  type Processing,
  possibleSteps,
  processedConfig,
  unprocessed,
} from '../../weights/processing/processing.js';
import { DTYPES, type Dtype, keepsBlocks, storedPart } from '../../weights/processing/stored.js';
import { partsOf, type WeightViews, weightViews } from '../../weights/processing/views.js';
import { is, options, type Spec, signature } from '../input/check.js';
import { readGeneration, readTokenizer, withTokenizer } from './load-tokenizer.js';
import { checkFits, type ModelPlan, planOf } from './plan.js';

/** Options of `fromPretrained` and `fromWeights`: TransformerLens' processing flags, the adapter, progress. */
export interface LoadOptions extends Partial<Processing>, FileOptions {
  /**
   * `'auto'`: hardware, else software. An index of `listAdapters()`, or a part of a name. Or a `GPUDevice` of yours.
   * `GLASSBOX_ADAPTER` overrides it in Node.
   */
  adapter?: AdapterChoice | GPUDevice;
  /** Of two GPUs the faster one, or `'low-power'`. Default 'high-performance'. */
  powerPreference?: 'high-performance' | 'low-power';
  /**
   * Number format of the weights' matrices on the GPU; arithmetic is always f32. `'f16'` takes half the memory, `'q8'` (Q8_0) about
   * a quarter, `'q4'` (Q4_0, embedding and unembedding Q8_0) about a seventh. Weights are rounded to it after processing, and
   * everything is computed from the rounded ones. Not for training. Default: `'f32'`; of a quantised GGUF file Q8_0, Q4_0 and Q4_1
   * stay as they are, and other matrices become f32.
   */
  dtype?: Dtype;
  /**
   * Bytes that the weights may take on the GPU: what does not fit is an error before anything is read, with the dtype that would.
   * Default: on software adapters the machine's free memory, in Node; of other GPUs it is not known.
   */
  memory?: number;
  /** Keep the weights on the host too, for `model.weights`. Default true. */
  hostWeights?: boolean;
  /** Settings in place of the folder's `config.json`; sizes may be left to the weights. */
  config?: Partial<Config> | Readonly<Record<string, unknown>>;
  /**
   * Where the tokenizer is: a folder or repository with `tokenizer.json`; null for none. Default: the model's own, or the
   * one that its `config.json` calls `tokenizer_name` (for models in folders: if the Hub's cache holds it).
   */
  tokenizer?: string | URL | null;
  /**
   * A LoRA adapter of PEFT, added to the weights before they are processed: a folder with `adapter_config.json`, a name on the
   * Hub, a URL, or files. Default: none.
   */
  adapterWeights?: AdapterSource;
}

/** What loading may be told. */
export const LOAD_SPEC = {
  ...PROCESSING,
  ...FILE_OPTIONS,
  adapter: is.adapter,
  powerPreference: is.oneOf('high-performance', 'low-power'),
  dtype: is.oneOf(...DTYPES),
  memory: is.positive,
  hostWeights: is.boolean,
  config: is.plainObject,
  tokenizer: is.orNull(is.path),
  adapterWeights: is.source,
} satisfies Spec<LoadOptions>;
/** What loading may be told, as a whole. */
export const LOADING = options<LoadOptions>(LOAD_SPEC);

/** Arrays by name. */
export type TensorMap = Readonly<
  Record<string, { readonly shape: readonly number[]; readonly data: Float32Array }>
>;

/** A model's parts, ready to run. */
export interface Loaded {
  readonly config: Config;
  readonly gpu: Gpu;
  readonly gpuWeights: GpuWeights;
  readonly tokenizer: Tokenizer | null;
  /** The tokenizer's files as they were read, for saving. */
  readonly tokenizerFiles: Readonly<Record<string, object>>;
  readonly processing: Processed;
  /** Of the weights as they run. */
  readonly hash: string;
  readonly views: WeightViews | null;
  /** The adapter that was merged into the weights; left out: none. */
  readonly adapterWeights?: AdapterFacts;
}

/** Where a model comes from: a name, a path, a URL, or files. */
export type ModelSource = string | URL | ReadonlyMap<string, Blob> | readonly File[];

/** A model's files, found (of the Hub: downloaded) and checked, with nothing on the GPU. */
export interface OpenedModel {
  readonly config: Config;
  /** Only headers have been read. */
  readonly tensors: TensorSource;
  readonly tokenizer: Tokenizer | null;
  readonly tokenizerFiles: Readonly<Record<string, object>>;
  /** Formats of quantised matrices in the file: `Q8_0`. */
  readonly quantised?: string | null;
}

/** See `HookedTransformer.fromPretrained`. */
export async function loadPretrained(source: ModelSource, options: LoadOptions): Promise<Loaded> {
  const opened = await openPretrained(source, options, async (config, file) => {
    const { dtype = null } = options;
    checkFits(await planned(config, file, options), dtype);
  });
  return load(opened, options);
}

const planTakes = signature('planModel', { source: is.source, options: LOADING });

/**
 * What a model takes in every dtype, and which fits: told from its configuration, or a GGUF file's header, before anything of the
 * weights is read or downloaded.
 * @param options as for `fromPretrained`; `memory` says how many bytes the weights may take, where the adapter's memory is not known
 * @throws when its configuration leaves sizes to the weights
 */
export async function planModel(
  source: ModelSource,
  options: LoadOptions = {},
  ...more: []
): Promise<ModelPlan> {
  planTakes(source, options, ...more);
  let plan: ModelPlan | null = null;
  const stop = new Error('planned');
  try {
    await openPretrained(source, options, async (config, file) => {
      plan = await planned(config, file, options);
      throw stop;
    });
  } catch (e) {
    if (e !== stop) throw e;
  }
  if (plan) return plan;
  throw new Error('planModel: its configuration leaves sizes to the weights, which are not read for a plan');
}

async function planned(config: Config, file: Gguf | null, options: LoadOptions): Promise<ModelPlan> {
  const { adapter = 'auto', powerPreference, memory = null, hostWeights = true } = options;
  const gpu = await Gpu.open(adapter, { powerPreference });
  const quantised = file && quantisedFormats(file);
  const processing = quantised
    ? unprocessed(wantedOf(options), '')
    : possibleSteps(config, wantedOf(options));
  return planOf({
    config,
    processing,
    file: quantised ? file : null,
    adapter: gpu.adapter,
    hostWeights,
    memory,
  });
}

const wantedOf = (options: LoadOptions): Processing =>
  Object.fromEntries(
    Object.entries(defaultProcessing).map(([flag, value]) => [
      flag,
      options[flag as keyof Processing] ?? value,
    ]),
  ) as unknown as Processing;

/**
 * The first half of loading a model: needs no GPU.
 * @param plan is called when the sizes are known, before anything of the weights is read or downloaded
 */
export async function openPretrained(
  from: ModelSource,
  options: LoadOptions,
  plan: (config: Config, file: Gguf | null) => Promise<void> = async () => {},
): Promise<OpenedModel> {
  const source = isUrl(from) ? from.href : from;
  let files = await resolveModel(source, options);
  const gguf = await ggufOf(files);
  if (gguf) return openGgufModel(gguf, files, source, options, plan);
  let configFile = options.config ? null : await files.open('config.json');
  if (!configFile && !options.config) {
    files = await modelFolder(files);
    configFile = await files.open('config.json');
  }
  if (!configFile && !options.config)
    throw (await files.open('adapter_config.json'))
      ? fileError(files.name, 'this is an adapter: load its base model, with { adapterWeights: this folder }')
      : fileError(
          files.name,
          'there is no config.json; a model is a folder with config.json and model.safetensors. ' +
            'Settings can be given instead: { config: { nHeads: 8, ... } }',
        );
  const json = options.config ?? ((await readJson(configFile!)) as Record<string, unknown>);
  const hints = {
    name: typeof source === 'string' ? source : folderName(source),
    file: configFile?.name ?? 'config',
  };
  const known = sized(json, hints);
  if (known) await plan(known, null);
  const tensors = await openCheckpoint(files);
  const own = parseConfig(json, { ...hints, inferred: inferConfig(tensors) });
  const tokenizerFiles = await readTokenizer(
    files,
    (json as { tokenizer_name?: unknown })?.tokenizer_name,
    options,
  );
  const { config, tokenizer } = withTokenizer(own, tokenizerFiles, await readGeneration(files));
  await files.finished?.();
  return { config, tensors, tokenizer, tokenizerFiles };
}

/** The configuration where it says all sizes itself, else null. */
function sized(json: object, hints: { name?: string; file: string }): Config | null {
  try {
    return parseConfig(json, hints);
  } catch {
    return null; // the weights may say them; if they do not, that is said then
  }
}

/** A model that is one GGUF file: settings and tokenizer stand in it. */
async function openGgufModel(
  gguf: Gguf,
  files: FileSource,
  source: Exclude<ModelSource, URL>,
  options: LoadOptions,
  plan: (config: Config, file: Gguf | null) => Promise<void>,
): Promise<OpenedModel> {
  const json = { ...(await ggufConfig(gguf)), ...options.config };
  const name = typeof source === 'string' ? source : folderName(source);
  const own = parseConfig(json, { name, file: gguf.tensors.name });
  await plan(own, gguf);
  const { source: tensors } = ggufTensors(gguf, own);
  const tokenizerFiles = await readTokenizer(files, undefined, options, () => ggufTokenizer(gguf));
  const { config, tokenizer } = withTokenizer(own, tokenizerFiles, {});
  await files.finished?.();
  return { config, tensors, tokenizer, tokenizerFiles, quantised: quantisedFormats(gguf) };
}

/** See `HookedTransformer.fromWeights`. */
export async function loadWeights(
  config: Partial<Config> | Record<string, unknown>,
  tensors: TensorMap,
  options: LoadOptions,
): Promise<Loaded> {
  const source = memoryTensors(tensors, 'the given arrays');
  const inferred = inferConfig(source);
  const opened = {
    config: parseConfig(config, { inferred, name: (config as { name?: string }).name ?? 'custom' }),
    tensors: source,
    tokenizer: null,
    tokenizerFiles: {},
  };
  return load(opened, options);
}
async function load(opened: OpenedModel, options: LoadOptions): Promise<Loaded> {
  const merged = await withAdapter(opened, options);
  const { config, tensors: source, tokenizer, tokenizerFiles, quantised, adapterWeights } = merged;
  const { adapter = 'auto', dtype = null, hostWeights = true, onProgress, signal } = options;
  const wanted = wantedOf(options);
  const [missing] = unsupported(config);
  if (missing !== undefined)
    throw new Error(
      `${config.name}: ${missing} is ${shownJson(config[missing as keyof Config])}, and the engine does not have that part`,
    );
  const processing = quantised
    ? unprocessed(wanted, `the file is quantised (${quantised}), and gains differ within its blocks`)
    : possibleSteps(config, wanted);
  const gpu = await Gpu.open(adapter, { powerPreference: options.powerPreference });
  const final = processedConfig(config, processing);
  const gpuWeights = new GpuWeights(gpu);
  const blocks: BlockWeights[] = [];
  const fingerprint = new Fingerprint();
  let embed: EmbedWeights | null = null;
  let end: FinalWeights | null = null;
  async function* partsFrom(how: { onProgress?: OnLoadProgress; signal?: AbortSignal } = {}) {
    const keep = quantised
      ? (format: string, table: boolean) => keepsBlocks(dtype, format, table)
      : undefined;
    for await (const part of readModel(source, config, processing, { ...how, keep }))
      yield storedPart(part, dtype);
  }
  try {
    for await (const part of partsFrom({ onProgress, signal })) {
      gpuWeights.add(part, final);
      fingerprint.add(part);
      if (!hostWeights) continue;
      if (part.kind === 'embed') embed = part.weights;
      else if (part.kind === 'block') blocks[part.layer] = part.weights;
      else end = part.weights;
    }
    await gpu.finish(); // so that out of memory is an error here, not in the first run
  } catch (e) {
    gpuWeights.dispose();
    throw e;
  }
  // After the loss of a device: from the host's copy where there is one, else from where they came.
  gpuWeights.comeFrom(final, () => (embed && end ? partsOf({ embed, blocks, final: end }) : partsFrom()));
  onProgress?.({ status: 'ready', name: final.name, progress: 100 });
  return {
    config: final,
    gpu,
    gpuWeights,
    tokenizer,
    tokenizerFiles,
    processing,
    hash: fingerprint.text,
    views: embed && end && weightViews(embed, blocks, end, final),
    adapterWeights,
  };
}
