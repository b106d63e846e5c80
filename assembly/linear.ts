/** SIMD kernels of src/adjust/linear-kernels.ts, in AssemblyScript. Every sum has the order of its plain twin there. Addresses are in bytes. */

/** Σ a[k]·b[k] in four sums by k mod 4; what is left over goes to the first. */
function dot(a: usize, b: usize, n: i32): f64 {
  let s = f64x2.splat(0);
  let t = s;
  const whole = a + ((<usize>(n & ~3)) << 3);
  const end = a + ((<usize>n) << 3);
  for (; a < whole; a += 32, b += 32) {
    s = f64x2.add(s, f64x2.mul(v128.load(a), v128.load(b)));
    t = f64x2.add(t, f64x2.mul(v128.load(a, 16), v128.load(b, 16)));
  }
  let first = f64x2.extract_lane(s, 0);
  for (; a < end; a += 8, b += 8) first += load<f64>(a) * load<f64>(b);
  return first + f64x2.extract_lane(s, 1) + (f64x2.extract_lane(t, 0) + f64x2.extract_lane(t, 1));
}

/** out[r] = Σ line[k]·rows[r·stride + k] for `count` rows of `n` numbers. Four rows share each load of the line. */
export function dots(line: usize, rows: usize, stride: i32, count: i32, n: i32, out: usize): void {
  const step = (<usize>stride) << 3;
  const whole = line + ((<usize>(n & ~3)) << 3);
  const end = line + ((<usize>n) << 3);
  let r = 0;
  for (; r + 3 < count; r += 4, rows += 4 * step, out += 32) {
    let a = line;
    let b = rows;
    let c = b + step;
    let d = c + step;
    let e = d + step;
    let s0 = f64x2.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let t0 = s0;
    let t1 = s0;
    let t2 = s0;
    let t3 = s0;
    for (; a < whole; a += 32, b += 32, c += 32, d += 32, e += 32) {
      const x = v128.load(a);
      const y = v128.load(a, 16);
      s0 = f64x2.add(s0, f64x2.mul(x, v128.load(b)));
      t0 = f64x2.add(t0, f64x2.mul(y, v128.load(b, 16)));
      s1 = f64x2.add(s1, f64x2.mul(x, v128.load(c)));
      t1 = f64x2.add(t1, f64x2.mul(y, v128.load(c, 16)));
      s2 = f64x2.add(s2, f64x2.mul(x, v128.load(d)));
      t2 = f64x2.add(t2, f64x2.mul(y, v128.load(d, 16)));
      s3 = f64x2.add(s3, f64x2.mul(x, v128.load(e)));
      t3 = f64x2.add(t3, f64x2.mul(y, v128.load(e, 16)));
    }
    let f0 = f64x2.extract_lane(s0, 0);
    let f1 = f64x2.extract_lane(s1, 0);
    let f2 = f64x2.extract_lane(s2, 0);
    let f3 = f64x2.extract_lane(s3, 0);
    for (; a < end; a += 8, b += 8, c += 8, d += 8, e += 8) {
      const x = load<f64>(a);
      f0 += x * load<f64>(b);
      f1 += x * load<f64>(c);
      f2 += x * load<f64>(d);
      f3 += x * load<f64>(e);
    }
    store<f64>(out, f0 + f64x2.extract_lane(s0, 1) + (f64x2.extract_lane(t0, 0) + f64x2.extract_lane(t0, 1)));
    store<f64>(out, f1 + f64x2.extract_lane(s1, 1) + (f64x2.extract_lane(t1, 0) + f64x2.extract_lane(t1, 1)), 8);
    store<f64>(out, f2 + f64x2.extract_lane(s2, 1) + (f64x2.extract_lane(t2, 0) + f64x2.extract_lane(t2, 1)), 16);
    store<f64>(out, f3 + f64x2.extract_lane(s3, 1) + (f64x2.extract_lane(t3, 0) + f64x2.extract_lane(t3, 1)), 24);
  }
  for (; r < count; r++, rows += step, out += 8) store<f64>(out, dot(line, rows, n));
}

/** a[k] += by·b[k]. */
export function addScaled(a: usize, by: f64, b: usize, n: i32): void {
  const s = f64x2.splat(by);
  const end = a + ((<usize>n) << 3);
  const whole = a + ((<usize>(n & ~3)) << 3);
  for (; a < whole; a += 32, b += 32) {
    v128.store(a, f64x2.add(v128.load(a), f64x2.mul(s, v128.load(b))));
    v128.store(a, f64x2.add(v128.load(a, 16), f64x2.mul(s, v128.load(b, 16))), 16);
  }
  for (; a < end; a += 8, b += 8) store<f64>(a, load<f64>(a) + by * load<f64>(b));
}

/** rows[r·stride + k] += by[r·byStride]·l0[k], then + by[r·byStride + 1]·l1[k] and so on with l2 and l3. Two rows share each load of the lines. */
export function addFour(
  rows: usize,
  stride: i32,
  count: i32,
  by: usize,
  byStride: i32,
  l0: usize,
  l1: usize,
  l2: usize,
  l3: usize,
  n: i32,
): void {
  const step = (<usize>stride) << 3;
  const byStep = (<usize>byStride) << 3;
  const whole = (<usize>(n & ~1)) << 3;
  let r = 0;
  for (; r + 1 < count; r += 2, rows += 2 * step, by += 2 * byStep) {
    const second = rows + step;
    const a0 = f64x2.splat(load<f64>(by));
    const a1 = f64x2.splat(load<f64>(by, 8));
    const a2 = f64x2.splat(load<f64>(by, 16));
    const a3 = f64x2.splat(load<f64>(by, 24));
    const b0 = f64x2.splat(load<f64>(by + byStep));
    const b1 = f64x2.splat(load<f64>(by + byStep, 8));
    const b2 = f64x2.splat(load<f64>(by + byStep, 16));
    const b3 = f64x2.splat(load<f64>(by + byStep, 24));
    for (let k: usize = 0; k < whole; k += 16) {
      const x0 = v128.load(l0 + k);
      const x1 = v128.load(l1 + k);
      const x2 = v128.load(l2 + k);
      const x3 = v128.load(l3 + k);
      v128.store(
        rows + k,
        f64x2.add(
          f64x2.add(f64x2.add(f64x2.add(v128.load(rows + k), f64x2.mul(a0, x0)), f64x2.mul(a1, x1)), f64x2.mul(a2, x2)),
          f64x2.mul(a3, x3),
        ),
      );
      v128.store(
        second + k,
        f64x2.add(
          f64x2.add(
            f64x2.add(f64x2.add(v128.load(second + k), f64x2.mul(b0, x0)), f64x2.mul(b1, x1)),
            f64x2.mul(b2, x2),
          ),
          f64x2.mul(b3, x3),
        ),
      );
    }
    if (n & 1) {
      addLast(rows + whole, by, l0 + whole, l1 + whole, l2 + whole, l3 + whole);
      addLast(second + whole, by + byStep, l0 + whole, l1 + whole, l2 + whole, l3 + whole);
    }
  }
  if (r < count) {
    const a0 = f64x2.splat(load<f64>(by));
    const a1 = f64x2.splat(load<f64>(by, 8));
    const a2 = f64x2.splat(load<f64>(by, 16));
    const a3 = f64x2.splat(load<f64>(by, 24));
    for (let k: usize = 0; k < whole; k += 16)
      v128.store(
        rows + k,
        f64x2.add(
          f64x2.add(
            f64x2.add(
              f64x2.add(v128.load(rows + k), f64x2.mul(a0, v128.load(l0 + k))),
              f64x2.mul(a1, v128.load(l1 + k)),
            ),
            f64x2.mul(a2, v128.load(l2 + k)),
          ),
          f64x2.mul(a3, v128.load(l3 + k)),
        ),
      );
    if (n & 1) addLast(rows + whole, by, l0 + whole, l1 + whole, l2 + whole, l3 + whole);
  }
}
function addLast(to: usize, by: usize, l0: usize, l1: usize, l2: usize, l3: usize): void {
  store<f64>(
    to,
    load<f64>(to) +
      load<f64>(by) * load<f64>(l0) +
      load<f64>(by, 8) * load<f64>(l1) +
      load<f64>(by, 16) * load<f64>(l2) +
      load<f64>(by, 24) * load<f64>(l3),
  );
}

/** Adding and taking away 1.5·2⁵² rounds half to even. */
const MAGIC: f64 = 6755399441055744;

/**
 * Rounds `n` values on `steps` scales, start·(1 − s/steps·(1 − narrowest)), with each zero point `from`…`to`. Gives the number of the best
 * try, s·(to − from + 1) + zero − from, by Σ weight·error² in two sums by i mod 2; the first of equals. `scratch` holds `n` numbers.
 */
export function search(
  values: usize,
  weights: usize,
  n: i32,
  scratch: usize,
  start: f64,
  narrowest: f64,
  steps: i32,
  from: i32,
  to: i32,
  low: i32,
  high: i32,
): i32 {
  const bytes = (<usize>n) << 3;
  const whole = (<usize>(n & ~1)) << 3;
  const magic = f64x2.splat(MAGIC);
  let least = Infinity;
  let best = 0;
  for (let s = 0; s < steps; s++) {
    const scale = start * (1.0 - ((1.0 - narrowest) * <f64>s) / <f64>steps);
    const scales = f64x2.splat(scale);
    for (let k: usize = 0; k < whole; k += 16)
      v128.store(scratch + k, f64x2.sub(f64x2.add(f64x2.div(v128.load(values + k), scales), magic), magic));
    if (whole < bytes) store<f64>(scratch + whole, load<f64>(values + whole) / scale + MAGIC - MAGIC);
    for (let z = from; z <= to; z++) {
      const bottom = f64x2.splat(<f64>(low - z));
      const top = f64x2.splat(<f64>(high - z));
      let sum = f64x2.splat(0);
      for (let k: usize = 0; k < whole; k += 16) {
        const q = f64x2.pmax(f64x2.pmin(v128.load(scratch + k), top), bottom);
        const e = f64x2.sub(v128.load(values + k), f64x2.mul(q, scales));
        sum = f64x2.add(sum, f64x2.mul(f64x2.mul(v128.load(weights + k), e), e));
      }
      let first = f64x2.extract_lane(sum, 0);
      if (whole < bytes) {
        const q = max(min(load<f64>(scratch + whole), <f64>(high - z)), <f64>(low - z));
        const e = load<f64>(values + whole) - q * scale;
        first += load<f64>(weights + whole) * e * e;
      }
      const error = first + f64x2.extract_lane(sum, 1);
      if (error < least) {
        least = error;
        best = s * (to - from + 1) + z - from;
      }
    }
  }
  return best;
}

/** Walsh–Hadamard transform of `n` numbers over runs of `m`, not scaled: butterflies of runs `half` = m, 2m, … apart. */
export function hadamard(v: usize, n: i32, m: i32): void {
  const end = v + ((<usize>n) << 3);
  for (let half = m; half < n; half *= 2) {
    const width = (<usize>half) << 3;
    const whole = (<usize>(half & ~1)) << 3;
    for (let from = v; from < end; from += 2 * width) {
      for (let k: usize = 0; k < whole; k += 16) {
        const a = v128.load(from + k);
        const b = v128.load(from + width + k);
        v128.store(from + k, f64x2.add(a, b));
        v128.store(from + width + k, f64x2.sub(a, b));
      }
      if (whole < width) {
        const a = load<f64>(from + whole);
        const b = load<f64>(from + width + whole);
        store<f64>(from + whole, a + b);
        store<f64>(from + width + whole, a - b);
      }
    }
  }
}
