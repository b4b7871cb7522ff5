/**
 * The optimiser: AdamW (Loshchilov and Hutter 2019) and Muon on groups of parameters, in place on the GPU.
 * The gradients' common norm stays there too; nothing is read back.
 */

import { adamW, checkStep, keepGood, momentum } from '../../kernels/index.js';
import type { HostTensor } from '../../weights/formats/types.js';
import type { Gpu } from '../gpu/gpu.js';
import { HOLDS } from '../gpu/user-scope.js';
import { showShape } from '../shape/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { muonStep, sumOfSquares } from './muon.js';
import type { Parameter } from './parameters.js';

/** Parameters that are trained alike. */
export interface ParameterGroup {
  readonly parameters: readonly Parameter[];
  /** `'muon'` is for matrices. */
  readonly method: 'adamw' | 'muon';
  /** Factor on the learning rate of the step. Default 1. */
  readonly rate?: number;
  /** Decoupled: every step takes lr · weightDecay off the parameter itself. Default 0. */
  readonly weightDecay?: number;
  /** AdamW's. Defaults 0.9, 0.999, 1e-8. */
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  /** Muon's. Default 0.95. */
  readonly momentum?: number;
}

/** How a model's parameters are trained. */
export interface MethodOptions {
  /** `'muon'`: for the matrices inside the blocks, with AdamW for all else. Default `'adamw'`. */
  method?: 'adamw' | 'muon';
  /** Of matrices; vectors (biases, gains) have none. Default 0.01. */
  weightDecay?: number;
  beta1?: number;
  beta2?: number;
  eps?: number;
  momentum?: number;
}

/** The usual groups: matrices inside the blocks, embeddings, vectors. */
export function parameterGroups(
  parameters: readonly Parameter[],
  { method = 'adamw', weightDecay = 0.01, ...settings }: MethodOptions = {},
): ParameterGroup[] {
  const isMatrix = ({ tensor }: Parameter) => tensor.shape.length > 1;
  const inner = parameters.filter((p) => isMatrix(p) && p.name.startsWith('blocks.'));
  const embeddings = parameters.filter((p) => isMatrix(p) && !p.name.startsWith('blocks.'));
  const vectors = parameters.filter((p) => !isMatrix(p));
  return [
    { ...settings, method, weightDecay, parameters: inner },
    { ...settings, method: 'adamw', weightDecay, parameters: embeddings },
    { ...settings, method: 'adamw', weightDecay: 0, parameters: vectors },
  ];
}

/** What one step depends on. */
export interface StepOptions {
  readonly lr: number;
  /** Largest norm of all gradients together; more is scaled down. Default: no limit. */
  readonly maxNorm?: number | null;
  /** The loss of the step: []. It becomes NaN when the step, or one before it, went wrong. */
  readonly loss?: Tensor;
}

/** All that an optimiser remembers: to go on from a checkpoint. */
export interface OptimizerState {
  readonly steps: number;
  /** `first.NAME` and `second.NAME` moments of AdamW, `momentum.NAME` of Muon. */
  readonly tensors: Readonly<Record<string, HostTensor>>;
}

/**
 * Trains parameters in place. It owns its moments, not the parameters, and a copy of the parameters as they
 * were a step before: when a loss or a gradient is not a number, `restoreGood` brings back those of the last
 * loss that was one.
 */
export class Optimizer {
  readonly groups: readonly ParameterGroup[];
  readonly #moments = new Map<string, Tensor>();
  readonly #copies = new Map<Parameter, Tensor>();
  /** 1 once a step went wrong: []. */
  readonly #failed: Tensor | null = null;
  /** Stands for the loss where none is given: []. */
  readonly #noLoss: Tensor | null = null;
  #steps = 0;

  /** @throws when Muon is asked for anything but matrices. */
  constructor(groups: readonly ParameterGroup[]) {
    this.groups = groups.filter((g) => g.parameters.length);
    for (const { method, parameters } of this.groups)
      for (const { name, tensor } of parameters) {
        if (method === 'muon' && tensor.shape.length !== 2)
          throw new Error(`muon: ${name} ${showShape(tensor.shape)} is not a matrix; train it with 'adamw'`);
        for (const moment of method === 'muon' ? ['momentum'] : ['first', 'second'])
          this.#moments.set(`${moment}.${name}`, zerosLike(tensor, moment));
      }
    for (const parameter of this.groups.flatMap((g) => g.parameters))
      this.#copies.set(parameter, zerosLike(parameter.tensor, 'copy'));
    const [first] = this.#copies.values();
    if (!first) return;
    this.#failed = zeros(first.gpu, [], 'failed');
    this.#noLoss = zeros(first.gpu, [], 'loss');
    this.#keepGood();
  }

  /** Steps taken so far. */
  get steps(): number {
    return this.#steps;
  }

  /** One step for every parameter. @throws when a gradient is missing or has another shape. */
  step(gradients: ReadonlyMap<string, Tensor>, { lr, maxNorm = null, loss }: StepOptions): void {
    const all = this.groups.flatMap((g) => g.parameters);
    const found = all.map(({ name, tensor }) => {
      const gradient = gradients.get(name);
      if (gradient?.size !== tensor.size)
        throw new Error(
          `the gradient of ${name} ${showShape(tensor.shape)} ${gradient ? `has shape ${showShape(gradient.shape)}` : 'is missing'}`,
        );
      return gradient;
    });
    if (!this.#failed) return;
    const { gpu } = this.#failed;
    const squares = sumOfSquares(gpu, found);
    const judged = [squares, loss ?? this.#noLoss!, this.#failed];
    gpu.launch(
      checkStep({}, gpu.caps),
      judged.map((t) => t.binding()),
    );
    this.#keepGood();
    this.#steps++;
    for (const group of this.groups) {
      const rate = lr * (group.rate ?? 1);
      for (const p of group.parameters) {
        const how = { lr: rate, maxNorm };
        const gradient = gradients.get(p.name)!;
        const clip = maxNorm === null ? null : squares;
        if (group.method === 'muon') this.#muon(p, gradient, clip, group, how);
        else this.#adamW(p, gradient, clip, group, how);
      }
    }
    squares.dispose();
  }

  /**
   * After a step that went wrong: the parameters of the last loss that was a number, which had taken `steps`
   * steps.
   */
  restoreGood(steps: number): void {
    this.#keepGood();
    this.#steps = steps;
  }

  /** Copies the parameters, or, once a step went wrong, brings the copies back. */
  #keepGood(): void {
    for (const [{ tensor }, copy] of this.#copies)
      tensor.gpu.launch(
        keepGood({ n: tensor.size }, tensor.gpu.caps),
        [this.#failed!, tensor, copy].map((t) => t.binding()),
      );
  }

  /** What it remembers, on the host. */
  async state(): Promise<OptimizerState> {
    const tensors: Record<string, HostTensor> = {};
    for (const [name, moment] of this.#moments)
      tensors[name] = { shape: moment.shape, data: await moment.data() };
    return { steps: this.#steps, tensors };
  }

  /** Goes on from a state of an optimiser of the same parameters. @throws when the two do not fit. */
  restore({ steps, tensors }: OptimizerState): void {
    for (const [name, moment] of this.#moments)
      if (tensors[name]?.data.length !== moment.size)
        throw new Error(
          `the optimiser's state ${tensors[name] ? `has ${name} of shape ${showShape(tensors[name].shape)}` : `lacks ${name}`}; ${showShape(moment.shape)} is needed: it belongs to another model or method`,
        );
    for (const [name, moment] of this.#moments)
      moment.gpu.write(moment.storage.buffer, 0, tensors[name].data);
    this.#steps = steps;
  }

  /** Internal: see `scope`. */
  [HOLDS](): Iterable<unknown> {
    return [...this.#moments.values(), ...this.#copies.values(), this.#failed, this.#noLoss];
  }

  /** Gives its memory back. */
  dispose(): void {
    for (const held of [...this.#moments.values(), ...this.#copies.values(), this.#failed, this.#noLoss])
      held?.dispose();
    this.#moments.clear();
    this.#copies.clear();
  }

  #adamW(
    { name, tensor }: Parameter,
    gradient: Tensor,
    squares: Tensor | null,
    { beta1, beta2, eps, weightDecay = 0 }: ParameterGroup,
    step: StepOptions,
  ): void {
    const [m, v] = ['first', 'second'].map((moment) => this.#moments.get(`${moment}.${name}`)!);
    const settings = { ...step, beta1, beta2, eps, weightDecay, step: this.#steps, n: tensor.size };
    const buffers = [gradient, ...(squares ? [squares] : []), tensor, m, v];
    tensor.gpu.launch(
      adamW(settings, tensor.gpu.caps),
      buffers.map((t) => t.binding()),
    );
  }

  #muon(
    { name, tensor, columns }: Parameter,
    gradient: Tensor,
    squares: Tensor | null,
    { momentum: beta = 0.95, weightDecay = 0 }: ParameterGroup,
    { lr, ...scaling }: StepOptions,
  ): void {
    const { gpu } = tensor;
    const direction = Tensor.result(gpu, tensor.shape, [], 'muon');
    const buffers = [
      gradient,
      ...(squares ? [squares] : []),
      this.#moments.get(`momentum.${name}`)!,
      direction,
    ];
    gpu.launch(
      momentum({ ...scaling, momentum: beta, n: tensor.size }, gpu.caps),
      buffers.map((t) => t.binding()),
    );
    const [rows, width] = tensor.shape;
    let offset = 0;
    for (const cols of columns ?? [width]) {
      const place = { rows, cols, rowStride: width, colStride: 1, offset };
      muonStep(direction, tensor, place, { lr, weightDecay });
      offset += cols;
    }
    direction.dispose();
  }
}

const zerosLike = (t: Tensor, label: string): Tensor => zeros(t.gpu, t.shape, `${label} moment`);

function zeros(gpu: Gpu, shape: readonly number[], label: string): Tensor {
  const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
  return Tensor.from(gpu, data, shape, { label, exact: true });
}
