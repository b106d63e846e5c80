/** What layers give, or are given, on calibration samples: means and products, of all layers in one pass. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { field, item, named } from '../base/lists.js';
import type { LayerShape } from '../channels/layer.js';
import { cloneModel } from '../ir/clone.js';
import type { Node, Value } from '../ir/graph.js';
import { dataOf } from '../ir/known.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { openModel } from '../runtime/open.js';
import type { CompressContext } from './types.js';
import { removeOutputs } from '../rewrite/unreached.js';

/** Of the smaller side of a layer: Σ v·vᵀ ÷ places [n, n] and Σ v ÷ places [n], without the layer's own bias. */
export interface Moments {
  readonly side: 'outputs' | 'inputs';
  readonly products: Float64Array;
  readonly mean: Float64Array;
}

type MomentsContext = Pick<CompressContext, 'model' | 'feeds' | 'threads' | 'signal' | 'onEvent'>;

/**
 * The moments of products with a matrix, by default of its smaller side. Throws what reading the samples and running
 * the model throw.
 */
export async function moments(
  { model: given, feeds, threads, signal, onEvent }: MomentsContext,
  layers: readonly LayerShape[],
  sideFor: (layer: LayerShape) => Moments['side'] = sideOf,
): Promise<ReadonlyMap<Node, Moments>> {
  const { model, nodes } = cloneModel(given);
  removeOutputs(model.graph);
  const b = new GraphBuilder(model);
  const output = (v: Value): string => {
    v.dtype = 'float32';
    model.graph.addOutput(v);
    return v.name;
  };
  const taps = layers.map((layer) => {
    const copy = named(nodes, layer.node);
    const side = sideFor(layer);
    const n = side === 'outputs' ? layer.rows : layer.columns;
    const value = side === 'outputs' ? item(copy.outputs, 0) : copy.inputs[layer.view.data];
    const flat = b.op('Reshape', [value ?? null, b.constant(Tensor.i64([-1, n]), 'moments_shape')], {
      name: 'moments',
    });
    const turned = b.op('Transpose', [flat], { attrs: { perm: [1, 0] }, name: 'moments' });
    const sum = b.op('ReduceSum', [flat, b.constant(Tensor.i64([0]), 'moments_axes')], {
      attrs: { keepdims: 0 },
      name: 'moments',
    });
    const size = b.op('Cast', [b.op('Shape', [flat], { name: 'moments' })], { attrs: { to: 1 }, name: 'moments' });
    return {
      ...{ side, n, places: 0, products: new Float64Array(n * n), sums: new Float64Array(n) },
      names: [b.op('MatMul', [turned, flat], { name: 'moments' }), sum, size].map(output),
    };
  });
  const session = await openModel(model, { threads, spinning: false, label: 'the model with its products measured' });
  try {
    let done = 0;
    for await (const feed of feeds()) {
      const results = await session.run(feed);
      for (const t of taps) {
        const [products, sums, size] = t.names.map((name) => field(results, name).data as Float32Array);
        products?.forEach((v, i) => (t.products[i] = item(t.products, i) + v));
        sums?.forEach((v, i) => (t.sums[i] = item(t.sums, i) + v));
        t.places += size?.[0] ?? 0;
      }
      onEvent({ type: 'progress', stage: 'low-rank', done: ++done, total: undefined, note: 'looking at products' });
      await nextTurn(); // runs block the thread: signals and drawing get their turn here
      signal?.throwIfAborted();
    }
  } finally {
    await session.close();
  }
  return new Map(layers.map((layer, i) => [layer.node, finished(layer, item(taps, i))]));
}

export const sideOf = ({ rows, columns }: LayerShape): Moments['side'] => (rows <= columns ? 'outputs' : 'inputs');

/** Divided by the places, and without the bias that a node adds itself. */
function finished(
  { bias, biasApart }: LayerShape,
  t: { side: Moments['side']; n: number; places: number; products: Float64Array; sums: Float64Array },
): Moments {
  const { side, n } = t;
  const places = Math.max(1, t.places);
  const own = side === 'outputs' && bias && !biasApart ? dataOf(bias).f64() : new Float64Array(n);
  const seen = t.sums.map((v) => v / places);
  const products = t.products.map((v, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    // (y − b)(y − b)ᵀ
    return v / places - item(seen, i) * item(own, j) - item(own, i) * item(seen, j) + item(own, i) * item(own, j);
  });
  return { side, products, mean: seen.map((v, i) => v - item(own, i)) };
}
