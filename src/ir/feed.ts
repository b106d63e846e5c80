import type { DType } from './dtype.js';

/** Numbers as onnxruntime takes them: float16 as Uint16Array bits, bool as Uint8Array, int64 as BigInt64Array. */
export type TypedArray = Float32Array | Float64Array | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | BigInt64Array | BigUint64Array;

/** A run-time tensor: what goes into and comes out of a session. Row-major. */
export interface FeedTensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: TypedArray | readonly string[];
}
/** One set of model inputs (or outputs) by name. */
export type Feed = Readonly<Record<string, FeedTensor>>;

/** What is known of a model input or output without running it. */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: DType | undefined;
  /** A number, a symbolic name or null (unknown) per axis; undefined where the rank is unknown. */
  readonly shape: readonly (number | string | null)[] | undefined;
}

/** One labelled item of a dataset. */
export interface Sample {
  /** A stable name that a person can find: a path relative to the dataset's root, `file.npz#12`, `shard.tar/0001.jpg`, `test.tsv:17`. */
  readonly id: string;
  /** SHA-256 (hex) of the source bytes, for finding samples that calibration and evaluation share. */
  readonly hash: string;
  /** Usually one feed; two for sentence pairs. Batch axis included (size 1) unless the source holds whole batches. */
  readonly feeds: readonly Feed[];
  /** Class index or score, where the dataset has labels. */
  readonly label?: number;
}
