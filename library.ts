/** Everything public, whatever the platform. */

export type { AdapterChoice, AdapterDescription } from './engine/adapter.js';
export type { Axis as TensorAxis } from './engine/along.js';
export type { AxisName, NamedIndex } from './engine/axes.js';
export type { Row } from './engine/batch.js';
export { Gpu, type GpuStats } from './engine/gpu.js';
export type { KvStore, Prefix } from './engine/kv.js';
export type { AnyIndex } from './engine/parts.js';
export type { MemoryReport } from './engine/pool.js';
export type { TopkOptions } from './engine/reductions.js';
export type { SamplingOptions } from './engine/sample.js';
export type { Index, Part } from './engine/shape.js';
export { Tensor } from './engine/tensor.js';
export type { TextInput } from './engine/text.js';
export { Tokenizer } from './engine/tokenizer.js';
export { scope } from './engine/user-scope.js';
export { ActivationCache } from './hooks/cache.js';
export type { RunValues, SweepCell, SweepOptions, SweepResult, SweepWork } from './hooks/counterfactuals.js';
export { describeIntervention, interventionsFromJson, interventionsToJson } from './hooks/describe.js';
export type { GenerateOptions, GenerateStep } from './hooks/generate.js';
export type { GradientOptions, GradientRun } from './hooks/gradients.js';
export { type InitOptions, randomModel, randomWeights } from './hooks/init.js';
export type { InputOptions, ModelInput } from './hooks/input.js';
export { type IntervenedRun, type InterventionOptions, runWithInterventions } from './hooks/intervene.js';
export type {
  Base,
  Counterfactual,
  FromRun,
  Intervention,
  MeanOf,
  Noise,
  Numbers,
  Selection,
  Source,
  Value,
} from './hooks/interventions.js';
export type { LoadOptions, ModelSource, TensorMap } from './hooks/load.js';
export type { AttrTokens, LogitAttrOptions } from './hooks/logit-attrs.js';
export type { Differentiable } from './hooks/measure.js';
export { type CachedRun, type CacheOptions, HookedTransformer, type RunOptions } from './hooks/model.js';
export { actName, hookNames, type NameFilter } from './hooks/names.js';
export { embeddingNoise, embeddingStd, type NoiseRule, ROME_NOISE } from './hooks/noise.js';
export type { Holder } from './hooks/owning.js';
export { type LossGradients, type LossOptions, lossGradients } from './hooks/parameter-gradients.js';
export type { PosSlice } from './hooks/positions.js';
export type { StoredPrefix } from './hooks/prefix.js';
export {
  type AccumulatedOptions,
  type DecomposeOptions,
  decompositionNames,
  type FullOptions,
  type HeadOptions,
  type NeuronOptions,
  type StreamLayer,
} from './hooks/recipes.js';
export { mergeRecords, type RecordStore, type WholeRecord } from './hooks/record.js';
export type { NestedTokens } from './hooks/residual-directions.js';
export type { TextsWork } from './hooks/run-trie.js';
export {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Schedule,
  type ScheduleOptions,
} from './hooks/schedule.js';
export { type NextToken, type NextTokensOptions, nextTokens, type ScoreOptions } from './hooks/score.js';
export type { ApplyLnOptions, Decomposition, LayerNormMode, Stack, SumCheck } from './hooks/stack.js';
export type { SteerOptions } from './hooks/steer.js';
export type { Sweep } from './hooks/sweep.js';
export type { Hook, HookContext, HookEntry } from './hooks/tap.js';
export {
  Trainer,
  type TrainerOptions,
  type TrainingBatch,
  type TrainOptions,
  type TrainProgress,
  type WeightedRow,
} from './hooks/trainer.js';
export { type AblatedUnit, type AblateOptions, ablate } from './interp/ablation.js';
export { type AcdcOptions, acdc } from './interp/acdc.js';
export {
  type Agreement,
  agreement,
  type ComparePatchingOptions,
  compareWithPatching,
  type Miss,
  type PatchingComparison,
} from './interp/agreement.js';
export { type AtpStar, type AtpStarOptions, atpStar } from './interp/atp-star.js';
export { type AttentionOptions, attentionPatterns } from './interp/attention.js';
export {
  type AttentionAttributionOptions,
  attentionAttribution,
  type SignedHeadsOptions,
  signedHeads,
} from './interp/attribution-attention.js';
export {
  type AttributionMaps,
  attributeHeadOutputs,
  attributeHeadPatterns,
  attributeHeadVectors,
  attributeLayerOutputs,
  attributeResidual,
  attributionMaps,
  headNames,
} from './interp/attribution-maps.js';
export {
  type AttributionPair,
  type AttributionPasses,
  type AttributionPatchOptions,
  attributeBlocks,
  attributeHeads,
  attributeHeadsByPos,
  attributionPatch,
} from './interp/attribution-patching.js';
export { type AverageTrace, averageTraces } from './interp/average-traces.js';
export {
  type CausalTrace,
  type CausalTraceOptions,
  causalTrace,
  type TraceKind,
  type WrongAnswer,
} from './interp/causal-trace.js';
export { circuitFaithfulness, type FaithfulnessOptions } from './interp/circuit-faithfulness.js';
export {
  type AccumulatedBiasOptions,
  accumulatedBias,
  type CompositionOptions,
  compositionScores,
  ovCircuit,
  qkCircuit,
  type Reader,
  virtualWeights,
  type Writer,
} from './interp/circuits.js';
export { counterfactuals } from './interp/counterfactuals.js';
export { type DetectionPattern, type DetectOptions, detectHeads } from './interp/detect-heads.js';
export { type DirectPathOptions, pathPatchDirect } from './interp/direct-path.js';
export {
  neuronToLogits,
  type SvdInterpretation,
  type SvdInterpreterOptions,
  svdInterpreter,
} from './interp/directions.js';
export { type DlaOptions, type DlaResult, directLogitAttribution } from './interp/dla.js';
export { type EdgeAttributionOptions, type EdgePair, edgeAttribution } from './interp/edge-attribution.js';
export { type Edge, EdgeList, type EdgeNode, type GraphShape } from './interp/edge-list.js';
export { fromJson, toCsv, toJson } from './interp/export.js';
export { FactoredMatrix, type Span } from './interp/factored-matrix.js';
export { type Fact, readFacts } from './interp/facts.js';
export { type HeadPathAxis, type HeadPathOptions, headPathAttribution } from './interp/head-paths.js';
export { type HeadScoreOptions, headScores } from './interp/heads.js';
export { type InputAttributionOptions, inputAttribution } from './interp/input-attribution.js';
export { type IntegratedGradientsOptions, integratedGradients } from './interp/integrated-gradients.js';
export {
  type LensGuess,
  type LensOptions,
  type LensResult,
  type LensToken,
  logitLens,
} from './interp/lens.js';
export type { HostMatrix } from './interp/linear-algebra.js';
export { type Measured, measure } from './interp/measure.js';
export {
  type Answers,
  type CustomOptions,
  custom,
  kl,
  logitDiff,
  logProb,
  loss,
  type Metric,
  type MetricFunction,
  type MetricOptions,
  prob,
  rank,
  type TokenLike,
} from './interp/metrics.js';
export {
  type Notebook,
  type NotebookFigure,
  type NotebookInputs,
  type NotebookOptions,
  type NotebookResult,
  NotebookRun,
  runNotebook,
  type StepOptions,
} from './interp/notebooks/notebook.js';
export {
  type FirstToken,
  type FitOptions,
  type FittedPair,
  type FittedPairs,
  firstToken,
  fitPairs,
  namedPositions,
  type PromptPair,
  readList,
  readPairs,
} from './interp/notebooks/pairs.js';
export { pathsOfHead } from './interp/notebooks/paths.js';
export { type FigureWords, Report, type ReportHead, type ReportPage } from './interp/notebooks/report.js';
export {
  averaged,
  byLayerAndHead,
  type Entry,
  oneAxisOfHeads,
  picked,
  strongest,
  summed,
} from './interp/notebooks/select.js';
export type { PlanStep, Setting } from './interp/notebooks/setting.js';
export {
  type FinalProjection,
  finalProjection,
  type ResidualAttribution,
  residualAttribution,
  residualAttributionNames,
  type StackLogitDiffOptions,
  stackLogitDiff,
} from './interp/notebooks/stacks.js';
export type { TableCell } from './interp/notebooks/tables.js';
export { toNpy } from './interp/npy.js';
export {
  type PatchAxis,
  type PatchOptions,
  type PatchPair,
  type PatchSite,
  patch,
  patchBlocks,
  patchHeads,
  patchHeadsByPos,
} from './interp/patching.js';
export type { PathReceiver, PathSender } from './interp/path-nodes.js';
export { type PathFreeze, type PathPair, type PathPatchOptions, pathPatch } from './interp/path-patching.js';
export { type Perplexity, type PerplexityOptions, perplexity } from './interp/perplexity.js';
export { type AttentionFigure, attentionFigure } from './interp/plots/attention.js';
export { type CircuitFigureOptions, circuitFigure, edgeLines } from './interp/plots/circuit.js';
export { hues } from './interp/plots/colour.js';
export { agrees, type Comparison, type ComparisonOptions, comparisonTable } from './interp/plots/compare.js';
export { type CurveOptions, curveFigure } from './interp/plots/curves.js';
export type { Figure } from './interp/plots/drawing.js';
export { type FigureOptions, figure } from './interp/plots/figure.js';
export { slices } from './interp/plots/layout.js';
export { type Page, page, type Section } from './interp/plots/page.js';
export type { PdfFonts, PdfOptions } from './interp/plots/pdf.js';
export { type ScatterOptions, scatterFigure } from './interp/plots/scatter.js';
export type { SvgTheme } from './interp/plots/svg-parts.js';
export type { TerminalOptions } from './interp/plots/terminal.js';
export { type TokenFigureOptions, tokenFigure } from './interp/plots/tokens.js';
export {
  type AverageEffects,
  averageFigure,
  pyveneFigure,
  type StreamTrace,
  type Trace,
  type TraceFigureOptions,
  traceFigure,
} from './interp/plots/trace.js';
export {
  PYVENE_NOISE,
  type PyveneStream,
  type PyveneTrace,
  type PyveneTraceOptions,
  pyveneCsv,
  pyveneTopVals,
  pyveneTrace,
} from './interp/pyvene-trace.js';
export { type Axis, type Labelled, labelled } from './interp/result.js';
export {
  type Consistency,
  type ConsistencyOptions,
  consistency,
  type NameAnswers,
  type ScoreTextsOptions,
  scoreTexts,
  type TextScore,
  type TextScores,
} from './interp/scoring.js';
export { type SteeringOptions, steeringVector } from './interp/steering.js';
export { guessSubject, tokenRoleNames, tokenRoles } from './interp/subject.js';
export { type MapCell, recordResult } from './interp/sweep.js';
export { type PromptTest, type TestPromptOptions, testPrompt } from './interp/test-prompt.js';
export {
  type ContinuationScore,
  lossPerToken,
  type NextTokenTable,
  nextTokenTable,
  probabilityOf,
  type TextToolOptions,
} from './interp/text-tools.js';
export {
  type CircuitEntry,
  type CircuitOptions,
  type CopyingOptions,
  copyingScores,
  type TokenEntry,
  type TokenTable,
  tokenCircuit,
  topCircuitEntries,
  topCircuitTokens,
} from './interp/token-circuits.js';
export { type TraceFactsOptions, traceFacts } from './interp/trace-facts.js';
export { joinTraces, traceAll, traceKinds } from './interp/trace-kinds.js';
export type { Config } from './weights/config.js';
export type { Processing } from './weights/processing.js';
export type { LoadProgress } from './weights/progress.js';
export { openSafetensors } from './weights/safetensors.js';
export { writeSafetensors } from './weights/safetensors-write.js';
export type { HostTensor } from './weights/types.js';
