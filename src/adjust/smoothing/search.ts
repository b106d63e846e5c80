/** Error of layers whose input was scaled before quantization, measured in onnxruntime. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { cloneModel } from '../../ir/clone.js';
import type { Feed } from '../../ir/feed.js';
import { Node, type Model, type Value } from '../../ir/graph.js';
import { Tensor } from '../../ir/tensor.js';
import { specOf } from '../../ops/index.js';
import { GraphBuilder } from '../../rewrite/builder.js';
import { openModel } from '../../runtime/open.js';
import { fakeQuantize } from '../../scheme/arithmetic.js';
import { dataRange } from '../../scheme/layout.js';
import { chooseParams } from '../../scheme/params.js';
import type { QuantScheme, Range } from '../../scheme/types.js';
import type { SmoothInput, SmoothUnit } from './units.js';

/** What static 8-bit quantization uses where nothing else is said. */
const ACTIVATION: QuantScheme = { dtype: 'uint8', symmetric: false, granularity: { kind: 'tensor' } };
const weightScheme = (axis: number): QuantScheme => ({ dtype: 'int8', symmetric: true, granularity: { kind: 'axis', axis } });

export interface LayerErrorsOptions {
  readonly model: Model;
  readonly units: readonly SmoothUnit[];
  /** By unit, the factor that each of its channels is divided by. */
  readonly factors: readonly Float64Array[];
  /** Per channel of each input. */
  readonly ranges: ReadonlyMap<Value, Range>;
  readonly feeds: readonly Feed[];
  readonly threads: number;
  readonly onFeed?: (() => void) | undefined;
}

/**
 * For each unit the mean, over its layers, of Σ(ŷ − y)² ÷ Σy², with ŷ from inputs in 8 bits (one scale) and weights in 8 bits
 * (one scale per output channel) after channels were divided by the factors. Each layer reads what the float model gives,
 * so units do not disturb each other. Throws what running the model throws.
 */
export async function layerErrors(o: LayerErrorsOptions): Promise<Float64Array> {
  const { model, nodes, values } = cloneModel(o.model);
  while (model.graph.outputs.length) model.graph.removeOutput(model.graph.outputs.length - 1);
  const b = new GraphBuilder(model);
  const tap = (v: Value): string => { const sum = b.op('ReduceSumSquare', [v], { attrs: { keepdims: 0 }, name: 'smooth' }); sum.dtype = 'float32'; model.graph.addOutput(sum); return sum.name; };
  const taps = o.units.map((unit, u) => unit.inputs.flatMap((input) => {
    const factors = o.factors[u]!; // one for each unit
    const x = quantized(b, values.get(input.value)!, input, factors, o.ranges.get(input.value)!); // every value has a copy, every input was observed
    return input.layers.map((layer) => {
      const copy = nodes.get(layer)!; // every node has a copy
      const [y] = copy.outputs;
      const twin = new Node(copy.op, [x, b.constant(Tensor.f32(scaledWeights(layer, input, factors), layer.inputs[1]!.data!.dims), 'smooth_weight'), ...copy.inputs.slice(2)], [b.freeName('smooth')], copy.domain); // layers have constant weights
      copy.attrs.forEach((a, name) => twin.attrs.set(name, a));
      model.graph.add(twin);
      return { error: tap(b.op('Sub', [twin.outputs[0]!, y!], { name: 'smooth' })), signal: tap(y!) }; // layers have an output
    });
  }));
  const sums = taps.map((list) => list.map(() => ({ error: 0, signal: 0 })));
  const session = await openModel(model, { threads: o.threads, label: 'the model with scaled layers beside it' });
  try {
    for (const feed of o.feeds) {
      const outputs = await session.run(feed);
      const read = (name: string): number => Number(outputs[name]!.data[0]); // the taps are scalar outputs
      taps.forEach((list, u) => { list.forEach((t, i) => { const s = sums[u]![i]!; s.error += read(t.error); s.signal += read(t.signal); }); }); // one for each tap
      o.onFeed?.();
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
    }
  } finally {
    await session.close();
  }
  return Float64Array.from(sums, (list) => list.reduce((n, s) => n + (s.signal > 0 ? s.error / s.signal : 0), 0) / list.length);
}

/** x ÷ factors, quantized with the range that this leaves and dequantized. */
function quantized(b: GraphBuilder, x: Value, input: SmoothInput, factors: Float64Array, range: Range): Value {
  let [min, max] = [Infinity, -Infinity];
  input.factor.forEach((f, c) => { min = Math.min(min, range.min[c]! / factors[f]!); max = Math.max(max, range.max[c]! / factors[f]!); }); // one for each channel
  const p = chooseParams({ min: Float64Array.of(min), max: Float64Array.of(max) }, ACTIVATION);
  const scale = b.constant(Tensor.f32(p.scale, []), 'smooth_scale');
  const zero = b.constant(Tensor.codes(ACTIVATION.dtype, p.zeroPoint, []), 'smooth_zero_point');
  const scaled = b.op('Mul', [x, b.constant(inverse(input, factors), 'smooth_factors')], { name: 'smooth' });
  return b.op('DequantizeLinear', [b.op('QuantizeLinear', [scaled, scale, zero], { name: 'smooth' }), scale, zero], { name: 'smooth' });
}

/** 1 ÷ factor for each channel, shaped so that it is broadcast along the other axes: [C] for the last axis, [C, 1, 1] before two more. */
export function inverse({ value, axis, factor }: SmoothInput, factors: Float64Array): Tensor {
  return Tensor.f32(Float32Array.from(factor, (f) => 1 / factors[f]!), [factor.length, ...value.shape!.slice(axis + 1).map(() => 1)]); // inputs have a shape, factors all of their channels
}

/** The weights of a layer with the factors in them, quantized and dequantized. */
function scaledWeights(layer: Node, input: SmoothInput, factors: Float64Array): Float32Array {
  const weight = layer.inputs[1]!.data!; // layers have constant weights
  const role = specOf(layer)?.quant;
  const axis = role?.role === 'compute' ? role.channelAxis(layer, weight.dims.length) : 0;
  const data = weight.f32().slice();
  input.slabs.forEach((slabs, c) => {
    const by = factors[input.factor[c]!]!; // as above
    for (const s of slabs) if (s.node === layer) for (let r = 0, at = s.start; r < s.outer; r++, at += s.stride) for (let i = at; i < at + s.inner; i++) data[i]! *= by;
  });
  const scheme = weightScheme(typeof axis === 'number' ? axis : 0);
  return fakeQuantize(data, weight.dims, chooseParams(dataRange(data, weight.dims, scheme.granularity), scheme));
}
