/**
 * Written models that are too large to be run as a whole: the graph is loaded in onnxruntime without its weights, and
 * each product and table with quantized weights is run on some of its rows, against the float weights.
 */
import { item } from '../base/lists.js';
import { fail } from '../base/errors.js';
import { createRng } from '../base/rng.js';
import { writtenForm } from '../formats/written-form.js';
import { cloneModel } from '../ir/clone.js';
import type { DType } from '../ir/dtype.js';
import { encodeTensor } from '../ir/encode.js';
import { label, Graph, Node, Value } from '../ir/graph.js';
import { createModel, type Model } from '../ir/model.js';
import { readRows, turnedTensor, type RowsOf } from '../ir/rows.js';
import { Tensor } from '../ir/tensor.js';
import { encodeModel } from '../onnx/encode.js';
import { loadModel } from '../onnx/files.js';
import { linearView } from '../ops/index.js';
import { evaluateModel } from '../runtime/open.js';
import { Session } from '../runtime/session.js';
import type { WrittenVariant } from './variant/types.js';

/** Initializers from this size are inputs of the graph that is loaded. */
const INPUT_BYTES = 1 << 16;
/** Rows of a weight that are run, and nodes at a time. */
const ROWS = 16;
const TOGETHER = 64;

export interface CheckedWeights {
  readonly checked: number;
  /** Least cosine of what a node gives to what float weights give; 1 where all is zero. */
  readonly cosine: number;
  readonly worst: string;
}

/**
 * Throws QUANTIZE_VERIFY where onnxruntime does not load the graph or run a node, QUANTIZE_COLLAPSED where a node gives
 * something else than its float weights do: a cosine below `collapse`, or what is not finite.
 */
export async function checkLarge(v: WrittenVariant, collapse: number): Promise<CheckedWeights> {
  const written = loadModel(v.folder.model);
  await loadsWithoutWeights(written);
  const byOutput = new Map([...v.float.graph.nodes].map((n) => [n.outputs[0]?.name ?? '', n]));
  const twins = new Map([...v.tensors].map(([name, { value }]) => [value.name, byOutput.get(name)]));
  const checks = written.graph.topological().flatMap((node) => {
    const twin = twins.get(item(node.outputs, 0).name);
    return (writtenForm(node) === undefined ? halfCheckOf(node, twin) : checkOf(node, twin)) ?? [];
  });
  const found = { checked: checks.length, cosine: 1, worst: '' };
  for (let from = 0; from < checks.length; from += TOGETHER) {
    const some = checks.slice(from, from + TOGETHER);
    const given = await runChecks(some, written);
    some.forEach(({ node, expected }, i) => {
      const cosine = cosineOf(expected, item(given, i));
      if (!(cosine >= collapse))
        fail(
          'QUANTIZE_COLLAPSED',
          `'${label(node)}' (${node.op}) has a cosine of ${cosine.toFixed(3)} to its float weights; ` +
            'no model was written',
          { node: label(node) },
          'more bits or smaller blocks, quantize.exclude, or lower evaluation.collapse to keep it anyway',
        );
      if (cosine < found.cosine) [found.cosine, found.worst] = [cosine, label(node)];
    });
  }
  return found;
}

function cosineOf(a: Float32Array, b: Float32Array): number {
  let [up, left, right] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    up += a[i]! * b[i]!;
    left += a[i]! ** 2;
    right += b[i]! ** 2;
  }
  if (!Number.isFinite(left + right)) return NaN;
  return left === 0 && right === 0 ? 1 : up / Math.sqrt(left * right);
}

const unverified = (what: string, cause: unknown): never =>
  fail(
    'QUANTIZE_VERIFY',
    `${what}: ${cause instanceof Error ? cause.message : String(cause)}`,
    {},
    'nothing was written; this is a bug in quantbench: please report it with the model',
    cause,
  );

/** The graph with its large weights as inputs: onnxruntime checks types, shapes and kernels of all nodes. */
async function loadsWithoutWeights(written: Model): Promise<void> {
  const { model } = cloneModel(written);
  const { graph } = model;
  model.irVersion = Math.max(model.irVersion, 4); // initializers need not be inputs
  for (const v of [...graph.initializers]) {
    if (!v.data || v.data.dtype === 'string' || v.data.byteLength < INPUT_BYTES || graph.isInput(v)) continue;
    graph.initializers.delete(v);
    v.data = undefined;
    graph.addInput(v);
  }
  try {
    const session = await Session.open(encodeModel(model), { optimization: 'basic', label: 'the quantized graph' });
    await session.close();
  } catch (cause) {
    unverified('the quantized graph does not load', cause);
  }
}

interface Check {
  readonly node: Node;
  /** Some rows of what the node reads. */
  readonly inputs: readonly (Tensor | undefined)[];
  readonly rows: number;
  /** Of what the node gives. */
  readonly dtype: DType;
  /** What the float weights give. */
  readonly expected: Float32Array;
}

/** Some rows of a node with what its float weights give there; undefined where these are no constants. */
function checkOf(node: Node, twin: Node | undefined): Check | undefined {
  const isTable = writtenForm(node) === 'table';
  const stored = isTable ? [node.inputs[0], ...node.inputs.slice(2, 4)] : node.inputs.slice(1, 4);
  if (!stored[0]?.data || !stored[1]?.data) return undefined; // made by other nodes
  const some = someRows(node, twin);
  if (!some) return undefined;
  const { first, count } = some;
  const parts = stored.map((v) => rowsOf(v, first, count));
  const scales = stored[1].data.dtype;
  const about = { node, rows: count, dtype: scales };
  if (isTable) return { ...about, inputs: [parts[0], upTo(count), ...parts.slice(1)], expected: some.float };
  const { x, expected } = multiplied(some, scales);
  return { ...about, inputs: [x, ...parts], expected };
}

/** The same for a node whose weight is one in float16. */
function halfCheckOf(node: Node, twin: Node | undefined): Check | undefined {
  const view = twin?.op === node.op ? linearView(twin) : undefined;
  const stored = view && node.inputs[view.weight];
  if (!view || stored?.data?.dtype !== 'float16' || view.dataAxis === -2) return undefined;
  const isTable = view.kind === 'lookup';
  if (!isTable && (view.kind !== 'product' || view.weight !== 1)) return undefined;
  const some = someRows(node, twin);
  if (!some) return undefined;
  const { first, count, columns } = some;
  const rows = readRows({ ...some.layout, tensor: stored.data }, first, count);
  const part = encodeTensor('float16', [count, columns], rows);
  const about = { node, rows: count, dtype: 'float16' } as const;
  if (isTable) return { ...about, inputs: [part, upTo(count)], expected: some.float };
  const { x, expected } = multiplied(some, 'float16');
  return { ...about, inputs: [x, view.outputAxis === 0 ? part : turnedTensor(part)], expected };
}

interface SomeRows {
  readonly first: number;
  readonly count: number;
  readonly columns: number;
  readonly layout: Omit<RowsOf, 'tensor'>;
  /** [count, columns] of the float weight. */
  readonly float: Float32Array;
}

/** Some outputs of the float weight of a node's twin; undefined where it is no constant matrix. */
function someRows({ name }: Node, twin: Node | undefined): SomeRows | undefined {
  const view = twin && linearView(twin);
  const tensor = view && twin.inputs[view.weight]?.data;
  if (!view || tensor?.dims.length !== 2) return undefined;
  const [a, b] = tensor.dims as readonly [number, number]; // checked just now
  const along = view.kind === 'lookup' || view.outputAxis === 0;
  const [rows, columns] = along ? [a, b] : [b, a];
  const layout = { rows, columns, rowStride: along ? columns : 1, columnStride: along ? 1 : rows };
  const count = Math.min(ROWS, rows);
  const first = name.length % Math.max(1, rows - count + 1); // anywhere
  return { first, count, columns, layout, float: readRows({ tensor, ...layout }, first, count) };
}

const upTo = (count: number): Tensor => Tensor.i64(Array.from({ length: count }, (_, i) => i));

/** A drawn operand [1, columns], and what the float rows give for it. */
function multiplied({ columns, count, float }: SomeRows, dtype: DType): { x: Tensor; expected: Float32Array } {
  const rng = createRng(0, 'large-check');
  const x = encodeTensor(
    dtype,
    [1, columns],
    Float32Array.from({ length: columns }, () => rng.normal()),
  );
  const values = x.f32();
  const expected = new Float32Array(count);
  for (let r = 0; r < count; r++) {
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += values[c]! * float[r * columns + c]!;
    expected[r] = sum;
  }
  return { x, expected };
}

/** Some rows of a constant whose first axis has them. */
function rowsOf(v: Value | null | undefined, first: number, count: number): Tensor | undefined {
  const data = v?.data;
  if (!data) return undefined;
  const [rows, ...rest] = data.dims as readonly [number, ...number[]]; // with at least one axis
  const width = data.byteLength / rows;
  return new Tensor(data.dtype, [count, ...rest], data.range(first * width, count * width).slice());
}

/** What the nodes give, all in one session. */
async function runChecks(checks: readonly Check[], written: Model): Promise<Float32Array[]> {
  const graph = new Graph();
  checks.forEach(({ node, inputs, rows, dtype }, i) => {
    const values = inputs.map((t, k) => (t ? graph.addInitializer(new Value(`input_${i}_${k}`), t) : null));
    const copy = new Node(node.op, values, [`y_${i}`], node.domain);
    for (const [name, a] of node.attrs) copy.attrs.set(name, name === 'N' ? { type: 'int', value: BigInt(rows) } : a);
    graph.add(copy);
    const y = item(copy.outputs, 0);
    graph.addOutput(y);
    y.dtype = dtype;
  });
  const model = createModel(graph, written.opsets.get('') ?? 17, Math.max(written.irVersion, 4));
  for (const [domain, version] of written.opsets) model.opsets.set(domain, version);
  try {
    const made = await evaluateModel(model);
    return checks.map((_, i) => made.get(`y_${i}`)?.f32() ?? new Float32Array(0));
  } catch (cause) {
    return unverified(`products with quantized weights do not run`, cause);
  }
}
