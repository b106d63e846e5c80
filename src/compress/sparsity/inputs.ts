/** What the inputs of layers are like on calibration samples, in the model as it is by then: one pass for a step. */
import { field, filled, item } from '../../base/lists.js';
import type { Frontier } from '../../codes/frontier.js';
import { columnsOf, productsOf, sumsOf } from '../../codes/gram.js';
import { StepPass } from '../../codes/step-pass.js';
import type { Node, Value } from '../../ir/graph.js';
import { dataOf } from '../../ir/known.js';
import type { Model } from '../../ir/model.js';
import { Tensor } from '../../ir/tensor.js';
import type { LinearView } from '../../ops/facets.js';
import { normalAxis } from '../../ops/spec.js';
import type { GraphBuilder } from '../../rewrite/builder.js';
import { columnsOfWindow, type SparseLayer } from './layers.js';

export interface InputsOptions {
  readonly model: Model;
  /** That read the same in the same way. */
  readonly layers: readonly SparseLayer[];
  /** Where the pass starts; it moves on to these layers. */
  readonly frontier: Frontier;
  readonly what: 'energies' | 'products';
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
}
/** Over all places; columns are in the order of {@link placesOf}. */
export interface Inputs {
  /** Σ x² ÷ places [groups, columns]. */
  readonly energies: Float64Array;
  /** Σ x·xᵀ ÷ places, of each group [columns, columns]; none where energies are enough. */
  readonly products: readonly Float64Array[];
  /** Σ x ÷ places [groups, columns]. */
  readonly means: Float64Array;
}

/** Layers that read one value in the same way, one after the other; their inputs are measured together. */
export function stepsOf(layers: readonly SparseLayer[]): SparseLayer[][] {
  const steps: SparseLayer[][] = [];
  const keys: string[] = [];
  for (const layer of layers) {
    const last = steps.at(-1);
    const key = keyOf(layer);
    const [own, other] = [item(layer.uses, 0).input, last?.[0]?.uses[0]?.input];
    if (last && own === other && keys.at(-1) === key) last.push(layer);
    else {
      steps.push([layer]);
      keys.push(key);
    }
  }
  return steps;
}
function keyOf({ uses, weight, columns, groups }: SparseLayer): string {
  const { node, view } = item(uses, 0);
  const attrs = [...node.attrs].flatMap(([name, a]) =>
    'value' in a && name !== 'group' ? `${name}=${String(a.value)}` : [],
  );
  const window = view.kind === 'window' ? `${dataOf(weight).dims.slice(1).join('×')} ${attrs.sort().join(' ')}` : '';
  // Shared weights have more than one input.
  return [view.kind, view.dataAxis, columns, groups, window, uses.length > 1 ? weight.name : ''].join(' ');
}

export async function measureInputs(o: InputsOptions): Promise<Inputs> {
  const { groups, columns, uses } = item(o.layers, 0);
  // What further uses of a shared weight read comes later, and is no part of what is done.
  const pass = new StepPass({ model: o.model, inputs: [item(uses, 0).input], frontier: o.frontier });
  const { b } = pass;
  const names = uses.map(({ node, view }) => {
    const copy = pass.node(node);
    const x = placesOfInput(b, copy, view, filled(copy.inputs, view.data), groups, columns);
    const squares = b.op('ReduceSum', [b.op('Mul', [x, x], { name: 'inputs' }), axisOfPlaces(b)], KEPT);
    const taps = [o.what === 'products' ? productsOf(b, x, x) : squares, sumsOf(b, x)];
    const size = b.op('Shape', [x], { name: 'inputs' });
    return [...taps.map((v) => pass.output(v)), pass.output(size, 'int64')];
  });
  const sums = new Float64Array(groups * columns * (o.what === 'products' ? columns : 1));
  const means = new Float64Array(groups * columns);
  let places = 0;
  await pass.run(o, (outputs) => {
    for (const own of names) {
      const [first, second, size] = own.map((name) => field(outputs, name).data);
      accumulate(sums, first as Float32Array); // the taps are float32
      accumulate(means, second as Float32Array); // a float32 tap too
      places += Number((size as BigInt64Array)[2]); // of [groups, columns, places]
    }
  });
  return inOrder(item(o.layers, 0), sums, means, Math.max(1, places));
}
const KEPT = { attrs: { keepdims: 0 }, name: 'inputs' };
const axisOfPlaces = (b: GraphBuilder): Value => b.constant(Tensor.i64([2]), 'inputs_axes');
function accumulate(to: Float64Array, from: Float32Array): void {
  for (let i = 0; i < to.length; i++) to[i] = item(to, i) + item(from, i);
}

/** What a node reads as columns: float32 [groups, columns, places]. */
function placesOfInput(
  b: GraphBuilder,
  node: Node,
  view: LinearView,
  x: Value,
  groups: number,
  columns: number,
): Value {
  const ints = (...v: readonly number[]): Value => b.constant(Tensor.i64(v), 'inputs_shape');
  const op = (kind: string, inputs: readonly Value[], attrs = {}): Value =>
    b.op(kind, inputs, { attrs, name: 'inputs' });
  if (view.kind === 'window') return columnsOf(b, { node, groups, columns }, x, 1);
  if (view.kind === 'transposed') {
    const split = op('Reshape', [x, ints(0, groups, columns, -1)]);
    return op('Reshape', [op('Transpose', [split], { perm: [1, 2, 0, 3] }), ints(groups, columns, -1)]);
  }
  const rank = x.shape?.length ?? 2;
  const axis = normalAxis(view.dataAxis, rank);
  const rest = Array.from({ length: rank }, (_, a) => a).filter((a) => a !== axis);
  const last = axis === rank - 1 ? x : op('Transpose', [x], { perm: [...rest, axis] });
  const rows = op('Reshape', [last, ints(1, -1, columns)]);
  const standing = op('Transpose', [rows], { perm: [0, 2, 1] });
  // Matrices of a stack all see what the node reads.
  return groups === 1 ? standing : op('Expand', [standing, ints(groups, 1, 1)]);
}

/** Divided, with columns in the order of the layer. */
function inOrder(
  { uses, weight, groups, columns: k }: SparseLayer,
  sums: Float64Array,
  means: Float64Array,
  n: number,
): Inputs {
  const order = columnsOfWindow(item(uses, 0).view, dataOf(weight).dims) ?? Int32Array.from({ length: k }, (_, i) => i);
  const whole = sums.length > means.length || k === 1;
  const energies = new Float64Array(groups * k);
  const ordered = new Float64Array(groups * k);
  const products: Float64Array[] = [];
  for (let g = 0; g < groups; g++) {
    const own = new Float64Array(whole ? k * k : 0);
    for (let i = 0; i < k; i++) {
      ordered[g * k + i] = item(means, g * k + item(order, i)) / n;
      if (whole)
        for (let j = 0; j < k; j++) own[i * k + j] = item(sums, (g * k + item(order, i)) * k + item(order, j)) / n;
      energies[g * k + i] = whole ? item(own, i * k + i) : item(sums, g * k + item(order, i)) / n;
    }
    products.push(own);
  }
  return { energies, products, means: ordered };
}
