/** What is told where there are no data, or nothing to do. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { collapseCheck } from '../../../src/pipeline/collapse.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { recipeOf, weight, writeModel, writeNpy } from './models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-no-data-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it('blames random inputs that the float model does not take, and goes on without them', async () => {
  const model = writeModel(
    path.join(dir, 'lookup.onnx'),
    `g (int64[16] i) => (float[16,64] y) <${weight('t', [1, 64])}, ${weight('w', [64, 64])}> { h = Gather(t, i) y = MatMul(h, w) }`,
  );
  const recipe = await recipeOf(dir, {
    model,
    quantize: { format: 'dynamic' },
    evaluation: { latency: { runs: 2, warmup: 0 } },
  });
  const { record } = await runRecipe({ recipe, outDir: path.join(dir, 'lookup') });
  const told = record.diagnostics.find((d) => d.code === 'RANDOM_INPUTS');
  expect(told).toMatchObject({
    severity: 'warning',
    message: expect.stringContaining('the float model does not run on random inputs') as unknown,
  });
  expect([record.outcome, record.latency]).toEqual(['ok', undefined]);
});

it('warns of an adjustment that changed nothing', async () => {
  const model = writeModel(
    path.join(dir, 'product.onnx'),
    `g (float[N,8] x) => (float[N,8] y) <${weight('w', [8, 8])}> { y = MatMul(x, w) }`,
  );
  const recipe = await recipeOf(dir, {
    model,
    adjust: ['equalise'],
    quantize: { format: 'dynamic' },
    evaluation: { data: { npy: writeNpy(path.join(dir, 'x.npy'), [4, 8]) } },
  });
  const { record } = await runRecipe({ recipe, outDir: path.join(dir, 'product') });
  expect(record.diagnostics.filter((d) => d.code === 'ADJUST_NOTHING')).toMatchObject([
    { severity: 'warning', message: expect.stringContaining('equalise changed nothing') as unknown },
  ]);
});

it('collapse: false keeps what is far from float, but never what is lost', () => {
  const output = { name: 'y', cosine: -0.1, mse: 1, maxAbsError: 2 };
  const facts = { samples: 4, metrics: [], outputs: [output], data: null };
  expect(() => collapseCheck(facts, 0)).toThrow(expect.objectContaining({ code: 'QUANTIZE_COLLAPSED' }) as Error);
  expect(() => collapseCheck(facts, 0)).toThrow(/0\.1/);
  expect(() => collapseCheck(facts, false)).not.toThrow();
  const lost = { ...facts, outputs: [{ ...output, nonFinite: { float: 0, quantized: 3, lost: 3 } }] };
  expect(() => collapseCheck(lost, false)).toThrow(expect.objectContaining({ code: 'QUANTIZE_COLLAPSED' }) as Error);
});
