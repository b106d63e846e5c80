/** Rows that threads share: the bytes of one thread, whatever their number, and errors that arrive. */
import { afterAll, describe, expect, it } from 'vitest';
import type { RowsProblem } from '../../../src/channels/layer.js';
import { createRng } from '../../../src/base/rng.js';
import { best } from '../../../src/codes/best.js';
import { gptq } from '../../../src/codes/gptq.js';
import { linearKernels, plainLinear } from '../../../src/codes/linear-kernels.js';
import { SharedRoom } from '../../../src/codes/shared-room.js';
import type { InputSums } from '../../../src/codes/measure.js';
import { RowsSolver } from '../../../src/codes/solver.js';
import type { WeightMethod } from '../../../src/codes/types.js';

const COLUMNS = 64;
const BLOCK = 16;
const OPTIONS = gptq.options.parse({});
const open = new Map<number, RowsSolver>();
const solverOf = (threads: number): RowsSolver => {
  const made = open.get(threads) ?? new RowsSolver({ threads, worth: 0 });
  open.set(threads, made);
  return made;
};
afterAll(async () => {
  for (const s of open.values()) await s.close();
});

function random(seed: number): (n: number) => Float64Array {
  const rng = createRng(seed);
  return (n) => Float64Array.from({ length: n }, () => rng.normal());
}
/** Σ x·yᵀ of 200 random vectors, with 1 on the diagonal where both are the same. */
function sumsOf(seed: number): { products: Float64Array; cross: Float64Array } {
  const next = random(seed);
  const [products, cross] = [new Float64Array(COLUMNS ** 2), new Float64Array(COLUMNS ** 2)];
  for (let s = 0; s < 200; s++) {
    const x = next(COLUMNS);
    const y = next(COLUMNS).map((v, i) => x[i]! + 0.1 * v);
    for (let i = 0; i < COLUMNS; i++) {
      plainLinear.addScaled(products, i * COLUMNS, x[i]!, x, 0, COLUMNS);
      plainLinear.addScaled(cross, i * COLUMNS, x[i]!, y, 0, COLUMNS);
    }
  }
  for (let i = 0; i < COLUMNS; i++) products[i * COLUMNS + i]! += 1;
  const room = new SharedRoom();
  return { products: room.copy(products), cross: room.copy(cross) };
}
function problemOf(rows: number, seed: number, hessian: Float64Array, scales: 'own' | 'one' = 'own'): RowsProblem {
  const count = scales === 'one' ? 1 : (rows * COLUMNS) / BLOCK;
  const target = random(seed)(rows * COLUMNS);
  return {
    rows,
    columns: COLUMNS,
    target,
    hessian,
    zeros: Uint8Array.from(target, (_, i) => (i % 37 === 0 ? 1 : 0)),
    grid: {
      part: Int32Array.from(target, (_, i) => (scales === 'one' ? 0 : Math.floor(i / BLOCK))),
      scale: new Float64Array(count).fill(0.4),
      zeroPoint: new Int32Array(count).fill(8),
      low: 0,
      high: 15,
      symmetric: false,
    },
  };
}

describe('rows that threads share', () => {
  const first = sumsOf(1);
  const damped = { matrix: first.products, more: 1 };
  const inputs = { cross: first.cross, sums: new Float64Array(COLUMNS) } as unknown as InputSums; // what fits read

  it.each([
    [1, 'gptq', gptq as WeightMethod, OPTIONS],
    [2, 'gptq', gptq as WeightMethod, OPTIONS],
    [2, 'gptq in the order of columns', gptq as WeightMethod, { ...OPTIONS, actOrder: false }],
    [2, 'best', best as WeightMethod, best.options.parse({})],
  ])('%i threads give what %s gives alone', async (threads, _, method, options) => {
    const solver = solverOf(threads);
    for (const [rows, hessian] of [
      [100, first.products],
      [33, first.products], // the ordered Hessian is the one before
      [40, sumsOf(2).products],
    ] as const) {
      const problem = problemOf(rows, rows, hessian);
      expect(await solver.solve(problem, method, options, { matrix: hessian, more: 1 })).toEqual(
        method.solve(problem, options),
      );
    }
  });
  it('scales that rows have in common are solved together', async () => {
    const problem = problemOf(48, 5, first.products, 'one');
    expect(await solverOf(2).solve(problem, gptq as WeightMethod, OPTIONS, damped)).toEqual(
      gptq.solve(problem, OPTIONS),
    );
  });
  it('fits give (W·Σxx̂ᵀ + λW)·(Σx̂x̂ᵀ)⁻¹, in any number of threads', async () => {
    const rows = 50;
    const float = random(9)(rows * COLUMNS);
    const made = await solverOf(1).fit(float, rows, damped, inputs);
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < COLUMNS; c++) {
        let [wanted, got] = [float[r * COLUMNS + c]!, 0]; // λ is 1
        for (let j = 0; j < COLUMNS; j++) {
          wanted += float[r * COLUMNS + j]! * first.cross[c * COLUMNS + j]!;
          got += made[r * COLUMNS + j]! * first.products[j * COLUMNS + c]!;
        }
        expect(Math.abs(got - wanted)).toBeLessThan(1e-9 * (1 + Math.abs(wanted)));
      }
    }
    expect(await solverOf(2).fit(float, rows, damped, inputs)).toEqual(made);
  });
  it('gives its memory back to rest, and the same afterwards', async () => {
    const solver = solverOf(2);
    const problem = problemOf(100, 100, first.products);
    const before = await solver.solve(problem, gptq, OPTIONS, damped);
    const { memory } = linearKernels();
    await solver.rest();
    const rested = linearKernels().memory;
    // plain loops have none, and kernels may fall back to them where there is no room
    if (memory && rested) expect(rested.buffer.byteLength).toBeLessThan(memory.buffer.byteLength);
    expect(await solver.solve(problem, gptq as WeightMethod, OPTIONS, damped)).toEqual(before);
  });
  it('what fails in a thread is told', async () => {
    if (!linearKernels().memory) return; // no threads without it
    const problem = problemOf(48, 5, first.products);
    const solver = solverOf(2);
    await expect(solver.solve(problem, best as WeightMethod, null, damped)).rejects.toMatchObject({
      code: 'INTERNAL',
    });
    expect((await solver.solve(problem, gptq as WeightMethod, OPTIONS, damped)).codes).toHaveLength(48 * COLUMNS);
  });
});
