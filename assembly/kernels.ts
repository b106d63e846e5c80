/** SIMD kernels of src/calibrate/kernels.ts, in AssemblyScript. Memory: four Uint32 histograms, then the values. */

/** Bytes of one histogram: 2 · 4096 bins of 4 bytes. */
const HISTOGRAM: usize = 32768;
const VALUES: usize = 4 * HISTOGRAM;

export function valuesAt(): usize {
  return VALUES;
}

/**
 * Counts `n` values (a multiple of 4; pad with zeros and subtract them) into bins floor(x · scale) + bins of 0..2·bins−1.
 * Each lane has a histogram of its own, so that runs of equal values do not wait for one counter; they are summed into the
 * first. Returns the number of exact zeros, which lie in bin `bins`.
 */
export function count(n: i32, scale: f32, bins: i32): i32 {
  memory.fill(0, 0, VALUES);
  const s = f32x4.splat(scale);
  const offset = i32x4.splat(bins);
  const last = i32x4.splat(2 * bins - 1);
  const none = f32x4.splat(0);
  const end = VALUES + ((<usize>n) << 2);
  let zeros = 0;
  for (let p = VALUES; p < end; p += 16) {
    const x = v128.load(p);
    zeros += popcnt(i32x4.bitmask(f32x4.eq(x, none)));
    let bin = i32x4.add(i32x4.trunc_sat_f32x4_s(f32x4.floor(f32x4.mul(x, s))), offset);
    bin = i32x4.shl(i32x4.max_s(i32x4.min_s(bin, last), i32x4.splat(0)), 2);
    const a = <usize>i32x4.extract_lane(bin, 0);
    const b = <usize>i32x4.extract_lane(bin, 1);
    const c = <usize>i32x4.extract_lane(bin, 2);
    const d = <usize>i32x4.extract_lane(bin, 3);
    store<u32>(a, load<u32>(a) + 1);
    store<u32>(b, load<u32>(b, HISTOGRAM) + 1, HISTOGRAM);
    store<u32>(c, load<u32>(c, 2 * HISTOGRAM) + 1, 2 * HISTOGRAM);
    store<u32>(d, load<u32>(d, 3 * HISTOGRAM) + 1, 3 * HISTOGRAM);
  }
  const used = (<usize>bins) << 3;
  for (let p: usize = 0; p < used; p += 16) {
    const left = i32x4.add(v128.load(p), v128.load(p, HISTOGRAM));
    v128.store(p, i32x4.add(left, i32x4.add(v128.load(p, 2 * HISTOGRAM), v128.load(p, 3 * HISTOGRAM))));
  }
  return zeros;
}

/** Extremes of `n` > 0 values (a multiple of 4) at 0 and 4 of memory. Returns 1 where all are finite. */
export function extent(n: i32): i32 {
  let low = v128.load(VALUES);
  let high = low;
  let bad = i32x4.splat(0);
  const end = VALUES + ((<usize>n) << 2);
  for (let p = VALUES; p < end; p += 16) {
    const x = v128.load(p);
    low = f32x4.pmin(low, x);
    high = f32x4.pmax(high, x);
    bad = v128.or(bad, f32x4.sub(x, x)); // +0 for finite numbers, NaN for NaN and infinity
  }
  let min = f32x4.extract_lane(low, 0);
  let max = f32x4.extract_lane(high, 0);
  min = Mathf.min(
    Mathf.min(min, f32x4.extract_lane(low, 1)),
    Mathf.min(f32x4.extract_lane(low, 2), f32x4.extract_lane(low, 3)),
  );
  max = Mathf.max(
    Mathf.max(max, f32x4.extract_lane(high, 1)),
    Mathf.max(f32x4.extract_lane(high, 2), f32x4.extract_lane(high, 3)),
  );
  store<f32>(0, min);
  store<f32>(4, max);
  return v128.any_true(bad) ? 0 : 1;
}
