import { Tensor } from '../../src/ir/tensor.js';
import { fakeQuantize } from '../../src/scheme/arithmetic.js';
import type { Format } from '../../src/formats/types.js';

/** Weights in float32 that have the values of their codes: what a runtime would compute with. */
export const simulated = {
  name: 'simulated',
  doc: 'float32 weights with the values of their codes, for runtimes that quantize on their own.',
  plan: 'weight-only',
  minOpset: () => 1,
  rewrite({ model, params }) {
    let changes = 0;
    for (const weight of model.graph.initializers) {
      const own = params.get(weight);
      if (!own || !weight.data) continue;
      const { dims } = weight.data;
      weight.data = Tensor.f32(fakeQuantize(weight.data.f32(), dims, own), dims);
      changes++;
    }
    return { changes, tensors: new Map() };
  },
} as const satisfies Format;
