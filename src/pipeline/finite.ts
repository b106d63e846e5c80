/** Whether weights are finite, looked at piece by piece and once. */
import { kernels } from '../calibrate/kernels.js';
import { decodeFloats } from '../ir/convert.js';
import { dtypeBits } from '../ir/dtype.js';
import type { ByteSource, Tensor } from '../ir/tensor.js';

/** Where tensors that were found finite come from: passes keep them. */
const sound = new WeakSet<ByteSource>();

/** The first value of a float tensor that is not finite. */
export function firstNonFinite(given: Tensor): { readonly index: number; readonly value: number } | undefined {
  const t = given.source.turned ?? given;
  const { source } = t;
  if (sound.has(source)) return undefined;
  const width = dtypeBits(t.dtype) / 8;
  let first = 0;
  for (const piece of t.pieces()) {
    const n = piece.length / width;
    if (!isFinite(t.dtype, piece, n)) {
      const values = decodeFloats(t.dtype, piece, n, Float64Array);
      const index = values.findIndex((x) => !Number.isFinite(x));
      if (index >= 0) return { index: first + index, value: values[index]! }; // just found
    }
    first += n;
  }
  sound.add(source);
  return undefined;
}

/** False where some may not be. */
function isFinite(dtype: Tensor['dtype'], bytes: Uint8Array, n: number): boolean {
  if (dtype === 'float32' && bytes.byteOffset % 4 === 0)
    return kernels().extent(new Float32Array(bytes.buffer, bytes.byteOffset, n), 0, n).finite;
  if (dtype !== 'float16' || bytes.byteOffset % 2) return false;
  const codes = new Uint16Array(bytes.buffer, bytes.byteOffset, n);
  for (let i = 0; i < n; i++) if ((codes[i]! & 0x7c00) === 0x7c00) return false;
  return true;
}
