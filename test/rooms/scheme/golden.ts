/** Reading of the golden files. */
import { readFileSync } from 'node:fs';
import { Tensor } from '../../../src/ir/tensor.js';
import type { DType } from '../../../src/ir/dtype.js';

export function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}
export function floatsOf(base64: string): Float32Array {
  return new Float32Array(bytesOf(base64).buffer);
}
export function readGolden<T>(name: string): T {
  // our own script wrote it
  return JSON.parse(readFileSync(new URL(`../../golden/${name}`, import.meta.url), 'utf8')) as T;
}
export interface GoldenTensor {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: string;
}
export function tensorOf(t: GoldenTensor): Tensor {
  return new Tensor(t.dtype, t.dims, bytesOf(t.data));
}
/** float32 bits, so that −0, NaN and the last bit count. */
export function bitsOf(values: Float32Array): string[] {
  return Array.from(new Uint32Array(values.slice().buffer), (b) => b.toString(16).padStart(8, '0'));
}
