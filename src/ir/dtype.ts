/** ONNX element types (TensorProto.DataType) under their plain names, up to opset 25. */

const TABLE = {
  float32: [1, 32],
  uint8: [2, 8],
  int8: [3, 8],
  uint16: [4, 16],
  int16: [5, 16],
  int32: [6, 32],
  int64: [7, 64],
  string: [8, 0],
  bool: [9, 8],
  float16: [10, 16],
  float64: [11, 64],
  uint32: [12, 32],
  uint64: [13, 64],
  complex64: [14, 64],
  complex128: [15, 128],
  bfloat16: [16, 16],
  float8e4m3fn: [17, 8],
  float8e4m3fnuz: [18, 8],
  float8e5m2: [19, 8],
  float8e5m2fnuz: [20, 8],
  uint4: [21, 4],
  int4: [22, 4],
  float4e2m1: [23, 4],
  float8e8m0: [24, 8],
  uint2: [25, 2],
  int2: [26, 2],
} as const;
export type DType = keyof typeof TABLE;
export const DTYPES = Object.keys(TABLE) as readonly DType[]; // the keys of the table are the type by construction

const byCode = new Map<number, DType>(DTYPES.map((d) => [TABLE[d][0], d]));

/** TensorProto.DataType number of a type. */
export const dtypeCode = (d: DType): number => TABLE[d][0];
/** Type of a TensorProto.DataType number, or undefined for UNDEFINED and unknown numbers. */
export const dtypeFromCode = (code: number): DType | undefined => byCode.get(code);
/** Bits per element; 0 for strings. Types below 8 bits are packed, first element in the low bits. */
export const dtypeBits = (d: DType): number => TABLE[d][1];
/** Bytes that `elements` values take when stored as raw data. */
export const byteLength = (d: DType, elements: number): number => Math.ceil((elements * TABLE[d][1]) / 8);

export const isFloat = (d: DType): boolean => d === 'float32' || d === 'float16' || d === 'bfloat16' || d === 'float64';
/** Lowest and highest code of an integer type of at most 32 bits. */
export function integerRange(d: DType): readonly [number, number] | undefined {
  const bits = dtypeBits(d);
  if (/^int\d+$/.test(d) && bits <= 32) return [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];
  if (/^uint\d+$/.test(d) && bits <= 32) return [0, 2 ** bits - 1];
  return undefined;
}
