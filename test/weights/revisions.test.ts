/**
 * A model's revisions, as Pythia's checkpoints of training: each is fetched under its own name, and gives its
 * own numbers.
 */

import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HookedTransformer } from '../../index.js';
import { openSafetensors } from '../../weights/formats/safetensors.js';
import { nodeFolder } from '../../weights/node/files-node.js';
import { allClose, throws } from '../helpers.js';
import { send, serve } from './http.js';

const fixtures = fileURLToPath(new URL('../fixtures/families/', import.meta.url));
/** Revisions: the commit of each, and which model it is. */
const revisions: Record<string, { commit: string; model: string }> = {
  main: { commit: 'aa'.repeat(20), model: 'gpt_neox' },
  step3000: { commit: 'bb'.repeat(20), model: 'gpt_neox-odd' },
};

async function expectedOf(name: string) {
  const file = await openSafetensors(
    (await (await nodeFolder(`${fixtures}expected`)).open(`${name}.safetensors`))!,
  );
  return { tokens: Array.from(await file.read('tokens')), logits: await file.read('logits') };
}

test("revision: 'step3000' is another checkpoint of the same repository", async () => {
  const cacheDir = mkdtempSync(join(tmpdir(), 'glassbox-revisions-'));
  const { HF_ENDPOINT } = process.env;
  const hub = await serve((request, response, path) => {
    const [, name, file] = /^\/EleutherAI\/pythia-tiny\/resolve\/([^/]+)\/(.+)$/.exec(path) ?? [];
    const found = Object.entries(revisions).find(([key, { commit }]) => key === name || commit === name)?.[1];
    if (!found) return response.writeHead(404, { 'x-error-code': 'RevisionNotFound' }).end();
    const common = { 'x-repo-commit': found.commit };
    if (!['config.json', 'model.safetensors'].includes(file))
      return response.writeHead(404, { ...common, 'x-error-code': 'EntryNotFound' }).end();
    const bytes = readFileSync(`${fixtures}${found.model}/${file}`);
    const etag = createHash('sha256').update(bytes).digest('hex');
    return send(request, response, bytes, { headers: { ...common, etag: `"${etag}"` } });
  });
  process.env.HF_ENDPOINT = hub.url;
  try {
    const hashes = new Set<string>();
    for (const revision of ['step3000', 'main', 'step3000']) {
      const options = { revision, cacheDir };
      using model = await HookedTransformer.fromPretrainedNoProcessing('EleutherAI/pythia-tiny', options);
      const { tokens, logits } = await expectedOf(revisions[revision].model);
      using got = await model.forward(tokens);
      allClose(await got.data(), logits, { what: revision });
      hashes.add(model.hash);
    }
    assert.is(hashes.size, 2, 'records tell the revisions apart');
    const gets = hub.requests.filter((r) => r.startsWith('GET') && r.includes('model.safetensors'));
    assert.is(gets.length, 2, 'the third load comes from the cache');
    const unknown = HookedTransformer.fromPretrained('EleutherAI/pythia-tiny', {
      revision: 'step7',
      cacheDir,
    });
    await throws(unknown, /no such revision/);
  } finally {
    if (HF_ENDPOINT === undefined) delete process.env.HF_ENDPOINT;
    else process.env.HF_ENDPOINT = HF_ENDPOINT;
    await hub.close();
    rmSync(cacheDir, { recursive: true, force: true });
  }
});

test.run();
