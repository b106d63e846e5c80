import { z } from 'zod';
import { createRng } from '../../base/rng.js';
import type { Importance } from './types.js';

/** What any other measure has to do better than. */
export const random = {
  name: 'random',
  doc: 'Drawn by the seed: what others must do better than.',
  options: z.strictObject({}),
  needs: 'nothing',
  score: ({ units, seed }) => {
    const rng = createRng(seed, 'importance');
    return Float64Array.from(units, () => rng.next());
  },
} satisfies Importance<Record<string, never>>;
