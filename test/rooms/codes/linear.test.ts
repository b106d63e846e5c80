/**
 * The WebAssembly kernels against their plain twins, bit for bit, over seeds and sizes; skipped where they have not
 * been built.
 */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { solveWith } from '../../../src/codes/gptq.js';
import type { RowsProblem } from '../../../src/channels/layer.js';
import { searchGrid } from '../../../src/codes/search.js';
import { plainLinear, wasmLinear, type LinearKernels } from '../../../src/codes/linear-kernels.js';
import { factorReverse, reverseCholesky, solveReverse } from '../../../src/codes/linear.js';
import { createRng } from '../../../src/base/rng.js';

const file = new URL('../../../dist/linear.wasm', import.meta.url);
const SIZES = [1, 2, 3, 7, 16, 33, 128, 385];
/** The bytes of numbers, so that −0, 0 and NaN are told apart. */
const bits = (a: Float64Array): string => Buffer.from(a.slice().buffer).toString('latin1');
const farthest = (a: Float64Array, of: (i: number) => number): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - of(i))), 0);
const finite = (a: Float64Array): boolean => a.every(Number.isFinite);

/** Arrays of the kernels' that hold given numbers. */
function held(kernels: LinearKernels, ...values: Float64Array[]): Float64Array[] {
  return kernels.arrays(...values.map((v) => v.length)).map((a, i) => {
    a.set(values[i]!);
    return a;
  });
}
function random(seed: number): (n: number) => Float64Array {
  const rng = createRng(seed);
  return (n) => Float64Array.from({ length: n }, () => rng.normal());
}
/** XᵀX of `samples` random vectors of `k` numbers, and `more` on the diagonal: singular where both are few. */
function gram(k: number, samples: number, more: number, seed: number): Float64Array {
  const next = random(seed);
  const h = new Float64Array(k * k);
  for (let s = 0; s < samples; s++) {
    const x = next(k);
    for (let i = 0; i < k; i++) plainLinear.addScaled(h, i * k, x[i]!, x, 0, k);
  }
  for (let i = 0; i < k; i++) h[i * k + i]! += more;
  return h;
}

describe.skipIf(!existsSync(file))(
  'linear algebra in WebAssembly gives the bytes of plain JS (skipped where it is not built)',
  () => {
    const wasm = wasmLinear(readFileSync(file));
    const same = (of: (kernels: LinearKernels) => Float64Array): Float64Array => {
      const [a, b] = [of(plainLinear), of(wasm)];
      expect(bits(b) === bits(a)).toBe(true);
      return b.slice();
    };

    it.each(SIZES)('dots, sums of lines and transforms of %i numbers', (n) => {
      for (const count of [1, 2, 3, 4, 5, 16]) {
        const next = random(n * 31 + count);
        const [rows, lines, by] = [next(count * n), next(9 * n), next(count * 9)];
        const first = (kernels: LinearKernels): Float64Array[] =>
          held(kernels, rows, lines, by, new Float64Array(count));
        const sums = same((kernels) => {
          const [r, l, , out] = first(kernels);
          kernels.dots(l!, 2 * n, r!, 0, n, count, n, out!, 0);
          return out!;
        });
        expect(
          farthest(sums, (r) =>
            rows.subarray(r * n, (r + 1) * n).reduce((sum, x, k) => sum + x * lines[2 * n + k]!, 0),
          ),
        ).toBeLessThan(1e-9);
        same((kernels) => {
          const [r, l, b] = first(kernels);
          kernels.addScaled(r!, 0, b![0]!, l!, n, n);
          return r!;
        });
        for (const which of [[8], [1, 0, 3, 2], [7, 6, 5, 4, 3, 2, 1, 0, 8]]) {
          const added = same((kernels) => {
            const [r, l, b] = first(kernels);
            kernels.addLines(
              r!,
              0,
              n,
              count,
              b!,
              9,
              l!,
              which.map((m) => m * n),
              n,
            );
            return r!;
          });
          expect(
            farthest(
              added,
              (at) =>
                rows[at]! +
                which.reduce((sum, line, m) => sum + by[Math.floor(at / n) * 9 + m]! * lines[line * n + (at % n)]!, 0),
            ),
          ).toBeLessThan(1e-9);
        }
      }
      for (const doublings of [0, 1, 4]) {
        const v = random(n)(n * 2 ** doublings);
        const once = same((kernels) => {
          const [a] = held(kernels, v);
          kernels.hadamard(a!, n);
          return a!;
        });
        const [twice] = held(wasm, once);
        wasm.hadamard(twice!, n);
        expect(farthest(twice!, (i) => v[i]! * 2 ** doublings)).toBeLessThan(1e-9); // its own inverse but for a factor
      }
    });

    it.each(SIZES)('factors and solutions of matrices of %i, also singular ones', (n) => {
      for (const [samples, more] of [
        [40, 1],
        [Math.min(40, Math.ceil(n / 2)), 0],
        [0, 0],
      ] as const) {
        const h = gram(n, samples, more, n + samples);
        const l = same((kernels) => reverseCholesky(h, n, kernels));
        expect(finite(l)).toBe(true);
        if (!more) continue; // solutions of singular systems are huge, not wrong
        for (const count of [1, 5, 16]) {
          const right = random(n + count)(count * n);
          const x = same((kernels) => {
            const [a, rows, room] = held(kernels, l, right, new Float64Array(256));
            solveReverse(a!, n, rows!, count, room!, kernels);
            return rows!;
          });
          expect(finite(x)).toBe(true);
        }
      }
    });

    it.each(SIZES)('the best of tried scales for %i numbers', (n) => {
      for (const [low, high, from, to] of [
        [0, 15, 6, 8],
        [-8, 7, 0, 0],
        [0, 3, 0, 3],
      ] as const) {
        const next = random(n + high);
        const [values, weights] = [next(n), next(n).map(Math.abs)];
        same((kernels) => {
          const [v, w, scratch] = held(kernels, values, weights, new Float64Array(n));
          return Float64Array.of(
            kernels.search(v!, w!, n, scratch!, {
              start: 3 / (high - low),
              narrowest: 0.2,
              steps: 40,
              from,
              to,
              low,
              high,
            }),
          );
        });
      }
    });

    it.each([
      [1, 3],
      [5, 7],
      [17, 33],
      [20, 128],
      [3, 385],
    ])('the codes of GPTQ for %i rows of %i columns', (rows, columns) => {
      for (const block of [columns, 16]) {
        const p = problemOf(rows, columns, block, rows + columns);
        for (const of of [
          (kernels: LinearKernels) => solveWith(kernels, p, { actOrder: true, scaleSearch: 10, sweeps: 2 }),
          (kernels: LinearKernels) => ({ codes: new Int32Array(0), ...searchGrid(p, 10, kernels) }),
        ]) {
          const [a, b] = [of(plainLinear), of(wasm)];
          expect(b.codes).toEqual(a.codes);
          expect(bits(b.scale)).toEqual(bits(a.scale));
          expect(b.zeroPoint).toEqual(a.zeroPoint);
        }
      }
    });

    it('memory grows to the largest request and stays; arrays begin as zeros', () => {
      const own = wasmLinear(readFileSync(file));
      own.arrays(1000, 1001)[0]!.fill(7);
      const [big] = own.arrays(300_000);
      expect(big!.every((x) => x === 0)).toBe(true);
      const bytes = big!.buffer.byteLength;
      for (let i = 0; i < 50; i++) {
        const [a, b] = own.arrays(100_000, 50_001);
        a!.fill(1);
        expect(b!.every((x) => x === 0)).toBe(true);
        expect(a!.buffer.byteLength).toBe(bytes);
      }
    });

    it('arrays from elsewhere get the same answer', () => {
      const h = gram(33, 40, 1, 4);
      const l = h.slice();
      factorReverse(l, 33, new Float64Array(16), wasm);
      expect(bits(l)).toEqual(bits(reverseCholesky(h, 33, wasm)));
    });
  },
);

function problemOf(rows: number, columns: number, block: number, seed: number): RowsProblem {
  const next = random(seed);
  const blocks = Math.ceil(columns / block);
  const target = next(rows * columns);
  const hessian = gram(columns, 40, 1, seed + 1);
  const part = Int32Array.from(
    target,
    (_, at) => Math.floor(at / columns) * blocks + Math.floor((at % columns) / block),
  );
  return {
    rows,
    columns,
    target,
    hessian,
    grid: {
      part,
      scale: new Float64Array(rows * blocks).fill(0.3),
      zeroPoint: new Int32Array(rows * blocks).fill(8),
      low: 0,
      high: 15,
      symmetric: false,
    },
  };
}
