import { z } from 'zod';
import { nearestCodes, type WeightMethod } from '../../src/codes/types.js';

const options = z.strictObject({});

/** Σ (w − s·q)² is least, for codes q that are given, at s = Σ w·q / Σ q²: never worse than rounding alone. */
export const fitScale = {
  name: 'fit-scale',
  doc: 'Rounds each weight to the nearest code, and fits each scale to the codes by least squares.',
  options,
  inputs: 'none',
  solve({ target, grid }) {
    const { part, scale, zeroPoint } = grid;
    const codes = nearestCodes(target, grid);
    const products = new Float64Array(scale.length);
    const squares = new Float64Array(scale.length);
    for (let at = 0; at < codes.length; at++) {
      const p = part[at]!; // every element has a part
      const q = codes[at]! - zeroPoint[p]!; // as above
      products[p]! += target[at]! * q;
      squares[p]! += q * q;
    }
    const fitted = scale.map((s, p) => (products[p]! > 0 ? products[p]! / squares[p]! : s)); // one for each scale
    return { codes, scale: fitted, zeroPoint };
  },
} satisfies WeightMethod<z.output<typeof options>>;
