/** Counting and scanning of float32 values: WebAssembly SIMD, or the same in plain JS where it has not been built. */
import { existsSync, readFileSync } from 'node:fs';
import { exportsOf } from '../base/wasm.js';

export interface Kernels {
  readonly name: 'wasm' | 'js';
  /**
   * Adds the finite values [start, end) to `counts` [2 · bins] from `at`: x lies in bin floor(x · scale) + bins,
   * clamped to the ends. Exact zeros are not counted but returned. `scale` is a power of two, so no value is rounded
   * into a neighbouring bin.
   */
  count(
    values: Float32Array,
    start: number,
    end: number,
    scale: number,
    bins: number,
    counts: Float64Array,
    at: number,
  ): number;
  /**
   * Extremes of [start, end) and whether all are finite. Where they are not, the extremes mean nothing. Empty:
   * Infinity, −Infinity.
   */
  extent(
    values: Float32Array,
    start: number,
    end: number,
  ): { readonly min: number; readonly max: number; readonly finite: boolean };
}

/** Values copied into WebAssembly memory at a time: 256 KiB stay in the second-level cache. */
const CHUNK = 65536;
/** Below this many values plain JS is faster than clearing and adding up the histograms of the lanes. */
const WORTH_A_CALL = 8192;
const { fround } = Math;

export const plainKernels = {
  name: 'js',
  count(values, start, end, scale, bins, counts, at) {
    let zeros = 0;
    const last = 2 * bins - 1;
    for (let i = start; i < end; i++) {
      const x = values[i]!;
      if (x === 0) {
        zeros++;
        continue;
      }
      let bin = Math.floor(fround(x * scale)) + bins;
      if (bin > last) bin = last;
      else if (bin < 0) bin = 0;
      counts[at + bin]!++;
    }
    return zeros;
  },
  extent(values, start, end) {
    let min = Infinity;
    let max = -Infinity;
    let probe = 0;
    for (let i = start; i < end; i++) {
      const x = values[i]!;
      if (x < min) min = x;
      if (x > max) max = x;
      probe += x - x;
    }
    return { min, max, finite: probe === 0 };
  },
} as const satisfies Kernels;

let loaded: Kernels | undefined;
/** The fastest kernels there are; compiled on first use. */
export function kernels(): Kernels {
  if (!loaded) {
    const file = new URL('../../dist/kernels.wasm', import.meta.url);
    loaded = existsSync(file) ? wasmKernels(readFileSync(file)) : plainKernels;
  }
  return loaded;
}

/** What assembly/kernels.ts exports. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  valuesAt(): number;
  count(n: number, scale: number, bins: number): number;
  extent(n: number): number;
}

/** Kernels of a compiled module. One call at a time uses its memory; none of them waits in between. */
export function wasmKernels(module: Uint8Array): Kernels {
  const exports = exportsOf(module) as Exports; // the module is built from assembly/kernels.ts
  const input = new Float32Array(exports.memory.buffer, exports.valuesAt(), CHUNK);
  const counted = new Uint32Array(exports.memory.buffer, 0, 8192);
  const extremes = new Float32Array(exports.memory.buffer, 0, 2);
  /** Copies a chunk in and fills it up to a multiple of 4. Returns how many values there are now. */
  const load = (values: Float32Array, from: number, to: number, fill: number): number => {
    const n = to - from;
    input.set(values.subarray(from, to));
    const padded = (n + 3) & ~3;
    for (let i = n; i < padded; i++) input[i] = fill;
    return padded;
  };
  return {
    name: 'wasm',
    count(values, start, end, scale, bins, counts, at) {
      if (end - start < WORTH_A_CALL) return plainKernels.count(values, start, end, scale, bins, counts, at);
      let zeros = 0;
      for (let from = start; from < end; from += CHUNK) {
        const to = Math.min(end, from + CHUNK);
        const n = load(values, from, to, 0);
        const here = exports.count(n, scale, bins);
        for (let b = 0; b < 2 * bins; b++) counts[at + b]! += counted[b]!;
        counts[at + bins]! -= here;
        zeros += here - (n - (to - from));
      }
      return zeros;
    },
    extent(values, start, end) {
      if (end - start < 1024) return plainKernels.extent(values, start, end);
      let min = Infinity;
      let max = -Infinity;
      let finite = true;
      for (let from = start; from < end; from += CHUNK) {
        const to = Math.min(end, from + CHUNK);
        if (!exports.extent(load(values, from, to, values[from]!))) finite = false;
        if (extremes[0]! < min) min = extremes[0]!;
        if (extremes[1]! > max) max = extremes[1]!;
      }
      return { min, max, finite };
    },
  };
}
