import { expect, it } from 'vitest';
import { measureLayers } from '../../../src/analyse/layers.js';
import { saturationRisk } from '../../../src/analyse/saturation.js';
import { measureSensitivity } from '../../../src/analyse/sensitivity.js';
import { header, prepareText, rewrite } from './helpers.js';

it('a product without columns is measured like any other: nothing is lost', async () => {
  const c = await prepareText(
    `${header}\ng (float[N,2] x) => (float[N,2] y) <float[2,0] w, float[2,2] v> { [none] a = MatMul(x, w)  ` +
      '[some] b = MatMul(x, v)  y = Concat<axis=1>(a, b) }',
    'qdq',
    { settings: 'activations: { observer: minmax }' },
  );
  const s = await measureSensitivity({ ...c, batches: c.batchesOf(2) });
  expect(s.layers.find((l) => l.node === 'none')?.score).toBe(0);
  expect(
    saturationRisk({ ...c, environment: { arch: 'x64', cpuFeatures: ['avx2'] } }).layers.every(
      (l) => l.node === 'some',
    ),
  ).toBe(true);
  const { tensors } = await measureLayers({ ...rewrite(c), batches: c.batchesOf(2) });
  expect(tensors.find((t) => t.node === 'none')).toMatchObject({ channels: 0, deadChannels: 0 });
});
