import { z } from 'zod';
import { meanOfAll } from './build.js';
import type { Loss } from './types.js';

export const mse = {
  name: 'mse',
  doc: 'Mean of squared differences from a target of the same shape.',
  options: z.strictObject({}),
  build({ builder: b, prediction: x, target }) {
    const difference = b.op('Sub', [x, target(x.dtype ?? 'float32', x.shape)], { name: 'loss_difference' });
    return meanOfAll(b, b.op('Mul', [difference, difference], { name: 'loss_squares' }));
  },
} as const satisfies Loss<Record<string, never>>;
