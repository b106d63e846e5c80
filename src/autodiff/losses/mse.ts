import { z } from 'zod';
import { maskOption, meanKept } from './build.js';
import type { Loss } from './types.js';

export const mse = {
  name: 'mse',
  doc: 'Mean of squared differences from a target of the same shape.',
  options: z.strictObject({ mask: maskOption }),
  build({ builder: b, prediction: x, target, value }, { mask }) {
    const difference = b.op('Sub', [x, target(x.dtype ?? 'float32', x.shape)], { name: 'loss_difference' });
    const squares = b.op('Mul', [difference, difference], { name: 'loss_squares' });
    return meanKept(b, squares, mask === undefined ? undefined : value(mask));
  },
} as const satisfies Loss<{ mask?: string | undefined }>;
