import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { floatAttr } from '../rewrite/builder.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { canFill, filled, isNear, perChannel, reducedAxes, scalarOf } from './constants.js';

/** (x − μ) / √(σ² + ε): the square as Pow or Mul, the division as Div or as Mul with a Reciprocal. */
const NORMALIZED = ['q = Pow(d, two!)', 'q = Mul(d, d)'].flatMap((square) =>
  ['y = Div(d, s)', 'r = Reciprocal(s)\ny = Mul(d, r)', 'r = Div(one!, s)\ny = Mul(d, r)'].map(
    (last) =>
      `mu = ReduceMean(x, a1?!)\nd = Sub(x, mu)\n${square}\nv = ReduceMean(q, a2?!)\ne = Add(v, eps!)\n` +
      `s = Sqrt(e)\n${last}`,
  ),
);

/** The axes that are normalised, or why the match is no normalisation. */
function axesOf(m: Match): readonly number[] | string {
  const x = m.value('x');
  const rank = x.shape?.length;
  if (rank === undefined) return 'the rank is not known';
  const [first, second] = [reducedAxes(m.node('mu'), rank), reducedAxes(m.node('v'), rank)];
  if (!first || first.join() !== second?.join()) return 'its means are over different or unknown axes';
  if (m.node('mu').int('keepdims', 1) !== 1 || m.node('v').int('keepdims', 1) !== 1) return 'its means drop their axes';
  if (m.node('q').op === 'Pow' && scalarOf(m.value('two'), x) !== 2) return 'its power is not 2';
  if (m.has('one') && !isNear(scalarOf(m.value('one'), x), 1)) return 'its reciprocal is not 1 / σ';
  if (!((scalarOf(m.value('eps'), x) ?? -1) >= 0)) return 'its ε is not one float32 number';
  return first;
}
const epsilon = (m: Match): { epsilon: ReturnType<typeof floatAttr> } => ({
  epsilon: floatAttr(scalarOf(m.value('eps')) ?? 0),
});

/**
 * (x − mean) / √(variance + ε) over the last axis is LayerNormalization with scale 1. source:
 * https://arxiv.org/abs/1607.06450
 */
export const fuseLayerNorm = rulePass({
  name: 'fuse-layer-norm',
  doc: 'Fuses a normalisation of the last axis into LayerNormalization.',
  numerics: 'close',
  opset: 17,
  pattern: NORMALIZED,
  check(m) {
    const axes = axesOf(m);
    if (typeof axes === 'string') return axes;
    const shape = m.value('x').shape ?? [];
    if (axes.length !== 1 || axes[0] !== shape.length - 1) return 'it normalises more, or other, than the last axis';
    const size = shape[shape.length - 1];
    return typeof size === 'number' ? canFill(size) : 'the size of the last axis is not known';
  },
  rewrite(m, b) {
    const size = m.value('x').shape?.at(-1);
    return b.op(
      'LayerNormalization',
      [m.value('x'), b.constant(filled(Number(size), 1), `${m.value('y').name}_scale`)],
      { attrs: { axis: -1, ...epsilon(m) }, name: m.node('y').name || 'LayerNormalization' },
    );
  },
});

/**
 * x·g + (β − μ·g) with g = γ / √(σ² + ε) over the last axis, as TensorFlow writes it, is LayerNormalization with scale
 * γ and bias β. Refuses γ and β that are not vectors of the last axis.
 */
export const fuseLayerNormMoments = rulePass({
  name: 'fuse-layer-norm-moments',
  doc: 'Fuses a normalisation of the last axis spelled with moments into LayerNormalization.',
  numerics: 'close',
  opset: 17,
  // The part with μ first: it says which factor of the other is x.
  pattern: ['q = Mul(d, d)', 'q = Pow(d, two!)'].flatMap((square) =>
    ['g = Mul(r, gamma!)', ''].map((scaled) => {
      const g = scaled ? 'g' : 'r';
      return (
        `mu = ReduceMean(x, a1?!)\nd = Sub(x, mu)\n${square}\nv = ReduceMean(q, a2?!)\ne = Add(v, eps!)\n` +
        `s = Sqrt(e)\nr = Reciprocal(s)\n${scaled}\nm = Mul(mu, ${g})\nb = Sub(beta!, m)\na = Mul(x, ${g})\n` +
        'y = Add(b, a)'
      );
    }),
  ),
  check(m) {
    const axes = axesOf(m);
    if (typeof axes === 'string') return axes;
    const shape = m.value('x').shape ?? [];
    const size = shape.at(-1);
    if (axes.length !== 1 || axes[0] !== shape.length - 1 || typeof size !== 'number')
      return 'it normalises more, or other, than the last axis, or its size is not known';
    if (canFill(size) !== true) return canFill(size);
    return (
      ['gamma', 'beta'].every(
        (name) => !m.has(name) || perChannel(m.value(name), shape.length, shape.length - 1, size),
      ) || 'its scale and bias are not vectors of the last axis'
    );
  },
  rewrite(m, b) {
    const rank = m.value('x').shape?.length ?? 1;
    const size = Number(m.value('x').shape?.at(-1));
    const vector = (name: string): Value => {
      if (!m.has(name)) return b.constant(filled(size, 1), `${m.value('y').name}_scale`);
      const v = m.value(name);
      return v.data?.dims.length === 1 && v.data.size === size
        ? v
        : // check() made sure that there is one value a channel
          b.constant(Tensor.f32(perChannel(v, rank, rank - 1, size) ?? []), v.name);
    };
    return b.op('LayerNormalization', [m.value('x'), vector('gamma'), vector('beta')], {
      attrs: { axis: -1, ...epsilon(m) },
      name: m.node('y').name || 'LayerNormalization',
    });
  },
});

/**
 * The same over every axis after the channels is InstanceNormalization with scale 1; one known last axis is
 * fuse-layer-norm's. source: https://arxiv.org/abs/1607.08022
 */
export const fuseInstanceNorm = rulePass({
  name: 'fuse-instance-norm',
  doc: 'Fuses a normalisation over all positions into InstanceNormalization.',
  numerics: 'close',
  pattern: NORMALIZED,
  check(m) {
    const axes = axesOf(m);
    if (typeof axes === 'string') return axes;
    const shape = m.value('x').shape ?? [];
    if (shape.length < 3 || axes.length !== shape.length - 2 || axes[0] !== 2)
      return 'it does not normalise all positions of each channel';
    return typeof shape[1] === 'number' ? canFill(shape[1]) : 'the number of channels is not known';
  },
  rewrite(m, b) {
    const channels = Number(m.value('x').shape?.[1]);
    const name = m.value('y').name;
    return b.op(
      'InstanceNormalization',
      [m.value('x'), b.constant(filled(channels, 1), `${name}_scale`), b.constant(filled(channels, 0), `${name}_bias`)],
      { attrs: epsilon(m), name: m.node('y').name || 'InstanceNormalization' },
    );
  },
});
