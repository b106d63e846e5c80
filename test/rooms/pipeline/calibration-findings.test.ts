import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Tensor } from '../../../src/ir/tensor.js';
import { histogramOfStats, histogramOfWeight } from '../../../src/facts/histograms.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { loadRecipe } from '../../../src/recipe/load.js';
import type { RunRecord } from '../../../src/record/index.js';
import { CASES, NO_CASES, recipeOf, weight, writeModel, writeNpy } from './models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-findings-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const model = writeModel(
  path.join(dir, 'm.onnx'),
  `g (float[N,4] x) => (float[N,4] y) <${weight('w', [4, 4])}> { a = MatMul(x, w)  y = Relu(a) }`,
);
const codes = ({ diagnostics }: RunRecord): string[] => diagnostics.map((d) => d.code);
async function calibrated(file: string): Promise<RunRecord> {
  const recipe = await recipeOf(dir, {
    model,
    calibration: { data: { npy: file } },
    evaluation: { data: { npy: writeNpy(path.join(dir, 'e.npy'), [8, 4]) }, collapse: 0 },
  });
  return (await runRecipe({ recipe, outDir: path.join(dir, 'out') })).record;
}

describe('calibration data', () => {
  it('that never vary are told of, with the input', async () => {
    const record = await calibrated(writeNpy(path.join(dir, 'zero.npy'), [6, 4], new Float32Array(24)));
    expect(record.diagnostics.find((d) => d.code === 'CALIBRATION_CONSTANT')).toMatchObject({
      severity: 'warning',
      where: { tensor: 'x' },
      message: expect.stringContaining("'x'") as unknown,
    });
  });
  it('of one sample are told of', async () => {
    expect(codes(await calibrated(writeNpy(path.join(dir, 'one.npy'), [1, 4])))).toContain('CALIBRATION_ONE_SAMPLE');
  });
  it('that vary are not', async () => {
    const found = codes(await calibrated(writeNpy(path.join(dir, 'many.npy'), [16, 4])));
    expect(found.filter((c) => c.startsWith('CALIBRATION_'))).toEqual([]);
  });
  it.skipIf(NO_CASES)('of the case calibration-constant-input (skipped where ../shared/cases is absent)', async () => {
    const recipe = await loadRecipe(path.join(CASES, 'field/calibration-constant-input/recipe.yaml'), {
      set: ['calibration.cache=false', 'evaluation.latency=false', 'evaluation.collapse=0'],
    });
    const { record } = await runRecipe({ recipe, outDir: path.join(dir, 'case') });
    expect(record.diagnostics.find((d) => d.code === 'CALIBRATION_CONSTANT')?.where).toEqual({ tensor: 'x' });
  });
});

describe('clipped', () => {
  const scheme = { dtype: 'uint8', symmetric: false, narrow: false, granularity: { kind: 'tensor' } } as const;
  // The zero point of -10.5 steps is rounded to 10: the least value lies half a step beyond the last code.
  const params = {
    scheme: { ...scheme, rounding: 'half-even' },
    scale: Float64Array.of(Math.fround(0.1)),
    zeroPoint: Int32Array.of(10),
  } as never; // what the histograms read
  it('leaves out what is beyond the range by half a step, as rounding goes no further', () => {
    expect(histogramOfWeight(Tensor.f32(Float32Array.of(-1.05, 0, 24.55, 5)), params).clipped).toBe(0);
    expect(histogramOfWeight(Tensor.f32(Float32Array.of(-1.2, 0, 24.55, 5)), params).clipped).toBe(0.25);
  });
  it('leaves out a bin that only touches the end of the range', () => {
    const bins = 4;
    const counts = new Float64Array(2 * bins);
    counts[2 * bins - 1] = 66; // from 24.5 × 3 / 4 to the limit, which is the largest value
    counts[bins] = 9934;
    const stats = {
      kind: 'histogram',
      channels: 1,
      bins,
      limit: Float64Array.of(25.4),
      min: Float64Array.of(0),
      max: Float64Array.of(24.5),
      zeros: Float64Array.of(0),
      counts,
      count: 10_000,
    } as never; // as above
    expect(histogramOfStats(stats, params).clipped).toBe(0);
  });
});
