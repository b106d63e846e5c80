/**
 * Codes that use fewer bits than the fields a kernel reads them from: the file holds bit planes, put together from
 * constants and so once, when the model is loaded. Integer kernels then run on weights that take 2 to 6 bits in the
 * file.
 */
import { dtypeBits, dtypeCode } from '../ir/dtype.js';
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { planeWidths } from '../scheme/codings/matrix.js';
import type { QuantScheme } from '../scheme/types.js';

/** First opset with BitwiseAnd. */
export const NARROW_CODES_OPSET = 18;
/** About what the nodes of one plane take. */
const PLANE_BYTES = 320;

/**
 * Whether a weight's codes are stored in fewer bits than the 8 of their type. 7 bits, as half-range weights have, save
 * too little.
 */
export const isNarrow = ({ dtype, bits }: QuantScheme): boolean =>
  bits !== undefined && bits <= 6 && /^u?int8$/.test(dtype);

const planesBytes = (count: number, bits: number): number =>
  (count * bits) / 8 + PLANE_BYTES * planeWidths(bits).length;

/** Bytes that `count` codes take in the file, nodes included where they are narrow. */
export function codesBytes(scheme: QuantScheme, count: number): number {
  const whole = (count * dtypeBits(scheme.dtype)) / 8;
  return isNarrow(scheme) ? Math.min(whole, planesBytes(count, scheme.bits!)) : whole; // narrow schemes have bits
}

export interface Fields {
  /** Fields of `width` bits; each minus `base` fits into `bits` bits. */
  readonly bytes: Uint8Array;
  readonly dims: readonly number[];
  readonly width: number;
  readonly bits: number;
  readonly base: number;
  readonly name: string;
}

/** Writes into one graph; what several weights need is stored once. */
export class NarrowCodes {
  readonly #b: GraphBuilder;
  readonly #shared = new Map<string, Value>();
  constructor(b: GraphBuilder) {
    this.#b = b;
  }

  /**
   * Codes as a value of their type: of {@link isNarrow} schemes in planes where these are smaller, else a plain
   * constant.
   */
  codes(codes: Tensor, scheme: QuantScheme, name: string): Value {
    // narrow schemes have bits
    if (!isNarrow(scheme) || planesBytes(codes.size, scheme.bits!) >= codes.size) return this.#b.constant(codes, name);
    const used = scheme.bits!; // as above
    const signed = scheme.dtype === 'int8';
    // In two's complement −2^(bits−1) is the byte 256 − 2^(bits−1), and sums of bytes wrap around.
    const bytes = this.fields({
      bytes: codes.bytes(),
      dims: codes.dims,
      width: 8,
      bits: used,
      base: signed ? 256 - 2 ** (used - 1) : 0,
      name,
    });
    return signed ? this.#b.op('Cast', [bytes], { attrs: { to: dtypeCode('int8') }, name: 'codes' }) : bytes;
  }

  /**
   * The bytes, computed. A plane of digits of `w` bits lies in width ÷ w times fewer bytes: byte q of it holds digits
   * of bytes q, run + q, 2·run + q …, the first in the lowest bits of each field, so that one shift by several numbers
   * and one mask take them apart.
   */
  fields({ bytes, dims, width, bits, base, name }: Fields): Value {
    const repeat = (digit: number): number => {
      let byte = 0;
      for (let at = 0; at < 8; at += width) byte |= digit << at;
      return byte;
    };
    const op = (kind: string, inputs: readonly Value[], attrs = {}): Value =>
      this.#b.op(kind, inputs, { attrs, name: 'codes' });
    let low = 0;
    let sum: Value | undefined;
    for (const w of planeWidths(bits)) {
      const parts = width / w;
      const run = Math.ceil(bytes.length / parts);
      const mask = repeat(2 ** w - 1);
      const plane = new Uint8Array(run);
      for (let i = 0; i < bytes.length; i++)
        plane[i % run]! |= (((bytes[i]! - repeat(base)) >> low) & mask) << (Math.floor(i / run) * w);
      const stored = this.#b.constant(new Tensor('uint8', [1, run], plane), name);
      let digits = op('BitwiseAnd', [
        op(
          'BitShift',
          [
            stored,
            this.#numbers(
              Array.from({ length: parts }, (_, k) => k * w),
              [parts, 1],
            ),
          ],
          { direction: { type: 'string', value: 'RIGHT' } },
        ),
        this.#numbers([mask], []),
      ]);
      if (run * parts !== bytes.length)
        digits = op('Slice', [
          op('Reshape', [digits, this.#ints([-1])]),
          this.#ints([0]),
          this.#ints([bytes.length]),
          this.#ints([0]),
        ]);
      if (low > 0)
        digits = op('BitShift', [digits, this.#numbers([low], [])], { direction: { type: 'string', value: 'LEFT' } });
      const part = op('Reshape', [digits, this.#ints(dims)]);
      sum = sum ? op('Add', [sum, part]) : part;
      low += w;
    }
    return base === 0 ? sum! : op('Add', [sum!, this.#numbers([repeat(base)], [])]); // there is a plane
  }

  #numbers(values: readonly number[], dims: readonly number[]): Value {
    return this.#once(`uint8 ${dims.length} ${values.join(' ')}`, () => Tensor.codes('uint8', values, dims));
  }
  #ints(values: readonly number[]): Value {
    return this.#once(`int64 ${values.join(' ')}`, () => Tensor.i64(values));
  }
  #once(key: string, make: () => Tensor): Value {
    const known = this.#shared.get(key) ?? this.#b.constant(make(), 'n');
    this.#shared.set(key, known);
    return known;
  }
}
