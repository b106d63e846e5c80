import { dataOf, shapeOf } from '../ir/known.js';
import { filled } from '../base/lists.js';
import type { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import { rulePass } from '../rewrite/pass.js';
import type { Match } from '../rewrite/pattern.js';
import { perChannel } from './constants.js';

/**
 * What a constant does to the scale and bias of the normalisation before it: s·n + b becomes (k·s)·n + k·b, or s·n + (b
 * + k).
 */
function affine(m: Match, b: GraphBuilder, axis: number): Value {
  const n = m.node('n');
  const scale = dataOf(m.value('s')).f64(); // check() made sure, here and below
  const k = perChannel(m.value('k'), shapeOf(filled(n.inputs, 0)).length, axis, scale.length)!;
  const bias = m.optional('b')?.data?.f64();
  const product = m.node('y').op === 'Mul';
  const inputs: (Value | null)[] = [
    m.value('x'),
    product ? b.constant(Tensor.f32(scale.map((s, i) => s * k[i]!)), m.value('s').name) : m.value('s'),
  ];
  if (bias || !product)
    inputs.push(
      b.constant(
        Tensor.f32(Float32Array.from(k, (v, i) => (product ? (bias?.[i] ?? 0) * v : (bias?.[i] ?? 0) + v))),
        m.optional('b')?.name ?? m.value('k').name,
      ),
    );
  return b.op(n.op, [...inputs, ...n.inputs.slice(3)], { attrs: Object.fromEntries(n.attrs), name: n.name });
}
function canAbsorb(m: Match, axisOf: (rank: number) => number): true | string {
  const n = m.node('n');
  const rank = n.inputs[0]?.shape?.length;
  const scale = m.value('s').data;
  if (n.outputs.slice(1).some((o) => o.uses.size || o.isGraphOutput)) return 'its statistics are used';
  if (rank === undefined || scale?.dtype !== 'float32' || scale.dims.length !== 1)
    return 'its shape is not known, or its scale is no vector';
  return (
    perChannel(m.value('k'), rank, axisOf(rank), scale.size) !== undefined || 'the constant varies along other axes'
  );
}

/** A constant after LayerNormalization of the last axis joins its scale or bias. */
export const fuseLayerNormAffine = rulePass({
  name: 'fuse-layer-norm-affine',
  doc: 'Takes a constant factor or sum into the LayerNormalization before it.',
  numerics: 'close',
  pattern: ['Mul', 'Add'].map((op) => `n = LayerNormalization(x, s!, b?!)\ny = ${op}(n, k!)`),
  check: (m) => {
    const axis = m.node('n').int('axis', -1);
    return axis === -1 || axis === (m.value('x').shape?.length ?? 0) - 1
      ? canAbsorb(m, (rank) => rank - 1)
      : 'it normalises several axes';
  },
  rewrite: (m, b) => affine(m, b, shapeOf(m.value('x')).length - 1), // check() made sure
});

/** A constant factor after RMSNormalization of the last axis joins its scale. */
export const fuseRmsNormScale = rulePass({
  name: 'fuse-rms-norm-scale',
  doc: 'Takes a constant factor into the RMSNormalization before it.',
  numerics: 'close',
  pattern: 'n = RMSNormalization(x, s!, b?!)\ny = Mul(n, k!)',
  check: (m) => {
    const axis = m.node('n').int('axis', -1);
    return axis === -1 || axis === (m.value('x').shape?.length ?? 0) - 1
      ? canAbsorb(m, (rank) => rank - 1)
      : 'it normalises several axes';
  },
  rewrite: (m, b) => affine(m, b, shapeOf(m.value('x')).length - 1), // check() made sure
});

/** A constant per channel after InstanceNormalization joins its scale or bias. */
export const fuseInstanceNormAffine = rulePass({
  name: 'fuse-instance-norm-affine',
  doc: 'Takes a constant factor or sum into the InstanceNormalization before it.',
  numerics: 'close',
  pattern: ['Mul', 'Add'].map((op) => `n = InstanceNormalization(x, s!, b!)\ny = ${op}(n, k!)`),
  check: (m) => canAbsorb(m, () => 1),
  rewrite: (m, b) => affine(m, b, 1),
});

/**
 * A constant per channel after BatchNormalization, where no convolution takes the latter in, joins its scale or bias.
 */
export const fuseBatchNormAffine = rulePass({
  name: 'fuse-batch-norm-affine',
  doc: 'Takes a constant factor or sum into the BatchNormalization before it.',
  numerics: 'close',
  pattern: ['Mul', 'Add'].map((op) => `n = BatchNormalization(x, s!, b!, mean, var)\ny = ${op}(n, k!)`),
  check: (m) =>
    m.node('n').int('training_mode', 0) !== 0 ? 'BatchNormalization is in training mode' : canAbsorb(m, () => 1),
  rewrite: (m, b) => affine(m, b, 1),
});

/**
 * A constant per channel after GroupNormalization of opset 21, whose scale has one value per channel, joins its scale
 * or bias.
 */
export const fuseGroupNormAffine = rulePass({
  name: 'fuse-group-norm-affine',
  doc: 'Takes a constant factor or sum into the GroupNormalization before it.',
  numerics: 'close',
  opset: 21,
  pattern: ['Mul', 'Add'].map((op) => `n = GroupNormalization(x, s!, b!)\ny = ${op}(n, k!)`),
  check: (m) => canAbsorb(m, () => 1),
  rewrite: (m, b) => affine(m, b, 1),
});
