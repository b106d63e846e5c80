import type { DType } from './dtype.js';

/** Numbers as onnxruntime takes them: float16 as Uint16Array bits, bool as Uint8Array, int64 as BigInt64Array. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** A run-time tensor: what goes into and comes out of a session. Row-major. */
export interface FeedTensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: TypedArray | readonly string[];
}
/** One set of model inputs (or outputs) by name. */
export type Feed = Readonly<Record<string, FeedTensor>>;

/** Bytes of the numbers of a feed; of text, 16 each. */
export const feedBytes = (feed: Feed): number =>
  Object.values(feed).reduce((n, { data }) => n + (ArrayBuffer.isView(data) ? data.byteLength : 16 * data.length), 0);

/** What is known of a model input or output without running it. */
export interface ValueInfo {
  readonly name: string;
  readonly dtype: DType | undefined;
  /** A number, a symbolic name or null (unknown) per axis; undefined where the rank is unknown. */
  readonly shape: readonly (number | string | null)[] | undefined;
  /** Of ids: one more than the largest, which is the number of rows of the table that they are looked up in. */
  readonly below?: number | undefined;
}

/** An object in an image. */
export interface TargetBox {
  /** Left, top, right, bottom in pixels of the model input; edges lie between pixels, so the width is right − left. */
  readonly box: readonly [left: number, top: number, right: number, bottom: number];
  /** Class index. */
  readonly label: number;
  /** A group of objects (COCO iscrowd): any number of detections within it are ignored. */
  readonly crowd?: boolean;
  /** Hard to see (Pascal VOC): neither missing nor finding it counts. */
  readonly difficult?: boolean;
}

/** What the outputs for a sample should be, where a label does not tell. */
export interface Target {
  /**
   * Objects in pixels of the model input: data sources map them through resize, crop and pad, clipped to what remains.
   * IoU does not change when both boxes are scaled along an axis, so the scores equal those in pixels of the original
   * image.
   */
  readonly boxes?: readonly TargetBox[];
  /** Size of the model input in pixels, by which normalized boxes are scaled. */
  readonly size?: { readonly width: number; readonly height: number };
  readonly text?: string;
  /** Of choices: where in each feed the choice begins, in tokens. */
  readonly starts?: readonly number[];
  /** Tokens at the beginning of a decoder's sequence that are given, not part of the text. */
  readonly prompt?: number;
  /** Tensors by name, usually that of the output that should equal them. Batch axis included, or left out. */
  readonly tensors?: Feed;
}

/** One labelled item of a dataset. */
export interface Sample {
  /**
   * A stable name that a person can find: a path relative to the dataset's root, `file.npz#12`, `shard.tar/0001.jpg`,
   * `test.tsv:17`.
   */
  readonly id: string;
  /** SHA-256 (hex) of the source bytes, for finding samples that calibration and evaluation share. */
  readonly hash: string;
  /** Usually one feed; two for sentence pairs. Batch axis included (size 1) unless the source holds whole batches. */
  readonly feeds: readonly Feed[];
  /** Class index or score, where the dataset has labels. */
  readonly label?: number;
  /** What the outputs should be, where the dataset says more than a label. */
  readonly target?: Target;
}
