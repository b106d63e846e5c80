/** Weights that are left make up for those that are gone: least squares on calibration samples, without training. */
import { field, filled, item } from '../base/lists.js';
import { layerShape, type LayerShape } from '../channels/layer.js';
import type { Place } from '../channels/classes.js';
import { withFrontier, type Frontier } from '../codes/frontier.js';
import { columnsOf, productsOf, rowsOf, sumsOf } from '../codes/gram.js';
import { linearKernels } from '../codes/linear-kernels.js';
import { factorReverse, solveReverse } from '../codes/linear.js';
import { stepsOf } from '../codes/measure.js';
import { RowSums } from '../codes/row-sums.js';
import { StepPass } from '../codes/step-pass.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Node, Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { normalAxis } from '../ops/spec.js';

export interface RefitOptions {
  /** Without the channels that are gone, with inferred shapes; its weights are changed in place. */
  readonly model: Model;
  /** The model from before, whose values have the same names. */
  readonly reference: Model;
  /** Where channels were that are gone: of values of the reference. */
  readonly gone: readonly Place[];
  readonly feeds: () => AsyncIterable<Feed>;
  /** Share of the mean energy of inputs with which weights hold on to what they were. */
  readonly damping: number;
  readonly threads: number;
  readonly onLayer?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Layer after layer, weights and biases are fitted so that the layer gives what that of the reference gives for the
 * same sample, on what the smaller model really feeds it: min ‖W·x̂ + b − y‖² + λ·‖W − W₀‖². Gives the number of
 * layers. What follows a layer without a bias, such as BatchNormalization, is left as it is. source: He et al. 2017,
 * https://arxiv.org/abs/1707.06168, equation 5
 */
export async function refit(o: RefitOptions): Promise<number> {
  const order = o.model.graph.topological();
  const made = new Map([...o.reference.graph.nodes].map((n) => [n.outputs[0]?.name, n]));
  const shapes = new Map<Node, Fitted>();
  const changed = changedBy(order, new Set(o.gone.map((p) => p.value.name)));
  for (const node of order) {
    const layer = layerShape(node);
    const twin = made.get(node.outputs[0]?.name);
    // A layer that reads what it read gives what it gave, but for outputs that are gone.
    if (layer && twin?.outputs[0]?.shape && changed.has(layer.input)) shapes.set(node, { ...layer, twin });
  }
  let done = 0;
  await withFrontier(o.feeds, async (frontier) => {
    for (const step of stepsOf(order, shapes)) {
      o.signal?.throwIfAborted();
      o.onLayer?.(done, shapes.size);
      const sums = await measure(o, step, frontier);
      step.forEach((layer, i) => {
        solve(layer, item(sums, i), o.damping);
      });
      done += step.length;
    }
  });
  return shapes.size;
}

/** A layer, and what it was in the reference. */
interface Fitted extends LayerShape {
  readonly twin: Node;
}

/** Values that lost channels themselves, or are computed by one that did. */
function changedBy(order: readonly Node[], lost: ReadonlySet<string>): ReadonlySet<Value> {
  const changed = new Set<Value>();
  const isChanged = (v: Value | null): boolean => v !== null && (lost.has(v.name) || changed.has(v));
  for (const n of order) {
    const all = [...n.inputs, ...n.captures()].some(isChanged);
    for (const y of n.outputs) if (all || lost.has(y.name)) changed.add(y);
  }
  return changed;
}

/** Sums over the places of one group. */
interface Sums {
  /** Σ x̂·x̂ᵀ [columns, columns], Σ y·x̂ᵀ [rows, columns], Σ x̂ and Σ y. */
  readonly products: Float64Array;
  readonly cross: Float64Array;
  readonly x: Float64Array;
  readonly y: Float64Array;
  places: number;
}

/** Of each layer, of each of its groups. The layers read the same value. */
async function measure(o: RefitOptions, layers: readonly Fitted[], frontier: Frontier): Promise<Sums[][]> {
  const pass = new StepPass({
    model: o.model,
    inputs: layers.map((l) => l.input),
    beside: { model: o.reference, inputs: layers.map((l) => l.twin.inputs[l.view.data]) },
    frontier,
  });
  const products = layers.filter((l) => l.view.kind !== 'window');
  const rows = products.length ? rowTaps(o, pass, products) : undefined;
  const windows = layers.map((l) => (l.view.kind === 'window' ? windowTaps(o, pass, l) : undefined));
  try {
    await pass.run(o, async (outputs) => {
      for (const t of windows) if (t) add(t.sums, t.names, outputs);
      if (rows) await rows.sums.add(floats(outputs, rows.x), floats(outputs, rows.y));
    });
    await rows?.sums.finish();
  } finally {
    await rows?.sums.close();
  }
  let from = 0;
  return layers.map((l, i) => {
    const own = windows[i]?.sums;
    if (own || !rows) return own ?? [];
    const taken = part(rows.sums, l, from);
    from += l.rows;
    return [taken];
  });
}

/** What the layer of the reference gives, without channels that are gone. */
function wanted({ gone }: RefitOptions, pass: StepPass, { twin, view }: Fitted): Value {
  const made = item(twin.outputs, 0); // refit looked
  const kept = keptOf(gone, made, normalAxis(view.resultAxis, made.shape?.length ?? 0));
  if (!kept) return pass.besideOf(made);
  const indices = pass.b.constant(Tensor.i64(kept.indices), 'refit_kept');
  return pass.b.op('Gather', [pass.besideOf(made), indices], { attrs: { axis: kept.axis }, name: 'refit' });
}

/** Rows of all products together: they read the same. */
function rowTaps(
  o: RefitOptions,
  pass: StepPass,
  layers: readonly Fitted[],
): { readonly sums: RowSums; readonly x: string; readonly y: string } {
  const { b } = pass;
  const first = item(layers, 0);
  const x = filled(pass.node(first.node).inputs, first.view.data);
  const flat = layers.map((l) =>
    b.op('Reshape', [wanted(o, pass, l), b.constant(Tensor.i64([-1, l.rows]), 'refit_shape')], {
      name: 'refit',
    }),
  );
  const y = flat.length > 1 ? b.op('Concat', flat, { attrs: { axis: 1 }, name: 'refit' }) : item(flat, 0);
  const all = layers.reduce((n, l) => n + l.rows, 0);
  return {
    sums: new RowSums(first.columns, all, o.threads),
    x: pass.output(rowsOf(b, first, x, 1)),
    y: pass.output(y),
  };
}

/** The outputs of one layer among those of all that were measured together. */
function part({ sums, others }: RowSums, { rows, columns }: LayerShape, from: number): Sums {
  const cross = new Float64Array(rows * columns);
  for (let c = 0; c < columns; c++)
    for (let r = 0; r < rows; r++) cross[r * columns + c] = sums.cross[c * others.length + from + r]!;
  return { products: sums.products, cross, x: sums.sums, y: others.slice(from, from + rows), places: sums.places };
}

/** Sums that the graph takes over the places of a convolution. */
function windowTaps(
  o: RefitOptions,
  pass: StepPass,
  layer: Fitted,
): { readonly sums: Sums[]; readonly names: readonly string[] } {
  const { b } = pass;
  const { groups, rows, columns, view, node } = layer;
  const ints = (...v: readonly number[]): Value => b.constant(Tensor.i64(v), 'refit_shape');
  const op = (kind: string, inputs: readonly Value[], attrs = {}): Value =>
    b.op(kind, inputs, { attrs, name: 'refit' });
  const split = op('Reshape', [wanted(o, pass, layer), ints(0, groups, rows, -1)]);
  const y = op('Reshape', [op('Transpose', [split], { perm: [1, 2, 0, 3] }), ints(groups, rows, -1)]);
  const x = columnsOf(b, layer, filled(pass.node(node).inputs, view.data), 1);
  const taps = [productsOf(b, x, x), productsOf(b, y, x), sumsOf(b, x), sumsOf(b, y)];
  const names = [...taps.map((v) => pass.output(v)), pass.output(op('Shape', [x]), 'int64')];
  const sums = Array.from({ length: groups }, () => ({
    products: new Float64Array(columns * columns),
    cross: new Float64Array(rows * columns),
    x: new Float64Array(columns),
    y: new Float64Array(rows),
    places: 0,
  }));
  return { sums, names };
}

const floats = (outputs: Readonly<Record<string, FeedTensor>>, name: string): Float32Array =>
  field(outputs, name).data as Float32Array; // the taps are float32

/** Indices of an axis of a value of the reference that are left; undefined where all are. */
function keptOf(
  gone: readonly Place[],
  { name, shape }: Value,
  axis: number,
): { readonly axis: number; readonly indices: number[] } | undefined {
  const lost = new Set(gone.filter((p) => p.value.name === name && p.axis === axis).map((p) => p.channel));
  if (!lost.size) return undefined;
  const size = Number(shape?.[axis]);
  return { axis, indices: Array.from({ length: size }, (_, i) => i).filter((i) => !lost.has(i)) };
}

function add(sums: readonly Sums[], names: readonly string[], outputs: Readonly<Record<string, FeedTensor>>): void {
  const [products, cross, x, y] = names.slice(0, 4).map((name) => floats(outputs, name)) as Four;
  const places = Number((field(outputs, item(names, 4)).data as BigInt64Array)[2]); // of [groups, columns, places]
  for (const [g, s] of sums.entries()) {
    accumulate(s.products, products, g);
    accumulate(s.cross, cross, g);
    accumulate(s.x, x, g);
    accumulate(s.y, y, g);
    s.places += places;
  }
}
type Four = [Float32Array, Float32Array, Float32Array, Float32Array]; // as many as were taken
function accumulate(to: Float64Array, from: Float32Array, group: number): void {
  const at = group * to.length;
  for (let i = 0; i < to.length; i++) to[i]! += from[at + i]!;
}

/**
 * Sums of float32 products are right to about this share of the energy: fits hold on to what weights were where inputs
 * show no more than that.
 */
const LEAST_DAMPING = 1e-6;

/** Puts the weights and biases of least error into the layer. */
function solve(layer: LayerShape, sums: readonly Sums[], damping: number): void {
  const { weight, bias, biasApart, rows, columns, groupStride, rowStride, columnStride } = layer;
  const { dims } = dataOf(weight);
  const values = dataOf(weight).f64().slice();
  const before = bias && dataOf(bias).f64();
  const biases = before?.slice();
  const kernels = linearKernels();
  for (const [g, s] of sums.entries()) {
    const n = Math.max(1, s.places);
    // as many as asked for
    const [h, wanted, room] = kernels.arrays(columns * columns, ROWS * columns, ROWS * ROWS) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ];
    let [energy, spread] = [0, 0];
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++)
        h[i * columns + j] = (s.products[i * columns + j]! - (biases ? (s.x[i]! * s.x[j]!) / n : 0)) / n;
      energy += s.products[i * columns + i]! / n;
      spread += h[i * columns + i]!;
    }
    const hold = Math.max(damping * spread, LEAST_DAMPING * energy) / columns || Number.MIN_VALUE;
    for (let i = 0; i < columns; i++) h[i * columns + i]! += hold;
    factorReverse(h, columns, room, kernels);
    for (let from = 0; from < rows; from += ROWS) {
      const count = Math.min(ROWS, rows - from);
      for (let r = 0; r < count; r++)
        for (let c = 0; c < columns; c++) {
          const at = g * groupStride + (from + r) * rowStride + c * columnStride;
          const centred = biases ? (s.y[from + r]! * s.x[c]!) / n : 0;
          wanted[r * columns + c] = (s.cross[(from + r) * columns + c]! - centred) / n + hold * values[at]!;
        }
      solveReverse(h, columns, wanted, count, room, kernels);
      for (let r = 0; r < count; r++) {
        let mean = s.y[from + r]! / n;
        for (let c = 0; c < columns; c++) {
          const made = wanted[r * columns + c]!;
          values[g * groupStride + (from + r) * rowStride + c * columnStride] = made;
          mean -= (made * s.x[c]!) / n;
        }
        const at = g * rows + from + r;
        if (biases && before) biases[at] = biasApart ? before[at]! + mean : mean;
      }
    }
  }
  weight.data = Tensor.f32(Float32Array.from(values), dims);
  if (bias && biases) bias.data = Tensor.f32(Float32Array.from(biases), dataOf(bias).dims);
}
const ROWS = 16;
