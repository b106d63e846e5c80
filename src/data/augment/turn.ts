import { z } from 'zod';
import type { Augmentation } from './types.js';

export const turn = {
  name: 'turn',
  doc: 'Turns square images by a random number of quarter turns; others by half turns.',
  options: z.strictObject({}),
  apply({ data, channels, height, width, channelStride, pixelStride }, rng) {
    const quarters = height === width ? rng.int(4) : 2 * rng.int(2);
    if (quarters === 0) return;
    const before = data.slice();
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) {
        const [sy, sx] =
          quarters === 1 ? [x, width - 1 - y] : quarters === 2 ? [height - 1 - y, width - 1 - x] : [height - 1 - x, y];
        for (let c = 0; c < channels; c++)
          data[c * channelStride + (y * width + x) * pixelStride] =
            before[c * channelStride + (sy * width + sx) * pixelStride] ?? 0;
      }
  },
} as const satisfies Augmentation<Record<string, never>>;
