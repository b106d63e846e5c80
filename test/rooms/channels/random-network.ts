/** Seeded random networks, of images and of tokens, rich in what ties channels together. */
import { createRng, type Rng } from '../../../src/base/rng.js';
import { Graph, type Value } from '../../../src/ir/graph.js';
import { createModel, type Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { GraphBuilder, type OpOptions } from '../../../src/rewrite/builder.js';

type Attrs = NonNullable<OpOptions['attrs']>;
/** Shorthands over a graph that grows. */
class Net {
  readonly model: Model;
  readonly b: GraphBuilder;
  readonly rng: Rng;
  constructor(rng: Rng, opset: number) {
    this.rng = rng;
    this.model = createModel(new Graph(), opset, 10);
    this.b = new GraphBuilder(this.model);
  }
  op = (op: string, inputs: readonly (Value | null)[], attrs: Attrs = {}): Value => this.b.op(op, inputs, { attrs });
  one = <T>(list: readonly T[]): T => list[this.rng.int(list.length)]!;
  sometimes = (one: number): boolean => this.rng.int(one) === 0;
  weights(...dims: number[]): Value {
    const n = dims.reduce((p, d) => p * d, 1);
    const fan = dims.slice(1).reduce((p, d) => p * d, 1) || 1;
    const data = Float32Array.from({ length: n }, () => this.rng.normal() / Math.sqrt(fan));
    return this.b.constant(Tensor.f32(data, dims), 'w');
  }
  positive(...dims: number[]): Value {
    const n = dims.reduce((p, d) => p * d, 1);
    return this.b.constant(
      Tensor.f32(
        Float32Array.from({ length: n }, () => 0.5 + this.rng.next()),
        dims,
      ),
      'p',
    );
  }
  ints = (...v: readonly number[]): Value => this.b.constant(Tensor.i64(v), 'ints');
  number = (v: number): Value => this.b.constant(Tensor.f32([v], []), 'number');
}
const size = (v: Value, axis: number): number => Number(v.shape![axis]);

/** One that gives `y` of images [N, 3, 6, 6], or of tokens. */
export function randomNetwork(seed: number): Model {
  const rng = createRng(seed, 'random-network');
  const net = new Net(rng, rng.int(2) ? 18 : 13);
  const y = seed % 3 === 2 ? tokens(net) : image(net);
  net.model.graph.addOutput(y);
  return net.model;
}

type Step = (n: Net, x: Value) => Value;
const conv = (n: Net, x: Value, to = 4 + 2 * n.rng.int(5), group = 1, kernel = n.one([1, 3])): Value =>
  n.op('Conv', [x, n.weights(to, size(x, 1) / group, kernel, kernel), ...(n.sometimes(2) ? [n.weights(to)] : [])], {
    pads: Array<number>(4).fill((kernel - 1) / 2),
    ...(group > 1 ? { group } : {}),
  });
const divisor = (n: Net, of: number): number => n.one([1, 2, 3, 4, 6, 8].filter((d) => of % d === 0));

const STEPS: Readonly<Record<string, Step>> = {
  conv: (n, x) => conv(n, x),
  grouped: (n, x) => {
    const group = divisor(n, size(x, 1));
    return conv(n, x, group * (1 + n.rng.int(3)), group);
  },
  depthwise: (n, x) => conv(n, x, size(x, 1) * (1 + n.rng.int(2)), size(x, 1), 3),
  transposed: (n, x) => {
    const group = n.sometimes(3) ? divisor(n, size(x, 1)) : 1;
    const to = 2 + n.rng.int(3);
    return n.op('ConvTranspose', [x, n.weights(size(x, 1), to, 1, 1), n.weights(to * group)], { group });
  },
  norm: (n, x) => {
    const c = size(x, 1);
    return n.op('BatchNormalization', [x, n.weights(c), n.weights(c), n.weights(c), n.positive(c)]);
  },
  instance: (n, x) => n.op('InstanceNormalization', [x, n.weights(size(x, 1)), n.weights(size(x, 1))]),
  groupNorm: (n, x) => {
    // as exporters write it: groups as instances
    const [c, groups] = [size(x, 1), divisor(n, size(x, 1))];
    const apart = n.op('Reshape', [x, n.ints(0, groups, -1)]);
    const one = n.op('InstanceNormalization', [apart, n.positive(groups), n.weights(groups)]);
    const back = n.op('Reshape', [one, n.ints(...[0, c, size(x, 2), size(x, 3)])]);
    return n.op('Add', [n.op('Mul', [back, n.weights(c, 1, 1)]), n.weights(c, 1, 1)]);
  },
  act: (n, x) => n.op(n.one(['Relu', 'Sigmoid', 'Elu', 'Tanh', 'Softplus']), [x]),
  prelu: (n, x) => n.op('PRelu', [x, n.weights(size(x, 1), 1, 1)]),
  clip: (n, x) => n.op('Clip', [x, n.number(-1), n.number(2)]),
  scale: (n, x) => n.op(n.one(['Mul', 'Add', 'Sub']), [x, n.weights(1, size(x, 1), 1, 1)]),
  places: (n, x) => n.op('Mul', [x, n.weights(1, 1, size(x, 2), size(x, 3))]),
  residual: (n, x) => {
    const inner = n.op('Relu', [conv(n, x)]);
    return n.op('Add', [conv(n, inner, size(x, 1)), x]);
  },
  projected: (n, x) => {
    const a = conv(n, x);
    return n.op('Sum', [a, conv(n, x, size(a, 1), 1, 1), conv(n, a, size(a, 1))]);
  },
  concat: (n, x) => n.op('Concat', [conv(n, x), x, n.op('Relu', [conv(n, x)])].slice(n.rng.int(2)), { axis: 1 }),
  dense: (n, x) => n.op('Concat', [x, conv(n, x, 4)], { axis: -3 }),
  split: (n, x) => {
    const c = size(x, 1);
    if (c < 4) return x;
    const first = 1 + n.rng.int(c - 2);
    const parts = n.b.node('Split', [x, n.ints(first, c - first)], 2, { attrs: { axis: 1 } }).outputs;
    const [a, b] = [parts[0]!, parts[1]!];
    return n.op('Concat', n.sometimes(2) ? [conv(n, a), b] : [b, n.op('Relu', [a])], { axis: 1 });
  },
  halves: (n, x) => {
    const even = size(x, 1) % 2 ? conv(n, x, 8) : x;
    const attrs = n.b.opset >= 18 ? { axis: 1, num_outputs: 2 } : { axis: 1 };
    const parts = n.b.node('Split', [even], 2, { attrs }).outputs;
    return n.op('Mul', [parts[0]!, n.op('Sigmoid', [parts[1]!])]);
  },
  slice: (n, x) => {
    const c = size(x, 1);
    if (c < 3) return x;
    const from = n.rng.int(c - 2);
    const to = n.sometimes(2) ? 2 ** 31 : from + 1 + n.rng.int(c - from);
    return n.op('Slice', [x, n.ints(n.sometimes(2) ? from : from - c), n.ints(to), n.ints(1), n.ints(1)]);
  },
  gather: (n, x) => {
    const c = size(x, 1);
    const order = Array.from({ length: c }, (_, i) => (n.sometimes(3) ? c - 1 - i : i));
    return n.op('Gather', [x, n.ints(...order.slice(n.rng.int(2)).map((i) => (n.sometimes(4) ? i - c : i)))], {
      axis: 1,
    });
  },
  shuffle: (n, x) => {
    const [c, groups] = [size(x, 1), divisor(n, size(x, 1))];
    const [h, w] = [size(x, 2), size(x, 3)];
    const apart = n.op('Reshape', [x, n.ints(0, groups, c / groups, h, w)]);
    const turned = n.op('Transpose', [apart], { perm: [0, 2, 1, 3, 4] });
    return n.op('Reshape', [turned, n.ints(0, n.sometimes(2) ? -1 : c, h, w)]);
  },
  excite: (n, x) => {
    const c = size(x, 1);
    const inner = n.op('Relu', [conv(n, n.op('GlobalAveragePool', [x]), 4, 1, 1)]);
    return n.op('Mul', [x, n.op('Sigmoid', [conv(n, inner, c, 1, 1)])]);
  },
  exciteByProducts: (n, x) => {
    const c = size(x, 1);
    const flat = n.op('Flatten', [n.op('GlobalAveragePool', [x])]);
    const inner = n.op('Relu', [n.op('Gemm', [flat, n.weights(5, c), n.weights(5)], { transB: 1 })]);
    const gate = n.op('Sigmoid', [n.op('MatMul', [inner, n.weights(5, c)])]);
    return n.op('Mul', [x, n.op('Unsqueeze', [gate, n.ints(2, 3)])]);
  },
  pool: (n, x) => n.op(n.one(['MaxPool', 'AveragePool']), [x], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }),
  pad: (n, x) => n.op('Pad', [x, n.ints(0, n.rng.int(3), 1, 0, 0, n.rng.int(3), 0, 1)]),
  crop: (n, x) => (size(x, 2) < 3 ? x : n.op('Slice', [x, n.ints(1), n.ints(size(x, 2)), n.ints(2)])),
  resize: (n, x) =>
    n.sometimes(2)
      ? n.op('Resize', [x, null, n.b.constant([1, 1, 2, 1])], { mode: 'nearest' })
      : typeof x.shape![0] === 'number'
        ? n.op('Resize', [x, null, null, n.ints(size(x, 0), size(x, 1), 4, 5)], { mode: 'nearest' })
        : x,
  last: (n, x) => {
    const turned = n.op('Transpose', [x], { perm: [0, 2, 3, 1] });
    const moved = n.op('Add', [n.op('MatMul', [turned, n.weights(size(x, 1), 6)]), n.weights(6)]);
    return n.op('Transpose', [n.op('Relu', [moved])], { perm: [0, 3, 1, 2] });
  },
  tall: (n, x) => n.op('Squeeze', [n.op('Identity', [n.op('Unsqueeze', [x, n.ints(2)])]), n.ints(2)]),
  spatial: (n, x) => n.op('Mul', [x, n.op('Sigmoid', [n.op('ReduceMean', [x], { axes: [1], keepdims: 1 })])]),
};

function image(n: Net): Value {
  const start = n.b.input('x', 'float32', [n.sometimes(2) ? 'N' : 2, 3, 6, 6]);
  const steps = Object.entries(STEPS).filter(([name]) => n.b.opset < 18 || name !== 'spatial');
  let x = conv(n, start, 8);
  const all = [x];
  for (let i = 4 + n.rng.int(8); i > 0; i--) {
    x = n.one(steps)[1](n, x);
    if (size(x, 1) > 24) x = conv(n, x, 8);
    // a way round, from further back
    const other = n.one(all);
    if (n.sometimes(5) && other.shape!.join() === x.shape!.join()) x = n.op('Add', [x, other]);
    all.push(x);
  }
  x = conv(n, x, 6, 1, 1);
  if (n.sometimes(2)) x = n.op('Relu', [x]);
  const [c, h, w] = [1, 2, 3].map((a) => size(x, a)) as [number, number, number];
  const product = (v: Value, from: number): Value => n.op('Gemm', [v, n.weights(5, from), n.weights(5)], { transB: 1 });
  switch (n.rng.int(4)) {
    case 0:
      return product(n.op('Flatten', [n.op('GlobalAveragePool', [x])]), c);
    case 1:
      return product(n.op('Flatten', [x]), c * h * w);
    case 2: {
      const turned = n.op('Transpose', [x], { perm: [0, 2, 3, 1] });
      return product(n.op('Reshape', [turned, n.ints(-1, c * h * w)]), c * h * w);
    }
    default: {
      const flat = n.op('Transpose', [n.op('Reshape', [x, n.ints(0, c, -1)])], { perm: [0, 2, 1] });
      return n.op('MatMul', [flat, n.weights(c, 3)]);
    }
  }
}

/** Products of the last axis, with a bias. */
const dense = (n: Net, x: Value, to: number): Value =>
  n.op('Add', [n.op('MatMul', [x, n.weights(size(x, 2), to)]), n.weights(to)]);
const T = 5;

function tokens(n: Net): Value {
  const e = n.one([8, 12]);
  let x: Value;
  if (n.sometimes(2)) {
    const ids = n.b.input('ids', 'int64', [n.sometimes(2) ? 'N' : 2, T]);
    const table = n.weights(11, e);
    x = n.op('Add', [n.op('Gather', [table, ids]), n.weights(T, e)]);
  } else x = dense(n, n.b.input('x', 'float32', [n.sometimes(2) ? 'N' : 2, T, 6]), e);
  for (let i = 1 + n.rng.int(2); i > 0; i--) {
    x = n.op('Add', [x, attention(n, normed(n, x), e)]);
    x = n.op('Add', [x, forward(n, normed(n, x), e)]);
  }
  if (n.sometimes(2)) x = normed(n, x);
  const end = n.rng.int(3);
  if (end === 0) return dense(n, x, 4);
  if (end === 1) {
    const first = n.op('Gather', [x, n.b.constant(Tensor.i64([0], []), 'first')], { axis: 1 });
    return n.op('Gemm', [first, n.weights(e, 3), n.weights(3)]);
  }
  const shape = n.op('Reshape', [x, n.ints(-1, e)]);
  return n.op('Gemm', [shape, n.weights(3, e)], { transB: 1 });
}
function normed(n: Net, x: Value): Value {
  const e = size(x, 2);
  if (n.sometimes(3)) return x;
  if (n.b.opset >= 17 && n.sometimes(2)) return n.op('LayerNormalization', [x, n.positive(e), n.weights(e)]);
  const axes = n.b.opset >= 18 ? [n.ints(-1)] : [];
  const about = n.b.opset >= 18 ? { keepdims: 1 } : { axes: [-1], keepdims: 1 };
  const mean = n.op('ReduceMean', [n.op('Mul', [x, x]), ...axes], about);
  return n.op('Mul', [n.op('Div', [x, n.op('Sqrt', [n.op('Add', [mean, n.number(1e-5)])])]), n.positive(e)]);
}
function forward(n: Net, x: Value, e: number): Value {
  const inner = 6 + n.rng.int(6);
  switch (n.rng.int(4)) {
    case 0:
      return dense(n, n.op('Relu', [dense(n, x, inner)]), e);
    case 1: {
      const h = dense(n, x, inner);
      const erf = n.op('Add', [n.op('Erf', [n.op('Div', [h, n.number(1.4142135)])]), n.number(1)]);
      return dense(n, n.op('Mul', [n.op('Mul', [h, erf]), n.number(0.5)]), e);
    }
    case 2: {
      const [gate, up] = [dense(n, x, inner), dense(n, x, inner)];
      return dense(n, n.op('Mul', [n.op('Mul', [gate, n.op('Sigmoid', [gate])]), up]), e);
    }
    default: {
      const attrs = n.b.opset >= 18 ? { axis: -1, num_outputs: 2 } : { axis: -1 };
      const parts = n.b.node('Split', [dense(n, x, 2 * inner)], 2, { attrs }).outputs;
      return dense(n, n.op('Mul', [n.op('Tanh', [parts[0]!]), parts[1]!]), e);
    }
  }
}
/** Sizes of batch and tokens as exporters of models with open axes give them, with constants behind. */
function shaped(n: Net, x: Value, ...rest: number[]): Value {
  switch (n.rng.int(3)) {
    case 0:
      return n.ints(0, 0, ...rest);
    case 1:
      return n.ints(-1, T, ...rest);
    default: {
      const sizes = n.op('Shape', [x]);
      const [batch, length] = [0, 1].map((i) => n.op('Gather', [sizes, n.ints(i)], { axis: 0 })) as [Value, Value];
      const behind = n.sometimes(2) ? [n.ints(...rest)] : rest.map((d) => n.ints(d));
      return n.op('Concat', [batch, length, ...behind], { axis: 0 });
    }
  }
}
function attention(n: Net, x: Value, e: number): Value {
  const [heads, each] = [n.one([2, 4]), n.one([2, 3])];
  const apart = (v: Value, h: number, perm: readonly number[]): Value =>
    n.op('Transpose', [n.op('Reshape', [v, shaped(n, v, h, each)])], { perm });
  let [q, k, v]: [Value, Value, Value] = [x, x, x];
  const kind = n.rng.int(4);
  if (kind === 0) {
    const packed = n.op('Reshape', [dense(n, x, 3 * heads * each), shaped(n, x, 3, heads, each)]);
    const turned = n.op('Transpose', [packed], { perm: [2, 0, 3, 1, 4] });
    const part = (i: number): Value => n.op('Gather', [turned, n.b.constant(Tensor.i64([i], []), 'part')], { axis: 0 });
    [q, k, v] = [part(0), n.op('Transpose', [part(1)], { perm: [0, 1, 3, 2] }), part(2)];
  } else if (kind === 1) {
    const all = n.b.node('Split', [dense(n, x, 3 * heads * each), n.ints(...Array<number>(3).fill(heads * each))], 3, {
      attrs: { axis: 2 },
    }).outputs;
    q = apart(all[0]!, heads, [0, 2, 1, 3]);
    k = apart(all[1]!, heads, [0, 2, 3, 1]);
    v = apart(all[2]!, heads, [0, 2, 1, 3]);
  } else if (kind === 2) {
    const shared = heads / 2;
    q = apart(dense(n, x, heads * each), heads, [0, 2, 1, 3]);
    const wide = (w: Value): Value => {
      const own = n.op('Unsqueeze', [apart(w, shared, [0, 2, 1, 3]), n.ints(2)]);
      const repeated = n.op('Expand', [own, n.ints(1, shared, 2, 1, 1)]);
      return n.op('Reshape', [repeated, n.ints(-1, heads, T, each)]);
    };
    k = n.op('Transpose', [wide(dense(n, x, shared * each))], { perm: [0, 1, 3, 2] });
    v = wide(dense(n, x, shared * each));
  } else {
    q = apart(dense(n, x, heads * each), heads, [0, 2, 1, 3]);
    k = apart(dense(n, x, heads * each), heads, [0, 2, 3, 1]);
    v = apart(dense(n, x, heads * each), heads, [0, 2, 1, 3]);
  }
  const scores = n.op('Add', [n.op('Mul', [n.op('MatMul', [q, k]), n.number(0.5)]), n.weights(1, 1, T, T)]);
  const mixed = n.op('MatMul', [n.op('Softmax', [scores], { axis: -1 }), v]);
  const back = n.op('Transpose', [mixed], { perm: [0, 2, 1, 3] });
  const width = heads * each;
  return dense(n, n.op('Reshape', [back, n.sometimes(2) ? shaped(n, back, width) : n.ints(0, 0, -1)]), e);
}
