/** 500 random networks of which random channels are taken out: what is left runs, and gives what it gave. */
import { expect, it } from 'vitest';
import { inferShapes } from '../../src/ops/infer.js';
import { randomFeed } from '../../src/pipeline/feeds.js';
import { randomNetwork } from '../rooms/channels/random-network.js';
import { removeAtRandom } from '../rooms/channels/removed.js';

it('500 random networks lose channels', { timeout: 300_000 }, async () => {
  const wrong: string[] = [];
  const sum = { gone: 0, of: 0, exact: 0 };
  for (let seed = 0; seed < 500; seed++) {
    try {
      const model = randomNetwork(seed);
      inferShapes(model);
      const inputs = model.graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
      const { gone, of, apart, mixed } = await removeAtRandom(model, randomFeed(inputs, seed), seed);
      sum.gone += gone;
      sum.of += of;
      sum.exact += mixed ? 0 : 1;
      if (mixed ? apart === Infinity : apart >= 1e-4) wrong.push(`${seed}: ${apart} apart`);
    } catch (error) {
      wrong.push(`${seed}: ${String(error)}`);
    }
  }
  expect(wrong).toEqual([]);
  // hardly any network is held as a whole
  expect(sum.of / 500).toBeGreaterThan(20);
  expect(sum.gone / sum.of).toBeGreaterThan(0.3);
  expect(sum.exact).toBeGreaterThan(400);
});
