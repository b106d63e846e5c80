import { z } from 'zod';
import { Tensor } from '../../ir/tensor.js';
import { roundHalfEven } from '../rounding.js';
import { blockMaxima, packed, paddedWidth, rowMajor } from './matrix.js';
import type { Coding } from './types.js';

const options = z.strictObject({
  bits: z
    .number()
    .int()
    .min(2)
    .max(8)
    .default(8)
    .describe('Bits of a weight: int8, int4 or int2, others in bit planes.'),
  block: z
    .number()
    .int()
    .positive()
    .describe('Neighbours of a row that share a scale. Default: the whole row.')
    .optional(),
});

/**
 * Symmetric integers, one scale a row or block: what format weight-only does for products, for every weight there is
 * (recurrent cells, subgraphs).
 */
export const integer = {
  name: 'integer',
  doc:
    'Symmetric integers with one scale per channel or block, for every weight: recurrent cells and control flow ' +
    'too.',
  options,
  runs:
    'onnxruntime turns it back into float32 when the model is loaded: the file is smaller, speed and memory are ' +
    'those of float32.',
  minOpset: ({ bits }) => (bits === 2 ? 25 : bits === 4 ? 21 : 13),
  learns: () => 'scales',
  encode(m, { bits, block }) {
    const size = block ?? m.columns;
    const values = rowMajor(m, size);
    const high = 2 ** (bits - 1) - 1;
    const scale = blockMaxima(values, size).map((x) => {
      const s = Math.fround(x / high);
      return s >= 2 ** -126 ? s : 1;
    });
    const codes = values.map((x, i) =>
      Math.min(high, Math.max(-high, Number.isNaN(x) ? 0 : roundHalfEven(x / scale[Math.floor(i / size)]!))),
    ); // one for each block
    const width = paddedWidth(m.columns, size);
    const stored =
      bits === 2 || bits === 4 || bits === 8
        ? { codes: Tensor.codes(`int${bits}`, codes, [m.rows, width]) }
        : {
            ...packed(
              codes.map((c) => c + high),
              2 ** bits,
              [m.rows, width],
            ),
            zeroPoint: high,
          };
    return {
      ...stored,
      scale: Tensor.f32(scale, [m.rows, size ? width / size : 0]),
      ...(block === undefined ? {} : { block }),
    };
  },
} satisfies Coding<z.output<typeof options>>;
