/** From what an intervention says of its value to the place where each stretch of it is. */

import { showShape, sizeOf } from '../../engine/shape/shape.js';
import { Tensor } from '../../engine/tensor/tensor.js';
import type { Point, Points } from '../../engine/transformer/model-points.js';
import { isList, shownValue } from '../../weights/checks/kinds.js';
import { actName, isWhole, pointIn, pointNamed } from '../input/names.js';
import { indexOf } from '../input/selection.js';
import type { Partners } from './alignment.js';
import type { FromRun, Intervention, MeanOf, Noise, Numbers, Value } from './interventions.js';
import type { HostNumbers, NumbersGiven, Place, RunInfo, Setting } from './places.js';

/**
 * What is selected: prompts, positions of each, heads (null: no such axis), entries of the last axis of each
 * prompt.
 */
interface Selected {
  readonly rows: readonly number[];
  readonly positions: readonly (readonly number[])[];
  readonly heads: readonly number[] | null;
  readonly last: readonly (number | readonly number[])[];
}

/** One stretch: indices into the selection, and what they stand for. */
interface Spot {
  readonly ri: number;
  readonly pi: number;
  readonly hi: number;
  /** Of its first entry, within the last axis of the selection. */
  readonly index: number;
  readonly row: number;
  readonly pos: number;
  readonly head: number;
  readonly start: number;
}

type PlaceOf = (spot: Spot) => Place;

/**
 * A function that says where the value of a stretch is, or null where the action needs none. @throws when it
 * does not fit.
 */
export function placesOf(
  intervention: Intervention,
  setting: Setting,
  point: Point,
  selected: Selected,
): PlaceOf | null {
  const { scale, zero, projectOut } = intervention;
  if (scale !== undefined || zero) return null;
  const value = valueIn(intervention);
  if (projectOut !== undefined) {
    if (point.pattern || intervention.neuron !== undefined)
      throw new Error('projectOut needs whole vectors: not scores or patterns, and no `neuron`');
    if (typeof value === 'number') throw new Error('projectOut needs a direction, not a number');
  }
  if (typeof value === 'number') {
    checkConstant(value, point);
    const numbers = setting.places.constant(value);
    return () => ({ kind: 'host', numbers, offset: 0, broadcast: true });
  }
  const shape = shapeOf(selected, point.pattern);
  if (isNumbers(value)) {
    const numbers = setting.places.list(value);
    if (!(numbers.data instanceof Tensor) && numbers.data.includes(-Infinity))
      checkConstant(-Infinity, point);
    return fromHost(numbers, trailing(numbers, shape, point.pattern), point);
  }
  if (typeof value === 'object' && value !== null) {
    if ('from' in value) return fromRun(value, setting, point);
    if ('mean' in value) return fromMean(value, setting, point);
    if ('noise' in value) return fromNoise(value, shape, setting, point);
  }
  const meant = typeof value === 'string' ? `: a run is named { from: ${shownValue(value)} }` : '';
  throw new Error(
    `a value is a number, numbers, a tensor, { from }, { mean } or { noise }, not ${shownValue(value)}${meant}`,
  );
}

/**
 * Where the value is of a run that is aligned: of each prompt's positions those of their partners. Null: it
 * is of no such run, or names its position.
 */
export function partnersFor(intervention: Intervention, { runs }: Setting): Partners | null {
  if (intervention.scale !== undefined || intervention.zero) return null;
  const value = valueIn(intervention);
  const isFrom = typeof value === 'object' && value !== null && 'from' in value;
  return isFrom && value.pos === undefined && value.row === undefined
    ? (runs.get(value.from)?.partners ?? null)
    : null;
}

/** The value that the action names. @throws when the action is not whole. */
export function valueIn({ set, add, mean, interpolate, projectOut, freeze }: Intervention): Value {
  if (freeze) return { from: 'base' };
  if (mean !== undefined) {
    if (typeof mean === 'string') return { mean };
    if (typeof mean === 'object' && mean !== null && 'mean' in mean) return mean;
    throw new Error(
      `mean: the name of a source, or { mean, over }, is needed, not ${shownValue(mean)}; numbers are \`set\``,
    );
  }
  if (interpolate === undefined) return [set, add, projectOut].find((v) => v !== undefined)!;
  if (typeof interpolate !== 'object' || interpolate === null || interpolate.to === undefined)
    throw new Error(`interpolate: { to: value, by } is needed, not ${shownValue(interpolate)}`);
  checkOnly(interpolate, ['to', 'by']);
  if (!Number.isFinite(interpolate.by))
    throw new Error(
      `interpolate: \`by\` is ${interpolate.by}: a number is needed (0: unchanged, 1: the value)`,
    );
  return interpolate.to;
}

const isNumbers = (value: unknown): value is NumbersGiven =>
  value instanceof Tensor ||
  isList(value) ||
  (isList((value as Numbers)?.data) && isList((value as Numbers)?.shape));

function fromNoise({ noise }: Noise, shape: readonly number[], setting: Setting, point: Point): PlaceOf {
  if (typeof noise !== 'object' || noise === null)
    throw new Error(`noise: { seed, std, sample } is needed, not ${shownValue(noise)}`);
  checkOnly(noise, ['seed', 'std', 'sample']);
  const draw = noise.sample ?? null;
  if (draw !== null && (!Number.isInteger(draw) || draw < 0))
    throw new Error(`noise: sample ${draw}: draws are counted from 0`);
  const dims = draw === null ? shape : shape.slice(1);
  if (dims.includes(-1)) throw new Error('noise needs prompts of one length, or a `row`');
  const numbers = setting.places.noise(noise, sizeOf(shape.slice(1)), draw, shape[0]);
  return fromHost(numbers, dims, point);
}

function checkConstant(value: number, { row }: Point): void {
  if (Number.isFinite(value) || (value === -Infinity && row.masked)) return;
  throw new Error(`the value is ${value}: a finite number is needed (−Infinity is for attention scores)`);
}

/** [row, pos, (head,) last], or [row, head, query, key]; −1 where prompts differ. */
function shapeOf({ rows, positions, heads, last }: Selected, pattern: boolean): number[] {
  const one = (counts: readonly number[]) => (counts.every((n) => n === counts[0]) ? counts[0] : -1);
  const pos = one(positions.map((p) => p.length));
  const tail = one(last.map((n) => (typeof n === 'number' ? n : n.length)));
  if (pattern) return [rows.length, heads!.length, pos, tail];
  return [rows.length, pos, ...(heads ? [heads.length] : []), tail];
}

/** The trailing part of `shape` that a value fills. @throws when it fills none. */
function trailing(value: HostNumbers, shape: number[], pattern: boolean): number[] {
  const given = value.shape && [...value.shape];
  const size = given ? sizeOf(given) : (value.data as Float32Array).length;
  while (given && given.length > 1 && given[0] === 1) given.shift();
  for (let k = shape.length; k > 0; k--) {
    const part = shape.slice(-k);
    if (part.includes(-1) || sizeOf(part) !== size) continue;
    while (part.length > 1 && part[0] === 1) part.shift();
    if (!given || (given.length === part.length && given.every((d, i) => d === part[i])))
      return shape.slice(-k);
  }
  const axes = pattern
    ? 'row, head, query, key'
    : shape.length === 4
      ? 'row, pos, head, last axis'
      : 'row, pos, last axis';
  const selected = shape.map((d) => (d < 0 ? 'differs' : d));
  throw new Error(
    `a value of ${given ? `shape ${showShape(given)}` : `${size} numbers`} does not fill what is selected: [${selected.join(', ')}] (${axes}), or the last axes of it`,
  );
}

/** Numbers laid out as the last axes `dims` of the selection. */
function fromHost(numbers: HostNumbers, dims: readonly number[], { pattern, heads }: Point): PlaceOf {
  const strides = [...dims];
  for (let i = dims.length - 1, n = 1; i >= 0; i--) {
    strides[i] = n;
    n *= dims[i];
  }
  const stride = (fromEnd: number) => strides[strides.length - fromEnd] ?? 0;
  const [r, p, h] = pattern
    ? [stride(4), stride(2), stride(3)]
    : heads
      ? [stride(4), stride(3), stride(2)]
      : [stride(3), stride(2), 0];
  return ({ ri, pi, hi, index }) => ({
    kind: 'host',
    numbers,
    offset: ri * r + pi * p + hi * h + index,
    broadcast: false,
  });
}

function fromRun(from: FromRun, setting: Setting, point: Point): PlaceOf {
  checkOnly(from, ['from', 'at', 'layer', 'row', 'pos', 'head', 'cell']);
  const { base } = setting;
  const info = runNamed(from.from, setting);
  const source = otherPoint(from, point, setting.points);
  const { heads, width, pattern } = source;
  const cell = from.cell ?? null;
  if (info.cells === null && cell !== null) throw new Error(`"${from.from}" is one run: leave \`cell\` out`);
  if (info.cells !== null) {
    if (cell === null)
      throw new Error(
        `"${from.from}" is a list of counterfactuals: say which with \`cell\` (from 0 to ${info.cells - 1})`,
      );
    indexOf(cell, info.cells, `cell of "${from.from}"`);
  }
  if (from.head !== undefined && !heads) throw new Error(`"${source.name}" has no head axis`);
  const head = from.head === undefined ? null : indexOf(from.head, heads!, 'head');
  const givenRow =
    from.row === undefined ? null : indexOf(from.row, info.lengths.length, `row of "${from.from}"`);
  return ({ row, pos, head: ownHead, start }) => {
    const h = head ?? ownHead;
    const r = givenRow ?? (info.lengths.length === 1 ? 0 : row);
    if (givenRow === null && info.lengths.length > 1 && info.lengths.length !== base.lengths.length)
      throw new Error(
        `"${from.from}" has ${info.lengths.length} prompts, the base run ${base.lengths.length}: say which with \`row\``,
      );
    const length = info.lengths[r];
    const partners = from.pos === undefined ? info.partners?.[row] : undefined;
    if ((from.pos === undefined || pattern) && length !== base.lengths[row] && !partners)
      throw new Error(
        `prompt ${row} has ${base.lengths[row]} tokens, that of "${from.from}" ${length}: positions of prompts of different lengths do not correspond; align them (\`align\` of the source)${pattern ? '' : ', or say with `pos` which position to take'}`,
      );
    const own = partners?.[pos] ?? pos;
    const p = from.pos === undefined ? own : indexOf(from.pos, length, `pos of "${from.from}"`);
    const within = pattern ? (partners?.[start] ?? start) : heads ? h * width + start : start;
    return {
      kind: 'run',
      run: from.from,
      name: source.name,
      row: r,
      cell,
      pos: p,
      head: pattern ? h : 0,
      start: within,
    };
  };
}

/**
 * The hook point that a value is taken from; without a head axis it serves every head. @throws unless it is
 * as wide.
 */
export function otherPoint(from: FromRun, point: Point, points: Points): Point {
  if (from.at === undefined && from.layer === undefined) return point;
  const { nLayers } = points.config;
  const layer = from.layer === undefined ? point.layer : indexOf(from.layer, nLayers, 'layer');
  const at = from.at ?? point.local;
  const other =
    layer === null || isWhole(at, points) ? pointNamed(actName(at), points) : pointIn(at, layer, points);
  if (other.width !== point.width || other.pattern !== point.pattern)
    throw new Error(
      `"${other.name}" and "${point.name}" have different shapes: one cannot take the other's place`,
    );
  if (other.heads && !point.heads && from.head === undefined)
    throw new Error(`"${other.name}" has a head axis, "${point.name}" has none: say which with \`head\``);
  return other;
}

function fromMean(mean: MeanOf, setting: Setting, point: Point): PlaceOf {
  checkOnly(mean, ['mean', 'over']);
  const { over = 'rows' } = mean;
  const { pattern, heads, width, name } = point;
  const info = runNamed(mean.mean, setting);
  if (info.cells !== null)
    throw new Error(`"${mean.mean}" is a list of counterfactuals: a mean needs one run`);
  if (over !== 'rows' && over !== 'all') throw new Error(`over: '${over}': 'rows' or 'all' is needed`);
  if (over === 'all' && pattern)
    throw new Error('a mean over all positions of scores or patterns means nothing');
  if (over === 'rows' && info.lengths.some((n) => n !== info.lengths[0]))
    throw new Error(`the prompts of "${mean.mean}" differ in length: take the mean over: 'all' positions`);
  return ({ row, pos, head, start }) => {
    const length = info.lengths[0];
    if (over === 'rows' && (pos >= length || (pattern && length !== setting.base.lengths[row])))
      throw new Error(
        `position ${pos}: the prompts of "${mean.mean}" have ${length} tokens: give some as long as the base's, or take the mean over: 'all' positions`,
      );
    const within = pattern ? start : heads ? head * width + start : start;
    return {
      kind: 'mean',
      run: mean.mean,
      name,
      over,
      pos: over === 'all' ? 0 : pos,
      head: pattern ? head : 0,
      start: within,
    };
  };
}

function runNamed(name: string, { runs }: Setting): RunInfo {
  const info = runs.get(name);
  if (!info)
    throw new Error(`there is no source "${name}"; these are: ${[...runs.keys()].join(', ') || 'none'}`);
  if (info.barred) throw new Error(`no value can come from "${name}" here: ${info.barred}`);
  return info;
}

function checkOnly(value: object, fields: readonly string[]): void {
  const unknown = Object.keys(value).find((f) => !fields.includes(f));
  if (unknown !== undefined) throw new Error(`there is no field "${unknown}" in { ${fields.join(', ')} }`);
}
