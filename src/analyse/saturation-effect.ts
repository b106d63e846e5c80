/** How far saturation moves the results of layers, by reckoning it for a few results of one sample: any CPU tells. */
import { named } from '../base/lists.js';
import { cloneModel } from '../ir/clone.js';
import type { Feed, FeedTensor } from '../ir/feed.js';
import type { Node } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { linearView } from '../ops/index.js';
import { packedOrder, rowStarts } from '../ops/packing.js';
import { openModel } from '../runtime/open.js';
import { quantize } from '../scheme/arithmetic.js';
import { unravel } from '../scheme/reference/conv.js';
import { dynamicQuantizeLinear } from '../scheme/reference/linear.js';
import type { Packing, QuantParams } from '../scheme/types.js';

/** A product whose weight codes can saturate, as it is before the model is rewritten. */
export interface SaturatingLayer {
  readonly node: string;
  /** Name of its activation. */
  readonly input: string;
  /** Of the activation; undefined where it is quantized at run time. */
  readonly inputParams: QuantParams | undefined;
  readonly codes: Float64Array;
  readonly weightZeroPoint: number;
  readonly packing: Packing;
  /** Of a convolution; undefined for products of matrices. */
  readonly window: Window | undefined;
}
export interface Window {
  readonly kernel: readonly number[];
  readonly dilations: readonly number[];
  readonly group: number;
}

/** As many layers and results of each are looked at: those with the largest sums come first. */
const LAYERS = 6;
const RESULTS = 16;

/** The window of a convolution with a weight of these dims. */
export function windowOf(node: Node, dims: readonly number[]): Window | undefined {
  if (linearView(node)?.kind !== 'window') return undefined;
  const kernel = dims.slice(2);
  return {
    kernel,
    dilations: node.ints(
      'dilations',
      kernel.map(() => 1),
    ),
    group: node.int('group', 1),
  };
}

/**
 * √(Σ (saturated − exact)² ÷ Σ exact²) over some results of each layer, by its name. The inputs are those of the float
 * model on one sample. Throws MODEL_RUNTIME where the model does not run.
 */
export async function saturationEffect(
  float: Model,
  layers: readonly SaturatingLayer[],
  feed: Feed,
  threads = 1,
): Promise<ReadonlyMap<string, number>> {
  const { model } = cloneModel(float);
  const inMain = new Map(
    [...model.graph.inputs, ...model.graph.topological().flatMap((n) => n.outputs)].map((v) => [v.name, v]),
  );
  const some = layers.filter((l) => inMain.has(l.input)).slice(0, LAYERS);
  const outside = new Set(model.graph.inputs.map((v) => v.name));
  for (const l of some) {
    const v = named(inMain, l.input); // filtered above
    if (!outside.has(l.input) && !v.isGraphOutput) model.graph.addOutput(v);
  }
  const session = await openModel(model, { threads, label: 'the float model' });
  try {
    const found = await session.run(feed);
    return new Map(
      some.flatMap((l) => {
        const x = found[l.input] ?? feed[l.input];
        return x ? [[l.node, effectOf(l, x)] as const] : [];
      }),
    );
  } finally {
    await session.close();
  }
}

function effectOf(layer: SaturatingLayer, x: FeedTensor): number {
  const { packing, codes, weightZeroPoint } = layer;
  const { input, zeroPoint } = codesOf(layer, x);
  const order = packedOrder(packing);
  let [moved, exactly] = [0, 0];
  for (const taken of resultsOf(layer, x.dims, order.length)) {
    let row = 0;
    for (const start of rowStarts({ ...packing, groups: 1 })) {
      const from = taken(row++);
      let [exact, saturated] = [0, 0];
      for (let i = 0; i < order.length; i += 2) {
        let pair = 0;
        for (let k = i; k < Math.min(i + 2, order.length); k++) {
          const at = from(k);
          const q = at < 0 ? zeroPoint : input[at]!; // a place in the input, or padding
          const w = codes[start + order[k]!]!; // a place in the weight
          pair += q * w;
          exact += (q - zeroPoint) * (w - weightZeroPoint);
        }
        saturated += pair - Math.min(32767, Math.max(-32768, pair));
      }
      moved += saturated ** 2;
      exactly += exact ** 2;
    }
  }
  return exactly > 0 ? Math.sqrt(moved / exactly) : 0;
}

/** The codes of an activation as uint8, which int8 ones become. */
function codesOf({ inputParams }: SaturatingLayer, x: FeedTensor): { input: Float64Array; zeroPoint: number } {
  const values = Float32Array.from(x.data as Iterable<number>, Number); // inputs of products are numbers
  if (!inputParams) {
    // it has three outputs
    const [codes, , zero] = dynamicQuantizeLinear([Tensor.f32(values, x.dims)], {}) as [Tensor, Tensor, Tensor];
    return { input: codes.f64(), zeroPoint: zero.f64()[0]! };
  }
  const shift = inputParams.scheme.dtype === 'int8' ? 128 : 0;
  return {
    input: quantize(values, x.dims, inputParams)
      .f64()
      .map((q) => q + shift),
    zeroPoint: inputParams.zeroPoint[0]! + shift,
  };
}

/** For some results: where the k-th element that output `row` sums over lies in the input, or −1 beside it. */
function resultsOf(
  { window, packing }: SaturatingLayer,
  dims: readonly number[],
  columns: number,
): ((row: number) => (k: number) => number)[] {
  if (!window) {
    const rows = dims.reduce((n, d) => n * d, 1) / columns;
    return spread(rows).map((r) => () => (k) => r * columns + k);
  }
  const [, channels = 1, ...size] = dims;
  const { kernel, dilations, group } = window;
  const plane = size.reduce((n, d) => n * d, 1);
  const reach = kernel.map((k, d) => (k - 1) * dilations[d]! + 1);
  const starts = size.map((s, d) => Math.max(1, s - reach[d]! + 1));
  return spread(starts.reduce((n, d) => n * d, 1)).map((result) => {
    const at = unravel(result, starts);
    return (row) => {
      const first = Math.floor(row / (packing.rows / group)) * packing.channels;
      return (k) => {
        const tap = unravel(Math.floor(k / packing.channels), kernel);
        let offset = 0;
        for (const [d, s] of size.entries()) {
          const p = at[d]! + tap[d]! * dilations[d]!; // one for each axis
          if (p >= s) return -1;
          offset = offset * s + p;
        }
        return ((first + (k % packing.channels)) % channels) * plane + offset;
      };
    };
  });
}

/** Up to RESULTS numbers below n, evenly apart. */
const spread = (n: number): number[] =>
  Array.from({ length: Math.min(n, RESULTS) }, (_, i) => Math.floor(((i + 0.5) * n) / Math.min(n, RESULTS)));
