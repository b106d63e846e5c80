/** Points of a plane in two classes, by the quadrant: batches of training. */
import { createRng } from '../../../src/base/rng.js';
import type { Feed } from '../../../src/ir/feed.js';

export function batchOf(seed: number, size: number): Feed {
  const rng = createRng(seed, 'points');
  const x = Float32Array.from({ length: 2 * size }, () => rng.normal());
  const labels = BigInt64Array.from({ length: size }, (_, i) => (x[2 * i]! * x[2 * i + 1]! > 0 ? 1n : 0n));
  return {
    x: { dtype: 'float32', dims: [size, 2], data: x },
    labels: { dtype: 'int64', dims: [size], data: labels },
  };
}
