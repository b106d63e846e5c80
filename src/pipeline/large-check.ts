/**
 * Written models that are too large to be run as a whole: the graph is loaded in onnxruntime without its weights, and
 * each product and table with quantized weights is run on some of its rows, against the float weights.
 */
import { item } from '../base/lists.js';
import { fail } from '../base/errors.js';
import { createRng } from '../base/rng.js';
import { cloneModel } from '../ir/clone.js';
import { byteLength, dtypeBits } from '../ir/dtype.js';
import { encodeTensor } from '../ir/encode.js';
import { label, Graph, Node, Value } from '../ir/graph.js';
import { createModel, type Model } from '../ir/model.js';
import { readRows } from '../ir/rows.js';
import { Tensor } from '../ir/tensor.js';
import { encodeModel } from '../onnx/encode.js';
import { loadModel } from '../onnx/files.js';
import { linearView } from '../ops/index.js';
import { evaluateModel } from '../runtime/open.js';
import { Session } from '../runtime/session.js';
import type { WrittenVariant } from './variant/types.js';

/** Initializers from this size are inputs of the graph that is loaded. */
const INPUT_BYTES = 1 << 16;
/** Rows of a weight that are run: the first, and the last. */
const ROWS = 16;
const MS = 'com.microsoft';

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
  const found = { checked: 0, cosine: 1, worst: '' };
  for (const node of written.graph.topological()) {
    if (node.domain !== MS || (node.op !== 'MatMulNBits' && node.op !== 'GatherBlockQuantized')) continue;
    const twin = twins.get(item(node.outputs, 0).name);
    if (!twin || !linearView(twin)) continue;
    const cosine = await compareRows(node, twin, written);
    if (!(cosine >= collapse))
      fail(
        'QUANTIZE_COLLAPSED',
        `'${label(node)}' (${node.op}) has a cosine of ${cosine.toFixed(3)} to its float weights; no model was written`,
        { node: label(node) },
        'more bits or smaller blocks, quantize.exclude, or lower evaluation.collapse to keep it anyway',
      );
    found.checked++;
    if (cosine < found.cosine) [found.cosine, found.worst] = [cosine, label(node)];
  }
  return found;
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

/** The cosine of what a node gives on some of its rows to what the float weights give there. */
async function compareRows(node: Node, twin: Node, written: Model): Promise<number> {
  const isTable = node.op === 'GatherBlockQuantized';
  const view = linearView(twin)!; // the caller has seen it
  const weight = twin.inputs[view.weight];
  const codes = node.inputs[isTable ? 0 : 1];
  if (!weight?.data || !codes?.data) return 1; // made by other nodes
  const [a, b] = weight.data.dims as readonly [number, number]; // those that these operators are written for
  const turned = isTable || view.outputAxis === 0;
  const [rows, columns] = turned ? [a, b] : [b, a];
  const layout = { rows, columns, rowStride: turned ? columns : 1, columnStride: turned ? 1 : rows };
  const count = Math.min(ROWS, rows);
  let [up, left, right] = [0, 0, 0];
  for (const first of new Set([0, rows - count])) {
    const float = readRows({ tensor: weight.data, ...layout }, first, count);
    const [expected, given] = isTable
      ? [float, await lookUp(node, first, count, written)]
      : await multiply(node, float, [first, count, columns], written);
    for (let i = 0; i < expected.length; i++) {
      up += expected[i]! * given[i]!;
      left += expected[i]! ** 2;
      right += given[i]! ** 2;
    }
  }
  if (!Number.isFinite(left + right)) return NaN;
  return left === 0 && right === 0 ? 1 : up / Math.sqrt(left * right);
}

/** Some rows of a constant whose first axis has them. */
function rowsOf(v: Value | null | undefined, first: number, count: number): Tensor | undefined {
  const data = v?.data;
  if (!data) return undefined;
  const [rows, ...rest] = data.dims as readonly [number, ...number[]]; // with at least one axis
  const width = byteLength(data.dtype, data.size) / rows;
  return new Tensor(data.dtype, [count, ...rest], data.range(first * width, count * width).slice());
}

const lookUp = async (node: Node, first: number, count: number, written: Model): Promise<Float32Array> => {
  const indices = Tensor.i64(Array.from({ length: count }, (_, i) => i));
  const [codes, , ...rest] = node.inputs;
  return run(node, [rowsOf(codes, first, count), indices, ...rest.map((v) => rowsOf(v, first, count))], {}, written);
};

/** What float rows and those of the node give for one random input. */
async function multiply(
  node: Node,
  float: Float32Array,
  [first, count, columns]: readonly [number, number, number],
  written: Model,
): Promise<readonly [Float32Array, Float32Array]> {
  const rng = createRng(0, 'large-check');
  const type = node.inputs[2]?.data?.dtype ?? 'float32';
  const x = encodeTensor(
    type,
    [1, columns],
    Float32Array.from({ length: columns }, () => rng.normal()),
  );
  const values = x.f32();
  const expected = Float32Array.from({ length: count }, (_, r) => {
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += values[c]! * float[r * columns + c]!;
    return sum;
  });
  const inputs = [x, ...node.inputs.slice(1, 4).map((v) => rowsOf(v, first, count))];
  return [expected, await run(node, inputs, { N: count }, written)];
}

/** What a node gives for constants in the place of its inputs. */
async function run(
  node: Node,
  inputs: readonly (Tensor | undefined)[],
  ints: Readonly<Record<string, number>>,
  written: Model,
): Promise<Float32Array> {
  const graph = new Graph();
  const values = inputs.map((t, i) => (t ? graph.addInitializer(new Value(`input_${i}`), t) : null));
  const copy = new Node(node.op, values, ['y'], node.domain);
  for (const [name, a] of node.attrs) copy.attrs.set(name, a);
  for (const [name, value] of Object.entries(ints)) copy.attrs.set(name, { type: 'int', value: BigInt(value) });
  graph.add(copy);
  const y = item(copy.outputs, 0);
  graph.addOutput(y);
  y.dtype = node.inputs[2]?.data?.dtype ?? 'float32';
  const model = createModel(graph, written.opsets.get('') ?? 17, Math.max(written.irVersion, 4));
  for (const [domain, version] of written.opsets) model.opsets.set(domain, version);
  try {
    const made = (await evaluateModel(model)).get('y');
    return made && dtypeBits(made.dtype) ? made.f32() : new Float32Array(0);
  } catch (cause) {
    return unverified(`'${label(node)}' (${node.op}) does not run`, cause);
  }
}
