/** How large the inputs of layers are, column by column, on calibration samples: of all layers in one pass. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { field, filled, item, named } from '../base/lists.js';
import type { OnEvent } from '../base/events.js';
import type { LayerShape } from '../channels/layer.js';
import { cloneModel } from '../ir/clone.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { openModel } from '../runtime/open.js';
import { columnsOf, rowsOf } from './gram.js';
import { removeOutputs } from '../rewrite/unreached.js';

/** Means over the places where a layer is applied, [groups · columns]. */
export interface InputEnergies {
  readonly squares: Float64Array;
  readonly means: Float64Array;
}

export interface EnergiesOptions {
  readonly model: Model;
  readonly feeds: () => AsyncIterable<Feed>;
  readonly threads: number;
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** By weight. Throws what reading the samples and running the model throw. */
export async function inputEnergies(
  { model: given, feeds, threads, onEvent, signal }: EnergiesOptions,
  layers: readonly LayerShape[],
): Promise<ReadonlyMap<Value, InputEnergies>> {
  if (!layers.length) return new Map();
  const { model, nodes } = cloneModel(given);
  removeOutputs(model.graph);
  const b = new GraphBuilder(model);
  const taps = layers.map((layer) => {
    const x = filled(named(nodes, layer.node).inputs, layer.view.data);
    const n = layer.groups * layer.columns;
    return { names: energyTaps(b, layer, x), squares: new Float64Array(n), sums: new Float64Array(n), places: 0 };
  });
  const session = await openModel(model, { threads, spinning: false, label: 'the model with its inputs measured' });
  try {
    let done = 0;
    for await (const feed of feeds()) {
      const outputs = await session.run(feed);
      for (const t of taps) {
        const [squares, sums, sizes] = t.names.map((name) => field(outputs, name));
        add(t.squares, squares);
        add(t.sums, sums);
        t.places += (sizes?.data as Float32Array | undefined)?.[0] ?? 0; // a float32 output
      }
      onEvent?.({ type: 'progress', stage: 'weights', done: ++done, total: undefined, note: 'looking at inputs' });
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
      signal?.throwIfAborted();
    }
  } finally {
    await session.close();
  }
  return new Map(
    layers.map(({ weight }, i) => {
      const { squares, sums, places } = item(taps, i);
      const mean = (v: number): number => v / Math.max(1, places);
      return [weight, { squares: squares.map(mean), means: sums.map(mean) }] as const;
    }),
  );
}

/** Σ x² and Σ x of each column, and over how many places. What is summed over samples first has small patches. */
function energyTaps(b: GraphBuilder, layer: LayerShape, x: Value): string[] {
  const named = { name: 'energy' };
  const output = (v: Value): string => {
    v.dtype = 'float32';
    b.graph.addOutput(v);
    return v.name;
  };
  const axes = (v: number): Value => b.constant(Tensor.i64([v]), 'energy_axes');
  const total = (v: Value, axis: number, keepdims: number): Value =>
    b.op('ReduceSum', [v, axes(axis)], { ...named, attrs: { keepdims } });
  const square = b.op('Mul', [x, x], named);
  const last = (v: Value, axis: number): Value =>
    b.op('Reshape', [b.op('Gather', [b.op('Shape', [v], named), axes(axis)], named), axes(1)], named);
  const float = (v: Value): Value => b.op('Cast', [v], { ...named, attrs: { to: 1 } });
  if (layer.view.kind !== 'window') {
    const [squares, plain] = [rowsOf(b, layer, square, 1), rowsOf(b, layer, x, 1)];
    return [total(squares, 0, 0), total(plain, 0, 0), float(last(plain, 0))].map(output);
  }
  const patches = (v: Value): Value => columnsOf(b, layer, total(v, 0, 1), 1);
  const [squares, plain] = [patches(square), patches(x)];
  const places = b.op('Mul', [float(last(plain, 2)), float(last(x, 0))], named);
  return [total(squares, 2, 0), total(plain, 2, 0), places].map(output);
}

function add(to: Float64Array, from: FeedTensor | undefined): void {
  const values = from?.data as Float32Array | undefined; // the taps are float32 outputs
  values?.forEach((v, i) => (to[i] = item(to, i) + v));
}

/** The mean square of the input that each element of a layer's weight meets, laid out as the weight is. */
export function importanceOf(layer: LayerShape, { squares }: InputEnergies): Float32Array {
  const out = new Float32Array(dataOf(layer.weight).size);
  for (let g = 0; g < layer.groups; g++)
    for (let r = 0; r < layer.rows; r++)
      for (let c = 0; c < layer.columns; c++)
        out[g * layer.groupStride + r * layer.rowStride + c * layer.columnStride] = item(
          squares,
          g * layer.columns + c,
        );
  return out;
}
