/**
 * Inner loops of layer-wise quantization on float64: WebAssembly SIMD, or the same in plain JS where that is missing.
 * Both give the same bytes.
 */
import { existsSync, readFileSync } from 'node:fs';
import { exportsOf, sharedMemory, type WasmMemory } from '../base/wasm.js';
import { MAGIC } from '../scheme/rounding.js';

/**
 * Matrices are row-major; `at` is where in an array something begins. Arrays should come from {@link
 * LinearKernels.arrays}: for others the plain loops run.
 */
export interface LinearKernels {
  readonly name: 'wasm' | 'js';
  /** What threads may share: arrays of it are the kernels' own in all of them. Plain loops have none. */
  readonly memory?: WasmMemory;
  /** Arrays of zeros, valid until the next call. They share memory that grows to the largest call's and stays. */
  arrays(...sizes: readonly number[]): Float64Array[];
  /** From here on arrays come from between two places of the memory, in bytes; where they do not fit they are plain. */
  within(from: number, to: number): void;
  /**
   * out[outAt + r] = Σ_k line[lineAt + k]·rows[rowsAt + r·stride + k] over k < n, for r < count: four sums by k mod 4,
   * what is left over goes to the first.
   */
  dots(
    line: Float64Array,
    lineAt: number,
    rows: Float64Array,
    rowsAt: number,
    stride: number,
    count: number,
    n: number,
    out: Float64Array,
    outAt: number,
  ): void;
  /** a[aAt + k] += by·b[bAt + k]. */
  addScaled(a: Float64Array, aAt: number, by: number, b: Float64Array, bAt: number, n: number): void;
  /**
   * rows[rowsAt + r·stride + k] += Σ_m by[r·byStride + m]·b[lines[m] + k] over m < lines.length in order, for r < count
   * and k < n. `lines` holds where lines begin.
   */
  addLines(
    rows: Float64Array,
    rowsAt: number,
    stride: number,
    count: number,
    by: Float64Array,
    byStride: number,
    b: Float64Array,
    lines: ArrayLike<number>,
    n: number,
  ): void;
  /**
   * Rounds `n` values on `steps` scales, start·(1 − s/steps·(1 − narrowest)), with each zero point from…to. The number
   * of the best try, s·(to − from + 1) + zero − from, by Σ weight·error²; the first of equals. `scratch` holds `n`
   * numbers.
   */
  search(values: Float64Array, weights: Float64Array, n: number, scratch: Float64Array, tries: ScaleTries): number;
  /** Walsh–Hadamard transform over runs of `m` neighbours, not scaled. `v` is m·2^k long. */
  hadamard(v: Float64Array, m: number): void;
}
export interface ScaleTries {
  readonly start: number;
  readonly narrowest: number;
  readonly steps: number;
  readonly from: number;
  readonly to: number;
  readonly low: number;
  readonly high: number;
}

/** Σ a[i + k]·b[j + k] over k < n, in four sums so that additions do not wait for each other. */
export function dot(a: Float64Array, i: number, b: Float64Array, j: number, n: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  const whole = n - (n % 4);
  let k = 0;
  for (; k < whole; k += 4) {
    s0 += a[i + k]! * b[j + k]!;
    s1 += a[i + k + 1]! * b[j + k + 1]!;
    s2 += a[i + k + 2]! * b[j + k + 2]!;
    s3 += a[i + k + 3]! * b[j + k + 3]!;
  }
  for (; k < n; k++) s0 += a[i + k]! * b[j + k]!;
  return s0 + s1 + (s2 + s3);
}

export const plainLinear = {
  name: 'js',
  arrays: (...sizes) => sizes.map((n) => new Float64Array(n)),
  within: () => undefined,
  dots(line, lineAt, rows, rowsAt, stride, count, n, out, outAt) {
    for (let r = 0; r < count; r++) out[outAt + r] = dot(line, lineAt, rows, rowsAt + r * stride, n);
  },
  addScaled(a, aAt, by, b, bAt, n) {
    for (let k = 0; k < n; k++) a[aAt + k]! += by * b[bAt + k]!;
  },
  addLines(rows, rowsAt, stride, count, by, byStride, b, lines, n) {
    for (let r = 0; r < count; r++) {
      const at = rowsAt + r * stride;
      let m = 0;
      for (; m + 3 < lines.length; m += 4) {
        // four lines at a time, so that the row is read and written once for all four
        const [b0, b1, b2, b3] = [
          by[r * byStride + m]!,
          by[r * byStride + m + 1]!,
          by[r * byStride + m + 2]!,
          by[r * byStride + m + 3]!,
        ];
        const [l0, l1, l2, l3] = [lines[m]!, lines[m + 1]!, lines[m + 2]!, lines[m + 3]!];
        for (let k = 0; k < n; k++)
          rows[at + k] = rows[at + k]! + b0 * b[l0 + k]! + b1 * b[l1 + k]! + b2 * b[l2 + k]! + b3 * b[l3 + k]!;
      }
      for (; m < lines.length; m++) plainLinear.addScaled(rows, at, by[r * byStride + m]!, b, lines[m]!, n);
    }
  },
  search(values, weights, n, scratch, { start, narrowest, steps, from, to, low, high }) {
    let least = Infinity;
    let best = 0;
    for (let s = 0; s < steps; s++) {
      const scale = start * (1 - ((1 - narrowest) * s) / steps);
      for (let i = 0; i < n; i++) scratch[i] = values[i]! / scale + MAGIC - MAGIC;
      for (let z = from; z <= to; z++) {
        const error = errorOf(values, weights, n, scratch, scale, low - z, high - z);
        if (error < least) {
          least = error;
          best = s * (to - from + 1) + z - from;
        }
      }
    }
    return best;
  },
  hadamard(v, m) {
    for (let half = m; half < v.length; half *= 2) {
      for (let from = 0; from < v.length; from += 2 * half) {
        for (let i = from; i < from + half; i++) {
          const a = v[i]!;
          const b = v[i + half]!;
          v[i] = a + b;
          v[i + half] = a - b;
        }
      }
    }
  },
} as const satisfies LinearKernels;

/** Σ weight·(value − q·scale)² with q clamped to bottom…top, in two sums by i mod 2. */
function errorOf(
  values: Float64Array,
  weights: Float64Array,
  n: number,
  rounded: Float64Array,
  scale: number,
  bottom: number,
  top: number,
): number {
  const at = (i: number): number => {
    const q = rounded[i]!;
    const e = values[i]! - (q > top ? top : q < bottom ? bottom : q) * scale;
    return weights[i]! * e * e;
  };
  let s0 = 0;
  let s1 = 0;
  let i = 0;
  for (; i + 1 < n; i += 2) {
    s0 += at(i);
    s1 += at(i + 1);
  }
  if (i < n) s0 += at(i);
  return s0 + s1;
}

let loaded: LinearKernels | undefined;
/** The fastest kernels there are; compiled on first use. */
export function linearKernels(): LinearKernels {
  return (loaded ??= load());
}
/** Kernels with new memory, for what has grown stays: that of those before goes with who still holds them. */
export function freshKernels(): LinearKernels {
  return (loaded = load());
}
/** Lets the kernels of a thread work in the memory of another's. */
export function shareMemory(memory: WasmMemory): void {
  loaded = load(memory);
}

function load(memory?: WasmMemory): LinearKernels {
  const file = new URL('../../dist/linear.wasm', import.meta.url);
  try {
    return existsSync(file) ? wasmLinear(readFileSync(file), memory) : plainLinear;
  } catch {
    return plainLinear;
  } // an engine without SIMD refuses the module
}

/** What assembly/linear.ts exports. Addresses are in bytes. */
interface Exports {
  dots(line: number, rows: number, stride: number, count: number, n: number, out: number): void;
  addScaled(a: number, by: number, b: number, n: number): void;
  addFour(
    rows: number,
    stride: number,
    count: number,
    by: number,
    byStride: number,
    l0: number,
    l1: number,
    l2: number,
    l3: number,
    n: number,
  ): void;
  search(
    values: number,
    weights: number,
    n: number,
    scratch: number,
    start: number,
    narrowest: number,
    steps: number,
    from: number,
    to: number,
    low: number,
    high: number,
  ): number;
  hadamard(v: number, n: number, m: number): void;
}

const PAGE = 65536;
/** Addresses of WebAssembly reach 4 GiB. Beyond, arrays are plain ones. */
const MOST_BYTES = 2 ** 32 - PAGE;

/** Kernels of a compiled module. One call at a time uses its range of the memory; none of them waits in between. */
export function wasmLinear(module: Uint8Array, memory = sharedMemory(MOST_BYTES / PAGE)): LinearKernels {
  const exports = exportsOf(module, memory) as Exports; // the module is built from assembly/linear.ts
  let [start, limit] = [0, MOST_BYTES];
  let known = memory.buffer;
  const all = new WeakSet<ArrayBufferLike>([known]);
  /** Whether an array lies in the memory; what shared memory was before it grew is still the same memory. */
  const owns = ({ buffer }: Float64Array): boolean => {
    if (buffer === known) return true;
    if (known !== memory.buffer) all.add((known = memory.buffer));
    return all.has(buffer);
  };
  return {
    name: 'wasm',
    memory,
    within(from, to) {
      [start, limit] = [from, Math.min(to, MOST_BYTES)];
    },
    arrays(...sizes) {
      const end = start + 8 * sizes.reduce((sum, n) => sum + n + (n % 2), 0); // each begins at a multiple of 16
      if (end > limit) return plainLinear.arrays(...sizes);
      if (end > memory.buffer.byteLength) {
        try {
          memory.grow(Math.ceil((end - memory.buffer.byteLength) / PAGE));
        } catch {
          return plainLinear.arrays(...sizes);
        } // no room for it in one piece
      }
      let at = start;
      return sizes.map((n) => {
        const array = new Float64Array(memory.buffer, at, n).fill(0);
        at += 8 * (n + (n % 2));
        return array;
      });
    },
    dots(line, lineAt, rows, rowsAt, stride, count, n, out, outAt) {
      if (!owns(line) || !owns(rows) || !owns(out))
        plainLinear.dots(line, lineAt, rows, rowsAt, stride, count, n, out, outAt);
      else
        exports.dots(
          line.byteOffset + 8 * lineAt,
          rows.byteOffset + 8 * rowsAt,
          stride,
          count,
          n,
          out.byteOffset + 8 * outAt,
        );
    },
    addScaled(a, aAt, by, b, bAt, n) {
      if (!owns(a) || !owns(b)) plainLinear.addScaled(a, aAt, by, b, bAt, n);
      else exports.addScaled(a.byteOffset + 8 * aAt, by, b.byteOffset + 8 * bAt, n);
    },
    addLines(rows, rowsAt, stride, count, by, byStride, b, lines, n) {
      if (!owns(rows) || !owns(by) || !owns(b)) {
        plainLinear.addLines(rows, rowsAt, stride, count, by, byStride, b, lines, n);
        return;
      }
      const line = (m: number): number => b.byteOffset + 8 * lines[m]!; // m < lines.length
      const to = rows.byteOffset + 8 * rowsAt;
      let m = 0;
      for (; m + 3 < lines.length; m += 4)
        exports.addFour(
          to,
          stride,
          count,
          by.byteOffset + 8 * m,
          byStride,
          line(m),
          line(m + 1),
          line(m + 2),
          line(m + 3),
          n,
        );
      for (; m < lines.length; m++)
        for (let r = 0; r < count; r++) exports.addScaled(to + 8 * r * stride, by[r * byStride + m]!, line(m), n);
    },
    search(values, weights, n, scratch, tries) {
      if (!owns(values) || !owns(weights) || !owns(scratch))
        return plainLinear.search(values, weights, n, scratch, tries);
      const { start, narrowest, steps, from, to, low, high } = tries;
      return exports.search(
        values.byteOffset,
        weights.byteOffset,
        n,
        scratch.byteOffset,
        start,
        narrowest,
        steps,
        from,
        to,
        low,
        high,
      );
    },
    hadamard(v, m) {
      if (!owns(v)) plainLinear.hadamard(v, m);
      else exports.hadamard(v.byteOffset, v.length, m);
    },
  };
}
