import { expect, it } from 'vitest';
import { slowness } from '../../../src/pipeline/slowness.js';

const settings = { format: 'weight-only', accuracyLevel: 0 } as const;

it('a model that is slower beyond the noise is told of, with what would help', () => {
  expect(slowness({ speedup: 0.14, speedupInterval: [0.13, 0.15] }, settings)).toMatchObject({
    severity: 'warning',
    code: 'SLOWER_THAN_FLOAT',
    message: 'the quantized model takes 7.14 × the time of the float model',
  });
  expect(slowness({ speedup: 0.14, speedupInterval: [0.13, 0.15] }, settings)!.hint).toContain(
    'quantize.accuracyLevel: 4',
  );
  expect(
    slowness({ speedup: 0.5, speedupInterval: [0.4, 0.6] }, { ...settings, accuracyLevel: 4 })!.hint,
  ).not.toContain('accuracyLevel');
  expect(slowness({ speedup: 0.5, speedupInterval: [0.4, 0.6] }, { format: 'qdq', accuracyLevel: 0 })!.hint).toContain(
    'format: coded',
  );
});

it('noise and faster models are not', () => {
  expect(slowness({ speedup: 0.9, speedupInterval: [0.8, 1] }, settings)).toBeUndefined();
  expect(slowness({ speedup: 2, speedupInterval: [1.9, 2.1] }, settings)).toBeUndefined();
  expect(slowness({ speedup: 0.5 }, settings)).toBeUndefined();
});
