import { floatAttr } from '../rewrite/builder.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { canFill, filled, isNear, reducedAxes, scalarOf } from './constants.js';

/** Spellings of y = x / √(mean(x²) + ε). */
export const RMS_NORMS: readonly string[] = ['q = Pow(x, two!)', 'q = Mul(x, x)'].flatMap((square) =>
  ['y = Div(x, s)', 'r = Reciprocal(s)\ny = Mul(x, r)', 'r = Div(one!, s)\ny = Mul(x, r)'].map(
    (last) => `${square}\nv = ReduceMean(q, a?!)\ne = Add(v, eps!)\ns = Sqrt(e)\n${last}`,
  ),
);
/** Whether what such a spelling matched is over the last axis with the right numbers, or why not. */
export function isRmsNorm(m: Match): true | string {
  const x = m.value('x');
  const rank = x.shape?.length;
  if (rank === undefined) return 'the rank is not known';
  const axes = reducedAxes(m.node('v'), rank);
  if (axes?.length !== 1 || axes[0] !== rank - 1 || m.node('v').int('keepdims', 1) !== 1)
    return 'its mean is not over the last axis';
  if (m.node('q').op === 'Pow' && scalarOf(m.value('two'), x) !== 2) return 'its power is not 2';
  if (m.has('one') && !isNear(scalarOf(m.value('one'), x), 1)) return 'its reciprocal is not 1 / σ';
  return (scalarOf(m.value('eps'), x) ?? -1) >= 0 || 'its ε is not one float32 number';
}

/** x / √(mean(x²) + ε) over the last axis is RMSNormalization with scale 1. source: https://arxiv.org/abs/1910.07467 */
export const fuseRmsNorm = rulePass({
  name: 'fuse-rms-norm',
  doc: 'Fuses a root mean square normalisation of the last axis.',
  numerics: 'close',
  opset: 23,
  pattern: RMS_NORMS,
  check(m) {
    const known = isRmsNorm(m);
    if (known !== true) return known;
    const size = m.value('x').shape?.at(-1);
    return typeof size === 'number' ? canFill(size) : 'the size of the last axis is not known';
  },
  rewrite(m, b) {
    const size = Number(m.value('x').shape?.at(-1));
    return b.op('RMSNormalization', [m.value('x'), b.constant(filled(size, 1), `${m.value('y').name}_scale`)], {
      attrs: { axis: -1, epsilon: floatAttr(scalarOf(m.value('eps')) ?? 0) },
      name: m.node('y').name || 'RMSNormalization',
    });
  },
});
