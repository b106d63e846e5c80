import { z } from 'zod';
import { nearestCodes, type WeightMethod } from './types.js';

const options = z.strictObject({});

/** Each weight goes to the nearest level. */
export const round = {
  name: 'round',
  doc: 'Rounds each weight to the nearest code (or as `rounding` says).',
  options,
  inputs: 'none',
  byPart: true,
  solve: ({ target, grid }) => ({ codes: nearestCodes(target, grid), scale: grid.scale, zeroPoint: grid.zeroPoint }),
} satisfies WeightMethod<z.output<typeof options>>;
