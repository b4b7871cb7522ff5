/** What test/fixtures/circuits/make.py has computed in float64: see there what each number is. */
import { readFileSync } from 'node:fs';
import type { DetectOptions } from '../../interp/heads/detect-heads.js';
import type { OracleModel } from './oracle.js';

/** Tokens and values, the largest (or smallest) first. */
interface Ranked {
  readonly tokens: number[];
  readonly values: number[];
}

interface MatrixFacts {
  readonly singular: number[];
  readonly eigenvalues: { readonly re: number[]; readonly im: number[] };
  readonly norm: number;
  readonly trace: number;
  readonly corner: number[];
}

/** What is known of a model. */
export interface CircuitsCase {
  readonly model: OracleModel;
  readonly layer: number;
  readonly head: number;
  readonly tokens: number[];
  readonly k: number;
  readonly composition: Readonly<Record<'Q' | 'K' | 'V', number[]>>;
  readonly ov: MatrixFacts;
  readonly qk: MatrixFacts;
  readonly circuits: readonly {
    readonly circuit: 'ov' | 'qk';
    readonly embedding: 'W_E' | 'W_E+MLP0';
    readonly norm: number;
    readonly top: Ranked[];
    readonly bottom: Ranked[];
    readonly entries: [from: number, to: number, value: number][];
  }[];
  readonly copying: readonly {
    readonly embedding: 'W_E' | 'W_E+MLP0';
    readonly top: number[];
    readonly eigenvalues: number[];
  }[];
  readonly singular: readonly {
    readonly matrix: 'OV' | 'w_in' | 'w_out';
    readonly values: number[];
    readonly top: Ranked[];
    readonly bottom: Ranked[];
  }[];
  readonly biases: readonly {
    readonly layer: number;
    readonly mlpInput: boolean;
    readonly includeMlpBiases: boolean;
    readonly values: number[];
  }[];
  readonly neuron?: {
    readonly layer: number;
    readonly neuron: number;
    readonly top: Ranked;
    readonly bottom: Ranked;
  };
  readonly rows: number[][];
  /** [kind, layer, head] */
  readonly scores: number[];
  readonly detections: readonly (Required<
    Pick<DetectOptions, 'errorMeasure' | 'excludeBos' | 'excludeCurrentToken'>
  > & {
    readonly rows: number[][];
    readonly pattern: 'previous_token_head' | 'duplicate_token_head' | 'induction_head' | number[][];
    readonly values: number[];
  })[];
}

const path = new URL('../fixtures/circuits/circuits.json', import.meta.url);

/** All models. */
export const circuitsCases = JSON.parse(readFileSync(path, 'utf8')) as readonly CircuitsCase[];
