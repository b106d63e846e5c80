/** One pass over the calibration samples for the layers of one step: their inputs in the model so far and in the float model. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { cloneModel, copyInto } from '../../ir/clone.js';
import type { Feed, FeedTensor } from '../../ir/feed.js';
import type { Model, Node, Value } from '../../ir/graph.js';
import { GraphBuilder } from '../../rewrite/builder.js';
import { openModel } from '../../runtime/open.js';
import type { QuantParams, QuantPoint } from '../../scheme/types.js';
import { Tensor } from '../../ir/tensor.js';
import { columnsOf, outputSums, productsOf, sumsOf } from './gram.js';
import type { LayerShape } from './layer.js';

/** Sums over the inputs of one group: x̂ as the model so far gives them, x and y as the float model does. */
export interface InputSums {
  /** Σ x̂·x̂ᵀ, [columns, columns], over `places` columns. */
  readonly products: Float64Array;
  /** Σ x̂·xᵀ, [columns, columns]. Zero where it was not asked for. */
  readonly cross: Float64Array;
  /** Σ x̂ [columns]. */
  readonly sums: Float64Array;
  places: number;
  /** Σ y and Σ y² [rows] of the float layer's output, bias included, over `outputs` places. */
  readonly output: Float64Array;
  readonly outputSquares: Float64Array;
  outputs: number;
}

export interface MeasureOptions {
  /** With the weights that earlier steps chose. */
  readonly model: Model;
  /** The float model, and its nodes by those of `model`. */
  readonly reference: { readonly model: Model; readonly nodes: ReadonlyMap<Node, Node> };
  /** Parameters of activations, by point of `model`: they are quantized on the way. */
  readonly activations: ReadonlyMap<QuantPoint, QuantParams>;
  readonly layers: readonly LayerShape[];
  readonly feeds: () => AsyncIterable<Feed>;
  /** About how many samples the feeds hold. */
  readonly samples: number;
  /** Whether Σ x̂·xᵀ is wanted. */
  readonly cross: boolean;
  readonly threads: number;
  readonly onBatch?: (() => void) | undefined;
}

const MARK = 'float model: ';

/** Sums for each layer and group. The layers read the same value. */
export async function measureInputs(o: MeasureOptions): Promise<InputSums[][]> {
  const { model, nodes, values } = cloneModel(o.model);
  while (model.graph.outputs.length) model.graph.removeOutput(model.graph.outputs.length - 1);
  const beside = copyInto(model.graph, o.reference.model.graph, (name) => `${MARK}${name}`);
  const b = new GraphBuilder(model);
  for (const [point, params] of o.activations) if ('uses' in point) fakeQuantize(b, values.get(point)!, params); // every value has a copy
  const output = (v: Value, dtype: 'float32' | 'int64' = 'float32'): string => { v.dtype = dtype; model.graph.addOutput(v); return v.name; };
  const shared = new Map<string, InputTaps>();
  const taps = o.layers.map((layer): Taps => {
    const key = geometryKey(layer);
    const twin = o.reference.nodes.get(layer.node)!; // the reference is a clone
    const y = twin.outputs[0]!; // a layer has an output
    let input = shared.get(key);
    if (!input) {
      const step = stepFor(layer, o.samples);
      const x = columnsOf(b, layer, nodes.get(layer.node)!.inputs[0]!, step); // every node has a copy, and a layer an input
      const float = o.cross ? columnsOf(b, layer, beside.get(twin.inputs[0]!)!, step) : undefined; // all of the reference was copied
      input = { products: output(productsOf(b, x, x)), sums: output(sumsOf(b, x)), size: output(b.op('Shape', [x], { name: 'gram' }), 'int64'), cross: float && output(productsOf(b, x, float)) };
      shared.set(key, input);
    }
    const rank = y.shape?.length ?? (layer.node.op === 'Gemm' ? 2 : layer.weight.data!.dims.length); // a layer's weight is constant
    const copy = beside.get(y)!; // as above
    const seen = outputSums(b, layer, copy, rank);
    return { ...input, output: output(seen.sums), outputSquares: output(seen.squares), outputSize: output(b.op('Size', [copy], { name: 'gram' }), 'int64') };
  });
  const sums = o.layers.map((l) => Array.from({ length: l.groups }, (): InputSums => ({
    products: new Float64Array(l.columns * l.columns), cross: new Float64Array(o.cross ? l.columns * l.columns : 0), sums: new Float64Array(l.columns), places: 0,
    output: new Float64Array(l.rows), outputSquares: new Float64Array(l.rows), outputs: 0,
  })));
  const session = await openModel(model, { threads: o.threads, label: 'the model up to a layer' });
  try {
    for await (const feed of o.feeds()) {
      const outputs = await session.run(feed);
      o.layers.forEach((l, i) => add(sums[i]!, l, taps[i]!, outputs)); // one for each layer
      o.onBatch?.();
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
    }
  } finally {
    await session.close();
  }
  return sums;
}

/** Layers that read the same input in the same way share their sums: products of one input, convolutions of one geometry. */
function geometryKey({ node, columns, groups }: LayerShape): string {
  if (node.op !== 'Conv') return `product ${columns}`;
  const attrs = [...node.attrs].filter(([name]) => name !== 'group').map(([name, a]) => `${name}=${a.type === 'ints' || a.type === 'int' || a.type === 'string' ? String(a.value) : ''}`).sort();
  return `conv ${groups} ${node.inputs[1]!.data!.dims.slice(1).join('×')} ${attrs.join(' ')}`; // a layer's weight is constant
}

interface InputTaps { readonly products: string; readonly cross: string | undefined; readonly sums: string; readonly size: string }
interface Taps extends InputTaps { readonly output: string; readonly outputSquares: string; readonly outputSize: string }

/** Columns enough for a sound sum: a few for each of its entries' rows. */
const COLUMNS_PER_COLUMN = 100;
/** Every how many places of a sample one is taken. An odd step does not fall on the same column of an image again and again. */
function stepFor({ node, columns }: LayerShape, samples: number): number {
  const sizes = node.op === 'Conv' ? node.outputs[0]?.shape?.slice(2) : node.inputs[0]?.shape?.slice(1, -1);
  const places = (sizes ?? []).reduce<number>((n, d) => n * (typeof d === 'number' ? d : 1), 1);
  const step = Math.floor((places * samples) / (COLUMNS_PER_COLUMN * columns));
  return step < 2 ? 1 : Math.min(step - (1 - (step % 2)), Math.max(1, places));
}

function add(sums: readonly InputSums[], { columns: k, groups, rows }: LayerShape, taps: Taps, outputs: Readonly<Record<string, FeedTensor>>): void {
  const read = (name: string): Float32Array => outputs[name]!.data as Float32Array; // the taps are float32 outputs
  for (let g = 0; g < groups; g++) {
    const s = sums[g]!; // one for each group
    accumulate(s.products, read(taps.products), g * k * k);
    if (taps.cross !== undefined) accumulate(s.cross, read(taps.cross), g * k * k);
    accumulate(s.sums, read(taps.sums), g * k);
    s.places += Number(outputs[taps.size]!.data[2]); // the shape has three sizes
    accumulate(s.output, read(taps.output), g * rows);
    accumulate(s.outputSquares, read(taps.outputSquares), g * rows);
    s.outputs += Number(outputs[taps.outputSize]!.data[0]) / (groups * rows); // a scalar
  }
}
function accumulate(to: Float64Array, from: Float32Array, at: number): void {
  for (let i = 0; i < to.length; i++) to[i]! += from[at + i]!;
}

/** Everybody who reads the value reads it quantized and dequantized. */
function fakeQuantize(b: GraphBuilder, v: Value, p: QuantParams): void {
  if (v.data || p.scheme.granularity.kind !== 'tensor' || !/^u?int(8|16)$/.test(p.scheme.dtype)) return;
  const readers = [...v.uses];
  const scale = b.constant(Tensor.f32(p.scale, []), 'gram_scale');
  const zero = b.constant(Tensor.codes(p.scheme.dtype, p.zeroPoint, []), 'gram_zero_point');
  const float = b.op('DequantizeLinear', [b.op('QuantizeLinear', [v, scale, zero], { name: 'gram' }), scale, zero], { name: 'gram' });
  for (const u of readers) u.node.setInput(u.index, float);
}

/** Layers in order; those that read the same value one after the other make one step. */
export function stepsOf(order: readonly Node[], shapes: ReadonlyMap<Node, LayerShape>): LayerShape[][] {
  const steps: LayerShape[][] = [];
  for (const n of order) {
    const shape = shapes.get(n);
    if (!shape) continue;
    const last = steps[steps.length - 1];
    if (last?.[0]?.input === shape.input) last.push(shape); else steps.push([shape]);
  }
  return steps;
}
