import { fail } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';

/** The model with other values of its initializers. Throws RECIPE_UNKNOWN_NAME for a name that is none of them. */
export function withWeights(given: Model, weights: ReadonlyMap<string, Tensor>): Model {
  const { model } = cloneModel(given);
  const all = new Map([...model.graph.initializers].map((v) => [v.name, v]));
  for (const [name, data] of weights) {
    const v = all.get(name);
    if (!v) fail('RECIPE_UNKNOWN_NAME', `the model has no initializer '${name}'`, { tensor: name });
    v.data = data.reshaped(v.data?.dims ?? data.dims);
  }
  return model;
}
