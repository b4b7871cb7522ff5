/** Everything public, whatever the platform. */

export { gradientsOf, type ValueAndGradients } from './engine/activations/gradients.js';
export {
  type AdapterChoice,
  type AdapterDescription,
  type ListedAdapter,
  listAdapters,
  type OpenOptions,
} from './engine/gpu/adapter.js';
export { DeviceLostError } from './engine/gpu/error-scopes.js';
export { Gpu, type GpuStats } from './engine/gpu/gpu.js';
export type { MemoryReport } from './engine/gpu/pool.js';
export { scope } from './engine/gpu/user-scope.js';
export type { AxisName, NamedIndex } from './engine/shape/axes.js';
export type { Index, Part } from './engine/shape/shape.js';
export type { Axis as TensorAxis } from './engine/tensor/along.js';
export type { NestedOf } from './engine/tensor/array.js';
export type { Ordered, SortOptions, TopkOptions } from './engine/tensor/order.js';
export type { AnyIndex, RepeatOptions } from './engine/tensor/parts.js';
export type { AxisList, NormOptions, ReduceOptions, SpreadOptions } from './engine/tensor/reductions.js';
export type { ScatterOptions as TensorScatterOptions } from './engine/tensor/select.js';
export { Tensor } from './engine/tensor/tensor.js';
export type { ChatMessage, ChatOptions } from './engine/tokens/chat.js';
export type { SamplingOptions } from './engine/tokens/sample.js';
export type { TextInput } from './engine/tokens/text.js';
export { Tokenizer } from './engine/tokens/tokenizer.js';
export type { Row } from './engine/transformer/batch.js';
export type { KvStore, Prefix } from './engine/transformer/kv.js';
export type { HookPoint, PointName } from './engine/transformer/points.js';
export { ActivationCache } from './hooks/cache/cache.js';
export { type HostActivation, HostCache } from './hooks/cache/host-cache.js';
export type { AttrTokens, LogitAttrOptions } from './hooks/cache/logit-attrs.js';
export {
  type AccumulatedOptions,
  type DecomposeOptions,
  decompositionNames,
  type FullOptions,
  type HeadOptions,
  type NeuronOptions,
  type StreamLayer,
} from './hooks/cache/recipes.js';
export type { NestedTokens } from './hooks/cache/residual-directions.js';
export type { ApplyLnOptions, Decomposition, LayerNormMode, Stack, SumCheck } from './hooks/cache/stack.js';
export type { Hook, HookContext, HookEntry } from './hooks/input/hook.js';
export type { InputOptions, ModelInput } from './hooks/input/input.js';
export type { Model, RunEdits } from './hooks/input/model.js';
export { actName, hookNames, type NameFilter, type Spelled } from './hooks/input/names.js';
export type { Holder } from './hooks/input/owning.js';
export type { Selection } from './hooks/input/selection.js';
export type { Align, PositionPair } from './hooks/interventions/alignment.js';
export {
  describeIntervention,
  interventionsFromJson,
  interventionsToJson,
} from './hooks/interventions/describe.js';
export type {
  Base,
  Counterfactual,
  FromRun,
  Intervention,
  MeanOf,
  Noise,
  Numbers,
  Source,
  Value,
} from './hooks/interventions/interventions.js';
export { embeddingNoise, embeddingStd, type NoiseRule, ROME_NOISE } from './hooks/interventions/noise.js';
export type { Differentiable } from './hooks/metrics/measure.js';
export type { LogitsFunction, MetricLike } from './hooks/run/function-metric.js';
export type { PosSlice } from './hooks/run/positions.js';
export type {
  RunValues,
  SweepCell,
  SweepOptions,
  SweepResult,
  SweepWork,
} from './hooks/sweep/counterfactuals.js';
export {
  mergeRecords,
  PartDone,
  type RecordStore,
  sharedRecord,
  type WholeRecord,
} from './hooks/sweep/record/record.js';
export type { Sweep } from './hooks/sweep/sweep.js';
export type { StoredPrefix } from './hooks/texts/prefix.js';
export type { TextsWork } from './hooks/texts/run-trie.js';
export {
  type NextToken,
  type NextTokensOptions,
  nextTokens,
  type ScoreOptions,
} from './hooks/texts/score.js';
export { type LossGradients, type LossOptions, lossGradients } from './hooks/training/parameter-gradients.js';
export {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Schedule,
  type ScheduleOptions,
} from './hooks/training/schedule.js';
export {
  Trainer,
  type TrainerOptions,
  type TrainingBatch,
  type TrainOptions,
  type TrainProgress,
  type WeightedRow,
} from './hooks/training/trainer.js';
export { editsFromJson, editsToJson } from './hooks/transformer/edits-json.js';
export type { GenerateOptions, GenerateStep } from './hooks/transformer/generate.js';
export type { GradientOptions, GradientRun } from './hooks/transformer/gradients.js';
export { type InitOptions, randomModel, randomWeights } from './hooks/transformer/init.js';
export {
  type IntervenedRun,
  type InterventionOptions,
  runWithInterventions,
} from './hooks/transformer/intervene.js';
export { type LoadOptions, type ModelSource, planModel, type TensorMap } from './hooks/transformer/load.js';
export {
  type CachedRun,
  type CacheOptions,
  HookedTransformer,
  type RunOptions,
} from './hooks/transformer/model.js';
export type { ModelPlan, PlannedDtype } from './hooks/transformer/plan.js';
export type { SteerOptions } from './hooks/transformer/steer.js';
export type { EditOptions } from './hooks/transformer/with.js';
export type { WeightChange } from './hooks/weights/with-weights.js';
export {
  type Agreement,
  agreement,
  type ComparePatchingOptions,
  compareWithPatching,
  type Miss,
  type PatchingComparison,
} from './interp/attribution/agreement.js';
export { type AtpStar, type AtpStarOptions, atpStar } from './interp/attribution/atp-star.js';
export {
  type AttentionAttributionOptions,
  attentionAttribution,
  type SignedHeadsOptions,
  signedHeads,
} from './interp/attribution/attribution-attention.js';
export {
  type AttributionMaps,
  attributeHeadOutputs,
  attributeHeadPatterns,
  attributeHeadVectors,
  attributeLayerOutputs,
  attributeResidual,
  attributionMaps,
  headNames,
} from './interp/attribution/attribution-maps.js';
export {
  type AlignedAttributionPair,
  type AttributionPair,
  type AttributionPasses,
  type AttributionPatchOptions,
  attributeBlocks,
  attributeHeads,
  attributeHeadsByPos,
  attributionPatch,
} from './interp/attribution/attribution-patching.js';
export {
  type HeadPathAxis,
  type HeadPathOptions,
  headPathAttribution,
} from './interp/attribution/head-paths.js';
export { type InputAttributionOptions, inputAttribution } from './interp/attribution/input-attribution.js';
export {
  type IntegratedGradientsOptions,
  integratedGradients,
} from './interp/attribution/integrated-gradients.js';
export {
  type Checkpoint,
  type ExperimentResult,
  type OverCheckpointsOptions,
  overCheckpoints,
} from './interp/checkpoints/over-checkpoints.js';
export { type AcdcOptions, acdc } from './interp/circuits/acdc.js';
export { circuitFaithfulness, type FaithfulnessOptions } from './interp/circuits/circuit-faithfulness.js';
export {
  type EdgeAttributionOptions,
  type EdgePair,
  edgeAttribution,
} from './interp/circuits/edge-attribution.js';
export { type Edge, EdgeList, type EdgeNode, type GraphShape } from './interp/circuits/edge-list.js';
export { type AttentionFigure, attentionFigure } from './interp/figures/attention.js';
export { type AttributionFigureOptions, attributionFigure } from './interp/figures/attribution.js';
export { type CircuitFigureOptions, circuitFigure, edgeLines } from './interp/figures/circuit.js';
export {
  agrees,
  type Comparison,
  type ComparisonOptions,
  comparisonTable,
} from './interp/figures/compare.js';
export { type CurveOptions, curveFigure } from './interp/figures/curves.js';
export { hues } from './interp/figures/draw/colour.js';
export type { Figure } from './interp/figures/draw/drawing.js';
export { slices } from './interp/figures/draw/layout.js';
export type { PdfFonts, PdfOptions } from './interp/figures/draw/pdf.js';
export type { SvgTheme } from './interp/figures/draw/svg-parts.js';
export type { TerminalOptions } from './interp/figures/draw/terminal.js';
export { type FigureOptions, figure } from './interp/figures/figure.js';
export { type GuessFigureOptions, guessFigure } from './interp/figures/guesses.js';
export { type LensCurve, type LensFigureOptions, lensFigure } from './interp/figures/lens.js';
export { type Page, page, type Section } from './interp/figures/page/page.js';
export { type ScatterOptions, scatterFigure } from './interp/figures/scatter.js';
export { type TokenFigureOptions, tokenFigure } from './interp/figures/tokens.js';
export {
  type AverageEffects,
  averageFigure,
  pyveneFigure,
  type StreamTrace,
  type Trace,
  type TraceFigureOptions,
  traceFigure,
} from './interp/figures/trace.js';
export { type AttentionOptions, attentionPatterns } from './interp/heads/attention.js';
export { type DetectionPattern, type DetectOptions, detectHeads } from './interp/heads/detect-heads.js';
export { type HeadScoreOptions, headScores } from './interp/heads/heads.js';
export { type DlaOptions, type DlaResult, directLogitAttribution } from './interp/logits/dla.js';
export {
  type LensGuess,
  type LensOptions,
  type LensResult,
  type LensToken,
  logitLens,
} from './interp/logits/lens.js';
export { type Measured, measure } from './interp/logits/measure.js';
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
} from './interp/logits/metrics.js';
export { type PromptTest, type TestPromptOptions, testPrompt } from './interp/logits/test-prompt.js';
export {
  type Notebook,
  type NotebookFigure,
  type NotebookResult,
  NotebookRun,
  runNotebook,
} from './interp/notebooks/notebook.js';
export {
  type FirstToken,
  type FitOptions,
  type FittedPair,
  type FittedPairs,
  firstToken,
  fitPairs,
  loadPairs,
  namedPositions,
  type PairDataOptions,
  type PromptPair,
  readList,
  readPairs,
} from './interp/notebooks/pairs.js';
export { pathsAmong, pathsOfHead } from './interp/notebooks/paths.js';
export { type FigureWords, Report, type ReportHead, type ReportPage } from './interp/notebooks/report.js';
export {
  averaged,
  byLayerAndHead,
  bySize,
  type Entry,
  oneAxisOfHeads,
  picked,
  strongest,
  summed,
} from './interp/notebooks/select.js';
export type {
  NotebookInputs,
  NotebookOptions,
  PlanStep,
  Setting,
  StepOptions,
} from './interp/notebooks/setting.js';
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
export { type AblatedUnit, type AblateOptions, ablate } from './interp/patching/ablation.js';
export { counterfactuals } from './interp/patching/counterfactuals.js';
export { type DirectPathOptions, pathPatchDirect } from './interp/patching/direct-path.js';
export {
  type PatchAxis,
  type PatchOptions,
  type PatchPair,
  type PatchSite,
  patch,
  patchBlocks,
  patchHeads,
  patchHeadsByPos,
} from './interp/patching/patching.js';
export type { PathReceiver, PathSender } from './interp/patching/path-nodes.js';
export {
  type PathFreeze,
  type PathPair,
  type PathPatchOptions,
  pathPatch,
} from './interp/patching/path-patching.js';
export { type SteeringOptions, steeringVector } from './interp/patching/steering.js';
export { type MapCell, recordResult } from './interp/patching/sweep.js';
export { axis, headAxis, layerAxis, posAxis } from './interp/results/axes.js';
export { fromJson, toCsv, toJson } from './interp/results/export.js';
export { toNpy } from './interp/results/npy.js';
export { provenance } from './interp/results/provenance.js';
export {
  type At,
  type Axis,
  type Labelled,
  type LabelledCell,
  type LabelledData,
  labelled,
} from './interp/results/result.js';
export { type Perplexity, type PerplexityOptions, perplexity } from './interp/texts/perplexity.js';
export {
  type Consistency,
  type ConsistencyOptions,
  consistency,
  type NameAnswers,
  type ScoreTextsOptions,
  scoreTexts,
  type TextScore,
  type TextScores,
} from './interp/texts/scoring.js';
export {
  type ContinuationScore,
  lossPerToken,
  type NextTokenTable,
  nextTokenTable,
  probabilityOf,
  type TextToolOptions,
} from './interp/texts/text-tools.js';
export { type AverageTrace, averageTraces } from './interp/tracing/average-traces.js';
export {
  type CausalTrace,
  type CausalTraceOptions,
  causalTrace,
  type TraceKind,
  type WrongAnswer,
} from './interp/tracing/causal-trace.js';
export { type Fact, readFacts } from './interp/tracing/facts.js';
export { joinTraces, traceKinds } from './interp/tracing/joined-traces.js';
export {
  PYVENE_NOISE,
  type PyveneStream,
  type PyveneTrace,
  type PyveneTraceOptions,
  pyveneCsv,
  pyveneTopVals,
  pyveneTrace,
} from './interp/tracing/pyvene-trace.js';
export { guessSubject, tokenRoleNames, tokenRoles } from './interp/tracing/subject.js';
export { type TraceFactsOptions, traceFacts } from './interp/tracing/trace-facts.js';
export { traceAll } from './interp/tracing/trace-kinds.js';
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
} from './interp/weights/circuits.js';
export {
  neuronToLogits,
  type SvdInterpretation,
  type SvdInterpreterOptions,
  svdInterpreter,
} from './interp/weights/directions.js';
export { FactoredMatrix, type Span } from './interp/weights/factored-matrix.js';
export type { HostMatrix } from './interp/weights/linear-algebra.js';
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
} from './interp/weights/token-circuits.js';
export type { Config } from './weights/config.js';
export {
  type DataFormat,
  type DataOptions,
  type Row as DataRow,
  readRows,
  readTexts,
  streamTexts,
  type TextDataOptions,
} from './weights/data/rows.js';
export type { DataSource } from './weights/data/source.js';
export type { LoadProgress } from './weights/files/progress.js';
export { openSafetensors } from './weights/formats/safetensors.js';
export { writeSafetensors } from './weights/formats/safetensors-write.js';
export type { HostTensor } from './weights/formats/types.js';
export type { Processing } from './weights/processing/processing.js';
