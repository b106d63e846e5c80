/** What training leaves of the form of weights: zeros of pruned ones, and which of them share a value. */
import type { Value } from '../ir/graph.js';
import { cloneModel } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnusedInitializers } from '../rewrite/pass.js';

/**
 * zeros: weights of two axes and more that are zero stay zero. codebooks: weights that share a value go on sharing one,
 * which is learned.
 */
export const KEPT = ['zeros', 'codebooks'] as const;
export type Kept = (typeof KEPT)[number];

/** A tensor with more values than this, or hardly fewer than elements, is no table of shared ones. */
const MOST_SHARED = 256;
const LEAST_USES = 4;

export interface KeptModel {
  /** Computes the same; gradients keep what is to be kept. */
  readonly model: Model;
  /** What is learned in place of the parameters given, in their order. */
  readonly parameters: readonly string[];
  /** Values of the parameters given, from those of the parameters that were learned. */
  restore(weights: ReadonlyMap<string, Tensor>): Map<string, Tensor>;
}

/** The model given stays as it is. Factored layers need nothing: each factor is a weight of its own. */
export function withKept(given: Model, parameters: readonly string[], keep: readonly Kept[]): KeptModel {
  const { model } = cloneModel(given);
  const b = new GraphBuilder(model);
  const all = new Map([...model.graph.initializers].map((v) => [v.name, v]));
  const shared = new Map<
    string,
    { readonly of: string; readonly codes: Int32Array; readonly dims: readonly number[] }
  >();
  const learned = parameters.map((name) => {
    const v = all.get(name);
    if (v?.data?.dtype !== 'float32') return name;
    const table = keep.includes('codebooks') ? sharedValues(v.data.f32()) : undefined;
    if (!table) {
      // Biases and factors may start at zero without being meant to stay there.
      if (keep.includes('zeros') && v.data.dims.length > 1) masked(b, v, v.data);
      return name;
    }
    const { values, codes } = table;
    const { dims } = v.data;
    const entries = b.constant(Tensor.f32(values), `levels of ${name}`);
    const kept = keep.includes('zeros') ? masked(b, entries, Tensor.f32(values)) : entries;
    const index = b.constant(Tensor.i64([...codes], dims), `${name}_codes`);
    const made = b.op('Gather', [kept, index], { name: `${name}_shared` });
    for (const use of new Set(v.uses)) use.node.setInput(use.index, made);
    shared.set(entries.name, { of: name, codes, dims });
    return entries.name;
  });
  removeUnusedInitializers(model.graph);
  const restore = (weights: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
    new Map(
      [...weights].map(([name, data]) => {
        const s = shared.get(name);
        if (!s) return [name, data];
        const values = data.f32();
        return [
          s.of,
          Tensor.f32(
            Float32Array.from(s.codes, (c) => values[c] ?? 0),
            s.dims,
          ),
        ];
      }),
    );
  return { model, parameters: learned, restore };
}

/** Zeros have no gradient, and so stay what they are. */
function masked(b: GraphBuilder, v: Value, data: Tensor): Value {
  const values = data.f32();
  if (!values.includes(0)) return v;
  const uses = new Set(v.uses);
  const mask = b.constant(
    Tensor.f32(
      values.map((x) => (x === 0 ? 0 : 1)),
      data.dims,
    ),
    `${v.name}_mask`,
  );
  const made = b.op('Mul', [v, mask], { name: `${v.name}_masked` });
  for (const use of uses) use.node.setInput(use.index, made);
  return made;
}

/** The values that elements share, ascending, and which one each has; undefined where they hardly share any. */
function sharedValues(data: Float32Array): { values: Float32Array; codes: Int32Array } | undefined {
  const values = Float32Array.from(new Set(data)).sort();
  if (values.length > MOST_SHARED || values.length * LEAST_USES > data.length) return undefined;
  const places = new Map([...values].map((v, i) => [v, i]));
  return { values, codes: Int32Array.from(data, (v) => places.get(v) ?? 0) };
}
