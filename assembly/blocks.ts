/**
 * SIMD kernels of src/formats/block-kernels.ts, in AssemblyScript: float32 rows in blocks to extremes and packed codes.
 * Addresses are in bytes; memory is laid out by the caller.
 */

/** `n` float16 (a multiple of 4) to float32. */
export function half(from: usize, to: usize, n: i32): void {
  const end = to + ((<usize>n) << 2);
  const magic = f32x4.splat(reinterpret<f32>(0x77800000)); // 2^112: exponents of float16 begin 112 later
  const most = f32x4.splat(65536);
  for (; to < end; to += 16, from += 8) {
    const h = v128.load16x4_u(from);
    const sign = i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16);
    let x = f32x4.mul(i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13), magic);
    // infinity and NaN have the highest exponent
    x = v128.or(x, v128.and(f32x4.ge(x, most), i32x4.splat(0x7f800000)));
    v128.store(to, v128.or(x, sign));
  }
}

/** [columns, count] of 4 bytes to [count, columns]. */
export function turn32(from: usize, to: usize, columns: i32, count: i32): void {
  const line = (<usize>count) << 2;
  const wide = (<usize>columns) << 2;
  for (let c0 = 0; c0 < columns; c0 += 32) {
    const c1 = min(columns, c0 + 32);
    for (let r0 = 0; r0 < count; r0 += 32) {
      const r1 = min(count, r0 + 32);
      let r = r0;
      for (; r + 4 <= r1; r += 4) {
        let c = c0;
        for (; c + 4 <= c1; c += 4) {
          const source = from + <usize>c * line + ((<usize>r) << 2);
          const a = v128.load(source);
          const b = v128.load(source + line);
          const d = v128.load(source + 2 * line);
          const e = v128.load(source + 3 * line);
          const ab0 = i32x4.shuffle(a, b, 0, 4, 1, 5);
          const ab1 = i32x4.shuffle(a, b, 2, 6, 3, 7);
          const de0 = i32x4.shuffle(d, e, 0, 4, 1, 5);
          const de1 = i32x4.shuffle(d, e, 2, 6, 3, 7);
          const target = to + <usize>r * wide + ((<usize>c) << 2);
          v128.store(target, i64x2.shuffle(ab0, de0, 0, 2));
          v128.store(target + wide, i64x2.shuffle(ab0, de0, 1, 3));
          v128.store(target + 2 * wide, i64x2.shuffle(ab1, de1, 0, 2));
          v128.store(target + 3 * wide, i64x2.shuffle(ab1, de1, 1, 3));
        }
        for (; c < c1; c++)
          for (let k = 0; k < 4; k++)
            store<u32>(
              to + <usize>(r + k) * wide + ((<usize>c) << 2),
              load<u32>(from + <usize>c * line + ((<usize>(r + k)) << 2)),
            );
      }
      for (; r < r1; r++)
        for (let c = c0; c < c1; c++)
          store<u32>(to + <usize>r * wide + ((<usize>c) << 2), load<u32>(from + <usize>c * line + ((<usize>r) << 2)));
    }
  }
}

/** [columns, count] of 2 bytes to [count, columns]. */
export function turn16(from: usize, to: usize, columns: i32, count: i32): void {
  const line = (<usize>count) << 1;
  const wide = (<usize>columns) << 1;
  for (let c0 = 0; c0 < columns; c0 += 64) {
    const c1 = min(columns, c0 + 64);
    for (let r0 = 0; r0 < count; r0 += 64) {
      const r1 = min(count, r0 + 64);
      for (let r = r0; r < r1; r++) {
        let source = from + <usize>c0 * line + ((<usize>r) << 1);
        let target = to + <usize>r * wide + ((<usize>c0) << 1);
        for (let c = c0; c < c1; c++, source += line, target += 2) store<u16>(target, load<u16>(source));
      }
    }
  }
}

/** Extremes of the blocks of rows [rows, columns], float32 each; 0 where a value is not finite. */
export function extremes(from: usize, rows: i32, columns: i32, size: i32, low: usize, high: usize): i32 {
  let bad = f32x4.splat(0);
  let odd: f32 = 0;
  let p = from;
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < columns; k += size, low += 4, high += 4) {
      const n = min(size, columns - k);
      let least: f32 = Infinity;
      let most: f32 = -Infinity;
      const end = p + ((<usize>n) << 2);
      if (n >= 4) {
        let a = v128.load(p);
        let b = a;
        bad = v128.or(bad, f32x4.sub(a, a));
        for (p += 16; p + 16 <= end; p += 16) {
          const x = v128.load(p);
          a = f32x4.pmin(a, x);
          b = f32x4.pmax(b, x);
          bad = v128.or(bad, f32x4.sub(x, x));
        }
        a = f32x4.pmin(a, i32x4.shuffle(a, a, 2, 3, 0, 1));
        b = f32x4.pmax(b, i32x4.shuffle(b, b, 2, 3, 0, 1));
        least = min(f32x4.extract_lane(a, 0), f32x4.extract_lane(a, 1));
        most = max(f32x4.extract_lane(b, 0), f32x4.extract_lane(b, 1));
      }
      for (; p < end; p += 4) {
        const x = load<f32>(p);
        least = min(least, x);
        most = max(most, x);
        odd += x - x;
      }
      store<f32>(low, least);
      store<f32>(high, most);
    }
  }
  return v128.any_true(bad) || odd != 0 ? 0 : 1;
}

function codeOf(x: f32, s: f32, z: f32, low: f32, high: f32): u32 {
  return <u32>max(low, min(high, nearest(x / s) + z));
}

/**
 * Nearest codes of finite values, `bits` (2, 4 or 8) each, the first in the low bits; `scale` and `zero` are float32 by
 * block, codes, `low` and `high` unsigned. Rows take `rowBytes`; with `filled`, short blocks are filled up with zero
 * points. The room for codes must be zeros.
 */
export function pack(
  from: usize,
  rows: i32,
  columns: i32,
  size: i32,
  bits: i32,
  scale: usize,
  zero: usize,
  low: f32,
  high: f32,
  to: usize,
  rowBytes: i32,
  filled: i32,
): void {
  const lows = f32x4.splat(low);
  const highs = f32x4.splat(high);
  const blockBytes = (<usize>(size * bits)) >> 3;
  const places = i32x4(1, 4, 16, 64);
  let p = from;
  for (let r = 0; r < rows; r++, to += rowBytes) {
    let start = to;
    for (let k = 0; k < columns; k += size, scale += 4, zero += 4, start += blockBytes) {
      const n = min(size, columns - k);
      const s = load<f32>(scale);
      const z = load<f32>(zero);
      const ss = f32x4.splat(s);
      const zs = f32x4.splat(z);
      let i = 0;
      let at = start;
      if (bits == 4) {
        for (; i + 8 <= n; i += 8, at += 4) {
          const q = p + ((<usize>i) << 2);
          const a = i32x4.trunc_sat_f32x4_u(
            f32x4.pmax(lows, f32x4.pmin(highs, f32x4.add(f32x4.nearest(f32x4.div(v128.load(q), ss)), zs))),
          );
          const b = i32x4.trunc_sat_f32x4_u(
            f32x4.pmax(lows, f32x4.pmin(highs, f32x4.add(f32x4.nearest(f32x4.div(v128.load(q, 16), ss)), zs))),
          );
          const both = v128.or(i32x4.shuffle(a, b, 0, 2, 4, 6), i32x4.shl(i32x4.shuffle(a, b, 1, 3, 5, 7), 4));
          const words = i16x8.narrow_i32x4_u(both, both);
          store<u32>(at, i32x4.extract_lane(i8x16.narrow_i16x8_u(words, words), 0));
        }
      } else {
        for (; i + 4 <= n; i += 4) {
          const a = i32x4.trunc_sat_f32x4_u(
            f32x4.pmax(
              lows,
              f32x4.pmin(highs, f32x4.add(f32x4.nearest(f32x4.div(v128.load(p + ((<usize>i) << 2)), ss)), zs)),
            ),
          );
          if (bits == 8) {
            const words = i16x8.narrow_i32x4_u(a, a);
            store<u32>(at, i32x4.extract_lane(i8x16.narrow_i16x8_u(words, words), 0));
            at += 4;
          } else {
            const b = i32x4.mul(a, places);
            const c = i32x4.add(b, i32x4.shuffle(b, b, 2, 3, 0, 1));
            store<u8>(at, <u8>(i32x4.extract_lane(c, 0) + i32x4.extract_lane(c, 1)));
            at += 1;
          }
        }
      }
      for (; i < n; i++) {
        const bit = i * bits;
        const byte = start + ((<usize>bit) >> 3);
        const code = codeOf(load<f32>(p + ((<usize>i) << 2)), s, z, low, high);
        store<u8>(byte, <u8>(load<u8>(byte) | (code << (bit & 7))));
      }
      if (filled)
        for (; i < size; i++) {
          const bit = i * bits;
          const byte = start + ((<usize>bit) >> 3);
          store<u8>(byte, <u8>(load<u8>(byte) | ((<u32>z) << (bit & 7))));
        }
      p += (<usize>n) << 2;
    }
  }
}
