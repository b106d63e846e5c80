import { z } from 'zod';
import type { Augmentation } from './types.js';

/** The images with a border, cut back to their size at a random place. */
export const crop = {
  name: 'crop',
  doc: 'Moves images by up to some pixels to each side; what comes in is filled.',
  options: z.strictObject({
    padding: z.number().int().positive().default(4).describe('Most pixels that an image moves.'),
    fill: z
      .union([z.enum(['reflect', 'edge']), z.number()])
      .default(0)
      .describe('What comes in: a number as the model takes it, the pixel of the edge, or the mirrored image.'),
  }),
  apply({ data, channels, height, width, channelStride, pixelStride }, rng, { padding, fill }) {
    const [dy, dx] = [rng.int(2 * padding + 1) - padding, rng.int(2 * padding + 1) - padding];
    if (dy === 0 && dx === 0) return;
    const before = data.slice();
    for (let y = 0; y < height; y++) {
      const sy = sourceOf(y + dy, height, fill);
      for (let x = 0; x < width; x++) {
        const sx = sourceOf(x + dx, width, fill);
        for (let c = 0; c < channels; c++) {
          const to = c * channelStride + (y * width + x) * pixelStride;
          const outside = typeof fill === 'number' && (sy < 0 || sx < 0);
          data[to] = outside ? fill : (before[c * channelStride + (sy * width + sx) * pixelStride] ?? 0);
        }
      }
    }
  },
} as const satisfies Augmentation<{ padding: number; fill: number | 'reflect' | 'edge' }>;

/** The place that a place beyond the edge takes its value from; −1 where it is filled with a number. */
function sourceOf(at: number, size: number, fill: number | 'reflect' | 'edge'): number {
  if (at >= 0 && at < size) return at;
  if (typeof fill === 'number') return -1;
  const mirrored = fill === 'reflect' ? (at < 0 ? -at : 2 * (size - 1) - at) : at;
  return Math.min(size - 1, Math.max(0, mirrored));
}
