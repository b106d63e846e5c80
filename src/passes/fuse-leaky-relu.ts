import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import { floatAttr } from '../rewrite/builder.js';
import { sameShape } from '../rewrite/facts.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { scalarOf } from './constants.js';

/** Relu(x) and a part for negative x, as Keras writes PReLU: the slope is −k behind Add, k behind Sub. */
const PARTS = ['Add', 'Sub'].map((last) => `p = Relu(x)\nn = Neg(x)\nq = Relu(n)\nm = Mul(q, k!)\ny = ${last}(p, m)`);
const CHOICES = [
  'm = Mul(x, k!)\ny = Max(x, m)',
  'm = Mul(x, k!)\ny = Max(m, x)',
  'g = Greater|GreaterOrEqual(x, zero!)\nm = Mul(x, k!)\ny = Where(g, x, m)',
];

/** The slope of the match where it is one number. */
function slopeOf(m: Match): number | undefined {
  const k = scalarOf(m.value('k'), m.value('x'));
  return k === undefined ? undefined : m.has('p') && m.node('y').op === 'Add' ? -k : k;
}

/**
 * The larger of x and k·x with 0 < k ≤ 1, x or k·x by its sign, and Relu(x) − k·Relu(−x) are LeakyRelu, which has an
 * integer kernel.
 */
export const fuseLeakyRelu = rulePass({
  name: 'fuse-leaky-relu',
  doc: 'Fuses LeakyRelu spelled with Max, Where or Relu.',
  numerics: 'close',
  pattern: [...CHOICES, ...PARTS],
  check(m) {
    if (m.value('x').dtype !== 'float32') return 'the type is not known to be float32';
    const slope = slopeOf(m);
    if (slope === undefined || !Number.isFinite(slope)) return 'its slope is not one finite float32 number';
    if (m.node('y').op === 'Max' && (slope <= 0 || slope > 1))
      return 'its slope is not above 0 and at most 1, so that the larger is not that of LeakyRelu';
    return !m.has('zero') || scalarOf(m.value('zero'), m.value('x')) === 0 || 'it does not compare with 0';
  },
  rewrite: (m, b) =>
    b.op('LeakyRelu', [m.value('x')], {
      attrs: { alpha: floatAttr(slopeOf(m) ?? 0) },
      name: m.node('y').name || 'LeakyRelu',
    }),
});

/**
 * Relu(x) − k·Relu(−x) with slopes that differ is PRelu. Trades Relu, Mul and Add, which have integer kernels, for one
 * that has none. source: https://arxiv.org/abs/1502.01852
 */
export const fusePrelu = rulePass({
  name: 'fuse-prelu',
  doc: 'Fuses PRelu spelled with Relu.',
  numerics: 'close',
  opset: 7,
  pattern: PARTS,
  check(m) {
    if (m.value('x').dtype !== 'float32' || m.value('k').data?.dtype !== 'float32')
      return 'the type is not known to be float32';
    if (scalarOf(m.value('k')) !== undefined) return 'it has one slope, as LeakyRelu';
    return (
      sameShape(m.value('m').shape, m.value('x').shape) ||
      'the slopes are not known to have no more axes and sizes than what they bend'
    );
  },
  rewrite(m, b) {
    const k = dataOf(m.value('k')); // check() made sure
    const slopes =
      m.node('y').op === 'Add'
        ? b.constant(
            Tensor.f32(
              k.f32().map((v) => -v),
              k.dims,
            ),
            m.value('k').name,
          )
        : m.value('k');
    return b.op('PRelu', [m.value('x'), slopes], { name: m.node('y').name || 'PRelu' });
  },
});
