/** Weights that are left make up for those that are gone: least squares on calibration samples, without training. */
import { field, filled, item } from '../base/lists.js';
import { layerShape, type LayerShape } from '../channels/layer.js';
import type { Place } from '../channels/classes.js';
import { Frontier } from '../codes/frontier.js';
import { columnsOf, productsOf, rowsOf, sumsOf } from '../codes/gram.js';
import { linearKernels } from '../codes/linear-kernels.js';
import { reverseCholesky, solveReverse } from '../codes/linear.js';
import { StepPass } from '../codes/step-pass.js';
import { ancestors } from '../ir/ancestors.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Node, Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { normalAxis } from '../ops/spec.js';
import type { GraphBuilder } from '../rewrite/builder.js';

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
 * Layer after layer, weights and biases are fitted so that the layer gives what that of the reference gives for the same
 * sample, on what the smaller model really feeds it: min ‖W·x̂ + b − y‖² + λ·‖W − W₀‖². Gives the number of layers. What
 * follows a layer without a bias, such as BatchNormalization, is left as it is. source: He et al. 2017,
 * https://arxiv.org/abs/1707.06168, equation 5
 */
export async function refit(o: RefitOptions): Promise<number> {
  const layers = o.model.graph.topological().flatMap((n) => layerShape(n) ?? []);
  const first = new Set(o.gone.map((p) => p.value.name));
  const touched = layers.filter(({ node }) => dependsOn(node, first));
  const frontier = new Frontier(o.feeds);
  for (const [i, layer] of touched.entries()) {
    o.signal?.throwIfAborted();
    o.onLayer?.(i, touched.length);
    const sums = await measure(o, layer, frontier);
    if (sums) solve(layer, sums, o.damping);
  }
  return touched.length;
}

/** Whether something that a node reads, however far before it, or what it makes, lost channels. */
function dependsOn(node: Node, names: ReadonlySet<string>): boolean {
  const own = [...node.inputs, ...node.outputs].flatMap((v) => v ?? []);
  if (own.some((v) => names.has(v.name))) return true;
  const before = node.inputs[0];
  return !!before && [...ancestors(before)].some((n) => n.outputs.some((v) => names.has(v.name)));
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

async function measure(o: RefitOptions, layer: LayerShape, frontier: Frontier): Promise<Sums[] | undefined> {
  const twin = [...o.reference.graph.nodes].find((n) => n.outputs[0]?.name === layer.node.outputs[0]?.name);
  const made = twin?.outputs[0];
  if (!made?.shape) return undefined;
  const pass = new StepPass({
    model: o.model,
    inputs: [layer.input],
    beside: { model: o.reference, inputs: [twin?.inputs[layer.view.data]] },
    frontier,
  });
  const { b } = pass;
  const copy = filled(pass.node(layer.node).inputs, layer.view.data);
  const kept = keptOf(o.gone, made, normalAxis(layer.view.resultAxis, made.shape.length));
  const y = kept
    ? b.op('Gather', [pass.besideOf(made), b.constant(Tensor.i64(kept.indices), 'refit_kept')], {
        attrs: { axis: kept.axis },
        name: 'refit',
      })
    : pass.besideOf(made);
  const [xs, ys] = placesOf(b, layer, copy, y);
  const taps = [productsOf(b, xs, xs), productsOf(b, ys, xs), sumsOf(b, xs), sumsOf(b, ys)];
  const names = taps.map((v) => pass.output(v));
  names.push(pass.output(b.op('Shape', [xs], { name: 'refit' }), 'int64'));
  const { columns, rows, groups } = layer;
  const sums = Array.from({ length: groups }, () => ({
    products: new Float64Array(columns * columns),
    cross: new Float64Array(rows * columns),
    x: new Float64Array(columns),
    y: new Float64Array(rows),
    places: 0,
  }));
  await pass.run(o, (outputs) => {
    add(sums, names, outputs);
  });
  return sums;
}

/** The places of x and y: [groups, columns or rows, places]. */
function placesOf(b: GraphBuilder, layer: LayerShape, x: Value, y: Value): [Value, Value] {
  const ints = (...v: readonly number[]): Value => b.constant(Tensor.i64(v), 'refit_shape');
  const { groups, rows, columns, view } = layer;
  if (view.kind === 'window') {
    const split = b.op('Reshape', [y, ints(0, groups, rows, -1)], { name: 'refit' });
    const turned = b.op('Transpose', [split], { attrs: { perm: [1, 2, 0, 3] }, name: 'refit' });
    return [columnsOf(b, layer, x, 1), b.op('Reshape', [turned, ints(groups, rows, -1)], { name: 'refit' })];
  }
  const standing = (v: Value, n: number): Value =>
    b.op('Transpose', [b.op('Reshape', [v, ints(1, -1, n)], { name: 'refit' })], {
      attrs: { perm: [0, 2, 1] },
      name: 'refit',
    });
  return [standing(rowsOf(b, layer, x, 1), columns), standing(y, rows)];
}

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
  const [products, cross, x, y, size] = names.map((name) => field(outputs, name).data);
  const places = Number((size as BigInt64Array | undefined)?.[2] ?? 0); // the shape of [groups, columns, places]
  for (const [g, s] of sums.entries()) {
    for (const [to, from] of [
      [s.products, products],
      [s.cross, cross],
      [s.x, x],
      [s.y, y],
    ] as const) {
      const values = from as Float32Array; // the taps are float32
      for (let i = 0; i < to.length; i++) to[i] = item(to, i) + item(values, g * to.length + i);
    }
    s.places += places;
  }
}

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
    const h = new Float64Array(columns * columns);
    let energy = 0;
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) {
        const centred = biases ? (item(s.x, i) * item(s.x, j)) / n : 0;
        h[i * columns + j] = (item(s.products, i * columns + j) - centred) / n;
      }
      energy += item(h, i * columns + i);
    }
    const hold = (damping * energy) / columns || Number.MIN_VALUE;
    for (let i = 0; i < columns; i++) h[i * columns + i] = item(h, i * columns + i) + hold;
    const l = reverseCholesky(h, columns, kernels);
    for (let from = 0; from < rows; from += ROWS) {
      const count = Math.min(ROWS, rows - from);
      const wanted = new Float64Array(count * columns);
      for (let r = 0; r < count; r++)
        for (let c = 0; c < columns; c++) {
          const at = g * groupStride + (from + r) * rowStride + c * columnStride;
          const centred = biases ? (item(s.y, from + r) * item(s.x, c)) / n : 0;
          wanted[r * columns + c] = (item(s.cross, (from + r) * columns + c) - centred) / n + hold * item(values, at);
        }
      solveReverse(l, columns, wanted, count, new Float64Array(ROWS * ROWS));
      for (let r = 0; r < count; r++) {
        let mean = item(s.y, from + r) / n;
        for (let c = 0; c < columns; c++) {
          const made = item(wanted, r * columns + c);
          values[g * groupStride + (from + r) * rowStride + c * columnStride] = made;
          mean -= (made * item(s.x, c)) / n;
        }
        const at = g * rows + from + r;
        if (biases && before) biases[at] = biasApart ? item(before, at) + mean : mean;
      }
    }
  }
  weight.data = Tensor.f32(Float32Array.from(values), dims);
  if (bias && biases) bias.data = Tensor.f32(Float32Array.from(biases), dataOf(bias).dims);
}
const ROWS = 16;
