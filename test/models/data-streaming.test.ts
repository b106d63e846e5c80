import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { open } from '../rooms/data/helpers.js';

const train = resolve('../shared/data/cifar10/train');
describe.skipIf(!existsSync(train))('CIFAR-10 shards (skipped: ../shared is absent)', () => {
  it('streams 20,000 images with flat memory', async () => {
    const data = await open(
      { webdataset: train, preprocess: { scale: '1/255' } },
      [{ name: 'input', dtype: 'float32', shape: ['batch', 3, 32, 32] }],
      '.',
    );
    expect(data.count).toBe(20_000);
    const classes = new Array<number>(10).fill(0);
    let n = 0;
    let early = 0;
    let peak = 0;
    for await (const s of data.samples()) {
      n++;
      if (n <= 1000) classes[s.label!]!++;
      if (n % 500) continue;
      const { rss } = process.memoryUsage();
      if (n === 3000) early = rss;
      if (n > 3000) peak = Math.max(peak, rss);
    }
    expect(n).toBe(20_000);
    expect(Math.min(...classes)).toBeGreaterThan(60); // shuffled: 100 ± 9.5 of each expected
    expect(peak - early).toBeLessThan(120 * 2 ** 20); // all samples together would be 234 MiB
  });
});
