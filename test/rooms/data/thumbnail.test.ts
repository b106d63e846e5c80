import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { thumbnail } from '../../../src/data/thumbnail.js';

/** 4 × 8, one channel, −1 to 1 from left to right. */
const ramp = Float32Array.from({ length: 32 }, (_, i) => ((i % 8) / 7) * 2 - 1);
const pixelsOf = async (uri: string | undefined) =>
  sharp(Buffer.from(uri!.replace('data:image/png;base64,', ''), 'base64'))
    .raw()
    .toBuffer({ resolveWithObject: true });

describe('thumbnail', () => {
  it('stretches the values of an image, in either layout', async () => {
    for (const dims of [
      [1, 1, 4, 8],
      [1, 4, 8, 1],
    ]) {
      const { data, info } = await pixelsOf(await thumbnail({ x: { dtype: 'float32', dims, data: ramp } }));
      expect([info.width, info.height, data[0], data[7 * info.channels]]).toEqual([8, 4, 0, 255]);
    }
  });
  it('shrinks large images to 64 pixels', async () => {
    const { info } = await pixelsOf(
      await thumbnail({
        x: { dtype: 'uint8', dims: [1, 200, 100, 3], data: new Uint8Array(60000).map((_, i) => i % 256) },
      }),
    );
    expect([info.width, info.height]).toEqual([32, 64]);
  });
  it.each([
    ['no image', { x: { dtype: 'float32', dims: [1, 10], data: new Float32Array(10) } }],
    [
      'two images',
      {
        x: { dtype: 'float32', dims: [1, 1, 4, 8], data: ramp },
        y: { dtype: 'float32', dims: [1, 1, 4, 8], data: ramp },
      },
    ],
    ['NaN', { x: { dtype: 'float32', dims: [1, 1, 4, 8], data: ramp.map(() => Infinity) } }],
    ['a batch', { x: { dtype: 'float32', dims: [2, 1, 4, 4], data: ramp } }],
  ] as const)('gives nothing for %s', async (_name, feed) => {
    expect(await thumbnail(feed)).toBeUndefined();
  });
});
