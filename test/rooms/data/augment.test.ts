/** Random changes of images: what each does, and that it is the seed's alone. */
import { describe, expect, it } from 'vitest';
import { createRng, type Rng } from '../../../src/base/rng.js';
import { augmentations } from '../../../src/data/augment/index.js';
import { colour } from '../../../src/data/augment/colour.js';
import { crop } from '../../../src/data/augment/crop.js';
import { cutout } from '../../../src/data/augment/cutout.js';
import { flip } from '../../../src/data/augment/flip.js';
import { mixup } from '../../../src/data/augment/mixup.js';
import { turn } from '../../../src/data/augment/turn.js';
import type { ImageView } from '../../../src/data/augment/types.js';

/** Channel 0 counts from 1 by rows, channel 1 is ten times as much. */
function image(layout: 'NCHW' | 'NHWC', height = 3, width = 3): ImageView {
  const pixels = height * width;
  const data = Float32Array.from({ length: 2 * pixels }, (_, i) =>
    layout === 'NCHW' ? (i < pixels ? i + 1 : 10 * (i - pixels + 1)) : (i % 2 ? 10 : 1) * ((i >> 1) + 1),
  );
  const strides = layout === 'NCHW' ? { channelStride: pixels, pixelStride: 1 } : { channelStride: 1, pixelStride: 2 };
  return { data, channels: 2, height, width, ...strides };
}
const channel = ({ data, height, width, channelStride, pixelStride }: ImageView, c: number): number[] =>
  Array.from({ length: height * width }, (_, p) => data[c * channelStride + p * pixelStride]!);
/** Gives these numbers in turn, whole ones for int(). */
const dice = (...values: number[]): Rng => {
  const next = (): number => values.shift() ?? 0;
  return { next, int: next, normal: next };
};

describe.each(['NCHW', 'NHWC'] as const)('images in %s', (layout) => {
  it.each<[string, (v: ImageView) => void, number[]]>([
    ['flip', (v) => flip.apply(v, dice(0.4), { axis: 'horizontal', share: 0.5 }), [3, 2, 1, 6, 5, 4, 9, 8, 7]],
    ['no flip', (v) => flip.apply(v, dice(0.5), { axis: 'horizontal', share: 0.5 }), [1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ['upside down', (v) => flip.apply(v, dice(0), { axis: 'vertical', share: 1 }), [7, 8, 9, 4, 5, 6, 1, 2, 3]],
    ['crop up and left', (v) => crop.apply(v, dice(0, 0), { padding: 1, fill: -5 }), [-5, -5, -5, -5, 1, 2, -5, 4, 5]],
    ['crop at the edge', (v) => crop.apply(v, dice(2, 1), { padding: 1, fill: 'edge' }), [4, 5, 6, 7, 8, 9, 7, 8, 9]],
    ['crop mirrored', (v) => crop.apply(v, dice(1, 2), { padding: 1, fill: 'reflect' }), [2, 3, 2, 5, 6, 5, 8, 9, 8]],
    ['crop that stays', (v) => crop.apply(v, dice(1, 1), { padding: 1, fill: 0 }), [1, 2, 3, 4, 5, 6, 7, 8, 9]],
    ['a quarter turn', (v) => turn.apply(v, dice(1)), [3, 6, 9, 2, 5, 8, 1, 4, 7]],
    ['a half turn', (v) => turn.apply(v, dice(2)), [9, 8, 7, 6, 5, 4, 3, 2, 1]],
    ['cutout', (v) => cutout.apply(v, dice(1, 0), { size: 0.5, fill: 0 }), [0, 2, 3, 0, 5, 6, 7, 8, 9]],
  ])('%s', (_, change, expected) => {
    const v = image(layout);
    change(v);
    expect(channel(v, 0)).toEqual(expected);
    if (_ !== 'crop up and left' && _ !== 'cutout') expect(channel(v, 1)).toEqual(expected.map((x) => 10 * x));
  });
  it('colour changes brightness, contrast and saturation', () => {
    const before = image(layout);
    const mean = before.data.reduce((n, x) => n + x, 0) / before.data.length;
    const [bright, strong, grey] = [image(layout), image(layout), image(layout)];
    colour.apply(bright, dice(1, 0.5, 0.5), { brightness: 2, contrast: 0.5, saturation: 0.5 });
    colour.apply(strong, dice(0.5, 1, 0.5), { brightness: 2, contrast: 0.5, saturation: 0.5 });
    colour.apply(grey, dice(0.5, 0.5, 0), { brightness: 2, contrast: 0.5, saturation: 1 });
    before.data.forEach((x, i) => {
      expect(bright.data[i]).toBeCloseTo(x + 2, 4);
      expect(strong.data[i]).toBeCloseTo(mean + 1.5 * (x - mean), 4);
    });
    channel(grey, 0).forEach((x, p) => expect(x).toBeCloseTo((11 * (p + 1)) / 2, 4));
    expect(channel(grey, 1)).toEqual(channel(grey, 0));
  });
  it('mixup lays one over the other, and tells the share', () => {
    const [own, other] = [image(layout), image(layout)];
    other.data.fill(100);
    let kept = NaN;
    const before = own.data.slice();
    mixup.apply(own, createRng(3), { alpha: 0.4 }, { image: other, keep: (share) => (kept = share) });
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(1);
    own.data.forEach((x, i) => expect(x).toBeCloseTo(kept * before[i]! + (1 - kept) * 100, 3));
  });
});

it('shares of mixup follow Beta(α, α)', () => {
  const shares = Array.from({ length: 4000 }, (_, i) => {
    let kept = NaN;
    const v = image('NCHW', 1, 1);
    mixup.apply(v, createRng(i), { alpha: 0.5 }, { image: v, keep: (share) => (kept = share) });
    return kept;
  });
  const mean = shares.reduce((n, x) => n + x, 0) / shares.length;
  const variance = shares.reduce((n, x) => n + (x - mean) ** 2, 0) / shares.length;
  expect(mean).toBeCloseTo(0.5, 1);
  expect(variance).toBeCloseTo(1 / 8, 2); // 1 / (4 · (2α + 1))
});

it.each(augmentations.map((a) => [a.name, a] as const))('%s gives the same for the same seed', (_, a) => {
  const run = (seed: number): number[] => {
    const [v, other] = [image('NCHW', 8, 8), image('NCHW', 8, 8)];
    other.data.reverse();
    a.apply(v, createRng(seed), a.options.parse({}), { image: other, keep: () => undefined });
    return [...v.data];
  };
  expect(run(5)).toEqual(run(5));
  expect(Array.from({ length: 6 }, (__, i) => JSON.stringify(run(i))).some((r, _i, all) => r !== all[0])).toBe(true);
});
