/**
 * Writes ONNX models: as much of the protobuf format as a benchmark's graphs need (onnx.proto3, IR version
 * 8).
 */

const text = new TextEncoder();

/** A message that is being written. */
class Message {
  readonly #parts: Uint8Array[] = [];
  #length = 0;

  #bytes(b: Uint8Array): this {
    this.#parts.push(b);
    this.#length += b.length;
    return this;
  }

  #varint(v: number | bigint): this {
    const bytes: number[] = [];
    let rest = BigInt.asUintN(64, BigInt(v));
    do {
      const low = Number(rest & 127n);
      rest >>= 7n;
      bytes.push(rest ? low | 128 : low);
    } while (rest);
    return this.#bytes(Uint8Array.from(bytes));
  }

  int(field: number, v: number | bigint): this {
    return this.#varint(field << 3).#varint(v);
  }

  float(field: number, v: number): this {
    return this.#varint((field << 3) | 5).#bytes(new Uint8Array(Float32Array.of(v).buffer));
  }

  raw(field: number, b: Uint8Array): this {
    return this.#varint((field << 3) | 2)
      .#varint(b.length)
      .#bytes(b);
  }

  string(field: number, s: string): this {
    return this.raw(field, text.encode(s));
  }

  message(field: number, m: Message): this {
    this.#varint((field << 3) | 2).#varint(m.#length);
    for (const p of m.#parts) this.#bytes(p);
    return this;
  }

  done(): Uint8Array {
    const all = new Uint8Array(this.#length);
    let at = 0;
    for (const p of this.#parts) {
      all.set(p, at);
      at += p.length;
    }
    return all;
  }
}

const FLOAT = 1;
const INT64 = 7;

/** A constant of a graph. */
export interface OnnxTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/** One operation: integers, lists of integers and `{ float }` as attributes. */
export interface OnnxNode {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: Readonly<Record<string, number | readonly number[] | { readonly float: number }>>;
  /** `com.microsoft` for the contributed operators. */
  readonly domain?: string;
}

/** A graph of float32 values. */
export interface OnnxGraph {
  readonly nodes: readonly OnnxNode[];
  readonly constants: Readonly<Record<string, OnnxTensor>>;
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  readonly outputs: Readonly<Record<string, readonly number[]>>;
}

/** The file of a model (opset 17). */
export function onnxModel({ nodes, constants, inputs, outputs }: OnnxGraph): Uint8Array {
  const graph = new Message();
  for (const n of nodes) graph.message(1, node(n));
  graph.string(2, 'graph');
  for (const [name, t] of Object.entries(constants)) graph.message(5, tensor(name, t));
  for (const [name, shape] of Object.entries(inputs)) graph.message(11, valueInfo(name, shape));
  for (const [name, shape] of Object.entries(outputs)) graph.message(12, valueInfo(name, shape));
  const opset = (domain: string, version: number) => new Message().string(1, domain).int(2, version);
  return new Message()
    .int(1, 8)
    .message(7, graph)
    .message(8, opset('', 17))
    .message(8, opset('com.microsoft', 1))
    .done();
}

function tensor(name: string, { shape, data }: OnnxTensor): Message {
  const m = new Message();
  for (const d of shape) m.int(1, d);
  m.int(2, data instanceof Float32Array ? FLOAT : INT64).string(8, name);
  return m.raw(9, new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength));
}

function node({ op, inputs, outputs, attributes = {}, domain }: OnnxNode): Message {
  const m = new Message();
  for (const i of inputs) m.string(1, i);
  for (const o of outputs) m.string(2, o);
  m.string(3, outputs[0]).string(4, op);
  for (const [name, value] of Object.entries(attributes)) {
    const a = new Message().string(1, name);
    if (typeof value === 'number') a.int(3, value).int(20, 2);
    else if ('float' in value) a.float(2, value.float).int(20, 1);
    else {
      for (const v of value) a.int(8, v);
      a.int(20, 7);
    }
    m.message(5, a);
  }
  return domain ? m.string(7, domain) : m;
}

function valueInfo(name: string, dims: readonly number[]): Message {
  const shape = new Message();
  for (const d of dims) shape.message(1, new Message().int(1, d));
  const type = new Message().message(1, new Message().int(1, FLOAT).message(2, shape));
  return new Message().string(1, name).message(2, type);
}
