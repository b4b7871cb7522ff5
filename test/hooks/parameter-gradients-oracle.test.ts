/** Gradients of the loss with respect to every parameter agree with autograd in float64. */

import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { lossGradients } from '../../hooks/training/parameter-gradients.js';
import { allClose } from '../helpers.js';
import { oracleModel } from '../interp/oracle.js';
import { givenBack } from '../memory.js';
import { compareGradient, gradientsOracle } from './gradients-oracle.js';

/** The engine's names of Hugging Face's parameters; the layouts are the same. */
const NAMES: Readonly<Record<string, string>> = {
  'wte.weight': 'W_E',
  'wpe.weight': 'W_pos',
  'lm_head.weight': 'W_U',
  'ln_f.weight': 'ln_final.w',
  'ln_f.bias': 'ln_final.b',
  'ln_1.weight': 'ln1.w',
  'ln_1.bias': 'ln1.b',
  'ln_2.weight': 'ln2.w',
  'ln_2.bias': 'ln2.b',
  'attn.c_attn.weight': 'W_QKV',
  'attn.c_attn.bias': 'b_QKV',
  'attn.c_proj.weight': 'W_O',
  'attn.c_proj.bias': 'b_O',
  'mlp.c_fc.weight': 'W_in',
  'mlp.c_fc.bias': 'b_in',
  'mlp.c_proj.weight': 'W_out',
  'mlp.c_proj.bias': 'b_out',
};
const engineName = (name: string) => {
  const [, layer, rest] = /^(?:h\.(\d+)\.)?(.*)$/.exec(name)!;
  return `${layer ? `blocks.${layer}.` : ''}${NAMES[rest]}`;
};

for (const { model: about, rows, loss, parameters } of gradientsOracle('parameters').grads)
  test(`${about.config.name}: the gradient of the loss with respect to every parameter`, async () => {
    const model = await oracleModel(about);
    const { bytes } = model.gpu.memory();
    const found = await lossGradients(model, rows);
    allClose(await found.loss.data(), [loss]);
    const names = Object.keys(parameters).map(engineName);
    assert.equal([...found.grads.keys()].sort(), names.sort());
    for (const [name, expected] of Object.entries(parameters))
      compareGradient(expected, await found.grads.get(engineName(name))!.data(), name);
    found.dispose();
    givenBack(model.gpu, bytes);
  });

test.run();
