import { z } from 'zod';
import { roundHalfEven } from '../../scheme/rounding.js';
import type { WeightMethod } from './types.js';

const options = z.strictObject({});

/** Each weight goes to the nearest level. */
export const round = {
  name: 'round',
  doc: 'Rounds each weight to the nearest code (or as `rounding` says).',
  options,
  needsInputs: false,
  solve({ target, grid }) {
    const { part, scale, zeroPoint, low, high } = grid;
    const codes = Int32Array.from(target, (w, at) => {
      const p = part[at]!; // every element has a part
      return Math.min(high, Math.max(low, roundHalfEven(w / scale[p]!) + zeroPoint[p]!)); // p is a part
    });
    return { codes, scale, zeroPoint };
  },
} satisfies WeightMethod<z.output<typeof options>>;
