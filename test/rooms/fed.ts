/** Small models on made-up samples. */
import { createRng } from '../../src/base/rng.js';
import type { Feed } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/model.js';
import { openModel } from '../../src/runtime/open.js';

/** Feeds of an input `x` with standard normal values. */
export const normalFeeds = (count: number, dims: readonly number[], name: string): Feed[] =>
  Array.from({ length: count }, (_, k) => {
    const rng = createRng(k, name);
    const data = Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => rng.normal());
    return { x: { dtype: 'float32', dims, data } };
  });

/** The output `y` for all feeds, one after the other. */
export async function outputsOf(m: Model, feeds: readonly Feed[]): Promise<number[]> {
  const session = await openModel(m, { optimization: 'disabled' });
  const made: number[] = [];
  for (const f of feeds) made.push(...((await session.run(f)).y!.data as Float32Array));
  await session.close();
  return made;
}

/** Σ (a − b)² ÷ Σ a². */
export const apart = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((n, v, i) => n + (v - b[i]!) ** 2, 0) / a.reduce((n, v) => n + v * v, 0);
