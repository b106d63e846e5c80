/**
 * Structural similarity. Source: Wang, Bovik, Sheikh & Simoncelli 2004, IEEE TIP 13:600: 11 × 11 Gaussian of σ 1.5, K1
 * 0.01, K2 0.03; as scikit-image structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False).
 */
import { z } from 'zod';
import { fail } from '../../base/errors.js';
import { meanAgainstTargets, targetSpec } from '../target-tensor.js';
import type { Metric } from '../types.js';

const options = z.strictObject({
  ...targetSpec.shape,
  dataRange: z
    .number()
    .positive()
    .default(1)
    .describe('Distance from the lowest to the highest possible value: 1 for images of 0 to 1, 255 for 8 bits.'),
  layout: z.enum(['NCHW', 'NHWC']).default('NCHW').describe('Axis order of an output of four axes.'),
});

export const ssim = {
  name: 'ssim',
  doc:
    'Mean structural similarity of an image output and its target tensor, channels averaged; -1 where the output ' +
    'holds NaN.',
  unit: 'SSIM',
  higherIsBetter: true,
  needsLabels: false,
  needsTarget: 'tensors',
  options,
  start: ({ dataRange, layout, ...chosen }, outputs) =>
    meanAgainstTargets('ssim', chosen, outputs, ({ output, target, dims }, where) => {
      const [h, w, last] =
        dims.length === 4 && layout === 'NHWC'
          ? [dims[1]!, dims[2]!, true]
          : [dims.at(-2) ?? 0, dims.at(-1) ?? 0, false]; // four axes
      const channels = target.length / Math.max(1, h * w);
      if (h < WINDOW || w < WINDOW)
        fail(
          'DATA_SHAPE',
          `ssim needs images of at least ${WINDOW} × ${WINDOW}, but output '${where.tensor}' of ` +
            `'${where.sample}' gives [${dims.join(',')}]`,
          where,
          'set layout, or name another output with the option output',
        );
      let sum = 0;
      for (let c = 0; c < channels; c++) {
        const plane = (from: ArrayLike<number>): Float64Array =>
          Float64Array.from({ length: h * w }, (_, i) => from[last ? i * channels + c : c * h * w + i]!);
        sum += similarity(plane(output), plane(target), h, w, dataRange);
      }
      return Number.isFinite(sum) ? sum / channels : -1;
    }),
} as const satisfies Metric<z.output<typeof options>>;

const WINDOW = 11;
const KERNEL = ((): Float64Array => {
  const raw = Float64Array.from({ length: WINDOW }, (_, i) => Math.exp(-0.5 * ((i - 5) / 1.5) ** 2));
  const total = raw.reduce((a, b) => a + b, 0);
  return raw.map((v) => v / total);
})();

/** Mean over the windows that lie within the image, [h, w] both. */
function similarity(x: Float64Array, y: Float64Array, h: number, w: number, range: number): number {
  const product = (a: Float64Array, b: Float64Array): Float64Array => a.map((v, i) => v * b[i]!); // equal lengths
  const [mx, my, xx, yy, xy] = [x, y, product(x, x), product(y, y), product(x, y)].map((p) => blurred(p, h, w)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ]; // five in, five out
  const c1 = (0.01 * range) ** 2;
  const c2 = (0.03 * range) ** 2;
  let sum = 0;
  for (let i = 0; i < mx.length; i++) {
    const [a, b] = [mx[i]!, my[i]!];
    const varianceX = xx[i]! - a * a;
    const varianceY = yy[i]! - b * b;
    const covariance = xy[i]! - a * b;
    sum += ((2 * a * b + c1) * (2 * covariance + c2)) / ((a * a + b * b + c1) * (varianceX + varianceY + c2));
  }
  return sum / mx.length;
}

/** Gaussian over whole windows only: [h, w] → [h − 10, w − 10]. */
function blurred(p: Float64Array, h: number, w: number): Float64Array {
  const [rows, columns] = [h - WINDOW + 1, w - WINDOW + 1];
  const across = new Float64Array(h * columns);
  for (let r = 0; r < h; r++)
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let k = 0; k < WINDOW; k++) sum += KERNEL[k]! * p[r * w + c + k]!;
      across[r * columns + c] = sum;
    }
  const out = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      let sum = 0;
      for (let k = 0; k < WINDOW; k++) sum += KERNEL[k]! * across[(r + k) * columns + c]!;
      out[r * columns + c] = sum;
    }
  return out;
}
