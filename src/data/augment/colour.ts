import { z } from 'zod';
import type { Augmentation } from './types.js';

/** x ← grey + saturation · (x − grey), then mean + contrast · (x − mean), then + brightness. */
export const colour = {
  name: 'colour',
  doc: 'Changes brightness, contrast and saturation of images.',
  options: z.strictObject({
    brightness: z.number().min(0).default(0.2).describe('Most that is added or taken, as the model takes pixels.'),
    contrast: z
      .number()
      .min(0)
      .lt(1)
      .default(0.2)
      .describe('Differences from the mean grow or shrink by up to this share.'),
    saturation: z
      .number()
      .min(0)
      .max(1)
      .default(0.2)
      .describe('Differences between channels grow or shrink by up to this share.'),
  }),
  apply({ data, channels, height, width, channelStride, pixelStride }, rng, { brightness, contrast, saturation }) {
    const around = (span: number): number => span * (2 * rng.next() - 1);
    const [b, k, s] = [around(brightness), 1 + around(contrast), 1 + around(saturation)];
    const pixels = height * width;
    let sum = 0;
    for (let i = 0; i < data.length; i++) sum += data[i] ?? 0;
    const mean = sum / data.length;
    for (let p = 0; p < pixels; p++) {
      let grey = 0;
      for (let c = 0; c < channels; c++) grey += (data[c * channelStride + p * pixelStride] ?? 0) / channels;
      for (let c = 0; c < channels; c++) {
        const at = c * channelStride + p * pixelStride;
        data[at] = mean + k * (grey + s * ((data[at] ?? 0) - grey) - mean) + b; // the mean stays when saturation changes
      }
    }
  },
} as const satisfies Augmentation<{ brightness: number; contrast: number; saturation: number }>;
