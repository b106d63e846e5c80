/** Constants as float32 or in another type, a piece at a time: weights larger than memory. */
import { decodeFloats } from './convert.js';
import { byteLength, dtypeBits, type DType } from './dtype.js';
import { encodeTensor } from './encode.js';
import { Tensor } from './tensor.js';

/** Smaller constants are converted at once: reading them again would cost more than holding them. */
const HELD_BYTES = 16 * 2 ** 20;

/** A float tensor as ONNX Cast converts it to a type of whole bytes, piece by piece where it is large. */
export function convertedTensor(t: Tensor, dtype: DType): Tensor {
  if (t.byteLength <= HELD_BYTES) return encodeTensor(dtype, t.dims, t.f32());
  const size = byteLength(dtype, t.size);
  function* pieces(): Generator<Uint8Array> {
    for (const values of floatPieces(t)) yield encodeTensor(dtype, [values.length], values).bytes();
  }
  return new Tensor(dtype, t.dims, { byteLength: size, pieces, read: () => joined(pieces(), size) });
}

/** Pieces as one array of so many bytes. */
export function joined(pieces: Iterable<Uint8Array>, byteLength: number): Uint8Array {
  const whole = new Uint8Array(byteLength);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** The values of a float tensor in order, some at a time and never to be written into. */
export function* floatPieces(t: Tensor): Generator<Float32Array> {
  const width = dtypeBits(t.dtype) / 8;
  for (const bytes of t.pieces()) {
    const n = bytes.length / width;
    const asTheyAre = t.dtype === 'float32' && bytes.byteOffset % 4 === 0;
    yield asTheyAre
      ? new Float32Array(bytes.buffer, bytes.byteOffset, n)
      : decodeFloats(t.dtype, bytes, n, Float32Array);
  }
}
