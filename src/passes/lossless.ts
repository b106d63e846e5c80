import type { DType } from '../ir/dtype.js';

/** Types that hold every value of a type, by type. Integers below 2^(mantissa bits) fit a float. */
const WIDER: Partial<Record<DType, readonly DType[]>> = {
  bool: [
    'uint8',
    'int8',
    'uint16',
    'int16',
    'uint32',
    'int32',
    'uint64',
    'int64',
    'float16',
    'bfloat16',
    'float32',
    'float64',
  ],
  uint8: ['uint16', 'int16', 'uint32', 'int32', 'uint64', 'int64', 'float16', 'bfloat16', 'float32', 'float64'],
  int8: ['int16', 'int32', 'int64', 'float16', 'bfloat16', 'float32', 'float64'],
  uint16: ['uint32', 'int32', 'uint64', 'int64', 'float32', 'float64'],
  int16: ['int32', 'int64', 'float32', 'float64'],
  uint32: ['uint64', 'int64', 'float64'],
  int32: ['int64', 'float64'],
  float16: ['float32', 'float64'],
  bfloat16: ['float32', 'float64'],
  float32: ['float64'],
};

/** Whether every value of `from` survives a Cast to `to` and back. */
export const isLossless = (from: DType, to: DType): boolean => from === to || (WIDER[from]?.includes(to) ?? false);
