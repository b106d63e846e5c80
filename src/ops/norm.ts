/** Normalisations and softmax: the output has the shape of the input. */
import { batchNorm as batchNormGradient } from './gradients/batch-norm.js';
import * as gradients from './gradients/norm.js';
import * as softmax from './gradients/softmax.js';
import { affine } from './linear.js';
import { beside, elements, samples, softmaxed } from './links.js';
import { perElement, qlinearEach, type OpSpec, type QuantRole } from './spec.js';

const float = (because: string): QuantRole => ({ role: 'float', because });

function like(
  op: string,
  since: number,
  doc: string,
  links: OpSpec['links'],
  quant: QuantRole,
  gradient: OpSpec['gradient'],
  linear: OpSpec['linear'] = 'no',
): OpSpec {
  return {
    op,
    domain: '',
    since,
    doc,
    foldable: true,
    quant,
    linear,
    links,
    gradient,
    cost: perElement,
    infer(ctx) {
      const x = ctx.input(0);
      return [{ dtype: x?.dtype, shape: x?.shape }];
    },
  };
}

const softmaxQuant: QuantRole = {
  role: 'arithmetic',
  inputs: [0],
  range: [0, 1],
  qlinear: qlinearEach('QLinearSoftmax', { opset: 13 }),
};

export const normOps: readonly OpSpec[] = [
  {
    ...like(
      'BatchNormalization',
      1,
      'γ·(x − μ)/√(σ² + ε) + β by channel.',
      elements,
      float('fold it into the convolution before it'),
      batchNormGradient,
      affine(1),
    ),
    infer(ctx) {
      const x = ctx.input(0);
      const moments = { dtype: ctx.input(3)?.dtype, shape: ctx.input(3)?.shape }; // further results in training
      return [{ dtype: x?.dtype, shape: x?.shape }, ...ctx.node.outputs.slice(1).map(() => moments)];
    },
  },
  like(
    'InstanceNormalization',
    1,
    'Normalises each channel of each sample.',
    samples,
    float('its statistics depend on the input'),
    gradients.instanceNorm,
    affine(1),
  ),
  {
    ...like(
      'LayerNormalization',
      17,
      'Normalises the last axes.',
      beside(-1, false),
      float('its statistics depend on the input'),
      gradients.layerNorm,
      affine(-1),
    ),
    infer(ctx) {
      const x = ctx.input(0);
      const axis = ctx.node.int('axis', -1);
      const rank = x?.shape?.length ?? 0;
      const reduced = x?.shape?.map((d, i) => (i >= (axis < 0 ? axis + rank : axis) ? 1 : d));
      return [
        { dtype: x?.dtype, shape: x?.shape },
        { dtype: 'float32', shape: reduced },
        { dtype: 'float32', shape: reduced },
      ];
    },
  },
  like(
    'GroupNormalization',
    18,
    'Normalises groups of channels.',
    samples,
    float('its statistics depend on the input'),
    gradients.groupNorm,
  ),
  like(
    'RMSNormalization',
    23,
    'Divides by the root mean square.',
    beside(-1, false),
    float('its statistics depend on the input'),
    gradients.rmsNorm,
    affine(-1),
  ),
  like(
    'LpNormalization',
    1,
    'Divides by an Lp norm.',
    beside(-1, true),
    float('its statistics depend on the input'),
    gradients.lpNorm,
  ),
  like(
    'MeanVarianceNormalization',
    9,
    'Zero mean, unit variance.',
    'opaque',
    float('its statistics depend on the input'),
    gradients.meanVariance,
  ),
  like('LRN', 1, 'Local response normalisation.', samples, float('no integer kernel'), 'unsupported'),
  like('Softmax', 1, 'e^x normalised to sum 1.', softmaxed, softmaxQuant, softmax.softmax),
  like('LogSoftmax', 1, 'Logarithm of Softmax.', softmaxed, float('no integer kernel'), softmax.logSoftmax),
  like('Hardmax', 1, '1 at the maximum.', softmaxed, float('no integer kernel'), 'zero'),
];
