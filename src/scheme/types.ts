/**
 * The shared vocabulary of quantization: planning, calibration, formats and targets speak it and do not import each
 * other.
 */
import type { DType } from '../ir/dtype.js';
import type { Use, Value } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';

/**
 * How values share a scale. For a tensor of shape [A,B,C]:
 * `tensor` → scale []; `axis` 1 → scale [B]; `block` on axis 1 of size s → scale [A, ceil(B/s), C].
 */
export type Granularity =
  | { readonly kind: 'tensor' }
  | { readonly kind: 'axis'; readonly axis: number }
  | { readonly kind: 'block'; readonly axis: number; readonly size: number };

export const ROUNDINGS = ['half-even', 'half-away', 'toward-zero', 'floor', 'ceil', 'stochastic'] as const;
export type Rounding = (typeof ROUNDINGS)[number];

export interface QuantScheme {
  readonly dtype: Extract<DType, 'int8' | 'uint8' | 'int16' | 'uint16' | 'int32' | 'int4' | 'uint4' | 'int2' | 'uint2'>;
  readonly symmetric: boolean;
  readonly granularity: Granularity;
  /** Leaves the lowest code unused (−127..127 instead of −128..127). */
  readonly narrow?: boolean;
  readonly rounding?: Rounding;
  /** Uses only the codes of a narrower type: 3 bits of an int4. */
  readonly bits?: number;
  /** Scales are powers of two: the next above what the range asks for. */
  readonly powerOfTwo?: boolean;
  /**
   * Symmetric, and a scale may be negative: it has the sign that puts the value furthest from zero on the lowest code,
   * of which there is one more than above zero.
   */
  readonly signedScale?: boolean;
}

/** What is quantized: a value for all of its uses, or one edge. Compared by identity. */
export type QuantPoint = Value | Use;

export type QuantSpec =
  /** The range comes from calibration (activations) or from the data (weights), by the named observer. */
  | {
      readonly kind: 'observed';
      readonly scheme: QuantScheme;
      readonly observer: string;
      /** Of this point; else those that hold for all. */
      readonly observerOptions?: unknown;
      /** Numbers that the range reaches, whatever was seen. */
      readonly holds?: readonly number[];
      /** Points that take their parameters from this one and whose ranges it covers. */
      readonly covers?: readonly QuantPoint[];
    }
  /** The range is known beforehand (Softmax, Sigmoid). */
  | { readonly kind: 'fixed'; readonly scheme: QuantScheme; readonly scale: number; readonly zeroPoint: number }
  /** Takes the parameters of another point (pooling, Reshape, Concat inputs). */
  | { readonly kind: 'shared'; readonly with: QuantPoint }
  /** int32 bias: scale = scale of the activation × scale of the weight. */
  | {
      readonly kind: 'derived';
      readonly from: readonly [activation: QuantPoint, weight: QuantPoint];
      readonly rule: 'bias';
    }
  /**
   * A weight in the file as the named coding says, float32 once the model is loaded; its output channels lie on `axis`.
   */
  | { readonly kind: 'coded'; readonly coding: string; readonly options: unknown; readonly axis: number }
  /** An activation that becomes float16 where calibration finds it in range. */
  | {
      readonly kind: 'half';
      /** Set where a mask of the model may make it infinite, which float16 can hold. */
      readonly infinite?: true;
    }
  | { readonly kind: 'float'; readonly because: string };
export type QuantPlan = ReadonlyMap<QuantPoint, QuantSpec>;

/** scale and zeroPoint have one element per tensor, axis index or block (row-major over the blocked shape). */
export interface QuantParams {
  readonly scheme: QuantScheme;
  readonly scale: Float32Array;
  readonly zeroPoint: Int32Array;
  /** Shape of scale and zeroPoint for block granularity. */
  readonly dims?: readonly number[];
  /** The codes of this constant, where they were chosen otherwise than by rounding each value. */
  readonly codes?: Tensor;
}

/** Closed real intervals, one per channel (length 1 per tensor). Not yet widened to include zero. */
export interface Range {
  readonly min: Float64Array;
  readonly max: Float64Array;
}

/** How a flat array splits into channels: index = (o · channels + c) · inner + i. */
export interface Layout {
  readonly outer: number;
  readonly channels: number;
  readonly inner: number;
}

/**
 * Element (group, row, position, channel) of a weight lies at group · groupStride + row · rowStride + position ·
 * positionStride + channel · channelStride. Rows are outputs; a kernel adds up a row's elements position after
 * position, channel after channel, two neighbours at a time from the start.
 */
export interface Packing {
  readonly groups: number;
  readonly rows: number;
  readonly positions: number;
  readonly channels: number;
  readonly groupStride: number;
  readonly rowStride: number;
  readonly positionStride: number;
  readonly channelStride: number;
}

/**
 * What of the grids training may learn. lsq: step sizes of weights and activations. lsq+: zero points of activations
 * too. pact: step sizes of weights, and of activations the bounds, by the elements beyond them alone. fixed: nothing.
 */
export const LEARNED_SCALES = ['lsq', 'lsq+', 'pact', 'fixed'] as const;
export type LearnedScales = (typeof LEARNED_SCALES)[number];
