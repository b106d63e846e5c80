/** Tensor data as literals, and seeded random data for test fixtures. */
import { fail, type Where } from '../../base/errors.js';
import { createRng } from '../../base/rng.js';
import { numberToFloat16 } from '../convert.js';
import { byteLength, dtypeBits, integerRange, isFloat, type DType } from '../dtype.js';
import { elementCount, Tensor } from '../tensor.js';
import { numberOf, type Token } from './lex.js';
import { quote } from './types.js';

/**
 * The tensor of literal tokens. float16 takes numbers with a point as values; other small floats are given as their
 * bits.
 */
export function tensorOf(dtype: DType, dims: readonly number[], literals: readonly Token[], where: Where): Tensor {
  const n = elementCount(dims);
  const perElement = dtype === 'complex64' || dtype === 'complex128' ? 2 : 1;
  if (literals.length !== n * perElement)
    fail(
      'GRAPH_TEXT',
      `a ${dtype} tensor of dims [${dims.join(',')}] needs ${n * perElement} values, but has ${literals.length}`,
      where,
    );
  if (dtype === 'string')
    return new Tensor(
      'string',
      dims,
      literals.map((t) => (t.kind === 'string' ? t.text : wrong(t, 'a string'))),
    );
  const out = new Uint8Array(byteLength(dtype, n));
  const view = new DataView(out.buffer);
  literals.forEach((token, i) => writeLiteral(view, dtype, i, token));
  return new Tensor(dtype, dims, out);
}

function writeLiteral(view: DataView, dtype: DType, i: number, token: Token): void {
  const number = (): number => numberOf(token) ?? wrong(token, 'a number');
  const integer = (): bigint => (token.kind === 'int' ? BigInt(token.text) : wrong(token, 'an integer'));
  switch (dtype) {
    case 'float32':
    case 'complex64':
      return view.setFloat32(i * 4, number(), true);
    case 'float64':
    case 'complex128':
      return view.setFloat64(i * 8, number(), true);
    case 'int64':
    case 'uint64':
      return view.setBigInt64(
        i * 8,
        within(
          integer(),
          dtype === 'int64' ? -(2n ** 63n) : 0n,
          dtype === 'int64' ? 2n ** 63n - 1n : 2n ** 64n - 1n,
          dtype,
          token,
        ),
        true,
      );
    case 'float16':
      if (token.kind !== 'int') return view.setUint16(i * 2, numberToFloat16(number()), true);
  }
  const bits = dtypeBits(dtype);
  const [low, high] = dtype === 'bool' ? [0, 1] : (integerRange(dtype) ?? [0, 2 ** bits - 1]);
  const code = Number(within(integer(), BigInt(low), BigInt(high), dtype, token));
  if (bits === 32) view.setInt32(i * 4, code, true);
  else if (bits === 16) view.setInt16(i * 2, code, true);
  else if (bits === 8) view.setInt8(i, code);
  else {
    const at = (i * bits) >> 3;
    view.setUint8(at, view.getUint8(at) | ((code & (2 ** bits - 1)) << ((i * bits) & 7)));
  }
}

const wrong = (token: Token, what: string): never =>
  fail('GRAPH_TEXT', `expected ${what}, but found '${token.text}'`, { line: token.line, column: token.column });

function within(value: bigint, low: bigint, high: bigint, dtype: DType, token: Token): bigint {
  if (value < low || value > high)
    fail('GRAPH_TEXT', `${value} is outside ${dtype} (${low} to ${high})`, { line: token.line, column: token.column });
  return value;
}

/** The values of a tensor as literals that read back to the same bytes (NaN payloads aside). */
export function literalsOf(tensor: Tensor): string[] {
  const bytes = (): DataView => {
    const b = tensor.bytes();
    return new DataView(b.buffer, b.byteOffset, b.byteLength);
  };
  const each = (n: number, text: (i: number) => string): string[] => Array.from({ length: n }, (_, i) => text(i));
  switch (tensor.dtype) {
    case 'string':
      return tensor.strings().map(quote);
    case 'float32': {
      const v = bytes();
      return each(tensor.size, (i) => printFloat(v.getFloat32(i * 4, true)));
    }
    case 'complex64': {
      const v = bytes();
      return each(tensor.size * 2, (i) => printFloat(v.getFloat32(i * 4, true)));
    }
    case 'float64': {
      const v = bytes();
      return each(tensor.size, (i) => printDouble(v.getFloat64(i * 8, true)));
    }
    case 'complex128': {
      const v = bytes();
      return each(tensor.size * 2, (i) => printDouble(v.getFloat64(i * 8, true)));
    }
    case 'float16':
    case 'bfloat16': {
      const v = bytes();
      return each(tensor.size, (i) => String(v.getUint16(i * 2, true)));
    }
    case 'float4e2m1':
      return each(tensor.size, (i) => String((bytes().getUint8(i >> 1) >> ((i & 1) * 4)) & 15));
    case 'float8e4m3fn':
    case 'float8e4m3fnuz':
    case 'float8e5m2':
    case 'float8e5m2fnuz':
    case 'float8e8m0': {
      const v = bytes();
      return each(tensor.size, (i) => String(v.getUint8(i)));
    }
    default:
      return tensor.ints().map(String);
  }
}

/** Shortest decimal that reads back as the same float32; always with a point or exponent, so that it stays a float. */
export function printFloat(x: number): string {
  for (let digits = 6; digits <= 9 && Number.isFinite(x); digits++) {
    const text = String(Number(x.toPrecision(digits)));
    if (Math.fround(Number(text)) === x) return x === 0 ? printDouble(x) : withPoint(text);
  }
  return printDouble(x);
}
function printDouble(x: number): string {
  if (Number.isNaN(x)) return 'nan';
  if (!Number.isFinite(x)) return x < 0 ? '-inf' : 'inf';
  return Object.is(x, -0) ? '-0.0' : withPoint(String(x));
}
const withPoint = (text: string): string => (/[.e]/.test(text) ? text : `${text}.0`);

/**
 * Seeded data that depend on the name alone, not on the order: floats normal × 0.5, integers −3..3 or 0..6 within the
 * type.
 */
export function randomTensor(dtype: DType, dims: readonly number[], seed: number, name: string, where: Where): Tensor {
  const rng = createRng(seed, name);
  const n = elementCount(dims);
  if (isFloat(dtype)) {
    const values = Float64Array.from({ length: n }, () => rng.normal() * 0.5);
    if (dtype === 'float32') return Tensor.f32(Float32Array.from(values), dims);
    if (dtype === 'float64') return new Tensor(dtype, dims, new Uint8Array(values.buffer));
    const single = new Uint32Array(Float32Array.from(values).buffer);
    // truncation is fine for made-up data
    const bits = Uint16Array.from(values, (x, i) => (dtype === 'float16' ? numberToFloat16(x) : single[i]! >>> 16));
    return new Tensor(dtype, dims, new Uint8Array(bits.buffer));
  }
  if (dtype === 'int64')
    return Tensor.i64(
      Array.from({ length: n }, () => rng.int(7) - 3),
      dims,
    );
  const [low, high] =
    dtype === 'bool'
      ? [0, 1]
      : (integerRange(dtype) ?? fail('GRAPH_TEXT', `no random ${dtype} data can be made for '${name}'`, where));
  const from = Math.max(low, -3);
  const span = Math.min(high, from + 6) - from + 1;
  return Tensor.codes(
    dtype,
    Array.from({ length: n }, () => from + rng.int(span)),
    dims,
  );
}
