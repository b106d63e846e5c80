import { z } from 'zod';
import type { Augmentation } from './types.js';

/** source: https://arxiv.org/abs/1708.04552 */
export const cutout = {
  name: 'cutout',
  doc: 'Covers a square of each image; parts of it may lie outside.',
  options: z.strictObject({
    size: z.number().gt(0).max(1).default(0.25).describe('Side of the square, as a share of the shorter side.'),
    fill: z.number().default(0).describe('What covers it, as the model takes pixels.'),
  }),
  apply({ data, channels, height, width, channelStride, pixelStride }, rng, { size, fill }) {
    const side = Math.max(1, Math.round(size * Math.min(height, width)));
    const [top, left] = [rng.int(height) - (side >> 1), rng.int(width) - (side >> 1)];
    for (let y = Math.max(0, top); y < Math.min(height, top + side); y++)
      for (let x = Math.max(0, left); x < Math.min(width, left + side); x++)
        for (let c = 0; c < channels; c++) data[c * channelStride + (y * width + x) * pixelStride] = fill;
  },
} as const satisfies Augmentation<{ size: number; fill: number }>;
