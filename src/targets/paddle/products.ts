/** Convolutions and matrix products. source: paddle/phi/ops/yaml/op_compat.yaml, names of inputs and attributes */
import { filled, item } from '../../base/lists.js';
import type { Layer } from '../shared/layers.js';
import { windowOf } from '../../ops/window.js';
import { activated } from './functions.js';
import type { Attribute, PaddleProgram } from './program.js';

export function convolution(l: Layer, to: PaddleProgram): string | undefined {
  const [x, w] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const y = filled(l.outputs, 0);
  const refused = constantsMissing(l);
  if (refused !== undefined) return refused;
  const window = windowOf(l.node, w.shape.slice(2), x.shape.slice(2), y.shape.slice(2));
  const groups = l.node.int('group', 1);
  const depthwise = groups > 1 && groups === x.shape[1];
  const product = to.temporary(`${y.name}.product`, y.shape);
  to.add(
    depthwise ? 'depthwise_conv2d' : 'conv2d',
    { Input: to.value(x), Filter: weightOf(l, to, 0) },
    { Output: product },
    {
      strides: window.strides,
      // before and after along the height, then along the width
      paddings: [0, 1].flatMap((i) => [item(window.before, i), item(window.after, i)]),
      dilations: window.dilations,
      groups,
      ...LAYOUT,
    },
  );
  to.sets(y, activated(l, to, biased(l, to, product, 1)));
  return undefined;
}
const LAYOUT: Readonly<Record<string, Attribute>> = { data_format: 'NCHW', padding_algorithm: 'EXPLICIT' };

export function deconvolution(l: Layer, to: PaddleProgram): string | undefined {
  const [x, w] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const y = filled(l.outputs, 0);
  const refused = constantsMissing(l);
  if (refused !== undefined) return refused;
  if (l.node.string('auto_pad', 'NOTSET').startsWith('SAME') || l.node.attrs.has('output_shape'))
    return 'its padding follows from output_shape or auto_pad';
  const [top, left, bottom, right] = l.node.ints('pads', [0, 0, 0, 0]);
  const product = to.temporary(`${y.name}.product`, y.shape);
  const groups = l.node.int('group', 1);
  to.add(
    'conv2d_transpose',
    { Input: to.value(x), Filter: to.value(w) },
    { Output: product },
    {
      strides: l.node.ints('strides', [1, 1]),
      paddings: [top ?? 0, bottom ?? 0, left ?? 0, right ?? 0],
      dilations: l.node.ints('dilations', [1, 1]),
      output_padding: l.node.ints('output_padding', [0, 0]),
      output_size: [],
      groups,
      ...LAYOUT,
    },
  );
  to.sets(y, activated(l, to, biased(l, to, product, 1)));
  return undefined;
}

function constantsMissing(l: Layer): string | undefined {
  const w = filled(l.inputs, 1);
  if (!w.data) return 'its weight is not a constant';
  if (l.inputs[2] && !l.inputs[2].data) return 'its bias is not a constant';
  if (w.shape.length !== 4) return `it has ${w.shape.length - 2} spatial axes, where 2 must be`;
  return l.node.ints('pads', []).some((p) => p < 0) ? 'a pad is negative' : undefined;
}

/** Behind a bias for each channel, where there is one. */
function biased(l: Layer, to: PaddleProgram, product: string, axis: number, factor = 1): string {
  const y = filled(l.outputs, 0);
  const bias = l.inputs[2]?.data;
  if (!bias) return product;
  const columns = item(y.shape, 1);
  const given = bias.f32();
  const values = Float32Array.from({ length: columns }, (_, i) => item(given, given.length === 1 ? 0 : i) * factor);
  const sum = to.temporary(`${y.name}.biased`, y.shape);
  const b = to.parameter(`${l.name}.bias`, 'float32', [columns], values);
  to.add('elementwise_add', { X: product, Y: b }, { Out: sum }, { axis });
  return sum;
}

/** int8 codes where there are some, with scales along `axis`. */
function weightOf(l: Layer, to: PaddleProgram, axis: number): string {
  const coded = l.coded.get(1);
  const w = filled(l.inputs, 1);
  if (!coded || !filled(l.inputs, 0).params) return to.value(w);
  const count = item(coded.codes.dims, axis);
  return to.weights(
    `${l.name}.weight`,
    Int8Array.from(coded.codes.f64()),
    coded.codes.dims,
    spread(coded.params.scale, count),
    axis,
  );
}
const spread = (scale: Float32Array, count: number): Float32Array =>
  scale.length === count ? scale : new Float32Array(count).fill(item(scale, 0));

export function gemm(l: Layer, to: PaddleProgram): string | undefined {
  const [x, w] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const y = filled(l.outputs, 0);
  const c = l.inputs[2];
  if (!w.data) return 'its second operand is not a constant';
  if (l.node.int('transA', 0) === 1) return 'its first operand is transposed';
  const columns = item(y.shape, 1);
  if (c && (!c.data || (c.data.size !== columns && c.data.size !== 1)))
    return 'its third operand is not one constant for each column';
  const alpha = l.node.float('alpha', 1);
  const turned = l.node.int('transB', 0) === 1;
  const [rows] = turned ? [item(w.shape, 1)] : [item(w.shape, 0)];
  const coded = l.coded.get(1);
  const dims = [rows, columns];
  const turn = <T extends Float32Array | Int8Array>(from: T): T => {
    if (!turned) return from;
    const made = from.slice() as T; // a copy of the same type
    for (let o = 0; o < columns; o++) for (let i = 0; i < rows; i++) made[i * columns + o] = from[o * rows + i]!;
    return made;
  };
  const weight =
    coded && x.params
      ? to.weights(
          `${l.name}.weight`,
          turn(Int8Array.from(coded.codes.f64())),
          dims,
          spread(coded.params.scale, columns).map((s) => s * alpha),
          1,
        )
      : to.parameter(
          `${l.name}.weight`,
          'float32',
          dims,
          turn(w.data.f32()).map((v) => v * alpha),
        );
  const product = to.temporary(`${y.name}.product`, y.shape);
  to.add('matmul_v2', { X: to.value(x), Y: weight }, { Out: product }, { trans_x: false, trans_y: false });
  to.sets(y, activated(l, to, biased(l, to, product, -1, l.node.float('beta', 1))));
  return undefined;
}

export function matMul(l: Layer, to: PaddleProgram): string | undefined {
  const [a, b] = [filled(l.inputs, 0), filled(l.inputs, 1)];
  const y = filled(l.outputs, 0);
  if (a.data) return 'its first operand is a constant';
  const flat = b.data?.dims.length === 2;
  const product = to.temporary(y.name, y.shape);
  to.add(
    'matmul_v2',
    { X: to.value(a), Y: flat ? weightOf(l, to, 1) : to.value(b) },
    { Out: product },
    { trans_x: false, trans_y: false },
  );
  to.sets(y, activated(l, to, product));
  return undefined;
}
