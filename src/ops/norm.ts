/** Normalisations and softmax: the output has the shape of the input. */
import { perElement, qlinearEach, type OpSpec, type QuantRole } from './spec.js';

const float = (because: string): QuantRole => ({ role: 'float', because });

function like(op: string, since: number, doc: string, quant: QuantRole, extra = 0): OpSpec {
  return {
    op,
    domain: '',
    since,
    doc,
    foldable: true,
    quant,
    cost: perElement,
    infer(ctx) {
      const x = ctx.input(0);
      const same = { dtype: x?.dtype, shape: x?.shape };
      return [same, ...Array.from({ length: extra }, () => ({ dtype: x?.dtype, shape: undefined }))];
    },
  };
}

export const normOps: readonly OpSpec[] = [
  like('BatchNormalization', 1, 'γ·(x − μ)/√(σ² + ε) + β by channel.', float('fold it into the convolution before it')),
  like(
    'InstanceNormalization',
    1,
    'Normalises each channel of each sample.',
    float('its statistics depend on the input'),
  ),
  {
    ...like('LayerNormalization', 17, 'Normalises the last axes.', float('its statistics depend on the input')),
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
  like('GroupNormalization', 18, 'Normalises groups of channels.', float('its statistics depend on the input')),
  like('RMSNormalization', 23, 'Divides by the root mean square.', float('its statistics depend on the input')),
  like('LpNormalization', 1, 'Divides by an Lp norm.', float('its statistics depend on the input')),
  like('MeanVarianceNormalization', 9, 'Zero mean, unit variance.', float('its statistics depend on the input')),
  like('LRN', 1, 'Local response normalisation.', float('no integer kernel')),
  like('Softmax', 1, 'e^x normalised to sum 1.', {
    role: 'arithmetic',
    inputs: [0],
    range: [0, 1],
    qlinear: qlinearEach('QLinearSoftmax', { opset: 13 }),
  }),
  like('LogSoftmax', 1, 'Logarithm of Softmax.', float('no integer kernel')),
  like('Hardmax', 1, '1 at the maximum.', float('no integer kernel')),
];
