import { fail } from '../base/errors.js';
import { label, Value, type Graph, type Node } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnused, replaceOutputs } from '../rewrite/pass.js';
import { canFill } from './constants.js';

/**
 * What changed for an op when the standard domain reached `version`: rewrites a node of the version before so that it
 * means the same. Ops whose changes only widen types or add optional attributes need no entry.
 * source: https://github.com/onnx/onnx/blob/main/docs/Changelog.md and onnx/version_converter
 */
interface Adapter {
  readonly op: string;
  readonly version: number;
  readonly adapt: (node: Node, graph: Graph, model: Model) => void;
}

const MIN_OPSET = 7;

const refuse = (n: Node, why: string): never =>
  fail('MODEL_UNSUPPORTED', `'${label(n)}': ${why}`, { node: label(n) }, 'export the model with a newer opset');

const adapters: readonly Adapter[] = [
  { op: 'Scan', version: 9, adapt: (n) => refuse(n, 'Scan of opset 8 has a batch axis that later ones lack') },
  {
    op: 'Upsample',
    version: 9,
    adapt: (n, g) => {
      const a = n.attrs.get('scales');
      if (a?.type === 'floats') {
        n.attrs.delete('scales');
        n.setInput(1, constant(g, n, 'scales', Tensor.f32(a.value)));
      }
    },
  },
  {
    op: 'BatchNormalization',
    version: 9,
    adapt: (n) => {
      if (n.attrs.has('spatial') && n.int('spatial') === 0)
        refuse(n, 'BatchNormalization with spatial = 0 has no later form');
      n.attrs.delete('spatial');
    },
  },
  { op: 'Upsample', version: 10, adapt: upsampleToResize },
  {
    op: 'Slice',
    version: 10,
    adapt: (n, g) => {
      const starts = n.ints('starts');
      const axes = n.ints(
        'axes',
        starts.map((_, i) => i),
      );
      moveInts(n, g, ['starts', 'ends'], 1);
      n.setInput(3, constant(g, n, 'axes', Tensor.i64(axes)));
      n.attrs.delete('axes');
    },
  },
  {
    op: 'TopK',
    version: 10,
    adapt: (n, g) => {
      const k = n.int('k');
      n.attrs.delete('k');
      n.setInput(1, constant(g, n, 'k', Tensor.i64([k])));
    },
  },
  {
    op: 'Clip',
    version: 11,
    adapt: (n, g) => {
      const [low, high] = [n.attrs.get('min'), n.attrs.get('max')];
      n.attrs.clear();
      if (low?.type === 'float') n.setInput(1, constant(g, n, 'min', Tensor.f32([low.value], [])));
      if (high?.type === 'float') n.setInput(2, constant(g, n, 'max', Tensor.f32([high.value], [])));
    },
  },
  {
    op: 'Pad',
    version: 11,
    adapt: (n, g) => {
      const pads = n.ints('pads');
      const value = n.float('value', 0);
      n.attrs.delete('pads');
      n.attrs.delete('value');
      n.setInput(1, constant(g, n, 'pads', Tensor.i64(pads)));
      if (n.string('mode', 'constant') === 'constant') n.setInput(2, constant(g, n, 'value', Tensor.f32([value], [])));
    },
  },
  {
    op: 'Resize',
    version: 11,
    adapt: (n, g) => {
      // Opset 10 meant: asymmetric coordinates, floor for nearest; roi is a new input between.
      const scales = n.inputs[1] ?? null;
      n.setInput(1, constant(g, n, 'roi', Tensor.f32([])));
      n.setInput(2, scales);
      n.setString('coordinate_transformation_mode', 'asymmetric');
      if (n.string('mode', 'nearest') === 'nearest') n.setString('nearest_mode', 'floor');
    },
  },
  { op: 'Scatter', version: 11, adapt: (n, g, m) => renameOp(n, g, m, 'ScatterElements') },
  ...['Softmax', 'LogSoftmax', 'Hardmax'].map((op): Adapter => ({ op, version: 13, adapt: softmaxTo13 })),
  ...['Squeeze', 'Unsqueeze', 'ReduceSum'].map((op): Adapter => ({
    op,
    version: 13,
    adapt: (n, g) => moveInts(n, g, ['axes'], 1),
  })),
  { op: 'Split', version: 13, adapt: (n, g) => moveInts(n, g, ['split'], 1) },
  {
    op: 'Dropout',
    version: 12,
    adapt: (n, g) => {
      const a = n.attrs.get('ratio');
      n.attrs.delete('ratio');
      if (a?.type === 'float') n.setInput(1, constant(g, n, 'ratio', Tensor.f32([a.value], [])));
    },
  },
  ...[
    'ReduceMax',
    'ReduceMin',
    'ReduceMean',
    'ReduceProd',
    'ReduceL1',
    'ReduceL2',
    'ReduceLogSum',
    'ReduceLogSumExp',
    'ReduceSumSquare',
  ].map((op): Adapter => ({ op, version: 18, adapt: (n, g) => moveInts(n, g, ['axes'], 1) })),
  {
    op: 'Split',
    version: 18,
    adapt: (n) => {
      if (!n.inputs[1] && !n.attrs.has('num_outputs')) n.setInt('num_outputs', n.outputs.length);
    },
  },
  {
    op: 'GridSample',
    version: 20,
    adapt: (n) => {
      const names: Record<string, string> = { bilinear: 'linear', bicubic: 'cubic' };
      const m = n.string('mode', 'bilinear');
      n.setString('mode', names[m] ?? m);
    },
  },
  {
    op: 'DFT',
    version: 20,
    adapt: (n, g) => {
      const axis = n.int('axis', 1);
      n.attrs.delete('axis');
      if (n.inputs.length < 2) n.setInput(1, null);
      n.setInput(2, constant(g, n, 'axis', Tensor.i64([axis], [])));
    },
  },
  { op: 'GroupNormalization', version: 21, adapt: groupNormTo21 },
];

/**
 * Raises the model's standard opset to `target` (and its IR version to one that knows it), one version at a time.
 * Does nothing where it is already there. Throws MODEL_UNSUPPORTED below opset 7 or where an op has no later form.
 */
export function convertOpset(model: Model, target: number): { from: number; to: number; changes: number } {
  const from = model.opsets.get('') ?? 1;
  if (from >= target) return { from, to: from, changes: 0 };
  if (from < MIN_OPSET)
    fail(
      'MODEL_UNSUPPORTED',
      `the model has opset ${from}; quantization needs ${target}, and conversion starts at ${MIN_OPSET}`,
      {},
      `export it with opset ${target} or later`,
    );
  if (model.functions.length) fail('INTERNAL', 'functions must be inlined before opset conversion');
  let changes = 0;
  for (let version = from + 1; version <= target; version++) {
    model.opsets.set('', version);
    for (const graph of [...allGraphs(model.graph)]) {
      for (const node of graph.topological()) {
        if (node.domain !== '') continue;
        const adapter = adapters.find((a) => a.op === node.op && a.version === version);
        if (!adapter) continue;
        adapter.adapt(node, graph, model);
        changes++;
      }
    }
  }
  model.irVersion = Math.max(model.irVersion, minIrVersion(target));
  return { from, to: target, changes };
}

/** The IR version that came with an opset: https://github.com/onnx/onnx/blob/main/docs/Versioning.md */
export function minIrVersion(opset: number): number {
  const table: readonly [opset: number, ir: number][] = [
    [8, 3],
    [10, 5],
    [11, 6],
    [14, 7],
    [18, 8],
    [20, 9],
    [22, 10],
    [23, 11],
  ];
  return table.find(([o]) => opset <= o)?.[1] ?? 12;
}

function constant(graph: Graph, node: Node, what: string, data: Tensor): Value {
  return graph.addInitializer(new Value(`${label(node)}__${node.outputs[0]?.name ?? ''}_${what}`), data);
}

/** Attributes that became int64 inputs from slot `at` on; an absent attribute leaves its input out. */
function moveInts(n: Node, g: Graph, names: readonly string[], at: number): void {
  names.forEach((name, i) => {
    if (!n.attrs.has(name)) return;
    const values = n.ints(name);
    n.attrs.delete(name);
    n.setInput(at + i, constant(g, n, name, Tensor.i64(values)));
  });
}

/** Before 13, Softmax flattened to a matrix at `axis` (default 1); since then it works along one axis (default −1). */
function softmaxTo13(n: Node, g: Graph, model: Model): void {
  const axis = n.int('axis', 1);
  const rank = n.inputs[0]?.shape?.length;
  const last = axis === -1 || (rank !== undefined && (axis < 0 ? axis + rank : axis) === rank - 1);
  if (last) {
    n.setInt('axis', -1);
    return;
  }
  const x = n.inputs[0];
  if (!x) return;
  const b = new GraphBuilder(model, g);
  const flat = b.op('Flatten', [x], { attrs: { axis }, name: `${label(n)}_flatten` });
  const soft = b.op(n.op, [flat], { attrs: { axis: -1 }, name: `${label(n)}_matrix` });
  const shape = b.op('Shape', [x], { name: `${label(n)}_shape` });
  replaceOutputs(g, n, [b.op('Reshape', [soft, shape], { name: `${label(n)}_unflatten` })]);
  removeUnused(g, [n]);
}

function upsampleToResize(n: Node, g: Graph, model: Model): void {
  const b = new GraphBuilder(model, g);
  replaceOutputs(g, n, [
    b.op('Resize', [n.inputs[0] ?? null, n.inputs[1] ?? null], {
      attrs: { mode: n.string('mode', 'nearest') },
      name: label(n),
    }),
  ]);
  removeUnused(g, [n]);
}
function renameOp(n: Node, g: Graph, model: Model, op: string): void {
  const b = new GraphBuilder(model, g);
  replaceOutputs(g, n, [b.op(op, n.inputs, { attrs: Object.fromEntries(n.attrs), name: label(n) })]);
  removeUnused(g, [n]);
}

/** scale and bias went from one value a group to one a channel. */
function groupNormTo21(n: Node, g: Graph): void {
  const channels = n.inputs[0]?.shape?.[1];
  const groups = n.int('num_groups');
  if (typeof channels !== 'number' || canFill(channels) !== true)
    return refuse(
      n,
      'GroupNormalization of an unknown or very large number of channels cannot be converted to opset 21',
    );
  for (const i of [1, 2]) {
    const v = n.inputs[i];
    if (!v?.data) return refuse(n, 'GroupNormalization with computed scale or bias cannot be converted to opset 21');
    const old = v.data.f32();
    n.setInput(
      i,
      constant(
        g,
        n,
        i === 1 ? 'scale' : 'bias',
        Tensor.f32(Float32Array.from({ length: channels }, (_, c) => old[Math.floor((c * groups) / channels)]!)),
      ),
    );
  }
}
