/** What a family's tensors are called, and how they lie. */

/** A tensor's name without `.weight` and `.bias`. */
type Stem = string;

/** Names of a block's tensors, behind the block's prefix. Those that a family does not have are left out. */
export interface BlockNames {
  readonly ln1?: Stem;
  readonly ln1Post?: Stem;
  readonly ln2?: Stem;
  readonly ln2Post?: Stem;
  /** Queries, keys and values apart, or all in one matrix. */
  readonly q?: Stem;
  readonly k?: Stem;
  readonly v?: Stem;
  readonly qkv?: Stem;
  readonly qNorm?: Stem;
  readonly kNorm?: Stem;
  readonly o: Stem;
  /** Of gated MLPs: gate and up apart, or in one matrix (gate first). */
  readonly gate?: Stem;
  readonly gateUp?: Stem;
  readonly up?: Stem;
  readonly down: Stem;
  /** SoLU models: the norm in the MLP. */
  readonly mlpLn?: Stem;
}

/** Names and layout of a family's tensors. */
export interface TensorNames {
  /** `nn.Linear` keeps matrices as [out, in]; GPT-2's Conv1D as [in, out]. */
  readonly matrices: 'out,in' | 'in,out';
  /**
   * How `qkv` lies along the outputs: all queries, keys, values (`parts`), or those of one head after another
   * (`heads`).
   */
  readonly fused?: 'parts' | 'heads';
  /** What stands before all names but the head's; exports of the base model lack it, and both are read. */
  readonly prefix: string;
  readonly embed: Stem;
  readonly positions?: Stem;
  readonly final: Stem;
  /** The unembedding; the first name is the one that is written. */
  readonly head: readonly Stem[];
  /** The prefix of a block, with `{}` for its number. */
  readonly block: string;
  readonly parts: BlockNames;
}
