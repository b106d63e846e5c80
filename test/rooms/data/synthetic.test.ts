import { describe, expect, it } from 'vitest';
import { all, open } from './helpers.js';

const image = { name: 'x', dtype: 'float32', shape: ['N', 3, 32, 32] } as const;
const values = (samples: Awaited<ReturnType<typeof all>>): number[][] =>
  samples.map((s) => Array.from(s.feeds[0]!['x']!.data as Float32Array)); // the input is float32

describe('synthetic images', () => {
  it.each(['leaves', 'fractal', 'both'] as const)('%s depend on the seed and the number alone', async (synthetic) => {
    const first = await open({ synthetic, preprocess: { scale: '1/255' }, count: 6 }, [image], '.');
    expect(first.count).toBe(6);
    const a = await all(first);
    expect(
      (await all(await open({ synthetic, preprocess: { scale: '1/255' } }, [image], '.'), 6)).map((s) => s.hash),
    ).toEqual(a.map((s) => s.hash));
    expect(
      (await all(await open({ synthetic, preprocess: { scale: '1/255' } }, [image], '.', [], 2), 6)).filter(
        (s, i) => s.hash === a[i]!.hash,
      ),
    ).toEqual([]);
    expect(new Set(a.map((s) => s.hash)).size).toBe(6);
    expect(a[0]!.id).toBe('synthetic 0');
    for (const v of values(a).flat()) if (v < 0 || v > 1) throw new Error(`${v} is no pixel`);
  });
  it('have the brightness, contrast and smoothness of photographs', async () => {
    const images = values(await all(await open({ synthetic: 'both', preprocess: {} }, [image], '.'), 200));
    const flat = images.flat();
    const mean = flat.reduce((n, v) => n + v, 0) / flat.length;
    const deviation = Math.sqrt(flat.reduce((n, v) => n + (v - mean) ** 2, 0) / flat.length);
    expect(mean).toBeGreaterThan(100);
    expect(mean).toBeLessThan(155);
    expect(deviation).toBeGreaterThan(45);
    expect(deviation).toBeLessThan(90);
    let step = 0;
    for (const x of images)
      for (let y = 0; y < 32; y++) for (let i = 1; i < 32; i++) step += (x[y * 32 + i]! - x[y * 32 + i - 1]!) ** 2;
    expect(Math.sqrt(step / (images.length * 32 * 31)) / deviation).toBeLessThan(0.7); // √2 for white noise
  });
  it('need a size and an image input', async () => {
    await expect(
      open({ synthetic: 'both', preprocess: {} }, [{ name: 'x', dtype: 'float32', shape: ['N', 3, 'H', 'W'] }], '.'),
    ).rejects.toMatchObject({ code: 'DATA_SHAPE' });
    await expect(
      open({ synthetic: 'both', preprocess: {} }, [{ name: 'x', dtype: 'int64', shape: ['N', 7] }], '.'),
    ).rejects.toMatchObject({ code: 'DATA_SHAPE' });
    expect(
      (
        await all(
          await open(
            { synthetic: 'leaves', preprocess: { resize: { height: 20, width: 24 } } },
            [{ name: 'x', dtype: 'float32', shape: ['N', 3, 'H', 'W'] }],
            '.',
          ),
          1,
        )
      )[0]!.feeds[0]!['x']!.dims,
    ).toEqual([1, 3, 20, 24]);
  });
});
