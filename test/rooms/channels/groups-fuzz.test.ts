/** Random networks of which random channels are taken out; 500 of them run with the whole programs. */
import { describe, expect, it } from 'vitest';
import { inferShapes } from '../../../src/ops/infer.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { randomNetwork } from './random-network.js';
import { removeAtRandom } from './removed.js';

describe('channels of random networks', () => {
  it.each(Array.from({ length: 60 }, (_, seed) => seed))('seed %i: what is left gives what it gave', async (seed) => {
    const model = randomNetwork(seed);
    inferShapes(model);
    const feed = randomFeed(
      model.graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
      seed,
    );
    const { apart, mixed } = await removeAtRandom(model, feed, seed);
    if (!mixed) expect(apart).toBeLessThan(1e-4);
    else expect(apart).toBeLessThan(Infinity);
  });
});
