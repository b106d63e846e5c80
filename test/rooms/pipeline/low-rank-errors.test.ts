/** What the codes of products lose, made up for by two small products. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { item } from '../../../src/base/lists.js';
import { createRng } from '../../../src/base/rng.js';
import { lowRankError, lowRankOutputs } from '../../../src/codes/low-rank-error.js';
import { loadModel } from '../../../src/onnx/files.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';
import type { SessionOptions } from '../../../src/runtime/session.js';
import { runRecordSpec } from '../../../src/record/run.js';
import { renderHtml, renderMarkdown } from '../../../src/report/index.js';
import { openModel } from '../../../src/runtime/open.js';
import { recipeOf, weight, writeModel, writeNpy } from './models.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-low-rank-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const [K, N, SAMPLES] = [64, 48, 64];
const rng = createRng(5, 'inputs');
/** Inputs near 4 directions that few of the columns have. */
const mixed = Float32Array.from({ length: 4 * K }, (_, i) => rng.normal() * (i % 8 === 0 ? 4 : 0.3));
const inputs = Float32Array.from({ length: SAMPLES * K }, () => 0.05 * rng.normal());
for (let n = 0; n < SAMPLES; n++)
  for (let k = 0; k < 4; k++) {
    const s = rng.normal();
    for (let c = 0; c < K; c++) inputs[n * K + c] = item(inputs, n * K + c) + s * item(mixed, k * K + c);
  }
const data = writeNpy(path.join(root, 'data.npy'), [SAMPLES, K], inputs);

const model = writeModel(
  path.join(root, 'model.onnx'),
  `g (float[N,${K}] x) => (float[N,${N}] y) <${weight('w', [K, N])}, ${weight('v', [N, N], 0.2)}, float[${N}] b> {
    h = MatMul (x, w)  y = Gemm (h, v, b) }`.replace('float[48] b', weight('b', [48])),
);

type Weights = NonNullable<NonNullable<RecipeInput['quantize']>['weights']>;
async function quantized(name: string, weights: Weights, more: object = {}, of = model) {
  const recipe = await recipeOf(root, {
    model: of,
    calibration: { data: { npy: data } },
    quantize: { format: 'weight-only', weights, ...more },
  }); // what the test gives is checked by the schema
  const outDir = path.join(root, name);
  const { record } = await runRecipe({ recipe, outDir });
  return { record, file: path.join(outDir, 'model.onnx') };
}
async function outputs(file: string, options: SessionOptions = { optimization: 'disabled' }): Promise<Float32Array> {
  // Optimised, onnxruntime 1.30 makes integer products of DequantizeLinear and MatMul, which is an error of its own.
  const session = await openModel(loadModel(file), options);
  const { y } = await session.run({ x: { dtype: 'float32', dims: [SAMPLES, K], data: inputs } });
  await session.close();
  return y!.data as Float32Array; // a float32 output
}
const distance = (a: Float32Array, b: Float32Array): number =>
  Math.sqrt(a.reduce((n, v, i) => n + (v - item(b, i)) ** 2, 0) / a.reduce((n, v) => n + v * v, 0));

describe('quantize.weights.lowRank', () => {
  for (const [form, weights] of [
    ['MatMulNBits', { dtype: 'uint4', granularity: { block: 32 }, method: 'round' }],
    ['DequantizeLinear', { dtype: 'int8', bits: 3, granularity: 'channel' }],
  ] as const) {
    it(`${form}: full rank gives the float outputs, rank 8 much of them`, async () => {
      const before = await outputs(model);
      const plain = await quantized(`${form}-plain`, { ...weights, bits: 3 });
      const some = await quantized(`${form}-8`, { ...weights, bits: 3, lowRank: { rank: 8 } });
      const full = await quantized(`${form}-64`, { ...weights, bits: 3, lowRank: { rank: 64 } });
      const ops = (file: string): string[] => [...loadModel(file).graph.nodes].map((n) => n.op);
      expect(ops(plain.file)).toContain(form);
      expect(
        ops(some.file).filter((op) => op === 'Add').length - ops(plain.file).filter((op) => op === 'Add').length,
      ).toBe(2);
      const [p, s, f] = [await outputs(plain.file), await outputs(some.file), await outputs(full.file)];
      expect(f).toHaveLength(before.length);
      expect(distance(before, f)).toBeLessThan(1e-5);
      expect(distance(before, s)).toBeLessThan(0.2 * distance(before, p));
      expect(JSON.stringify(some.record.recipe.resolved)).toContain('"lowRank":{"rank":8}');
      // [64 + 48] and [48 + 48] times the rank, beside 64 · 48 and 48 · 48 weights
      expect(some.record.lowRank).toEqual({ rank: 8, products: 2, bytes: 6656, bits: (32 * 1664) / 5376, macs: 1664 });
      expect(full.record.lowRank).toMatchObject({ rank: 48, products: 2 });
      expect(runRecordSpec.safeParse(some.record).success).toBe(true);
      for (const text of [renderMarkdown(some.record), renderHtml(some.record)])
        expect(text.replaceAll('\u00a0', ' ')).toContain(
          'terms of rank 8 in float32: 6.66 kB of the file, 9.90 bits a weight beside its code',
        );
      expect(plain.record.lowRank).toBeUndefined();
    }, 60_000);
  }
  it.each<[string, string, boolean]>([
    ['MatMul', 'y = MatMul (x, w)', true],
    ['Gemm', 'y = Gemm (x, w, b)', true],
    ['Gemm with transB', 'y = Gemm <transB: int = 1> (x, t, b)', false],
  ])(
    '%s: tells whether onnxruntime multiplies 8-bit codes with 8-bit inputs of its own accord',
    async (op, text, fused) => {
      const own = writeModel(
        path.join(root, `${op}.onnx`),
        `g (float[N,${K}] x) => (float[N,${N}] y) <${weight('w', [K, N])}, ${weight('t', [N, K])}, ${weight('b', [N])}> { ${text} }`,
      );
      const before = await outputs(own);
      const weights = { dtype: 'int8', granularity: 'tensor', lowRank: { rank: 64 } } as const;
      const { record, file } = await quantized(`fused ${op}`, weights, {}, own);
      expect(record.diagnostics.some((d) => d.code === 'DEQUANTIZED_PRODUCT_FUSED')).toBe(fused);
      const level = (n: number) => ({ config: { 'session.qdq_matmulnbits_accuracy_level': String(n) } });
      expect(distance(before, await outputs(file, level(1)))).toBeLessThan(1e-5);
      const seen = distance(before, await outputs(file, {})); // by users, and by what measures here
      if (fused) expect(seen).toBeGreaterThan(1e-3);
      else expect(seen).toBeLessThan(1e-5);
    },
  );
  it('is refused with other formats', async () => {
    await expect(quantized('qdq', { lowRank: { rank: 4 } }, { format: 'qdq' })).rejects.toMatchObject({
      code: 'RECIPE_INVALID',
      message: expect.stringContaining('weight-only'),
    });
  });
});

describe('lowRankError', () => {
  it.each([
    [6, 9],
    [9, 6],
  ])('of [%i, %i] is the best of its rank where inputs are independent', (rows, columns) => {
    const error = Float64Array.from({ length: rows * columns }, () => rng.normal());
    const squares = Float64Array.from({ length: columns }, (_, c) => 1 + c);
    const lost = (rank: number): number => {
      const { narrow, wide, rank: own } = lowRankError(error, rows, columns, rank, squares);
      let sum = 0;
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < columns; c++) {
          let v = item(error, r * columns + c);
          for (let k = 0; k < own; k++) v -= item(narrow, c * own + k) * item(wide, k * rows + r);
          sum += v * v * item(squares, c);
        }
      return sum;
    };
    const losses = [1, 2, 3, 4, 5, 6].map(lost);
    for (let i = 1; i < 6; i++) expect(item(losses, i)).toBeLessThan(item(losses, i - 1));
    expect(item(losses, 5)).toBeLessThan(1e-9);
  });
  it.each([
    [6, 9],
    [9, 6],
  ])('of outputs of [%i, %i] keeps all that few directions of inputs show', (rows, columns) => {
    const error = Float64Array.from({ length: rows * columns }, () => rng.normal());
    // Inputs of two directions: a term of rank 2 is all that is needed.
    const [p, q] = [0, 1].map(() => Float64Array.from({ length: columns }, () => rng.normal()));
    const products = Float64Array.from({ length: columns ** 2 }, (_, at) => {
      const [i, j] = [Math.floor(at / columns), at % columns];
      return item(p!, i) * item(p!, j) + item(q!, i) * item(q!, j);
    });
    const { narrow, wide } = lowRankOutputs(error, rows, columns, 2, products);
    for (const x of [p!, q!])
      for (let r = 0; r < rows; r++) {
        let [whole, own] = [0, 0];
        for (let c = 0; c < columns; c++) {
          whole += item(error, r * columns + c) * item(x, c);
          for (let k = 0; k < 2; k++) own += item(narrow, c * 2 + k) * item(wide, k * rows + r) * item(x, c);
        }
        expect(own).toBeCloseTo(whole, 2);
      }
  });
});
