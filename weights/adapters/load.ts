/** A model's tensors with an adapter, by the adapter's name. */

import { quoted } from '../checks/messages.js';
import type { Config } from '../config.js';
import { folderName } from '../files/files-blob.js';
import type { LoadOptions } from '../files/platform.js';
import type { TensorSource } from '../formats/tensors.js';
import { isUrl, resolveModel } from '../load/resolve.js';
import { mergeAdapter } from './merge.js';
import { openAdapter } from './open.js';

/** Where an adapter comes from: a folder, a name on the Hub, a URL, or files. */
export type AdapterSource = Parameters<typeof resolveModel>[0];

/** What was merged into a model, for provenance. */
export interface AdapterFacts {
  /** As it was named. */
  readonly name: string;
  /** The model that it says it was made for; null where it does not say. */
  readonly madeFor: string | null;
  /** How many modules it changes. */
  readonly modules: number;
}

/**
 * The model with its adapter, if one is named. `onProgress` is warned where the adapter names another base.
 * @throws when it is none, of another kind than LoRA, or does not fit
 */
export async function withAdapter<O extends { readonly config: Config; readonly tensors: TensorSource }>(
  opened: O,
  { adapterWeights, ...options }: LoadOptions & { readonly adapterWeights?: AdapterSource },
): Promise<O & { readonly adapterWeights?: AdapterFacts }> {
  if (adapterWeights === undefined) return opened;
  const { config, tensors } = opened;
  const given = isUrl(adapterWeights) ? adapterWeights.href : adapterWeights;
  const name = typeof given === 'string' ? given : (folderName(given) ?? 'the given files');
  // A revision is the base's; that of an adapter is part of its address.
  const adapter = await openAdapter(await resolveModel(given, { ...options, revision: undefined }), name);
  const { source, untied, modules } = mergeAdapter(tensors, config, adapter);
  const { base } = adapter.settings;
  const madeFor = base && (isFolder(base) ? lastName(base) : base);
  if (madeFor && lastName(madeFor).toLowerCase() !== lastName(config.name).toLowerCase())
    options.onProgress?.({
      status: 'warning',
      name: config.name,
      file: adapter.tensors.name,
      message: `the adapter was made for ${quoted(madeFor)}, and its shapes fit ${quoted(config.name)}, too: are these the same weights?`,
    });
  return {
    ...opened,
    config: untied && config.tieWordEmbeddings ? { ...config, tieWordEmbeddings: false } : config,
    tensors: source,
    adapterWeights: { name, madeFor, modules },
  };
}

const isFolder = (name: string): boolean => /^([./~\\]|[A-Za-z]:[/\\])/.test(name);
const lastName = (name: string): string => /[^/\\]*$/.exec(name.replace(/[/\\]+$/, ''))![0];
