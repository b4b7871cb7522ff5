/**
 * The same work in ONNX Runtime's own WebGPU provider, from the npm package `onnxruntime-node`: 290 MB, so no
 * dependency of this one; it takes part where it is installed. It has a Dawn of its own, reads its results
 * back, and keeps no input on the GPU.
 */

import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { softwareDriver } from '../../../engine/gpu/adapter-node.js';
import type { RandomModel } from '../model.js';
import { operands, type ProductCandidate, type Shape } from '../products.js';
import { type OnnxGraph, type OnnxNode, type OnnxTensor, onnxModel } from './onnx.js';
import type { Peer } from './peer.js';

/** How to add it. */
export const ORT_HINT =
  'onnxruntime-node takes part where it is installed: npm install --no-save --ignore-scripts onnxruntime-node@1.30.0';

interface Ort {
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<Session>;
  };
  readonly Tensor: new (type: 'float32', data: Float32Array, shape: readonly number[]) => object;
}

interface Session {
  run(feeds: Record<string, object>): Promise<Record<string, { data: Float32Array }>>;
  release(): Promise<void>;
}

/** ONNX Runtime, or null where it is not installed. `software`: on the driver that Glassbox uses then. */
export async function openOrt({ software }: { software: boolean }): Promise<Peer | null> {
  const found = locate();
  if (!found) return null;
  // Its Dawn takes the first Vulkan driver that the environment names.
  const driver = software ? softwareDriver() : null;
  if (driver) process.env.VK_DRIVER_FILES = driver;
  const ort = (await import(pathToFileURL(found.main).href)) as unknown as Ort & { default?: Ort };
  const library = ort.default ?? ort;
  return {
    id: 'ort',
    name: 'ONNX Runtime',
    version: found.version,
    product: (s) => candidate(library, ...productGraph(s)),
    forward: (model, tokens) => candidate(library, ...forwardGraph(model, tokens)),
  };
}

function locate(): { main: string; version: string } | null {
  for (const from of [import.meta.url, pathToFileURL(path.join(process.cwd(), 'package.json')).href]) {
    try {
      const require = createRequire(from);
      const main = require.resolve('onnxruntime-node');
      return { main, version: require('onnxruntime-node/package.json').version };
    } catch {
      // not there: look in the next place
    }
  }
  return null;
}

async function candidate(ort: Ort, graph: OnnxGraph, x: Float32Array): Promise<ProductCandidate> {
  const session = await ort.InferenceSession.create(onnxModel(graph), { executionProviders: ['webgpu'] });
  const [[name, shape]] = Object.entries(graph.inputs);
  const feeds = { [name]: new ort.Tensor('float32', x, shape) };
  return {
    name: 'ONNX Runtime',
    async run(repeats) {
      for (let i = 0; i < repeats; i++) await session.run(feeds);
    },
    result: async () => (await session.run(feeds)).y.data,
    dispose: () => void session.release(),
  };
}

const f32 = (shape: readonly number[], data: Float32Array): OnnxTensor => ({ shape, data });

function productGraph(s: Shape): [OnnxGraph, Float32Array] {
  const { x, w, b } = operands(s);
  const constants: Record<string, OnnxTensor> = s.unembed
    ? { w: f32([s.cols, s.inner], w) }
    : { w: f32([s.inner, s.cols], w), b: f32([s.cols], b) };
  const inputs = ['x', ...Object.keys(constants)];
  const attributes: OnnxNode['attributes'] = s.unembed ? { transB: 1 } : {};
  return [
    {
      nodes: [{ op: 'Gemm', inputs, outputs: ['y'], attributes }],
      constants,
      inputs: { x: [s.rows, s.inner] },
      outputs: { y: [s.rows, s.cols] },
    },
    x,
  ];
}

/** GPT-2's forward pass, all logits. The embedding is looked up on the host, which is in its favour. */
function forwardGraph(
  { config, tensors }: RandomModel,
  tokens: readonly number[],
): [OnnxGraph, Float32Array] {
  const { nLayers, nHeads, dModel, dVocab, eps } = config;
  const T = tokens.length;
  const dHead = dModel / nHeads;
  const nodes: OnnxNode[] = [];
  const constants: Record<string, OnnxTensor> = {
    mask: f32(
      [1, T, T],
      Float32Array.from({ length: T * T }, (_, i) => (i % T <= Math.floor(i / T) ? 0 : -1e9)),
    ),
    scale: f32([], Float32Array.of(1 / Math.sqrt(dHead))),
    thirds: { shape: [3], data: BigInt64Array.from([dModel, dModel, dModel].map(BigInt)) },
    heads: { shape: [3], data: BigInt64Array.from([T, nHeads, dHead].map(BigInt)) },
    flat: { shape: [2], data: BigInt64Array.from([T, dModel].map(BigInt)) },
  };
  let made = 0;
  const op = (name: string, inputs: string[], attributes: OnnxNode['attributes'] = {}, domain?: string) => {
    const output = `t${made++}`;
    nodes.push({ op: name, inputs, outputs: [output], attributes, domain });
    return output;
  };
  const constant = (name: string): string => {
    constants[name] = tensors[name];
    return name;
  };
  const norm = (x: string, name: string) =>
    op('LayerNormalization', [x, constant(`${name}.weight`), constant(`${name}.bias`)], {
      axis: -1,
      epsilon: { float: eps },
    });
  const layer = (x: string, name: string) =>
    op('Gemm', [x, constant(`${name}.weight`), constant(`${name}.bias`)]);
  const toHeads = (x: string, perm: number[]) => op('Transpose', [op('Reshape', [x, 'heads'])], { perm });

  let x = 'x';
  for (let l = 0; l < nLayers; l++) {
    const qkv = layer(norm(x, `h.${l}.ln_1`), `h.${l}.attn.c_attn`);
    const parts = ['q', 'k', 'v'].map((part) => `h.${l}.${part}`);
    nodes.push({ op: 'Split', inputs: [qkv, 'thirds'], outputs: parts, attributes: { axis: 1 } });
    const [q, k, v] = [
      toHeads(parts[0], [1, 0, 2]),
      toHeads(parts[1], [1, 2, 0]),
      toHeads(parts[2], [1, 0, 2]),
    ];
    const scores = op('Add', [op('Mul', [op('MatMul', [q, k]), 'scale']), 'mask']);
    const z = op('MatMul', [op('Softmax', [scores], { axis: -1 }), v]);
    const joined = op('Reshape', [op('Transpose', [z], { perm: [1, 0, 2] }), 'flat']);
    x = op('Add', [x, layer(joined, `h.${l}.attn.c_proj`)]);
    const hidden = layer(norm(x, `h.${l}.ln_2`), `h.${l}.mlp.c_fc`);
    const active = op('FastGelu', [hidden], {}, 'com.microsoft');
    x = op('Add', [x, layer(active, `h.${l}.mlp.c_proj`)]);
  }
  nodes.push({
    op: 'Gemm',
    inputs: [norm(x, 'ln_f'), constant('wte.weight')],
    outputs: ['y'],
    attributes: { transB: 1 },
  });
  const wte = tensors['wte.weight'].data;
  const wpe = tensors['wpe.weight'].data;
  const x0 = new Float32Array(T * dModel);
  for (let i = 0; i < x0.length; i++)
    x0[i] = wte[tokens[Math.floor(i / dModel)] * dModel + (i % dModel)] + wpe[i];
  return [{ nodes, constants, inputs: { x: [T, dModel] }, outputs: { y: [T, dVocab] } }, x0];
}
