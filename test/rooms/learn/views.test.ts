/** Views of images: mirrored or not, moved by some pixels, the same of the same seed. */
import { expect, it } from 'vitest';
import type { Feed } from '../../../src/ir/feed.js';
import { viewOf } from '../../../src/learn/views.js';

const [N, C, H, W] = [6, 3, 32, 16];
const images = (dims: readonly number[]): Feed => ({
  x: { dtype: 'float32', dims, data: Float32Array.from({ length: N * C * H * W }, (_, i) => Math.sin(i * i)) },
  other: { dtype: 'float32', dims: [N, 2], data: new Float32Array(2 * N).fill(3) },
});
const values = (feed: Feed): Float32Array => feed.x!.data as Float32Array; // as made above
const inside = (at: number, size: number): number => (at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at);

it.each([
  ['NCHW', [N, C, H, W], (n: number, c: number, y: number, x: number) => ((n * C + c) * H + y) * W + x],
  ['NHWC', [N, H, W, C], (n: number, c: number, y: number, x: number) => ((n * H + y) * W + x) * C + c],
] as const)(
  '%s: each image is mirrored or not, and moved by at most a sixteenth of its shorter side',
  (_, dims, at) => {
    const feed = images(dims);
    const given = values(feed).slice();
    const view = viewOf(feed, 1, '1 0');
    expect(values(feed)).toEqual(given);
    expect(view.other).toBe(feed.other);
    const found = new Set<string>();
    for (let n = 0; n < N; n++) {
      const ways: string[] = [];
      for (const mirrored of [false, true])
        for (const dy of [-1, 0, 1])
          for (const dx of [-1, 0, 1]) {
            let same = true;
            for (let c = 0; c < C && same; c++)
              for (let y = 0; y < H && same; y++)
                for (let x = 0; x < W && same; x++) {
                  const [sy, sx] = [inside(y + dy, H), inside(x + dx, W)];
                  same = values(view)[at(n, c, y, x)] === given[at(n, c, sy, mirrored ? W - 1 - sx : sx)];
                }
            if (same) ways.push(`${mirrored} ${dy} ${dx}`);
          }
      expect(ways).toHaveLength(1);
      found.add(ways[0]!); // there is one
    }
    expect(found.size).toBeGreaterThan(2);
    expect(viewOf(feed, 1, '1 0')).toEqual(view);
    expect(viewOf(feed, 1, '2 0')).not.toEqual(view);
    expect(viewOf(feed, 2, '1 0')).not.toEqual(view);
  },
);

it('refuses what is no image', () => {
  expect(() => viewOf({ x: { dtype: 'float32', dims: [2, 8], data: new Float32Array(16) } }, 0, '')).toThrow(
    expect.objectContaining({ code: 'DATA_SHAPE' }),
  );
  expect(() => viewOf({ x: { dtype: 'uint8', dims: [1, 3, 2, 2], data: new Uint8Array(12) } }, 0, '')).toThrow(
    expect.objectContaining({ code: 'DATA_SHAPE', message: expect.stringContaining('float32') }),
  );
});
