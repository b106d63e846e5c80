/**
 * One pass over the calibration samples for the layers of one step: their inputs in the model so far and in the float
 * model.
 */
import { dataOf } from '../ir/known.js';
import { filled, field, item, named } from '../base/lists.js';
import { dtypeCode, type DType } from '../ir/dtype.js';
import type { FeedTensor } from '../ir/feed.js';
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { GraphBuilder } from '../rewrite/builder.js';
import type { QuantParams, QuantPoint } from '../scheme/types.js';
import { Tensor } from '../ir/tensor.js';
import type { Frontier } from './frontier.js';
import { columnsOf, outputSums, productsOf, rowsOf, sumsOf } from './gram.js';
import { RowSums } from './row-sums.js';
import { StepPass } from './step-pass.js';
import type { LayerShape } from '../channels/layer.js';
import { SharedRoom } from './shared-room.js';

/** Sums over the inputs of one group: x̂ as the model so far gives them, x and y as the float model does. */
export interface InputSums {
  /** Σ x̂·x̂ᵀ, [columns, columns], over `places` columns. */
  readonly products: Float64Array;
  /** Σ x̂·xᵀ, [columns, columns]. Empty where it was not asked for, or is not needed any more. */
  cross: Float64Array;
  /** Σ x̂ [columns]. */
  readonly sums: Float64Array;
  places: number;
  /** Σ y and Σ y² [rows] of the float layer's output, bias included, over `outputs` places. */
  readonly output: Float64Array;
  readonly outputSquares: Float64Array;
  outputs: number;
}

/** Σ x̂x̂ᵀ with a little added to the diagonal, and how much that was. */
export interface Damped {
  readonly matrix: Float64Array;
  readonly more: number;
}

/** Parameters of activations among those of all points. */
export const activationsOf = (params: ReadonlyMap<QuantPoint, QuantParams>): ReadonlyMap<QuantPoint, QuantParams> =>
  new Map([...params].filter(([p, q]) => 'uses' in p && !p.data && q.scheme.dtype !== 'int32'));

export interface MeasureOptions {
  /** With the weights that earlier steps chose. */
  readonly model: Model;
  /** The float model, and its nodes by those of `model`. */
  readonly reference: { readonly model: Model; readonly nodes: ReadonlyMap<Node, Node> };
  /** Parameters of activations, by point of `model`: they are quantized on the way. */
  readonly activations: ReadonlyMap<QuantPoint, QuantParams>;
  readonly layers: readonly LayerShape[];
  /** Where the pass starts; it moves on to this step. */
  readonly frontier: Frontier;
  /** About how many samples the feeds hold. */
  readonly samples: number;
  /** Whether Σ x̂·xᵀ is wanted. */
  readonly cross: boolean;
  /** Whether sums of a layer's outputs are wanted. Default: of all. */
  readonly outputs?: ((layer: LayerShape) => boolean) | undefined;
  readonly threads: number;
  /** Where the sums of inputs lie. Default: a room of their own. */
  readonly room?: SharedRoom;
  readonly onBatch?: (() => void) | undefined;
}

/** Sums for each layer and group. The layers read the same value. */
export async function measureInputs(o: MeasureOptions): Promise<InputSums[][]> {
  const twins = o.layers.map((l) => named(o.reference.nodes, l.node)); // the reference is a clone
  const pass = new StepPass({
    model: o.model,
    inputs: o.layers.map((l) => l.input),
    beside: { model: o.reference.model, inputs: twins.map((n) => n.inputs[0]) },
    frontier: o.frontier,
  });
  const { b } = pass;
  const { room = new SharedRoom() } = o;
  for (const [point, params] of o.activations) if ('uses' in point) fakeQuantize(b, pass.value(point), params);
  const output: Output = (v, dtype) => pass.output(v, dtype);
  const shared = new Map<string, InputTaps>();
  const taps = o.layers.map((layer, i): Taps => {
    const key = geometryKey(layer);
    const twin = item(twins, i);
    const y = item(twin.outputs, 0); // a layer has an output
    let input = shared.get(key);
    if (!input) {
      const step = stepFor(layer, o.samples);
      const x = inFloat32(b, filled(pass.node(layer.node).inputs, 0), layer); // a layer has an input
      const float = o.cross ? inFloat32(b, pass.besideOf(filled(twin.inputs, 0)), layer) : undefined;
      input =
        layer.view.kind === 'window'
          ? sumTaps(b, layer, x, float, step, output)
          : {
              rows: new RowSums(layer.columns, o.cross ? layer.columns : 0, o.threads, room),
              x: output(rowsOf(b, layer, x, step)),
              float: float && output(rowsOf(b, layer, float, step)),
            };
      shared.set(key, input);
    }
    if (o.outputs && !o.outputs(layer)) return { input, made: undefined };
    // a layer's weight is constant
    const rank = y.shape?.length ?? dataOf(layer.weight).dims.length;
    const copy = inFloat32(b, pass.besideOf(y), layer);
    const seen = outputSums(b, layer, copy, rank);
    const size = output(b.op('Size', [copy], { name: 'gram' }), 'int64');
    return { input, made: { sums: output(seen.sums), squares: output(seen.squares), size } };
  });
  const sums = o.layers.map((l, i) =>
    Array.from({ length: l.groups }, (): InputSums => ({
      ...noSums('rows' in item(taps, i).input ? 0 : l.columns, o.cross, room),
      output: new Float64Array(l.rows),
      outputSquares: new Float64Array(l.rows),
      outputs: 0,
    })),
  );
  const rows = [...shared.values()].flatMap((t) => ('rows' in t ? [t] : []));
  try {
    await pass.run(o, async (outputs) => {
      o.layers.forEach((l, i) => add(item(sums, i), l, item(taps, i), outputs)); // one for each layer
      for (const t of rows)
        await t.rows.add(floats(outputs, t.x), t.float === undefined ? undefined : floats(outputs, t.float));
      o.onBatch?.();
    });
    for (const t of rows) await t.rows.finish();
    o.layers.forEach((_, i) => {
      const t = item(taps, i).input;
      if ('rows' in t) Object.assign(item(item(sums, i), 0), t.rows.sums);
    }); // one for each layer; products have one group
  } finally {
    for (const t of rows) await t.rows.close();
  }
  return sums;
}

/** Of 0 columns until rows have been summed, apart. */
function noSums(
  k: number,
  cross: boolean,
  room: SharedRoom,
): Pick<InputSums, 'products' | 'cross' | 'sums' | 'places'> {
  return {
    products: room.take(k * k),
    cross: room.take(cross ? k * k : 0),
    sums: new Float64Array(k),
    places: 0,
  };
}

type Output = (v: Value, dtype?: DType) => string;
function sumTaps(
  b: GraphBuilder,
  layer: LayerShape,
  input: Value,
  floatInput: Value | undefined,
  step: number,
  output: Output,
): SumTaps {
  const x = columnsOf(b, layer, input, step);
  const float = floatInput && columnsOf(b, layer, floatInput, step);
  return {
    products: output(productsOf(b, x, x)),
    sums: output(sumsOf(b, x)),
    size: output(b.op('Shape', [x], { name: 'gram' }), 'int64'),
    cross: float && output(productsOf(b, x, float)),
  };
}

/**
 * Layers that read the same input in the same way share their sums: products of one input, convolutions of one
 * geometry.
 */
function geometryKey({ node, view, columns, groups }: LayerShape): string {
  if (view.kind !== 'window') return `product ${columns}`;
  const attrs = [...node.attrs]
    .filter(([name]) => name !== 'group')
    .map(
      ([name, a]) => `${name}=${a.type === 'ints' || a.type === 'int' || a.type === 'string' ? String(a.value) : ''}`,
    )
    .sort();
  // a layer's weight is constant
  return `conv ${groups} ${dataOf(filled(node.inputs, view.weight)).dims.slice(1).join('×')} ${attrs.join(' ')}`;
}

/** Sums that the graph takes for each feed: right where a feed has more places than columns. */
interface SumTaps {
  readonly products: string;
  readonly cross: string | undefined;
  readonly sums: string;
  readonly size: string;
}
/** Inputs that are gathered over feeds first: those of products, of which a feed has few. */
interface RowTaps {
  readonly rows: RowSums;
  readonly x: string;
  readonly float: string | undefined;
}
type InputTaps = SumTaps | RowTaps;
interface Taps {
  readonly input: InputTaps;
  readonly made: { readonly sums: string; readonly squares: string; readonly size: string } | undefined;
}

/** The taps compute in float32. */
const inFloat32 = (b: GraphBuilder, v: Value, { weight }: LayerShape): Value =>
  dataOf(weight).dtype === 'float32' ? v : b.op('Cast', [v], { attrs: { to: dtypeCode('float32') }, name: 'gram' });

/** Columns enough for a sound sum: a few for each of its entries' rows. */
const COLUMNS_PER_COLUMN = 100;
/**
 * Every how many places of a sample one is taken. An odd step does not fall on the same column of an image again and
 * again.
 */
function stepFor({ node, view, columns }: LayerShape, samples: number): number {
  const sizes = view.kind === 'window' ? node.outputs[0]?.shape?.slice(2) : node.inputs[0]?.shape?.slice(1, -1);
  const places = (sizes ?? []).reduce<number>((n, d) => n * (typeof d === 'number' ? d : 1), 1);
  const step = Math.floor((places * samples) / (COLUMNS_PER_COLUMN * columns));
  return step < 2 ? 1 : Math.min(step - (1 - (step % 2)), Math.max(1, places));
}

const floats = (outputs: Readonly<Record<string, FeedTensor>>, name: string): Float32Array =>
  field(outputs, name).data as Float32Array; // the taps are float32 outputs

function add(
  sums: readonly InputSums[],
  { columns: k, groups, rows }: LayerShape,
  taps: Taps,
  outputs: Readonly<Record<string, FeedTensor>>,
): void {
  const { input } = taps;
  for (let g = 0; g < groups; g++) {
    const s = item(sums, g); // one for each group
    if ('products' in input) {
      accumulate(s.products, floats(outputs, input.products), g * k * k);
      if (input.cross !== undefined) accumulate(s.cross, floats(outputs, input.cross), g * k * k);
      accumulate(s.sums, floats(outputs, input.sums), g * k);
      s.places += Number(field(outputs, input.size).data[2]); // the shape has three sizes
    }
    if (!taps.made) continue;
    accumulate(s.output, floats(outputs, taps.made.sums), g * rows);
    accumulate(s.outputSquares, floats(outputs, taps.made.squares), g * rows);
    s.outputs += Number(field(outputs, taps.made.size).data[0]) / (groups * rows); // a scalar
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
  const float = b.op('DequantizeLinear', [b.op('QuantizeLinear', [v, scale, zero], { name: 'gram' }), scale, zero], {
    name: 'gram',
  });
  for (const u of readers) u.node.setInput(u.index, float);
}

/** Layers in order; those that read the same value one after the other make one step. */
export function stepsOf<L extends LayerShape>(order: readonly Node[], shapes: ReadonlyMap<Node, L>): L[][] {
  const steps: L[][] = [];
  for (const n of order) {
    const shape = shapes.get(n);
    if (!shape) continue;
    const last = steps[steps.length - 1];
    if (last?.[0]?.input === shape.input) last.push(shape);
    else steps.push([shape]);
  }
  return steps;
}
