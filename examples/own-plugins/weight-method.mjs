// @ts-check
import { nearestCodes, z } from 'quantbench';

const options = z.strictObject({
  rounds: z.number().int().positive().default(3).describe('How often scales are fitted and weights rounded again.'),
});

/**
 * Rounds to the nearest codes, then fits each scale to them by least squares, in turn. `part` says which scale a weight
 * has.
 * @type {import('quantbench').WeightMethodPlugin<z.output<typeof options>>}
 */
const fitScale = {
  name: 'fit-scale',
  doc: 'Rounds weights, and fits scales to the codes by least squares.',
  inputs: 'none',
  options,
  solve({ target, grid }, { rounds }) {
    const { part, zeroPoint } = grid;
    let scale = grid.scale;
    let codes = nearestCodes(target, grid);
    for (let round = 0; round < rounds; round++) {
      const products = new Float64Array(scale.length);
      const squares = new Float64Array(scale.length);
      target.forEach((w, i) => {
        const p = part[i] ?? 0;
        const q = (codes[i] ?? 0) - (zeroPoint[p] ?? 0);
        products[p] = (products[p] ?? 0) + w * q;
        squares[p] = (squares[p] ?? 0) + q * q;
      });
      scale = scale.map((s, p) => {
        const fitted = (products[p] ?? 0) / (squares[p] ?? 0);
        return fitted > 0 && Number.isFinite(fitted) ? fitted : s;
      });
      codes = nearestCodes(target, { ...grid, scale });
    }
    return { codes, scale };
  },
};

export const weightMethods = [fitScale];
