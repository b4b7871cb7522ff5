/** Interventions in print and as JSON. */

import { Tensor } from '../../engine/tensor/tensor.js';
import { classicName } from '../../engine/transformer/points.js';
import { isList, shownValue } from '../../weights/checks/kinds.js';
import { fileError, shownJson } from '../../weights/checks/messages.js';
import { parseJson } from '../../weights/checks/text.js';
import { is, signatures } from '../input/check.js';
import type { Selection } from '../input/selection.js';
import type { Counterfactual, Intervention, Numbers, Value } from './interventions.js';

const takes = signatures({
  describeIntervention: { intervention: is.either(is.plainObject, is.interventions) },
  interventionsToJson: { list: is.either(is.plainObject, is.listOf(is.anything, 'a list')) },
  interventionsFromJson: { json: is.text },
});

/** One line: `blocks.7.hook_resid_pre[pos 4] = clean`. Several are joined with `; `. */
export const describeIntervention = takes.describeIntervention(function describeIntervention(
  intervention: Intervention | Counterfactual,
): string {
  if (Array.isArray(intervention))
    return intervention.map((i) => describeIntervention(i)).join('; ') || 'nothing';
  const {
    at,
    layer,
    set,
    add,
    times = 1,
    scale,
    zero,
    mean,
    interpolate,
    projectOut,
    freeze,
    ...part
  } = intervention as Intervention;
  const where = Object.entries(part).map(([axis, s]) => `${axis} ${showSelection(s as Selection)}`);
  const place = `${classicName(at)}${layer === undefined ? '' : ` L${showSelection(layer)}`}${where.length ? `[${where.join(', ')}]` : ''}`;
  const what = [
    set !== undefined && `= ${showValue(set)}`,
    add !== undefined && `+= ${times === 1 ? '' : `${times} · `}${showValue(add)}`,
    scale !== undefined && `*= ${scale}`,
    zero && '= 0',
    mean !== undefined && `= ${showValue(typeof mean === 'string' ? { mean } : mean)}`,
    interpolate && `→ ${interpolate.by} of the way to ${showValue(interpolate.to)}`,
    projectOut !== undefined && `without its component along ${showValue(projectOut)}`,
    freeze && 'frozen',
  ].filter(Boolean);
  return `${place} ${what.join(' and ') || '(no action)'}`;
});

const FORMAT = 'glassbox interventions';
/** Of what is written now. */
const VERSION = 1;

/**
 * JSON of interventions, numbers of tensors included (they are read back from the GPU):
 * `{ "format": "glassbox interventions", "version": 1, "interventions": … }`.
 * @param list one intervention, a counterfactual, or a list of them
 */
export const interventionsToJson = takes.interventionsToJson(async function interventionsToJson(
  list: unknown,
): Promise<string> {
  return JSON.stringify({ format: FORMAT, version: VERSION, interventions: await plain(list) });
});

/** Internal: the same without format and version, for fingerprints of sweeps. */
export const interventionsText = async (list: unknown): Promise<string> => JSON.stringify(await plain(list));

/** Lists in lists: counterfactuals are lists of interventions. */
const MOST_LISTS = 8;

/** Texts that are names, whatever they look like. */
const NAMES = new Set(['at', 'from', 'mean', 'over']);

/**
 * The way back. Plain lists, as Glassbox wrote them before they said their format, are read too.
 * @throws when the text is not JSON, not interventions, or of a later version.
 */
export const interventionsFromJson = takes.interventionsFromJson(function interventionsFromJson<
  T = Counterfactual[],
>(json: string): T {
  return listOf(json) as T;
});

function listOf(json: string): unknown {
  const restore = (key: string, x: unknown) =>
    NOT_IN_JSON.has(x as string) && !NAMES.has(key) ? Number(x) : x;
  const read = parseJson(json, 'interventions', restore) as Record<string, unknown> | null;
  let list: unknown = read;
  if (typeof read === 'object' && read !== null && 'format' in read) {
    if (read.format !== FORMAT)
      throw fileError('interventions', `a file of format ${shownJson(read.format)}, not "${FORMAT}"`);
    if (read.version !== VERSION)
      throw fileError(
        'interventions',
        `version ${shownJson(read.version)}, and this Glassbox reads version ${VERSION}`,
      );
    list = read.interventions;
  }
  const check = (x: unknown, where: string, depth: number): void => {
    if (Array.isArray(x) && depth < MOST_LISTS)
      for (const [i, y] of x.entries()) check(y, `${where}[${i}]`, depth + 1);
    else if (typeof x !== 'object' || x === null || typeof (x as Intervention).at !== 'string')
      throw fileError(where, `not an intervention { at: hook point, … }: ${shownJson(x)}`);
  };
  check(list, 'interventions', 0);
  return list;
}

async function plain(x: unknown): Promise<unknown> {
  if (x instanceof Tensor) return { shape: x.shape, data: numbers(await x.data()) } satisfies Jsonable;
  if (Array.isArray(x)) return Promise.all(x.map(plain));
  if (isList(x)) return numbers(x as ArrayLike<number | bigint>);
  if (typeof x === 'number') return numbers([x])[0];
  if (typeof x === 'bigint') return Number(x);
  if (typeof x !== 'object' || x === null) return x;
  const entries = Object.entries(x).filter(([, v]) => v !== undefined);
  return Object.fromEntries(await Promise.all(entries.map(async ([k, v]) => [k, await plain(v)])));
}

type Jsonable = Omit<Numbers, 'data'> & { data: (number | string)[] };
/** Numbers that JSON does not have are strings there. */
const NOT_IN_JSON = new Set(['Infinity', '-Infinity', 'NaN']);
const numbers = (data: ArrayLike<number | bigint>) =>
  Array.from(data, (v) => Number(v)).map((v) => (Number.isFinite(v) ? v : String(v))) as number[];

function showSelection(s: Selection): string {
  if (typeof s === 'number') return String(s);
  if (Array.isArray(s)) return s.length > 8 ? `${s.slice(0, 8).join(',')},… (${s.length})` : s.join(',');
  if (typeof s !== 'object' || s === null) return shownValue(s);
  const { start = 0, end } = s as { start?: number; end?: number };
  return `${start}…${end === undefined ? 'end' : end}`;
}

/** The lengths of lists in lists, by their first entries. */
function lengthsOf(list: unknown): number[] {
  return isList(list) ? [list.length, ...lengthsOf(list[0])] : [];
}

function showValue(v: Value): string {
  if (typeof v !== 'object' || v === null) return String(v);
  if (v instanceof Tensor) return `tensor [${v.shape.join(', ')}]`;
  if (isList(v))
    return isList(v[0])
      ? `numbers [${lengthsOf(v).join(', ')}]`
      : `${v.length} ${v.length === 1 ? 'number' : 'numbers'}`;
  if ('data' in v) return `numbers [${[...(v.shape ?? [])].join(', ')}]`;
  if ('mean' in v) return `mean of ${v.mean}${v.over === 'all' ? ' over all positions' : ''}`;
  if ('noise' in v) {
    const { seed, std = 1, sample } = v.noise ?? {};
    return `noise(seed ${seed}, std ${std}${sample === undefined ? '' : `, draw ${sample}`})`;
  }
  const { from = 'a value', ...other } = v as { from?: string };
  const where = Object.entries(other).map(([k, x]) => `${k} ${x}`);
  return `${from}${where.length ? `[${where.join(', ')}]` : ''}`;
}
