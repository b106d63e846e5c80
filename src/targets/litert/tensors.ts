/** A .tflite model in memory. */
import type { Operator, TensorType } from './schema.js';

/** One scale and zero point, or one for each place on `axis`. */
export interface LiteQuant {
  readonly scale: ArrayLike<number>;
  readonly zeroPoint: ArrayLike<number>;
  readonly axis: number;
}

/** Compared by identity. */
export interface LiteTensor {
  name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly quant?: LiteQuant;
  /** Of a constant: little-endian. */
  readonly data?: Uint8Array;
}

export interface LiteOperator {
  readonly op: Operator;
  /** Undefined where an input is left out. */
  readonly inputs: readonly (LiteTensor | undefined)[];
  readonly outputs: readonly LiteTensor[];
  readonly options: Readonly<Record<string, number | boolean>>;
}

export interface LiteModel {
  readonly name: string;
  readonly inputs: readonly LiteTensor[];
  readonly outputs: readonly LiteTensor[];
  readonly operators: readonly LiteOperator[];
}

export const sameQuant = (a: LiteQuant | undefined, b: LiteQuant | undefined): boolean =>
  a === b ||
  (a !== undefined &&
    b !== undefined &&
    a.axis === b.axis &&
    sameNumbers(a.scale, b.scale) &&
    sameNumbers(a.zeroPoint, b.zeroPoint));
function sameNumbers(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}

export const sameSizes = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((d, i) => d === b[i]);
export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);
