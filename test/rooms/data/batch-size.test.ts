import { describe, expect, it } from 'vitest';
import { batches, MOST_BYTES } from '../../../src/data/batch.js';
import type { Sample, ValueInfo } from '../../../src/ir/feed.js';

const inputs: ValueInfo[] = [{ name: 'ids', dtype: 'int64', shape: ['n', 'length'] }];
const samples = (lengths: readonly number[]): Sample[] =>
  lengths.map((n, i) => ({
    id: String(i),
    hash: String(i),
    feeds: [{ ids: { dtype: 'int64', dims: [1, n], data: new BigInt64Array(n) } }],
  }));
async function sizes(lengths: readonly number[], vocabulary: number | undefined): Promise<number[]> {
  const outputs: ValueInfo[] = [{ name: 'logits', dtype: 'float32', shape: ['n', 'length', vocabulary ?? 10] }];
  const found: number[] = [];
  const more = vocabulary === undefined ? {} : { outputs };
  for await (const b of batches(samples(lengths), { size: 8, inputs, padding: {}, ...more }))
    found.push(b.samples.length);
  return found;
}

describe('samples of a batch', () => {
  it('are as many as was asked for where outputs are small', async () => {
    expect(await sizes(Array<number>(20).fill(256), 4096)).toEqual([8, 8, 4]);
    expect(await sizes(Array<number>(20).fill(256), undefined)).toEqual([8, 8, 4]);
  });
  it('are fewer where what the model makes of them is large', async () => {
    const vocabulary = 50_000;
    const one = 256 * vocabulary * 4;
    const most = Math.floor(MOST_BYTES / one);
    expect(most).toBe(3);
    const found = await sizes(Array<number>(20).fill(256), vocabulary);
    expect(Math.max(...found)).toBe(most);
    expect(found.reduce((a, b) => a + b)).toBe(20);
    expect(await sizes([4096, 4096], vocabulary)).toEqual([1, 1]);
  });
});
