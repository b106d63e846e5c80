import { describe, expect, it } from 'vitest';
import { optimizationDifference } from '../../../src/analyse/optimizations.js';
import { batches } from '../../../src/data/batch.js';
import { inputInfo } from '../../../src/pipeline/inputs.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { f32, header, prepareText, rewrite, sample } from './helpers.js';

describe('optimizationDifference', () => {
  it('is at most a step for sound models', async () => {
    const c = await prepareText(
      `${header}\ng (float[N,8] x) => (float[N,4] y) <float[8,6] w1, float[6,4] w2> { a = MatMul(x, w1)  y = ` +
        'MatMul(a, w2) }',
      'qdq',
    );
    const { quantized } = rewrite(c);
    const d = await optimizationDifference({ quantized, batches: c.batchesOf(3), samples: 3 });
    expect(d.samples).toBe(3);
    expect(d.cosine).toBeGreaterThan(0.999);
    expect(d.maxAbsError).toBeLessThan(0.2);
    expect(d.sameTop).toBe(1);
  });

  it('sees what an optimization changes: a convolution in int8 where the plain graph computes in float', async () => {
    // Without optimizations 100.4 + 0 is summed in float and then rounded; the integer kernel sums codes. Values are
    // worked out for both to agree.
    const model = parseModel(
      `${header}\ng (float[N,2] x) => (float[N,2] y) <float s = {0.5}, uint8 z = {0}, float ws = {1}, int8 wz ` +
        '= {0}, int8[2,2] w = {1, 0, 0, 1}> { xq = QuantizeLinear(x, s, z)  xd = DequantizeLinear(xq, s, z)  wd ' +
        '= DequantizeLinear(w, ws, wz)  a = MatMul(xd, wd)  aq = QuantizeLinear(a, s, z)  y = ' +
        'DequantizeLinear(aq, s, z) }',
    );
    const rows = [f32([1, 2]), f32([3, 0.5])].map((x, i) => sample({ x }, String(i)));
    const inputs = inputInfo(model);
    expect(
      await optimizationDifference({ quantized: model, batches: () => batches(rows, { size: 2, inputs }) }),
    ).toEqual({ samples: 2, cosine: 1, maxAbsError: 0, sameTop: 1 });
  });

  it('has no top class without class scores, and refuses empty data', async () => {
    const model = parseModel(
      `${header}\ng (float[N,2] x) => (float[N,1] y) <float[2,1] w = {1, 2}> { y = MatMul(x, w) }`,
    );
    const inputs = inputInfo(model);
    const rows = [sample({ x: f32([1, 2]) }, '0')];
    expect(
      await optimizationDifference({ quantized: model, batches: () => batches(rows, { size: 1, inputs }) }),
    ).toEqual({ samples: 1, cosine: 1, maxAbsError: 0 });
    await expect(
      optimizationDifference({ quantized: model, batches: () => batches([], { size: 1, inputs }) }),
    ).rejects.toMatchObject({ code: 'DATA_MISSING' });
    await expect(
      optimizationDifference({
        quantized: model,
        batches: () => batches(rows, { size: 1, inputs }),
        signal: AbortSignal.abort(new Error('stopped')),
      }),
    ).rejects.toThrow('stopped');
    await expect(
      optimizationDifference({ quantized: 'absent.onnx', batches: () => batches(rows, { size: 1, inputs }) }),
    ).rejects.toMatchObject({ code: 'MODEL_MISSING' });
  });
});
