/**
 * Which files are the model, where there are several: the same rule for folders, dropped files and
 * repositories. The files nearest the top are taken, all of one folder; two models that are equally near are
 * an error that names both.
 */

import { fileError, quoted } from '../checks/messages.js';
import type { FileSource } from './files.js';

/** Files of a training run that are no weights. */
const TRAINER =
  /^(optimizer|scheduler|lr_scheduler|scaler|sampler|rng_state|random_states|training_args|trainer_state|custom_checkpoint)[\w.-]*$|optim_states/;
const SINGLE = 'model.safetensors';
const SINGLE_TORCH = 'pytorch_model.bin';
/** A shard says of how many it is one. */
const SHARD = /-\d{4,}-of-\d{4,}\./;
const INDEX = '.index.json';

/** Whether a file of this name (without folders) may hold weights. */
const isWeights = (name: string): boolean =>
  (/\.(safetensors|pth|pt|bin)$/.test(name) && !TRAINER.test(name)) || isIndex(name);

const isIndex = (name: string): boolean => name === `${SINGLE}${INDEX}` || name === `${SINGLE_TORCH}${INDEX}`;

/**
 * The folder nearest the top that holds a model: `''`, or `checkpoint-1/`. It has a config.json and weights;
 * where no folder has both, the nearest with either.
 * @param paths relative, with `/`
 * @throws when two folders are equally near
 */
export function nearestFolder(paths: readonly string[], name: string): string {
  const held = new Map<string, { config: boolean; weights: boolean }>();
  for (const path of paths) {
    const at = path.lastIndexOf('/') + 1;
    const [folder, file] = [path.slice(0, at), path.slice(at)];
    const config = file === 'config.json';
    if (!config && !isWeights(file)) continue;
    const has = held.get(folder) ?? { config: false, weights: false };
    held.set(folder, { config: has.config || config, weights: has.weights || !config });
  }
  const folders = [...held];
  const whole = folders.filter(([, { config, weights }]) => config && weights);
  const some = whole.length ? whole : folders;
  const depth = ([folder]: (typeof some)[0]) => folder.split('/').length;
  const least = some.reduce((min, one) => Math.min(min, depth(one)), Number.POSITIVE_INFINITY);
  const nearest = some.filter((one) => depth(one) === least).map(([folder]) => folder);
  if (nearest.length < 2) return nearest[0] ?? '';
  const [a, b] = nearest.sort();
  if (!whole.length)
    throw fileError(
      name,
      `config.json and weights must lie in one folder; files are in ${quoted(a)} and ${quoted(b)}`,
    );
  const more = nearest.length > 2 ? ` (and ${nearest.length - 2} more)` : '';
  throw fileError(
    name,
    `it holds several models, ${quoted(a)} and ${quoted(b)}${more}: give the folder that is meant`,
  );
}

/** A folder in a folder. `inner` is `''` or ends in `/`. */
export function inFolder(files: FileSource, inner: string): FileSource {
  if (inner === '') return files;
  return {
    hub: files.hub,
    weights: files.weights,
    finished: async () => files.finished?.(),
    name: `${files.name.replace(/\/$/, '')}/${inner.slice(0, -1)}`,
    open: (path) => files.open(inner + path),
    list: async () =>
      (await files.list?.(true))
        ?.filter((path) => path.startsWith(inner))
        .map((path) => path.slice(inner.length)) ?? null,
  };
}

/** The nearest folder with a model, `files` itself where its files cannot be listed. See `nearestFolder`. */
export async function modelFolder(files: FileSource): Promise<FileSource> {
  const paths = files.weights === undefined ? await files.list?.(true) : null;
  return paths ? inFolder(files, nearestFolder(paths, files.name)) : files;
}

/**
 * The checkpoint among a folder's files: `model.safetensors`, or the index of its shards, or the only other
 * .safetensors; else PyTorch's `pytorch_model.bin`, or the index of its shards, or a `*final.pth`
 * (TransformerLens' toy models), or the only .pth, .pt or .bin. What a trainer keeps beside the weights
 * (`optimizer.pt`, `rng_state.pth`, ...) is none.
 * @param paths as the folder lists them; those in folders inside it are not looked at
 * @returns null when there is none
 * @throws when two are as good
 */
export function chooseCheckpoint(paths: readonly string[], name: string): string | null {
  const all = paths.filter((path) => !path.includes('/') && isWeights(path)).sort();
  const one = (found: readonly string[]): string | null => {
    if (found.length < 2) return found[0] ?? null;
    const more = found.length > 2 ? ` and ${found.length - 2} more` : '';
    throw fileError(
      name,
      `it holds several checkpoints (${found[0]}, ${found[1]}${more}): name the file that is meant, or remove the others`,
    );
  };
  const named = (single: string) => {
    const [stem, ending] = [single.slice(0, single.lastIndexOf('.')), single.slice(single.lastIndexOf('.'))];
    const shards = all.some(
      (path) => path.startsWith(`${stem}-`) && path.endsWith(ending) && SHARD.test(path),
    );
    // An index without its shards is left over.
    return all.filter(
      (path) => path === single || (path === `${single}${INDEX}` && (shards || !all.includes(single))),
    );
  };
  const others = all.filter(
    (path) => !SHARD.test(path) && !isIndex(path) && path !== SINGLE && path !== SINGLE_TORCH,
  );
  const safe = others.filter((path) => path.endsWith('.safetensors') && !path.startsWith('adapter_'));
  const torch = others.filter((path) => !path.endsWith('.safetensors') && !path.startsWith('adapter_'));
  const final = torch.filter((path) => path.endsWith('final.pth'));
  return one(named(SINGLE)) ?? one(safe) ?? one([...named(SINGLE_TORCH), ...final]) ?? one(torch);
}

/** What a folder without a checkpoint holds instead, for the message; '' when nothing is known of it. */
export function insteadOfWeights(paths: readonly string[]): string {
  const found = (pattern: RegExp) => paths.find((path) => pattern.test(path));
  const adapter = found(/(^|\/)adapter_(config\.json|model\.\w+)$/);
  if (adapter)
    return `; ${adapter} belongs to an adapter (LoRA): load its base model, with { adapterWeights: this folder }`;
  const shard = found(SHARD);
  if (shard) return `; ${shard} is one shard of several, and their index (${SINGLE}${INDEX}) is missing`;
  const other = found(/\.(gguf|h5|msgpack|onnx|ckpt|npz|ggml)$/);
  return other ? `; ${other} is of a format that is not read` : '';
}
