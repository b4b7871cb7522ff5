/**
 * Everything public checks what it is given. The list of exports, and what the options of each are called, is read from the
 * source's types, so that an export without a check, or an option that its check does not know, fails here.
 *
 * Every export is called carelessly: with nothing, undefined, null, {}, a promise, a text; with an option that does not exist,
 * with TransformerLens' spelling of each that does, and with an argument too many. None may answer from inside (a TypeError
 * of JavaScript's), none may ignore what it was given, and every message begins with the name of what was called.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { HookedTransformer } from '../index.js';
import * as glassbox from '../index.js';
import { fail } from './helpers.js';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** A function or method, as its type says. */
interface Called {
  readonly name: string;
  /** Of each parameter its name, and the options of its type if it is an options object. */
  readonly parameters: readonly { name: string; optional: boolean; options: readonly string[] | null }[];
}

const program = ts.createProgram([join(root, 'index.ts')], {
  ...ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config,
    ts.sys,
    root,
  ).options,
  noEmit: true,
});
const checker = program.getTypeChecker();
const exported = checker
  .getExportsOfModule(checker.getSymbolAtLocation(program.getSourceFile(join(root, 'index.ts'))!)!)
  .map((symbol) => (symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol));

const calledOf = (name: string, signature: ts.Signature): Called => ({
  name,
  parameters: signature.getParameters().flatMap((parameter, i) => {
    const declaration = parameter.valueDeclaration as ts.ParameterDeclaration | undefined;
    if (declaration?.dotDotDotToken) return [];
    const type = checker.getNonNullableType(checker.getTypeOfSymbol(parameter));
    const optional = !!declaration && checker.isOptionalParameter(declaration);
    const unnamed = declaration && ts.isObjectBindingPattern(declaration.name);
    const named = unnamed ? (i > 0 || optional ? 'options' : 'value') : parameter.name;
    const isOptions = named === 'options' || named === 'loading';
    return [
      {
        name: named,
        optional,
        options: isOptions ? checker.getPropertiesOfType(type).map((p) => p.name) : null,
      },
    ];
  }),
});

/** The last overload is as good as any: options are told by all of them together. */
const signaturesOf = (type: ts.Type): readonly ts.Signature[] => type.getCallSignatures();

const typeOf = (symbol: ts.Symbol) => checker.getTypeOfSymbol(symbol);
const functions = exported.flatMap((symbol): Called[] => {
  if (!(symbol.flags & ts.SymbolFlags.Value) || symbol.flags & ts.SymbolFlags.Class) return [];
  const [signature] = signaturesOf(typeOf(symbol)).slice(-1);
  return signature ? [calledOf(symbol.name, signature)] : [];
});

const anything = glassbox as unknown as Record<string, (...given: unknown[]) => unknown>;

const model: HookedTransformer = await glassbox.randomModel(
  {
    nLayers: 2,
    nHeads: 2,
    dModel: 8,
    dHead: 4,
    dMlp: 16,
    nCtx: 16,
    dVocab: 20,
    actFn: 'gelu',
    attnOnly: false,
  },
  { seed: 1, adapter: 'software' },
);
const T = [1, 2, 3];
const { cache } = await model.runWithCache(T);
const tensor = cache.get('resid_post', 1);
const metric = glassbox.logitDiff(1, 2);
const edges = glassbox.EdgeList.of(model.config, [['input', 'logits']]);
const report = new glassbox.Report({ title: '', about: '', facts: {} });
const result = await glassbox.headScores(model, { kind: 'previous', batch: 1, length: 3, prependBos: false });

/** Right arguments before the options, of every function that has options. */
const BEFORE: Readonly<Record<string, readonly unknown[]>> = {
  ablate: [model, T],
  accumulatedBias: [model, 1],
  agreement: [result, result],
  attentionPatterns: [model, T],
  circuitFigure: [edges],
  comparisonTable: [[]],
  compositionScores: [model, 'Q'],
  consistency: [model, ['a'], ['{}']],
  constantSchedule: [],
  cosineSchedule: [],
  counterfactuals: [model, T, [], metric],
  attributionFigure: [result, result],
  curveFigure: [result],
  guessFigure: [result],
  lensFigure: [{ ...result, top: [] }],
  toCsv: [result],
  custom: ['name', () => tensor],
  decompositionNames: [model, 'decomposeResid', -1],
  detectHeads: [model, T, 'induction_head'],
  directLogitAttribution: [model, T],
  edgeLines: [edges],
  embeddingNoise: [model, 0.1],
  figure: [result],
  fitPairs: [model, [{ clean: 'a' }]],
  hookNames: [model.config],
  inputAttribution: [model, T],
  kl: ['base'],
  linearSchedule: [],
  listCache: [],
  loadPairs: ['file.csv'],
  logProb: [1],
  logitDiff: [1, 2],
  logitLens: [model, T],
  loss: [],
  lossGradients: [model, [T]],
  lossPerToken: [model, T],
  measure: [model, T, metric],
  namedPositions: [model, T, {}],
  nextTokenTable: [model, T],
  nextTokens: [model, T],
  overCheckpoints: [['no/such-folder'], () => 1],
  perplexity: [model, 'text'],
  planModel: ['tiny'],
  readRows: ['file.csv'],
  readTexts: ['file.csv'],
  streamTexts: ['file.csv'],
  prob: [1],
  probabilityOf: [model, 'a', 'b'],
  qkCircuit: [model, 0, 0],
  randomModel: [{ nLayers: 1 }],
  randomWeights: [model.config],
  rank: [1],
  removeFromCache: ['no/such-model'],
  resumeTraining: ['folder'],
  runNotebook: [{ name: 'a', title: '', about: '', run: async () => {} }, model],
  saveModel: [model, 'folder'],
  saveReport: [report, 'folder'],
  saveSafetensors: ['file', {}],
  runWithInterventions: [model, T, []],
  scatterFigure: [result, result],
  scoreTexts: [model, []],
  signedHeads: [result],
  stackLogitDiff: [cache, { stack: tensor, labels: [] }],
  steeringVector: [model, T, T],
  strongest: [result, 1],
  testPrompt: [model, T, 'a'],
  tokenFigure: [result],
  traceFacts: [model, []],
  traceFigure: [{ scores: result, lowScore: 0, answer: {} }],
  averageFigure: [{ effect: result, band: result }],
  writeSafetensors: [{}],
};

/** What a call says, or that it says nothing. */
async function answerOf(call: () => unknown): Promise<string> {
  try {
    const given = call() as { next?: unknown } | undefined;
    await (typeof given?.next === 'function' ? given.next() : given);
    return 'nothing';
  } catch (e) {
    const error = e as Error;
    assert.instance(error, Error);
    if (error.message.length > 300) return `more than 300 characters: ${error.message}`;
    return error.constructor === Error ? error.message : `from inside: ${error.message}`;
  }
}

const show = (given: readonly unknown[]) =>
  given
    .map((x) => (x === model ? 'model' : typeof x === 'object' && x ? x.constructor.name : String(x)))
    .join(', ');

/** Fails with all offences. */
function expectNone(offences: readonly string[], what: string): void {
  if (offences.length) fail(`${offences.length} ${what}\n      ${offences.join('\n      ')}`);
}

const CARELESS: readonly unknown[] = [undefined, null, {}, Promise.resolve(1), 5, Symbol.iterator, () => 1];
const snake = (name: string) => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);

/** Calls a function in every careless way. @param before right arguments before its options */
async function offencesOf(
  { name, parameters }: Called,
  call: (...given: unknown[]) => unknown,
  before: readonly unknown[] | undefined,
): Promise<string[]> {
  const out: string[] = [];
  const expect = async (given: readonly unknown[], right: (answer: string) => boolean) => {
    const answer = await answerOf(() => call(...given));
    if (!right(answer) || answer.startsWith('from inside')) out.push(`${name}(${show(given)}): ${answer}`);
  };
  const named = (answer: string) => answer.startsWith(`${name}: `) || answer.includes(`.${name}: `);
  const must = parameters.length > 0 && !parameters[0].optional && !parameters[0].options;
  if (must) {
    for (const given of [[], [undefined], [null], [Promise.resolve(1)], [Symbol.iterator]])
      await expect(given, named);
    for (const value of CARELESS) await expect([value], () => true);
    if (parameters[0].name === 'model' && parameters.length > 1) {
      for (const value of [null, Symbol.iterator, Promise.resolve({})]) await expect([model, value], named);
      await expect([model, 'text', null], (answer) => answer !== 'nothing' || parameters.length < 3);
      const needed = parameters.filter((p) => !p.optional).length > 1;
      if (needed) for (const given of [[model], [model, undefined]]) await expect(given, named);
    }
  }
  const at = parameters.findIndex((p) => p.options);
  if (at >= 0) {
    if (!before || before.length !== at)
      return [...out, `${name}: the table of this test lacks its first ${at} arguments`];
    await expect([...before, { zzzz: 1 }], (answer) => named(answer) && answer.includes('"zzzz"'));
    for (const wrong of [null, 'text', 5, [1], Promise.resolve({}), () => 1])
      await expect([...before, wrong], named);
    for (const option of parameters[at].options!) {
      const spelling = snake(option);
      const right = (answer: string) => named(answer) && answer.includes(`did you mean "${option}"`);
      if (spelling !== option) await expect([...before, { [spelling]: 1 }], right);
      await expect(
        [...before, { [option]: Symbol.iterator }],
        (answer) => named(answer) && (answer.includes(option) || answer.includes('is missing')),
      );
    }
  }
  const full = [
    ...(before ?? []),
    ...Array(Math.max(0, parameters.length - (before?.length ?? 0))).fill(undefined),
  ];
  await expect([...full, 1], (answer) => named(answer) && /too many|missing|is needed/.test(answer));
  return out;
}

test('the list of exports is read', () => {
  assert.ok(functions.length > 90, `${functions.length} functions`);
  for (const { name } of functions) assert.type(anything[name], 'function', name);
});

test('every function checks what it is given', async () => {
  const { dispatches } = model.gpu.stats;
  const out: string[] = [];
  for (const called of functions) {
    const options = called.parameters.findIndex((p) => p.options);
    const before =
      BEFORE[called.name] ?? (options === 1 && called.parameters[0].name === 'model' ? [model] : undefined);
    out.push(...(await offencesOf(called, anything[called.name], before)));
  }
  expectNone(out, 'calls of functions are not answered');
  assert.is(model.gpu.stats.dispatches, dispatches, 'something ran');
});

/** Methods that are internal, or that the types of results declare and objects have as their own. */
const UNCHECKED = new Set([
  ...['put', 'mask'],
  ...['alloc', 'upload', 'write', 'free', 'launch', 'read', 'flush'], // of a Gpu, for kernels
]);

test('every method takes as many arguments as its type says, and no more', async () => {
  const instances: Readonly<Record<string, object>> = {
    HookedTransformer: model,
    ActivationCache: cache,
    EdgeList: edges,
    Gpu: model.gpu,
    FactoredMatrix: glassbox.ovCircuit(model, 0, 0),
    Trainer: new glassbox.Trainer(model, { lr: 0.1 }),
  };
  const out: string[] = [];
  for (const symbol of exported.filter((s) => s.flags & ts.SymbolFlags.Class && s.name in instances))
    for (const method of checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))) {
      const signatures = checker.getTypeOfSymbol(method).getCallSignatures();
      if (!signatures.length || UNCHECKED.has(method.name) || /^(__|#)/.test(method.name)) continue;
      const most = Math.max(...signatures.map((s) => s.getParameters().length));
      const call = (instances[symbol.name] as Record<string, (...given: unknown[]) => unknown>)[method.name];
      const answer = await answerOf(() =>
        call.apply(instances[symbol.name], new Array(most + 1).fill(undefined)),
      );
      if (!answer.includes(`argument ${most + 1} is too many`))
        out.push(`${symbol.name}.${method.name}: ${answer}`);
    }
  expectNone(out, 'methods take another number of arguments');
});

test('a Gpu and a figure say what they do not know', async () => {
  const figure = glassbox.figure(result) as unknown as Record<string, (...given: unknown[]) => unknown>;
  const gpu = model.gpu as unknown as Record<string, (...given: unknown[]) => unknown>;
  const open = (...given: unknown[]) => (glassbox.Gpu.open as (...given: unknown[]) => unknown)(...given);
  const calls: Readonly<Record<string, readonly [() => unknown, RegExp]>> = {
    'an adapter': [() => open({}), /^Gpu\.open: source is .*'hardware'/],
    'an option of open': [() => open('auto', { power_preference: 1 }), /did you mean "powerPreference"/],
    'a value of it': [() => open('auto', { powerPreference: 'most' }), /powerPreference .*'low-power'/],
    'no function': [() => gpu.onRestore(), /^gpu\.onRestore: restore is missing/],
    'an argument of memory': [() => gpu.memory('all'), /^gpu\.memory: argument 1 is too many/],
    'a theme': [() => figure.svg('drak'), /^svg: theme is .*'light' or 'dark'/],
    'options for a theme': [() => figure.svg({ theme: 'dark' }), /^svg: theme is /],
    'an option of lines': [() => figure.lines({ widht: 60 }), /^lines: .*did you mean "width"/],
    'a value of width': [() => figure.lines({ width: '60' }), /^lines: width/],
    'a colour depth': [() => figure.lines({ depth: 2 }), /^lines: depth/],
    'an option of pdf': [() => figure.pdf({ font: 1 }), /^pdf: .*did you mean "fonts"/],
    'fonts that are none': [() => figure.pdf({ fonts: 'DejaVu' }), /^pdf: fonts/],
    'an option of html': [() => figure.html({ theme: 'dark' }), /^html: argument 1 is too many/],
    'an option of section': [() => figure.section('a'), /^section: argument 1 is too many/],
  };
  for (const [what, [call, said]] of Object.entries(calls)) assert.match(await answerOf(call), said, what);
});

test.run();
