/**
 * How much memory each part of Glassbox takes at once, in bytes. Everything that is cut into pieces so that it fits reads
 * its size here. Sizes in elements (tokens a run, columns a chunk) stand beside the code they are about.
 */

const MiB = 2 ** 20;

/** Freed buffers that the pool keeps; beyond it the oldest go back to the system. */
export const IDLE_BYTES = 768 * MiB;
/** Staging buffers larger than this are not kept for the next read-back. */
export const STAGING_BYTES = 16 * MiB;
/** Memory may grow by so much (or by a quarter) before dropped tensors are looked for. */
export const GROWTH_BYTES = 16 * MiB;
/** Logits of some positions over the whole vocabulary: metrics of functions, lens, next tokens. */
export const LOGITS_BYTES = 64 * MiB;
/** Attention patterns of one layer, where methods look at them. */
export const PATTERN_BYTES = 64 * MiB;
/** A result made of patterns, where nothing else is said. */
export const PATTERN_RESULT_BYTES = 2048 * MiB;
/** What a run keeps, where nothing else is said. */
export const CAPTURE_BYTES = 8192 * MiB;
/** A piece of a stack of components. */
export const PIECE_BYTES = 64 * MiB;
/** Rows of a product of factors, [tokens, dVocab]. */
export const PRODUCT_ROWS_BYTES = 64 * MiB;
/** A factored matrix multiplied out on the host, in float64. */
export const PRODUCT_BYTES = 512 * MiB;
/** Keys and values that running many texts keeps. */
export const TEXTS_BYTES = 256 * MiB;
/** Intermediates of a chunk of a sweep. */
export const SWEEP_CHUNK_BYTES = 1024 * MiB;
/** What senders of edges write differently in the two runs; more prompts than fit are taken in parts. */
export const EDGE_TABLE_BYTES = 512 * MiB;
/** Gradients of one group of receivers of edges, and the products with them. */
export const EDGE_READER_BYTES = 128 * MiB;
