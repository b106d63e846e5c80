import { z } from 'zod';
import { fail } from '../../base/errors.js';
import { item } from '../../base/lists.js';
import type { Value } from '../../ir/graph.js';
import { dataOf } from '../../ir/known.js';
import { isBatchNormalization } from '../../ops/kinds.js';
import type { Importance } from './types.js';

/**
 * |γ| of the BatchNormalization that the channel goes through; the largest where it goes through several. Channels that
 * go through none stay. source: Liu et al. 2017, https://arxiv.org/abs/1708.06519 (network slimming)
 */
export const batchNorm = {
  name: 'batch-norm',
  doc: 'The factor γ that BatchNormalization gives it; what goes through none stays.',
  options: z.strictObject({}),
  needs: 'nothing',
  score({ units }) {
    const factors = new Map<Value, Float64Array | undefined>();
    const factorsOf = (v: Value): Float64Array | undefined => {
      if (!factors.has(v)) {
        const is = [...v.uses].some(({ node, index }) => index === 1 && isBatchNormalization(node));
        factors.set(v, is ? dataOf(v).f64() : undefined);
      }
      return factors.get(v);
    };
    const scores = Float64Array.from(units, ({ cuts }) => {
      const own = cuts.flatMap(({ constant, index }) => {
        const gamma = factorsOf(constant);
        return gamma ? [Math.abs(item(gamma, index))] : [];
      });
      return own.length ? Math.max(...own) : Infinity;
    });
    if (scores.every((s) => s === Infinity))
      fail(
        'MODEL_UNSUPPORTED',
        'importance batch-norm: no channel that may go passes a BatchNormalization',
        {},
        'exporters fold it into convolutions: export with training=PRESERVE, or choose another importance, such as l1',
      );
    return scores;
  },
} satisfies Importance<Record<string, never>>;
