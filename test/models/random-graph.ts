/** Seeded random models that are valid ONNX and run in onnxruntime, rich in what the optimiser looks for. */
import { createRng, type Rng } from '../../src/base/rng.js';
import { Graph, Value, type Attr, type Dim, type Node } from '../../src/ir/graph.js';
import { createModel, type Model } from '../../src/ir/model.js';
import { Tensor } from '../../src/ir/tensor.js';
import { specOf } from '../../src/ops/index.js';
import { inferNode } from '../../src/ops/infer.js';
import { floatAttr, GraphBuilder } from '../../src/rewrite/builder.js';

/** What an axis called N is when the model runs. */
export const OPEN_SIZE = 2;
const MAX_ELEMENTS = 2048;
const INPUT_SHAPES: readonly (readonly Dim[])[] = [
  ['N', 4],
  ['N', 3, 4, 4],
  [2, 6],
  ['N', 2, 3, 4],
  [4],
  ['N', 1, 6],
  [1, 4, 4, 4],
  [3, 1, 4],
];

/** What the steps share while a graph grows. */
interface Work {
  readonly rng: Rng;
  readonly model: Model;
  readonly b: GraphBuilder;
  readonly pool: Value[];
  readonly smooth: boolean;
}
/** Adds nodes; the values that may be used further on, or nothing where no value fits. */
type Step = (w: Work) => readonly Value[] | undefined;

/**
 * A model of up to `steps` random steps over one to three inputs, opset 17. `smooth` leaves out functions with jumps,
 * at which a last bit decides: needed where a pass may move last bits.
 */
export function randomModel(
  seed: number,
  { steps = 12, smooth = true }: { readonly steps?: number; readonly smooth?: boolean } = {},
): Model {
  const rng = createRng(seed, 'random-graph');
  const graph = new Graph();
  const model = createModel(graph, 17, 8);
  const b = new GraphBuilder(model);
  const pool: Value[] = [];
  for (let i = 0; i <= rng.int(3); i++) pool.push(input(graph, b.freeName(`x${i}`), oneOf(rng, INPUT_SHAPES)));
  // a default that callers may override
  if (rng.int(4) === 0) pool.push(graph.addInput(b.constant(normal(rng, [4]), 'default')));
  const w: Work = { rng, model, b, pool, smooth };
  const wanted = 3 + rng.int(steps);
  for (let i = 0; i < wanted; i++) {
    const made = oneOf(rng, STEPS)(w) ?? [];
    for (const v of made)
      if (
        v.dtype === 'float32' &&
        v.shape &&
        elements(v) <= MAX_ELEMENTS &&
        v.shape.every((d) => typeof d === 'number' || d === 'N')
      )
        pool.push(v);
  }
  const results = [...new Set(pool)].filter((v) => v.producer);
  const leaves = results.filter((v) => v.uses.size === 0);
  const chosen = new Set([...leaves.slice(-3), ...results.filter(() => rng.int(8) === 0)]);
  if (!chosen.size) chosen.add(results.at(-1) ?? b.op('Relu', [pool[0]!])); // there is at least one input
  for (const v of chosen) graph.addOutput(v);
  return model;
}

const oneOf = <T>(rng: Rng, list: readonly T[]): T => list[rng.int(list.length)]!; // lists here are not empty
const size = (d: Dim | undefined): number => (typeof d === 'number' ? d : OPEN_SIZE);
const elements = (v: Value): number => (v.shape ?? []).reduce<number>((n, d) => n * size(d), 1);
const normal = (rng: Rng, dims: readonly number[]): Tensor =>
  Tensor.f32(
    Float32Array.from({ length: dims.reduce((n, d) => n * d, 1) }, () => Math.fround(rng.normal() * 0.5)),
    dims,
  );
const filled = (value: number, dims: readonly number[]): Tensor =>
  Tensor.f32(new Float32Array(dims.reduce((n, d) => n * d, 1)).fill(value), dims);
const i64 = (w: Work, values: readonly number[]): Value => constant(w, Tensor.i64(values));

function input(graph: Graph, name: string, shape: readonly Dim[], dtype: 'float32' | 'bool' = 'float32'): Value {
  const v = new Value(name);
  v.dtype = dtype;
  v.shape = shape;
  return graph.addInput(v);
}

/** A constant as exporters write it: an initializer or a Constant node. */
function constant({ b, rng }: Work, t: Tensor): Value {
  return rng.int(3) === 0
    ? b.op('Constant', [], { attrs: { value: { type: 'tensor', value: t } }, name: 'constant' })
    : b.constant(t);
}

function pick(w: Work, fits: (v: Value, shape: readonly Dim[]) => boolean = () => true): Value | undefined {
  const list = w.pool.filter((v) => v.shape && fits(v, v.shape));
  return list.length ? oneOf(w.rng, list) : undefined;
}
/** An axis of known size of at least `least`; undefined where there is none. */
function axisOf(w: Work, shape: readonly Dim[], least = 1): number | undefined {
  const axes = shape.flatMap((d, i) => (typeof d === 'number' && d >= least ? [i] : []));
  return axes.length ? oneOf(w.rng, axes) : undefined;
}

const unary: Step = (w) => {
  const x = pick(w);
  const ops = [
    'Relu',
    'Abs',
    'Neg',
    'Sigmoid',
    'Tanh',
    'Identity',
    'LeakyRelu',
    'Dropout',
    'Softplus',
    ...(w.smooth ? [] : ['Floor', 'Round', 'Sign', 'Ceil']),
  ];
  if (!x) return undefined;
  const op = oneOf(w.rng, ops);
  const y = w.b.op(op, [x]);
  return w.rng.int(3) === 0 ? [y, w.b.op(op, [y])] : [y];
};

/** Add, Mul, Sub or Div of a constant, often twice, sometimes of one that changes nothing. */
const withConstant: Step = (w) => {
  let x = pick(w, (_v, s) => s.length > 0);
  if (!x?.shape) return undefined;
  const op = oneOf(w.rng, ['Add', 'Mul', 'Sub', 'Div', 'Add', 'Mul']);
  const last = x.shape.at(-1);
  const made: Value[] = [];
  for (let i = 0; i <= w.rng.int(2); i++) {
    const dims = oneOf(w.rng, [[], [1], ...(typeof last === 'number' ? [[last]] : [])]);
    const neutral = op === 'Add' || op === 'Sub' ? 0 : 1;
    const t =
      w.rng.int(4) === 0
        ? filled(neutral, dims)
        : op === 'Div' || op === 'Mul'
          ? filled(0.5 + w.rng.next(), dims)
          : normal(w.rng, dims);
    const c = constant(w, t);
    const swap = (op === 'Add' || op === 'Mul') && w.rng.int(2) === 0;
    x = w.b.op(op, swap ? [c, x] : [x, c]);
    made.push(x);
  }
  return made;
};

const binary: Step = (w) => {
  const x = pick(w);
  const y = pick(w, (_v, s) => JSON.stringify(s) === JSON.stringify(x?.shape));
  return x && y ? [w.b.op(oneOf(w.rng, ['Add', 'Mul', 'Max', 'Min']), [x, y])] : undefined;
};

const clamps: Step = (w) => {
  let x = pick(w);
  if (!x) return undefined;
  for (let i = 0; i <= w.rng.int(3); i++) {
    const bound = (value: number): Value | null => (w.rng.int(4) === 0 ? null : constant(w, filled(value, [])));
    x = w.rng.int(3) === 0 ? w.b.op('Relu', [x]) : w.b.op('Clip', [x, bound(-w.rng.next()), bound(w.rng.next())]);
  }
  return [x];
};

const casts: Step = (w) => {
  const x = pick(w);
  if (!x) return undefined;
  const between = w.rng.int(3) === 0 ? 1 : w.smooth || w.rng.int(2) === 0 ? 11 : 10;
  const a = w.b.op('Cast', [x], { attrs: { to: between } });
  const y = w.b.op('Cast', [a], { attrs: { to: 1 } });
  // onnxruntime 1.30 drops casts there and back even where a subgraph captures the result, and then misses it.
  return [w.b.op('Neg', [y])];
};

const transposes: Step = (w) => {
  const x = pick(w, (_v, s) => s.length > 1);
  if (!x?.shape) return undefined;
  const rank = x.shape.length;
  const perm = Array.from({ length: rank }, (_, i) => i);
  if (w.rng.int(5))
    for (let i = rank - 1; i > 0; i--) {
      const j = w.rng.int(i + 1);
      [perm[i], perm[j]] = [perm[j]!, perm[i]!];
    } // both indices are inside
  const a = w.b.op('Transpose', [x], { attrs: { perm } });
  if (w.rng.int(2)) return [a];
  const back = w.rng.int(2) ? perm.map((_, i) => perm.indexOf(i)) : [...perm].reverse();
  const y = w.b.op('Transpose', [a], { attrs: { perm: back } });
  return w.rng.int(3) ? [y] : [a, y];
};

/** Chains of Reshape, Flatten, Squeeze and Unsqueeze, sometimes back to where they began. */
const views: Step = (w) => {
  const x = pick(w, (_v, s) => s.length > 0);
  if (!x?.shape) return undefined;
  let y = x;
  for (let i = 0; i <= w.rng.int(3); i++) {
    const shape: readonly Dim[] = y.shape ?? [];
    const ones = shape.flatMap((d, k) => (d === 1 ? [k] : []));
    switch (w.rng.int(6)) {
      case 0:
        y = w.b.op('Flatten', [y], { attrs: { axis: w.rng.int(shape.length + 1) } });
        break;
      case 1:
        y = w.b.op('Unsqueeze', [y, i64(w, [w.rng.int(2) ? 0 : -1])]);
        break;
      case 2:
        if (ones.length) y = w.b.op('Squeeze', [y, i64(w, [oneOf(w.rng, ones)])]);
        break;
      case 3:
        y = w.b.op('Reshape', [y, i64(w, shape.length ? [0, -1] : [1, -1])]);
        break;
      case 4:
        y = w.b.op('Reshape', [y, i64(w, [-1])]);
        break;
      default:
        if (x.shape.filter((d) => d === 'N').length <= 1)
          y = w.b.op('Reshape', [
            y,
            i64(
              w,
              x.shape.map((d) => (d === 'N' ? -1 : Number(d))),
            ),
          ]);
    }
    if (!y.shape || y.shape.includes(null) || y.shape.length > 6) return [y];
  }
  return [y];
};

const slices: Step = (w) => {
  const x = pick(w);
  const axis = x?.shape && axisOf(w, x.shape, 2);
  if (!x?.shape || axis === undefined) return undefined;
  const n = size(x.shape[axis]);
  const cut = (v: Value, from: number, to: number, on: number): Value =>
    w.b.op('Slice', [v, i64(w, [from]), i64(w, [to]), i64(w, [on])]);
  if (w.rng.int(3) === 0) return [cut(x, w.rng.int(2) ? 0 : -n, w.rng.int(2) ? n : Number.MAX_SAFE_INTEGER, axis)];
  const a = cut(x, 0, 1 + w.rng.int(n - 1), axis);
  const other = axisOf(w, x.shape, 2);
  return other === undefined || w.rng.int(2) ? [a] : [cut(a, 0, 1, other)];
};

const pads: Step = (w) => {
  const x = pick(w, (_v, s) => s.length > 0 && s.length < 5);
  const axis = x?.shape && axisOf(w, x.shape);
  if (!x?.shape || axis === undefined) return undefined;
  const rank = x.shape.length;
  const mode = oneOf(w.rng, ['constant', 'constant', 'edge']);
  const border = filled(oneOf(w.rng, [0, 0, 1]), []);
  let y = x;
  for (let i = 0; i <= w.rng.int(2); i++) {
    const p = new Array<number>(2 * rank).fill(0);
    if (w.rng.int(3)) {
      p[axis] = w.rng.int(3);
      p[axis + rank] = w.rng.int(2);
    }
    y = w.b.op('Pad', [y, i64(w, p), ...(mode === 'constant' && w.rng.int(3) ? [constant(w, border)] : [])], {
      attrs: { mode },
    });
  }
  return [y];
};

/** Concat of one or two values, and parts of it taken out again. */
const concats: Step = (w) => {
  const x = pick(w, (_v, s) => s.length > 0);
  const axis = x?.shape && axisOf(w, x.shape);
  if (!x?.shape || axis === undefined) return undefined;
  if (w.rng.int(4) === 0) return [w.b.op('Concat', [x], { attrs: { axis } })];
  const y = pick(w, (_v, s) => JSON.stringify(s) === JSON.stringify(x.shape)) ?? x;
  const c = w.b.op('Concat', [x, y], { attrs: { axis } });
  const n = size(x.shape[axis]);
  const from = w.rng.int(2) ? n : 0;
  return w.rng.int(2) ? [c] : [c, w.b.op('Slice', [c, i64(w, [from]), i64(w, [from + n]), i64(w, [axis])])];
};

const splits: Step = (w) => {
  const x = pick(w, (_v, s) => s.some((d) => typeof d === 'number' && d > 1 && d % 2 === 0));
  if (!x?.shape) return undefined;
  const axis = x.shape.findIndex((d) => typeof d === 'number' && d > 1 && d % 2 === 0);
  if (w.rng.int(5) === 0) return [w.b.op('Split', [x], { attrs: { axis } })];
  const parts = w.b.node('Split', [x], 2, { attrs: { axis } }).outputs;
  return w.rng.int(2)
    ? [parts[0]!]
    : [w.b.op('Concat', w.rng.int(4) ? parts : [...parts].reverse(), { attrs: { axis } })]; // two parts were asked for
};

const repeats: Step = (w) => {
  const x = pick(w, (_v, s) => s.length > 0);
  if (!x?.shape) return undefined;
  const { shape } = x;
  if (w.rng.int(2))
    return [
      w.b.op('Expand', [
        x,
        i64(
          w,
          shape.map((d) => (typeof d === 'number' && w.rng.int(2) ? d : 1)),
        ),
      ]),
    ];
  const axis = axisOf(w, shape);
  return [
    w.b.op('Tile', [
      x,
      i64(
        w,
        shape.map((_, i) => (i === axis && w.rng.int(2) ? 2 : 1)),
      ),
    ]),
  ];
};

const reduces: Step = (w) => {
  const x = pick(w, (_v, s) => s.length > 0);
  const axis = x?.shape && axisOf(w, x.shape);
  return x && axis !== undefined
    ? [
        w.b.op(oneOf(w.rng, ['ReduceMean', 'ReduceMax', 'ReduceMin']), [x], {
          attrs: { axes: [axis], keepdims: w.rng.int(2) },
        }),
      ]
    : undefined;
};

const images: Step = (w) => {
  const x = pick(
    w,
    (_v, s) =>
      s.length === 4 &&
      typeof s[1] === 'number' &&
      size(s[2]) > 1 &&
      size(s[3]) > 1 &&
      typeof s[2] === 'number' &&
      typeof s[3] === 'number',
  );
  if (!x?.shape) return undefined;
  const channels = size(x.shape[1]);
  switch (w.rng.int(4)) {
    case 0:
      return [
        w.b.op(oneOf(w.rng, ['MaxPool', 'AveragePool']), [x], {
          attrs: { kernel_shape: [1, 1], ...(w.rng.int(3) ? {} : { strides: [2, 2] }) },
        }),
      ];
    case 1:
      return [w.b.op('MaxPool', [x], { attrs: { kernel_shape: [2, 2] } })];
    case 2:
      return [
        w.b.op('Resize', [x, null, constant(w, Tensor.f32([1, 1, ...(w.rng.int(2) ? [1, 1] : [2, 2])]))], {
          attrs: { mode: 'nearest', coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' },
        }),
      ];
    default: {
      let y = w.b.op('Conv', [x, constant(w, normal(w.rng, [2, channels, 1, 1]))], { attrs: { kernel_shape: [1, 1] } });
      if (w.rng.int(2))
        y = w.b.op(
          'BatchNormalization',
          [
            y,
            filled(0.5 + w.rng.next(), [2]),
            normal(w.rng, [2]),
            normal(w.rng, [2]),
            filled(0.5 + w.rng.next(), [2]),
          ].map((v) => (v instanceof Tensor ? w.b.constant(v) : v)),
          { attrs: { epsilon: floatAttr(1e-5) } },
        );
      return [w.rng.int(2) ? y : w.b.op('Add', [y, constant(w, normal(w.rng, [2, 1, 1]))])];
    }
  }
};

const products: Step = (w) => {
  const x = pick(w, (_v, s) => s.length > 1 && typeof s.at(-1) === 'number');
  if (!x?.shape) return undefined;
  const y = w.b.op('MatMul', [x, constant(w, normal(w.rng, [size(x.shape.at(-1)), 4]))]);
  return [y, ...(w.rng.int(3) ? [] : [w.b.op('Softmax', [y], { attrs: { axis: -1 } })])];
};

const wheres: Step = (w) => {
  const x = pick(w, (_v, s) => s.length > 0);
  const c = constant(w, Tensor.codes('bool', [w.rng.int(2)], w.rng.int(2) ? [] : [1]));
  return x && [w.b.op('Where', w.rng.int(2) ? [c, x, constant(w, filled(0, []))] : [c, constant(w, filled(0, [])), x])];
};

/** A node with the op, attributes and inputs of one that is there. */
const duplicate: Step = (w) => {
  const like = oneOf(w.rng, w.pool).producer;
  if (!like || like.subgraphs().length || !specOf(like)) return undefined;
  const copy = w.b.node(like.op, like.inputs, like.outputs.length, { attrs: Object.fromEntries(like.attrs) });
  return [copy.outputs[0]!]; // every op here has an output
};

/** Sizes read from a value and put into a Reshape of it. */
const shapeChain: Step = (w) => {
  const x = pick(w, (_v, s) => s.length > 1);
  if (!x) return undefined;
  const first = w.b.op('Gather', [w.b.op('Shape', [x]), i64(w, [0])], { attrs: { axis: 0 } });
  return [w.b.op('Reshape', [x, w.b.op('Concat', [first, i64(w, [-1])], { attrs: { axis: 0 } })])];
};

/** Quantize, dequantize, and again by the same parameters. */
const quantized: Step = (w) => {
  const x = pick(w);
  if (!x || w.smooth) return undefined;
  const [s, z] = [w.b.constant(filled(0.03, [])), w.b.constant(Tensor.codes('uint8', [120], []))];
  let y = x;
  for (let i = 0; i <= w.rng.int(2); i++) y = w.b.op('DequantizeLinear', [w.b.op('QuantizeLinear', [y, s, z]), s, z]);
  return [y];
};

/** If over values of the graph around it, with a condition that is constant or an input. */
const branches: Step = (w) => {
  const x = pick(w);
  if (!x) return undefined;
  const c = w.rng.int(2)
    ? constant(w, Tensor.codes('bool', [w.rng.int(2)], []))
    : input(w.model.graph, w.b.freeName('c'), [], 'bool');
  const two = w.rng.int(3) === 0;
  const branch = (): Attr => {
    const graph = new Graph();
    graph.name = w.b.freeName('branch');
    const inner: Work = { ...w, b: new GraphBuilder(w.model, graph, w.b.freeName) };
    const chain = (): Value => {
      let v = x;
      for (let i = 0; i <= w.rng.int(3); i++)
        v = inner.b.op(oneOf(w.rng, ['Relu', 'Neg', 'Tanh', 'Identity', 'Relu']), [v]);
      return v;
    };
    const results = [chain(), ...(two ? [chain()] : [])];
    for (const v of results)
      graph.addOutput(v.producer?.graph === graph && !v.isGraphOutput ? v : inner.b.op('Identity', [v]));
    return { type: 'graph', value: graph };
  };
  const node = w.b.node('If', [c], two ? 2 : 1, { attrs: { then_branch: branch(), else_branch: branch() } });
  return node.outputs.slice(0, 1);
};

/** A Loop of up to three trips that reads a value of the graph around it, and sometimes collects its states. */
const loops: Step = (w) => {
  const x = pick(w);
  if (!x) return undefined;
  const body = new Graph();
  body.name = w.b.freeName('body');
  const declare = (name: string, dtype: 'int64' | 'bool' | 'float32', shape: readonly Dim[]): Value => {
    const v = new Value(w.b.freeName(name));
    v.dtype = dtype;
    v.shape = shape;
    return body.addInput(v);
  };
  declare('i', 'int64', []);
  const go = declare('go', 'bool', []);
  const state = declare('state', 'float32', x.shape ?? []);
  const b = new GraphBuilder(w.model, body, w.b.freeName);
  const next = b.op('Tanh', [b.op('Add', [b.op(oneOf(w.rng, ['Identity', 'Relu', 'Neg']), [state]), x])]);
  body.addOutput(b.op('Identity', [go]));
  body.addOutput(next);
  const collects = w.rng.int(3) === 0;
  if (collects) body.addOutput(b.op('Neg', [next]));
  const node = w.b.node(
    'Loop',
    [
      w.b.constant(Tensor.i64([w.rng.int(4)], [])),
      w.b.constant(Tensor.codes('bool', [1], [])),
      w.b.op('Identity', [x]),
    ],
    collects ? 2 : 1,
    { attrs: { body: { type: 'graph', value: body } } },
  );
  const y = node.outputs[0]!; // one or two were asked for
  y.dtype = 'float32';
  y.shape = x.shape;
  inferNode(node, w.model);
  return node.outputs;
};

const STEPS: readonly Step[] = [
  unary,
  unary,
  withConstant,
  withConstant,
  binary,
  binary,
  clamps,
  casts,
  transposes,
  transposes,
  views,
  views,
  slices,
  pads,
  concats,
  splits,
  repeats,
  reduces,
  images,
  images,
  products,
  wheres,
  duplicate,
  duplicate,
  shapeChain,
  quantized,
  branches,
  loops,
];
/** Ops by how many of these models have them: a test that finds none of an op tests less than it says. */
export function opsOf(model: Model): Set<string> {
  const ops = new Set<string>();
  const see = (nodes: Iterable<Node>): void => {
    for (const n of nodes) {
      ops.add(n.op);
      for (const [, g] of n.subgraphs()) see(g.nodes);
    }
  };
  see(model.graph.nodes);
  return ops;
}
