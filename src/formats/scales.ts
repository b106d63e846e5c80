/** Scales in the type in which an operator holds them. */
import { halfBits, halfValues } from '../ir/convert.js';
import type { DType } from '../ir/dtype.js';
import type { QuantParams } from '../scheme/types.js';

export type ScaleType = Extract<DType, 'float32' | 'float16'>;

/** The least positive float16: a scale must not become 0. */
const LEAST = 2 ** -24;
const MOST = 65504;

/** The type of scales beside activations of a type. */
export const scaleTypeOf = (dtype: DType | undefined): ScaleType => (dtype === 'float16' ? 'float16' : 'float32');

/** The parameters with scales that the type holds: codes are of these. */
export function storedScales(params: QuantParams, type: ScaleType): QuantParams {
  if (type === 'float32') return params;
  const values = halfValues('float16');
  const { scale } = params;
  const codes = halfBits(scale);
  const held = new Float32Array(scale.length);
  for (let i = 0; i < held.length; i++) {
    const h = values[codes[i]!]!;
    held[i] = h === 0 ? Math.sign(scale[i]!) * LEAST : Math.abs(h) > MOST ? Math.sign(h) * MOST : h;
  }
  return { ...params, scale: held };
}
