import { dataOf } from '../ir/known.js';
import { z } from 'zod';
import type { Node, Value } from '../ir/graph.js';
import { isRelu } from '../ops/kinds.js';
import { Tensor } from '../ir/tensor.js';
import { layerShape, rowsOfLayer, type LayerShape } from '../channels/layer.js';
import type { ChannelMoments } from '../channels/moments.js';
import type { AdjustContext, Adjustment } from './types.js';

const options = z.strictObject({
  deviations: z
    .number()
    .positive()
    .default(3)
    .describe(
      'A channel gives up what lies this many standard deviations below its mean: with 3, one value in 740 is ' +
        'cut by Relu and changes.',
    ),
});

/**
 * Channels that Relu almost never cuts carry a constant share: c = max(0, β − 3γ) by BatchNormalization. It is taken
 * from the bias before Relu and put into the biases of the layers behind, b + W·c, so that the range of the tensor
 * shrinks by c. Refuses where a reader pads with zeros (which were no c away from zero), is no layer with a bias of its
 * own, or where somebody else reads the tensor. With padding it would take a Pad for each channel's −c, or a map of
 * biases added after the convolution, which keeps the kernels from fusing; models have too little to gain: of the
 * channels before Relu, 0 of 352 of ResNet-20 and 31 of 2272 of UltraFace have β > 3γ. source: high biases, Nagel et
 * al. 2019, https://arxiv.org/abs/1906.04721, section 4.1.3
 */
export const absorbBias = {
  name: 'absorb-bias',
  doc:
    'Moves the constant share of channels that Relu hardly ever cuts into the biases of the next layers, so that ' +
    'activations need less range (high-bias absorption). Needs no data, but a model that had BatchNormalization.',
  options,
  needsData: false,
  run({ model, moments, report }, { deviations }) {
    let [layers, channels, padded] = [0, 0, 0];
    for (const relu of model.graph.topological()) {
      const m = isRelu(relu) && relu.inputs[0] ? moments.get(relu.inputs[0].name) : undefined;
      const found = m && site(relu, m, moments);
      if (!found) continue;
      if (found === 'padded') {
        padded++;
        continue;
      }
      const c = m.mean.map((mean, i) => Math.max(0, mean - deviations * m.deviation[i]!)); // one for each channel
      const moved = c.reduce((n, x) => n + (x > 0 ? 1 : 0), 0);
      if (!moved) continue;
      absorb(found, c);
      c.forEach((x, i) => {
        m.mean[i]! -= x;
      });
      layers++;
      channels += moved;
    }
    if (padded)
      report({
        severity: 'note',
        code: 'BIAS_NOT_ABSORBED',
        message: `the biases of ${padded} layers stay: a layer behind pads with zeros`,
        hint: 'absorption is exact for 1×1 convolutions and products',
      });
    return Promise.resolve(
      `${channels} channels of ${layers} layers${padded ? ` · ${padded} left because of padding` : ''}`,
    );
  },
} satisfies Adjustment<z.output<typeof options>>;

interface Site {
  readonly bias: Value;
  readonly readers: readonly (LayerShape & { readonly bias: Value })[];
}

/**
 * Where a tensor's constant share comes from and can go to; undefined where it must stay, 'padded' where only padding
 * says so.
 */
function site(relu: Node, m: ChannelMoments, moments: AdjustContext['moments']): Site | 'padded' | undefined {
  const [x] = relu.inputs;
  const [y] = relu.outputs;
  const made = x?.producer && layerShape(x.producer);
  if (
    !x ||
    !y ||
    !made?.bias ||
    x.uses.size !== 1 ||
    x.isGraphOutput ||
    y.isGraphOutput ||
    !y.uses.size ||
    dataOf(made.bias).size !== m.mean.length ||
    made.view.beta !== 1 ||
    !moments.has(x.name)
  )
    return undefined; // layerShape gives constant biases
  const readers: (LayerShape & { bias: Value })[] = [];
  let padded = false;
  for (const { node, index } of y.uses) {
    const shape = layerShape(node);
    if (index !== 0 || !shape?.bias || dataOf(shape.bias).size !== shape.groups * shape.rows) return undefined;
    const slides = shape.view.kind === 'window';
    if (slides && pads(node)) padded = true;
    if (shape.view.beta !== 1) return undefined;
    if (!slides && shape.columns !== m.mean.length) return undefined;
    readers.push({ ...shape, bias: shape.bias });
  }
  return padded ? 'padded' : { bias: made.bias, readers };
}

function pads(node: Node): boolean {
  const auto = node.string('auto_pad', 'NOTSET');
  return auto.startsWith('SAME') || node.ints('pads', []).some((p) => p !== 0);
}

function absorb({ bias, readers }: Site, c: Float64Array): void {
  add(
    bias,
    c.map((x) => -x),
  );
  for (const r of readers) {
    const more = new Float64Array(r.groups * r.rows);
    const channels = r.view.kind === 'window' ? c.length / r.groups : r.columns;
    const each = r.columns / channels;
    for (let g = 0; g < r.groups; g++) {
      // a layer's weight is constant
      const w = rowsOfLayer(r, dataOf(r.weight).f64(), { group: g, first: 0, rows: r.rows });
      for (let row = 0, at = 0; row < r.rows; row++)
        for (let k = 0; k < r.columns; k++)
          // one for each column and channel
          more[g * r.rows + row]! += w[at++]! * c[g * channels + Math.floor(k / each)]!;
    }
    add(r.bias, more);
  }
}

function add(bias: Value, more: Float64Array): void {
  const data = dataOf(bias); // constant, as callers checked
  bias.data = Tensor.f32(
    Float32Array.from(data.f64(), (b, i) => b + more[i]!),
    data.dims,
  ); // as long as the bias
}
