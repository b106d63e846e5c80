import type { Diagnostic } from '../base/errors.js';
import type { Feed, FeedTensor, Sample, ValueInfo } from '../ir/feed.js';
import type { DataSpec } from './spec.js';

/** Decodes one serialized TensorProto; given by the caller because protobuf lives in onnx/. */
export type DecodeTensor = (bytes: Uint8Array) => FeedTensor;

export interface DataContext {
  /** Relative paths of the spec start here: the folder of the recipe. */
  readonly baseDir: string;
  /** Seed of `order: shuffled`. */
  readonly seed: number;
  readonly decodeTensor?: DecodeTensor;
  readonly onDiagnostic?: (diagnostic: Diagnostic) => void;
  /**
   * Opens a model whose outputs others take, such as an encoder; given by the caller because models run in runtime/.
   */
  readonly openModel?: (file: string) => Promise<RunsModel>;
}
/** A model that can be run. */
export interface RunsModel {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  run(feed: Feed): Promise<Feed>;
}

/** Token ids as text. */
export interface Vocabulary {
  /** Special tokens left out. */
  decode(ids: readonly number[]): string;
  /** The token that ends a text. */
  readonly endId: number | undefined;
}

/** One sample after its bytes were read and preprocessed. */
export type Loaded = Omit<Sample, 'id'>;

/** A source whose samples are known by number before they are read; nothing but ids and positions is held in memory. */
export interface ListedSource {
  readonly kind: 'listed';
  readonly count: number;
  id(index: number): string;
  /** Class of a sample where it is known without reading it; enables `order: interleaved`. */
  readonly group?: (index: number) => number;
  load(index: number): Promise<Loaded>;
  /**
   * Whether a sample seems to be what load() can read, by what costs little to look at: that its file is there, its
   * header, its first bytes. Where it is not sure it says no; an error counts as no. Absent where opening tells.
   */
  readonly seemsFine?: (index: number) => Promise<boolean>;
  /** The hash that load() will give, without decoding; absent where reading costs as much. */
  readonly hash?: (index: number) => Promise<string>;
  readonly classes?: readonly string[];
  /** Of data that have a tokenizer. */
  readonly vocabulary?: Vocabulary;
  /**
   * Value that fills each input (0 where it is not named) when sequences of unequal length are stacked; absent where
   * that is not wanted.
   */
  readonly padding?: Readonly<Record<string, number>>;
  /** Echoed in the run record: resolved paths, preprocessing, tokenizer. */
  readonly details: Readonly<Record<string, unknown>>;
}
/** A source that only yields one sample after the other. */
export interface StreamedSource {
  readonly kind: 'streamed';
  /** A sample that is wrong arrives as its error, so that the stream can go on. */
  stream(): AsyncIterable<(Loaded & { readonly id: string }) | { readonly id: string; readonly error: unknown }>;
  readonly details: Readonly<Record<string, unknown>>;
}
export type Source = ListedSource | StreamedSource;
export type OpenSource = (spec: DataSpec, inputs: readonly ValueInfo[], context: DataContext) => Promise<Source>;
