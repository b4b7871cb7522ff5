/** TransformerLens' names and configurations, and its toy models on the Hub. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';
import { memoryFile } from '../../weights/files/files.js';
import { blobFolder } from '../../weights/files/files-blob.js';
import { openCheckpoint } from '../../weights/formats/open.js';
import { memoryTensors, type TensorSource } from '../../weights/formats/tensors.js';
import { openTorch } from '../../weights/formats/torch/torch.js';
import type { HostTensor } from '../../weights/formats/types.js';
import { hubRepo, knownModels } from '../../weights/hub/hub.js';
import { inferConfig, readModel } from '../../weights/load/checkpoint.js';
import { parseConfig } from '../../weights/load/config.js';
import { noProcessing } from '../../weights/processing/processing.js';
import { throws } from '../helpers.js';
import { collect } from './forward.js';
import { send, serve, type TestServer } from './http.js';

const fixture = (path: string) =>
  new Uint8Array(readFileSync(new URL(`../fixtures/toys/${path}`, import.meta.url)));
const settings = (name: string) =>
  JSON.parse(new TextDecoder().decode(fixture(`${name}/config.json`))) as Record<string, unknown>;

async function stateDict(name: string): Promise<Record<string, HostTensor>> {
  const file = await openTorch(memoryFile(`${name}.pth`, fixture(`${name}/model_final.pth`)));
  const out: Record<string, HostTensor> = {};
  for (const key of file.names()) out[key] = { shape: file.shape(key)!, data: await file.read(key) };
  return out;
}
const read = (source: TensorSource, name: string) =>
  collect(readModel(source, parseConfig(settings(name), { inferred: inferConfig(source) }), noProcessing));

test("the number of heads can be seen in TransformerLens' layout", async () => {
  const { nHeads, dHead, actFn, finalRms } = inferConfig(memoryTensors(await stateDict('solu-old')));
  assert.equal({ nHeads, dHead, actFn, finalRms }, { nHeads: 2, dHead: 8, actFn: 'solu_ln', finalRms: true });
});

test('biases that are missing are zero, names may have a prefix', async () => {
  const tensors = await stateDict('gelu');
  const kept = Object.entries(tensors).filter(([name]) => !/\.b_|mask|IGNORE/.test(name));
  const source = memoryTensors(Object.fromEntries(kept.map(([name, t]) => [`model.${name}`, t])));
  const { blocks, final } = await read(source, 'gelu');
  assert.ok(
    [blocks[0].b_QKV, blocks[1].b_O, blocks[1].mlp!.b_in].every((b) => b!.data.every((x) => x === 0)),
  );
  assert.equal(blocks[1].mlp!.b_out!.shape, [16]);
  assert.is(final.b_U, null);
});

const wrong: [what: string, change: (tensors: Record<string, HostTensor>) => void, message: RegExp][] = [
  ['one of the three is missing', (t) => delete t['blocks.1.attn.W_K'], /"blocks\.1\.attn\.W_K" is missing/],
  ['a matrix is missing', (t) => delete t['blocks.1.mlp.W_in'], /missing: "blocks\.1\.mlp\.W_in"\. For/],
  [
    'attention is missing',
    (t) => {
      for (const x of 'QKV') delete t[`blocks.0.attn.W_${x}`];
    },
    /"blocks\.0\.attn\.W_Q", "blocks\.0\.attn\.W_K", .* is missing/,
  ],
  [
    'norms are missing',
    (t) => {
      for (const k of Object.keys(t)) if (/ln/.test(k)) delete t[k];
    },
    /"blocks\.0\.ln1\.w".*normalization: 'none', 'LNPre' or 'RMSPre'/,
  ],
  [
    'shapes of the three differ',
    (t) => {
      t['blocks.0.attn.W_V'] = { shape: [16, 2, 8], data: new Float32Array(256) };
    },
    /blocks\.0\.attn\.W_Q, W_K and W_V have shapes \[2, 16, 8\], \[2, 16, 8\], \[16, 2, 8\]/,
  ],
  [
    'a matrix has no head axis',
    (t) => {
      t['blocks.0.attn.W_O'] = { shape: [16, 16], data: new Float32Array(256) };
    },
    /"blocks\.0\.attn\.W_O" has shape \[16, 16\]: three axes/,
  ],
  [
    'a bias has another size',
    (t) => {
      t['blocks.0.attn.b_V'] = { shape: [2], data: new Float32Array(2) };
    },
    /"blocks\.0\.attn\.b_V" has shape \[2\]: 16 values/,
  ],
  [
    'the unembedding is transposed',
    (t) => {
      t['unembed.W_U'] = { shape: [37, 16], data: new Float32Array(592) };
    },
    /"unembed\.W_U" has shape/,
  ],
  [
    'there are rotary embeddings',
    (t) => {
      t['blocks.0.attn.rotary_sin'] = { shape: [1], data: new Float32Array(1) };
    },
    /unexpected tensor "blocks\.0\.attn\.rotary_sin"/,
  ],
  [
    'a number is no number',
    (t) => {
      t['blocks.1.ln2.w'].data[3] = Number.NaN;
    },
    /"blocks\.1\.ln2\.w" holds NaN at index 3/,
  ],
];
for (const [what, change, message] of wrong)
  test(`when ${what}, the error has the file's own names`, async () => {
    const tensors = await stateDict('gelu');
    change(tensors);
    await throws(async () => read(memoryTensors(tensors), 'gelu'), message);
  });

test("a toy's configuration is read as TransformerLens reads it", () => {
  const toy = {
    d_model: 512,
    n_layers: 2,
    d_head: 64,
    n_heads: 8,
    d_mlp: 2048,
    n_ctx: 1024,
    d_vocab: 48262,
    act_fn: 'solu_ln',
  };
  const config = parseConfig({
    ...toy,
    attn_only: true,
    normalization: 'LN',
    d_mlp: null,
    act_fn: null,
    shortformer_pos: true,
  });
  assert.equal(
    [config.attnOnly, config.dMlp, config.positionEmbedding, config.eps],
    [true, 0, 'shortformer', 1e-5],
  );
  assert.is(parseConfig({ ...toy, normalization_type: null, act_fn: 'gelu' }).normalization, 'none');
  assert.is(
    parseConfig({ ...toy, normalization_type: 'LNPre', d_vocab_out: 48262, attn_scale: 8 }).actFn,
    'solu_ln',
  );
  assert.is(parseConfig({ ...toy, positional_embedding_type: 'rotary' }).rotary?.base, 10000);
  assert.is(parseConfig({ ...toy, act_fn: 'silu', gated_mlp: true }).gatedMlp, true);
  assert.is(parseConfig({ ...toy, n_key_value_heads: 2 }).nKeyValueHeads, 2);
  throws(() => parseConfig({ ...toy, normalization: 'BN' }), /normalization is "BN"/);
  assert.is(parseConfig({ ...toy, attn_scores_soft_cap: 30 }).attnScoresSoftCap, 30);
  assert.is(parseConfig({ ...toy, output_logits_soft_cap: -1 }).outputLogitsSoftCap, null);
  throws(
    () => parseConfig({ model_type: 'gpt2', n_layer: 1, final_logit_softcapping: 30 }),
    /final_logit_softcapping is 30: gpt2 models have no soft caps of logits/,
  );
  throws(() => parseConfig({ ...toy, act_fn: 'mish' }), /actFn is "mish"; it must be one of .*solu_ln/);
  throws(() => parseConfig({ ...toy, normalization_type: null }), /solu_ln.*normalization is "none"/);
});

test('the names that TransformerLens gives its toy models mean their repositories', () => {
  const meant = {
    'attn-only-2l': 'NeelNanda/Attn_Only_2L512W_C4_Code',
    'gelu-4l-c4-code': 'NeelNanda/GELU_4L512W_C4_Code',
    'solu-3l-new': 'NeelNanda/SoLU_3L512W_C4_Code',
    'solu-6l': 'NeelNanda/SoLU_6L768W_C4_Code',
    'solu-12l': 'NeelNanda/SoLU_12L1536W_C4_Code',
    'solu-4l-old': 'NeelNanda/SoLU_4L_v11_old',
    'solu-10l-pile': 'NeelNanda/SoLU_10L_v22_old',
    'solu-1l-wiki': 'NeelNanda/SoLU_1L512W_Wiki_Finetune',
    'attn-only-demo': 'NeelNanda/Attn-Only-2L512W-Shortformer-6B-big-lr',
    redwood_attn_2l: 'ArthurConmy/redwood_attn_2l',
  };
  for (const [name, repo] of Object.entries(meant)) assert.is(hubRepo(name)?.repo, repo);
  assert.ok(knownModels.includes('solu-8l') && !knownModels.includes('solu-8l-new'));
  assert.is(hubRepo('solu-5l'), null);
});

test('which checkpoint of a folder is meant: the final one, the only one, else it must be named', async () => {
  const pth = new Blob([fixture('attn-only/model_final.pth')]);
  const opened = async (...names: string[]) =>
    (await openCheckpoint(blobFolder(new Map(names.map((name) => [name, pth]))))).name;
  assert.is(await opened('checkpoints/a_100.pth', 'a_final.pth', 'b.pth'), 'a_final.pth');
  assert.is(await opened('toy/config.json', 'toy/weights.pt'), 'toy/weights.pt');
  assert.is(await opened('pytorch_model.bin'), 'pytorch_model.bin');
  await throws(opened('a.pth', 'b.pth'), /several checkpoints \(a\.pth, b\.pth\): name the file/);
  await throws(opened('config.json'), /neither model\.safetensors .* nor a PyTorch checkpoint/);
});

// ---- a Hub
// -------------------------------------------------------------------------------------------------------

const COMMIT = 'c0ffee'.padEnd(40, '0');
const saved = { ...process.env };
let hub: TestServer | undefined;
let cache = '';

/** A Hub with a toy model under its real name, and its tokenizer in a repository of its own. */
async function startHub(weights: string, listed = true): Promise<void> {
  const tiny = (name: string) =>
    new Uint8Array(readFileSync(new URL(`../../weights/tiny/${name}`, import.meta.url)));
  const files: Record<string, Uint8Array> = {
    'NeelNanda/GELU_2L512W_C4_Code/config.json': fixture('gelu/config.json'),
    [`NeelNanda/GELU_2L512W_C4_Code/${weights}`]: fixture('gelu/model_final.pth'),
    'owner/digits/tokenizer.json': tiny('tokenizer.json'),
  };
  hub = await serve((request, response, path) => {
    const [, repo] = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/\w+$/.exec(path) ?? [];
    if (repo && listed) {
      const inside = Object.keys(files).filter((name) => name.startsWith(repo));
      const siblings = [...inside, `${repo}/checkpoints/x_1.pth`].map((name) => ({
        rfilename: name.slice(repo.length + 1),
      }));
      response.end(JSON.stringify({ sha: COMMIT, siblings }));
      return;
    }
    const file = files[path.slice(1).replace(/\/resolve\/[^/]+\//, '/')];
    const sha1 = createHash('sha1')
      .update(`blob ${file?.length}\0`)
      .update(file ?? '')
      .digest('hex');
    const headers = { 'x-repo-commit': COMMIT, etag: `"${sha1}"` };
    if (file) send(request, response, file, { headers });
    else response.writeHead(404, { ...headers, 'x-error-code': 'EntryNotFound' }).end();
  });
  process.env.HF_ENDPOINT = hub.url;
}
test.before.each(() => {
  cache = mkdtempSync(join(tmpdir(), 'glassbox-toys-'));
  for (const key of Object.keys(process.env))
    if (/^(HF_|HUGGING|XDG_CACHE)/.test(key)) delete process.env[key];
});
test.after.each(async () => {
  await hub?.close();
  hub = undefined;
  rmSync(cache, { recursive: true, force: true });
  delete process.env.HF_ENDPOINT;
  Object.assign(process.env, saved);
});

for (const [weights, listed] of [
  ['GELU_2L_final.pth', true],
  ['model_final.pth', false],
] as const)
  test(`'gelu-2l' is found on the Hub with its tokenizer, and then without the Hub (${weights})`, async () => {
    await startHub(weights, listed);
    for (const localFilesOnly of [false, true]) {
      using model = await HookedTransformer.fromPretrained('gelu-2l', { cacheDir: cache, localFilesOnly });
      assert.is(model.config.actFn, 'gelu');
      assert.ok(model.tokenizer);
    }
  });

test('a tokenizer that cannot be had is an error for a model of the Hub, and can be declined or replaced', async () => {
  await startHub('model_final.pth');
  const load = (tokenizer?: string | null) =>
    HookedTransformer.fromPretrained('gelu-2l', { cacheDir: cache, tokenizer });
  using without = await load(null);
  assert.is(without.tokenizer, null);
  await throws(load('owner/nothing'), /tokenizer owner\/nothing: .*\{ tokenizer: null \}/);
  using other = await load('tiny');
  assert.ok(other.tokenizer);
});

test('a model in a folder does not ask the Hub for its tokenizer, but takes it from the cache', async () => {
  await startHub('model_final.pth');
  const folder = join(cache, 'toy');
  writeFileSync(join(cache, 'config.json'), fixture('gelu/config.json'));
  writeFileSync(join(cache, 'model_final.pth'), fixture('gelu/model_final.pth'));
  const load = () => HookedTransformer.fromPretrained(cache, { cacheDir: folder });
  using before = await load();
  assert.is(before.tokenizer, null);
  assert.equal(hub!.requests, []);
  using fetched = await HookedTransformer.fromPretrained('gelu-2l', { cacheDir: folder });
  assert.ok(fetched.tokenizer && readdirSync(folder).length === 2);
  using after = await load();
  assert.ok(after.tokenizer);
});

test.run();
