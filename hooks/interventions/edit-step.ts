/**
 * Interventions that hold for every input, one `with`: each prompt is read by itself, and values come from tensors and from
 * activations that the step owns.
 */

import type { Gpu } from '../../engine/gpu/gpu.js';
import { Scope } from '../../engine/gpu/storage.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { Points } from '../../engine/transformer/model-points.js';
import type { ActivationCache } from '../cache/cache.js';
import type { PromptLength } from '../input/model.js';
import type { Located } from './apply.js';
import { describeIntervention } from './describe.js';
import { type Edit, editsOf } from './edits.js';
import { checkForEvery, isLocal, needsOf } from './every-input.js';
import { growingEdits } from './growing.js';
import type { Counterfactual } from './interventions.js';
import { opensPatterns } from './later-keys.js';
import { type HostNumbers, type Place, Places, type RunInfo, type Setting } from './places.js';
import { checkCached, locateInMean, locateInRun, meanOfRun } from './source-values.js';

/** A run that values come from: its prompts are known, and it runs before the first input. */
export interface StepSource {
  readonly info: RunInfo;
  /** As `with` takes it, in token ids; null: a cache, which is no data. */
  readonly given: { readonly input: RunRows; readonly interventions: Counterfactual } | null;
  /** May its patterns have weight on keys behind the query? */
  readonly open: boolean;
  /** Its activations `names`; the step owns them. */
  load(names: readonly string[]): Promise<ActivationCache>;
}

const openOf = (sources: ReadonlyMap<string, StepSource>): Set<string> =>
  new Set([...sources].flatMap(([name, s]) => (s.open ? [name] : [])));

type RunRows = readonly (readonly number[])[];
type ByPosition = readonly (readonly Edit[] | undefined)[];

/** Lists of edits that are kept, by the length of a prompt. */
const KEPT = 64;

/** One step of an edited model: interventions as data. */
export class EditStep {
  readonly kind = 'data';
  readonly list: Counterfactual;
  /** One line an intervention. */
  readonly lines: readonly string[];
  /** See `RunEdits.local`. */
  readonly local: boolean;
  /** May patterns have weight on keys behind the query? */
  readonly opens: boolean;
  /** The places of all edits that were ever asked for: tensors are uploaded once. */
  readonly #places: Places;
  readonly #points: Points;
  readonly #gpu: Gpu;
  readonly #sources: ReadonlyMap<string, StepSource>;
  readonly #caches = new Map<string, ActivationCache>();
  readonly #numbers = new Map<Tensor, HostNumbers>();
  readonly #means = new Map<string, Tensor>();
  readonly #uploaded = new Map<HostNumbers, HostNumbers>();
  readonly #byLength = new Map<string, ByPosition>();
  /** Tensors that it was given. */
  readonly #given = new Scope();
  /** What it has made or run. */
  #scope = new Scope();
  readonly #forget: () => void;
  #loading: Promise<void> | null = null;
  #disposed = false;

  /**
   * @param held tensors that end with the step
   * @param before may patterns have such weights before this step?
   * @throws when an intervention is wrong, whatever the prompt
   */
  constructor(
    model: { readonly points: Points; readonly gpu: Gpu },
    list: Counterfactual,
    sources: ReadonlyMap<string, StepSource>,
    held: readonly Tensor[],
    before: boolean,
  ) {
    this.#points = model.points;
    this.#gpu = model.gpu;
    this.#places = new Places(model.gpu);
    this.#sources = sources;
    for (const t of held) this.#given.add(t);
    this.#forget = model.gpu.onRestore(() => this.#again());
    this.list = list;
    const names = new Set(sources.keys());
    for (const [i, one] of list.entries()) checkForEvery(one, i, model.points, names);
    this.lines = list.map((i) => describeIntervention(i));
    this.local = list.every((i) => isLocal(i, model.points));
    this.opens = before || opensPatterns(list, openOf(sources), model.points);
  }

  /** Its sources as `with` takes them, by name; null where one is a cache. */
  get sources(): Record<string, StepSource['given']> {
    return Object.fromEntries([...this.#sources].map(([name, { given }]) => [name, given]));
  }

  /** Runs what values come from, once. */
  ready(): Promise<void> {
    if (this.#disposed)
      throw new Error(`the edited model was disposed of (${this.lines[0]}): its values are gone`);
    this.#loading ??= this.#load().catch((e) => {
      this.#loading = null;
      throw e;
    });
    return this.#loading;
  }

  /** The edits of one prompt, by position; values are on the GPU. @throws when an intervention does not fit it. */
  edits({ length, total, open }: PromptLength, what: string): ByPosition {
    const key = `${length},${total},${open}`;
    const known = this.#byLength.get(key);
    if (known) return known;
    const read = open ? { length: total, total } : { length, total };
    const setting = this.#setting(read.length);
    if (open && !this.local)
      throw new Error(
        `${what}: what it does depends on the end of the prompt, and this is only the beginning of one: store no prefix with this model, or let \`pos\` count from the beginning`,
      );
    const found: Edit[][] = [];
    const own =
      total > length && !open
        ? growingEdits(this.list, setting, what, total).flatMap((list) => list ?? [])
        : editsOf(this.list, setting, what);
    for (const edit of own) (found[edit.pos] ??= []).push({ ...edit, place: this.#placed(edit.place) });
    if (this.#byLength.size >= KEPT) this.#byLength.clear();
    this.#byLength.set(key, found);
    return found;
  }

  /** Some number on the GPU, for edits that need none. */
  get anyNumber(): Located {
    return { tensor: this.#onGpu(this.#places.constant(0)).data as Tensor, offset: 0, broadcast: true };
  }

  /** Frees what it owns: no run can be edited with it any more. */
  dispose(): void {
    this.#disposed = true;
    this.#forget();
    this.#given.close();
    this.#scope.close();
    this.#caches.clear();
    this.#byLength.clear();
  }

  /** After a loss of the device: numbers are uploaded and runs are run again when they are wanted. */
  #again(): void {
    this.#scope.close();
    this.#scope = new Scope();
    this.#loading = null;
    for (const made of [this.#caches, this.#numbers, this.#means, this.#uploaded, this.#byLength])
      made.clear();
  }

  #setting(length: number): Setting {
    const runs = new Map([...this.#sources].map(([name, s]) => [name, s.info]));
    const open = openOf(this.#sources);
    if (this.opens) open.add('base');
    return {
      points: this.#points,
      base: { lengths: [length], cells: null },
      runs,
      places: this.#places,
      open,
    };
  }

  async #load(): Promise<void> {
    const needs = needsOf(this.list, this.#points);
    for (const [name, names] of needs) {
      if (this.#caches.has(name)) continue;
      const cache = await this.#sources.get(name)!.load([...names]);
      for (const [, t] of cache) this.#scope.add(t);
      this.#caches.set(name, cache);
    }
  }

  /** A value in a run or a mean as one in a tensor. */
  #placed(place: Place | null): Place | null {
    if (!place) return null;
    if (place.kind === 'host') return { ...place, numbers: this.#onGpu(place.numbers) };
    const cache = this.#caches.get(place.run)!;
    checkCached(place, cache);
    const { tensor, offset } =
      place.kind === 'run'
        ? locateInRun(cache, place)
        : locateInMean(this.#meanOf(cache, place), cache, place);
    let numbers = this.#numbers.get(tensor);
    if (!numbers) this.#numbers.set(tensor, (numbers = { data: tensor }));
    return { kind: 'host', numbers, offset, broadcast: false };
  }

  #onGpu(numbers: HostNumbers): HostNumbers {
    const { data } = numbers;
    if (data instanceof Tensor) return numbers;
    let found = this.#uploaded.get(numbers);
    if (!found) {
      const tensor = Tensor.from(this.#gpu, data, [data.length], { label: 'value', scope: this.#scope });
      this.#uploaded.set(numbers, (found = { data: tensor }));
    }
    return found;
  }

  #meanOf(cache: ActivationCache, place: Place & { kind: 'mean' }): Tensor {
    const key = `${place.run}/${place.name}/${place.over}`;
    let mean = this.#means.get(key);
    if (!mean) {
      mean = meanOfRun(cache, place);
      this.#scope.add(mean);
      this.#means.set(key, mean);
    }
    return mean;
  }
}
