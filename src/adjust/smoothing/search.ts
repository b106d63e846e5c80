/** Error of layers whose input was scaled before quantization, measured in onnxruntime. */
import { dataOf, shapeOf } from '../../ir/known.js';
import { filled, field, item, named } from '../../base/lists.js';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { cloneModel } from '../../ir/clone.js';
import type { Feed } from '../../ir/feed.js';
import { Node, type Value } from '../../ir/graph.js';
import type { Model } from '../../ir/model.js';
import { Tensor } from '../../ir/tensor.js';
import { convertOpset } from '../../passes/convert-opset.js';
import { GraphBuilder } from '../../rewrite/builder.js';
import { openModel } from '../../runtime/open.js';
import { PAIRS_AS_GIVEN } from '../../runtime/session.js';
import { fakeQuantize } from '../../scheme/arithmetic.js';
import { dataRange } from '../../scheme/layout.js';
import { chooseParams } from '../../scheme/params.js';
import type { QuantScheme, Range } from '../../scheme/types.js';
import type { LayerSchemes } from '../types.js';
import type { SmoothInput, SmoothUnit } from './units.js';
import { removeOutputs } from '../../rewrite/unreached.js';

export interface LayerErrorsOptions {
  readonly model: Model;
  readonly units: readonly SmoothUnit[];
  readonly schemesOf: (layer: Node) => LayerSchemes;
  /** By unit, the factor that each of its channels is divided by. */
  readonly factors: readonly Float64Array[];
  /** Per channel of each input. */
  readonly ranges: ReadonlyMap<Value, Range>;
  readonly feeds: readonly Feed[];
  readonly threads: number;
  readonly onFeed?: (() => void) | undefined;
}

/**
 * For each unit the mean, over its layers, of Σ(ŷ − y)² ÷ Σy², with ŷ from inputs and weights quantized as their
 * schemes say after channels were divided by the factors. Each layer reads what the float model gives,
 * so units do not disturb each other. Throws what running the model throws.
 */
export async function layerErrors(o: LayerErrorsOptions): Promise<Float64Array> {
  const { model, nodes, values } = cloneModel(o.model);
  removeOutputs(model.graph);
  const b = new GraphBuilder(model);
  const tap = (v: Value): string => {
    const sum = b.op('ReduceSumSquare', [v], { attrs: { keepdims: 0 }, name: 'smooth' });
    sum.dtype = 'float32';
    model.graph.addOutput(sum);
    return sum.name;
  };
  const taps = o.units.map((unit, u) =>
    unit.inputs.flatMap((input) => {
      const factors = item(o.factors, u); // one for each unit
      const made = new Map<string, Value>();
      const inputAs = (scheme: QuantScheme | undefined): Value => {
        const key = JSON.stringify(scheme ?? null);
        const x =
          // every value has a copy, every input was observed
          made.get(key) ??
          quantized(b, named(values, input.value), input, factors, named(o.ranges, input.value), scheme);
        made.set(key, x);
        return x;
      };
      return input.layers.map((layer) => {
        const schemes = o.schemesOf(layer);
        const x = inputAs(schemes.activations);
        const copy = named(nodes, layer); // every node has a copy
        const [y] = copy.outputs;
        const twin = new Node(
          copy.op,
          [
            x,
            b.constant(
              Tensor.f32(scaledWeights(layer, input, factors, schemes.weights), dataOf(filled(layer.inputs, 1)).dims),
              'smooth_weight',
            ),
            ...copy.inputs.slice(2),
          ],
          [b.freeName('smooth')],
          copy.domain,
        ); // layers have constant weights
        copy.attrs.forEach((a, name) => twin.attrs.set(name, a));
        model.graph.add(twin);
        // layers have an output
        return { error: tap(b.op('Sub', [item(twin.outputs, 0), y!], { name: 'smooth' })), signal: tap(y!) };
      });
    }),
  );
  const sums = taps.map((list) => list.map(() => ({ error: 0, signal: 0 })));
  // Only now, for the model is a copy: 16-bit codes need opset 21, one scale per channel 13.
  convertOpset(model, opsetOf(o));
  const how = { threads: o.threads, config: PAIRS_AS_GIVEN, label: 'the model with scaled layers beside it' };
  const session = await openModel(model, how);
  try {
    for (const feed of o.feeds) {
      const outputs = await session.run(feed);
      const read = (name: string): number => Number(field(outputs, name).data[0]); // the taps are scalar outputs
      taps.forEach((list, u) => {
        list.forEach((t, i) => {
          const s = item(item(sums, u), i);
          s.error += read(t.error);
          s.signal += read(t.signal);
        });
      }); // one for each tap
      o.onFeed?.();
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
    }
  } finally {
    await session.close();
  }
  return Float64Array.from(
    sums,
    (list) => list.reduce((n, s) => n + (s.signal > 0 ? s.error / s.signal : 0), 0) / list.length,
  );
}

/** The lowest opset that has the types of the inputs. */
function opsetOf({ units, schemesOf }: LayerErrorsOptions): number {
  const schemes = units.flatMap((u) =>
    u.inputs.flatMap((i) => i.layers.flatMap((n) => schemesOf(n).activations ?? [])),
  );
  return Math.max(10, ...schemes.map((s) => (/16$/.test(s.dtype) ? 21 : s.granularity.kind === 'axis' ? 13 : 10)));
}

/** x ÷ factors, quantized with the range that this leaves and dequantized; float without a scheme. */
function quantized(
  b: GraphBuilder,
  x: Value,
  input: SmoothInput,
  factors: Float64Array,
  range: Range,
  scheme: QuantScheme | undefined,
): Value {
  const scaled = b.op('Mul', [x, b.constant(inverse(input, factors), 'smooth_factors')], { name: 'smooth' });
  if (!scheme) return scaled;
  const lows = Float64Array.from(input.factor, (f, c) => range.min[c]! / factors[f]!); // one for each channel
  const highs = Float64Array.from(input.factor, (f, c) => range.max[c]! / factors[f]!);
  // Scales along another axis than that of the channels are narrower than one for the whole: taken for one, their error
  // is overstated alike for all factors.
  const perChannel = scheme.granularity.kind === 'axis' && scheme.granularity.axis === input.axis;
  const p = chooseParams(
    perChannel
      ? { min: lows, max: highs }
      : { min: Float64Array.of(Math.min(...lows)), max: Float64Array.of(Math.max(...highs)) },
    perChannel ? scheme : { ...scheme, granularity: { kind: 'tensor' } },
  );
  const dims = perChannel ? [p.scale.length] : [];
  const scale = b.constant(Tensor.f32(p.scale, dims), 'smooth_scale');
  const zero = b.constant(Tensor.codes(scheme.dtype, p.zeroPoint, dims), 'smooth_zero_point');
  const attrs = perChannel ? { axis: input.axis } : {};
  return b.op(
    'DequantizeLinear',
    [b.op('QuantizeLinear', [scaled, scale, zero], { name: 'smooth', attrs }), scale, zero],
    { name: 'smooth', attrs },
  );
}

/**
 * 1 ÷ factor for each channel, shaped so that it is broadcast along the other axes: [C] for the last axis, [C, 1, 1]
 * before two more.
 */
export function inverse({ value, axis, factor }: SmoothInput, factors: Float64Array): Tensor {
  return Tensor.f32(
    Float32Array.from(factor, (f) => 1 / factors[f]!),
    [
      factor.length,
      ...shapeOf(value)
        .slice(axis + 1)
        .map(() => 1),
    ],
  ); // inputs have a shape, factors all of their channels
}

/** The weights of a layer with the factors in them, quantized and dequantized; float without a scheme. */
function scaledWeights(
  layer: Node,
  input: SmoothInput,
  factors: Float64Array,
  scheme: QuantScheme | undefined,
): Float32Array {
  const weight = dataOf(filled(layer.inputs, 1)); // layers have constant weights
  const data = weight.f32().slice();
  input.slabs.forEach((slabs, c) => {
    const by = factors[input.factor[c]!]!;
    for (const s of slabs)
      if (s.node === layer)
        for (let r = 0, at = s.start; r < s.outer; r++, at += s.stride)
          for (let i = at; i < at + s.inner; i++) data[i]! *= by;
  });
  return scheme === undefined
    ? data
    : fakeQuantize(data, weight.dims, chooseParams(dataRange(data, weight.dims, scheme.granularity), scheme));
}
