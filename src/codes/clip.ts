import { z } from 'zod';
import { searchGrid } from './search.js';
import { nearestCodes, type WeightMethod } from './types.js';

const options = z.strictObject({
  steps: z
    .number()
    .int()
    .positive()
    .default(40)
    .describe("Narrower ranges that are tried for each scale, down to a fifth of the observer's."),
});

/** The range of each channel or block that rounds its weights with the least squared error; outliers may be clipped. */
export const clip = {
  name: 'clip',
  doc:
    'Rounds to nearest on the scale and zero point that give each channel or block the least squared error, by ' +
    'search, weighted with the inputs where there are calibration data.',
  options,
  inputs: 'optional',
  byPart: true,
  solve(problem, { steps }) {
    const { scale, zeroPoint } = searchGrid(problem, steps);
    return { codes: nearestCodes(problem.target, { ...problem.grid, scale, zeroPoint }), scale, zeroPoint };
  },
} satisfies WeightMethod<z.output<typeof options>>;
