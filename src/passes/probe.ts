/** What a part of a model computes, found by running it on a few numbers. */
import { cloneModel } from '../ir/clone.js';
import { Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import type { PassContext } from '../rewrite/pass.js';
import { removeOutputs, removeUnreached } from '../rewrite/unreached.js';

/** Lengths of what inputs hold that are not given. */
export interface Sizes {
  readonly queries: number;
  readonly keys: number;
}

export class Probe {
  readonly #ctx: Pick<PassContext, 'model' | 'evaluate'>;
  constructor(ctx: Pick<PassContext, 'model' | 'evaluate'>) {
    this.#ctx = ctx;
  }

  /**
   * The value where others are given, and inputs of the model that it depends on besides are ids, masks of ones and
   * caches of zeros; undefined where it depends on what is not known, or does not run.
   */
  async run(wanted: Value, given: ReadonlyMap<Value, Tensor>, sizes: Sizes): Promise<Tensor | undefined> {
    const known = given.get(wanted);
    if (known) return known;
    const { model, values } = cloneModel(this.#ctx.model);
    const { graph } = model;
    removeOutputs(graph);
    const put = (v: Value, data: Tensor): void => {
      const constant = graph.addInitializer(new Value(`${v.name} (given)`), data);
      // a default of an input of any size: from a constant, onnxruntime infers shapes that models were not tried with
      graph.addInput(constant);
      constant.dtype = data.dtype;
      constant.shape = data.dims.map(() => null);
      graph.replaceUses(v, constant);
    };
    for (const [v, data] of given) put(values.get(v) ?? v, data);
    const y = values.get(wanted) ?? wanted;
    graph.addOutput(y);
    removeUnreached(graph);
    for (const v of graph.inputs.filter((i) => !i.data)) {
      const data = usual(v, sizes);
      if (!data) return undefined;
      put(v, data);
    }
    removeUnreached(graph);
    try {
      return (await this.#ctx.evaluate(model)).get(y.name);
    } catch {
      return undefined; // it does not run with these sizes
    }
  }
}

/** What an input of a decoder may hold: ids and positions, ones of a mask, zeros. */
function usual(v: Value, { queries, keys }: Sizes): Tensor | undefined {
  const { dtype, shape } = v;
  if (shape?.length === 2 && (dtype === 'int64' || dtype === 'int32' || dtype === 'bool')) {
    const isMask = /mask/i.test(v.name);
    const n = isMask ? keys : queries;
    const all = Array.from({ length: n }, (_, i) => (isMask ? 1 : i + keys - queries));
    return dtype === 'int64' ? Tensor.i64(all, [1, n]) : Tensor.codes(dtype, all, [1, n]);
  }
  if (dtype !== 'float32' || (shape?.length !== 3 && shape?.length !== 4)) return undefined;
  // vectors of tokens [batch, queries, size], or a cache [batch, heads, keys before them, size]
  const [heads, size] = [shape.length === 4 ? shape[1] : 1, shape.at(-1)];
  if (typeof heads !== 'number' || typeof size !== 'number') return undefined;
  const dims = shape.length === 3 ? [1, queries, size] : [1, heads, keys - queries, size];
  return Tensor.f32(new Float32Array(dims.reduce((n, d) => n * d, 1)), dims);
}
