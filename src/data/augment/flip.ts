import { z } from 'zod';
import type { Augmentation } from './types.js';

export const flip = {
  name: 'flip',
  doc: 'Mirrors images, half of them by default.',
  options: z.strictObject({
    axis: z.enum(['horizontal', 'vertical']).default('horizontal').describe('Left to right, or top to bottom.'),
    share: z.number().min(0).max(1).default(0.5).describe('Share of the images.'),
  }),
  apply({ data, channels, height, width, channelStride, pixelStride }, rng, { axis, share }) {
    if (rng.next() >= share) return;
    const across = axis === 'horizontal';
    for (let c = 0; c < channels; c++)
      for (let y = 0; y < (across ? height : height >> 1); y++)
        for (let x = 0; x < (across ? width >> 1 : width); x++) {
          const a = c * channelStride + (y * width + x) * pixelStride;
          const other = across ? y * width + (width - 1 - x) : (height - 1 - y) * width + x;
          const b = c * channelStride + other * pixelStride;
          const kept = data[a] ?? 0;
          data[a] = data[b] ?? 0;
          data[b] = kept;
        }
  },
} as const satisfies Augmentation<{ axis: 'horizontal' | 'vertical'; share: number }>;
