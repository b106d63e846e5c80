import { describe, expect, it } from 'vitest';
import { awq } from '../../../src/adjust/awq.js';
import type { AdjustContext } from '../../../src/adjust/types.js';
import { createRng } from '../../../src/base/rng.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { openModel } from '../../../src/runtime/open.js';
import { fakeQuantize } from '../../../src/scheme/arithmetic.js';
import { chooseParams } from '../../../src/scheme/params.js';
import { dataRange } from '../../../src/scheme/layout.js';
import type { QuantScheme } from '../../../src/scheme/types.js';
import { contextOf } from './helpers.js';

/**
 * A normalisation with a few large channels before two products, as in transformers; a chain of products; one that
 * cannot be scaled.
 */
const TEXT = `<ir_version: 8, opset_import: ["" : 17]>
g (float[N,64] x) => (float[N,32] a, float[N,32] b, float[N,64] r) <float[64] gain, float[64] shift, float[64,32] w1, float[64,64] w2, float[64] b2, float[64,32] w3, float[64,64] w4> {
  n = LayerNormalization<axis=-1>(x, gain, shift)  a = MatMul(n, w1)  c = MatMul(n, w2)  d = Add(c, b2)  e = Relu(d)  b = MatMul(e, w3)  r = MatMul(x, w4) }`;

function made(): { model: Model; feeds: Feed[] } {
  const model = parseModel(TEXT, { randomInitializers: 3 });
  inferShapes(model);
  const gain = [...model.graph.initializers].find((v) => v.name === 'gain')!;
  gain.data = Tensor.f32(Float32Array.from({ length: 64 }, (_, i) => (i % 16 === 5 ? 20 : 1)));
  const rng = createRng(4);
  return {
    model,
    feeds: Array.from({ length: 6 }, () => ({
      x: { dtype: 'float32', dims: [20, 64], data: Float32Array.from({ length: 1280 }, () => rng.normal()) },
    })),
  };
}
const context = (model: Model, feeds: readonly Feed[]): AdjustContext => ({
  ...contextOf(model, 0),
  batches: async function* () {
    for (const feed of feeds) {
      yield { feeds: [feed], samples: [{ id: '', hash: '', feeds: [feed] }], rows: [], realRows: [20] };
      await Promise.resolve();
    }
  },
});
async function outputs(model: Model, feed: Feed): Promise<Record<string, Float32Array>> {
  const session = await openModel(model);
  try {
    return Object.fromEntries(Object.entries(await session.run(feed)).map(([k, t]) => [k, t.data as Float32Array]));
  } finally {
    await session.close();
  } // float32 outputs
}
/** With every product's weight rounded to 4 bits in blocks of 32. */
function rounded(model: Model): Model {
  const copy = cloneModel(model).model;
  for (const v of copy.graph.initializers) {
    if (!/^w/.test(v.name)) continue;
    const scheme: QuantScheme = { dtype: 'uint4', symmetric: false, granularity: { kind: 'block', axis: 0, size: 32 } };
    const { dims } = v.data!;
    v.data = Tensor.f32(
      fakeQuantize(v.data!.f32(), dims, chooseParams(dataRange(v.data!.f32(), dims, scheme.granularity), scheme)),
      dims,
    );
  }
  return copy;
}
const square = (a: Float32Array, b: Float32Array): number => a.reduce((s, x, i) => s + (x - b[i]!) ** 2, 0);

describe('awq', () => {
  it('changes no result, and lowers the error of rounded weights behind large inputs', async () => {
    const { model, feeds } = made();
    const float = cloneModel(model).model;
    const line = await awq.run(context(model, feeds), awq.options.parse({}));
    expect(line).toMatch(/^(64|128) channels before [23] products/);
    const [before, after] = [await outputs(float, feeds[0]!), await outputs(model, feeds[0]!)];
    for (const name of ['a', 'b', 'r'])
      after[name]!.forEach((x, i) =>
        expect(Math.abs(x - before[name]![i]!)).toBeLessThan(1e-3 * Math.max(...before[name]!.map(Math.abs))),
      );
    const [plain, scaled] = [await outputs(rounded(float), feeds[0]!), await outputs(rounded(model), feeds[0]!)];
    expect(square(scaled.a!, before.a!)).toBeLessThan(0.7 * square(plain.a!, before.a!));
    // reads the input: cannot be scaled
    expect(square(scaled.r!, before.r!)).toBeCloseTo(square(plain.r!, before.r!), 5);
  });

  it('is repeatable to the bit', async () => {
    const weights = async () => {
      const { model, feeds } = made();
      await awq.run(context(model, feeds), awq.options.parse({}));
      return [...model.graph.initializers].map((v) => [...v.data!.f64()]);
    };
    expect(await weights()).toEqual(await weights());
  });

  const lone =
    '<ir_version: 8, opset_import: ["" : 17]>\n' +
    'g (float[N,64] x) => (float[N,32] y) <float[64,32] w> { y = MatMul(x, w) }';
  it('leaves a model without such channels alone where it may not insert a Mul', async () => {
    const model = parseModel(lone, { randomInitializers: 1 });
    inferShapes(model);
    expect(await awq.run(context(model, []), awq.options.parse({ insert: false }))).toBe(
      'no channels that products read can be scaled',
    );
  });

  it(
    'divides by a Mul where no weight before can take the factors: the same function, less error of rounded ' +
      'weights',
    async () => {
      const model = parseModel(lone, { randomInitializers: 1 });
      inferShapes(model);
      const before = cloneModel(model).model;
      const rng = createRng(6);
      const feeds = Array.from({ length: 4 }, (): Feed => ({
        x: {
          dtype: 'float32',
          dims: [20, 64],
          data: Float32Array.from({ length: 1280 }, (_, i) => rng.normal() * (i % 16 === 5 ? 20 : 1)),
        },
      }));
      expect(await awq.run(context(model, feeds), awq.options.parse({}))).toContain('1 Mul inserted');
      const error = async (a: Model, b: Model): Promise<number> => {
        const [x, y] = [(await outputs(a, feeds[0]!)).y!, (await outputs(b, feeds[0]!)).y!];
        return x.reduce((sum, v, i) => sum + (v - y[i]!) ** 2, 0) / x.reduce((sum, v) => sum + v * v, 0);
      };
      expect(await error(before, model)).toBeLessThan(1e-11);
      expect(await error(before, rounded(model))).toBeLessThan(0.7 * (await error(before, rounded(before))));
    },
  );
});
