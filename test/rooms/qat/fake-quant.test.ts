/** The fake-quantized model computes what the integer model does, for every grid, before and after training. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { writeModel } from '../../../src/formats/write.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { withFakeQuant } from '../../../src/qat/fake-quant.js';
import type { FakeQuantOptions, FakeQuantized } from '../../../src/qat/types.js';
import { takeTrained } from '../../../src/qat/trained.js';
import { openModel } from '../../../src/runtime/open.js';
import { withWeights } from '../../../src/train/write-back.js';
import { prepareText, type Case } from '../analyse/helpers.js';

const CONV = `<ir_version: 10, opset_import: ["" : 21]> g (float[N,3,8,8] x) => (y)
<float[6,3,3,3] w1, float[6] b1, float[6,6,3,3] w2, float[6] b2, float[4,6] w3, float[4] b3>
{ c = Conv <pads = [1,1,1,1]> (x, w1, b1) r = Relu (c) d = Conv <pads = [1,1,1,1]> (r, w2, b2)
  a = Add (r, d) s = Relu (a) m = MaxPool <kernel_shape = [2,2], strides = [2,2]> (s)
  p = GlobalAveragePool (m) f = Flatten (p) y = Gemm <transB = 1> (f, w3, b3) }`;
const PRODUCTS = `<ir_version: 10, opset_import: ["" : 21]> g (float[N,5,16] x) => (y)
<float[16,32] w1, float[32] b1, float[32,8] w2, float[8] b2>
{ p = MatMul (x, w1) h = Add (p, b1) t = Sigmoid (h) q = MatMul (t, w2) y = Add (q, b2) }`;

async function outputOf(model: Model, feed: Feed, optimization: 'all' | 'disabled'): Promise<Float32Array> {
  const session = await openModel(model, { optimization });
  try {
    return Float32Array.from(Object.values(await session.run(feed))[0]!.data as Float32Array); // the model gives floats
  } finally {
    await session.close();
  }
}
function written(c: Case, fake: FakeQuantized, values: ReadonlyMap<string, Tensor>): Model {
  const trained = fake.trained(values);
  const { params } = takeTrained(c.planned, c.assigned, trained);
  const graph = { model: c.model, planned: c.planned, params, coded: trained.coded, seed: 0 };
  return writeModel(c.format, graph, c.target).model;
}
/** Largest difference, and the share of outputs that differ by more than what float32 sums do. */
function apart(a: Float32Array, b: Float32Array): { most: number; share: number } {
  const size = Math.max(...a.map(Math.abs));
  const differences = [...a].map((v, i) => Math.abs(v - b[i]!) / size);
  return { most: Math.max(...differences), share: differences.filter((d) => d > 1e-4).length / a.length };
}
/** As training would: every parameter by a little. */
function moved(fake: FakeQuantized, seed: number): Map<string, Tensor> {
  const rng = createRng(seed, 'moved');
  const all = new Map([...fake.model.graph.initializers].map((v) => [v.name, v.data]));
  return new Map(
    fake.parameters.map(({ name, kind }) => {
      const data = all.get(name)!; // parameters are initializers
      const by = kind === 'zero point' ? 6 : kind === 'step size' ? 0.1 : 0.05;
      return [
        name,
        Tensor.f32(
          data.f32().map((x) => x + by * rng.normal()),
          data.dims,
        ),
      ];
    }),
  );
}

const GRIDS: [what: string, settings: string, options?: FakeQuantOptions][] = [
  ['8 bits', '{ weights: { saturation: allow } }'],
  ['8 bits per tensor', '{ weights: { granularity: tensor, saturation: allow } }'],
  ['7 bits', '{ weights: { bits: 7 } }'],
  ['4 bits', '{ weights: { bits: 4 } }'],
  ['4 bits per tensor', '{ weights: { bits: 4, granularity: tensor } }'],
  ['3 bits', '{ weights: { bits: 3 } }'],
  ['2 bits', '{ weights: { bits: 2 } }'],
  ['ternary', '{ weights: { bits: 2, narrow: true } }'],
  ['uint8 with zero points', '{ weights: { dtype: uint8, symmetric: false } }'],
  ['uint8 of 3 bits', '{ weights: { dtype: uint8, symmetric: false, bits: 3, granularity: tensor } }'],
  ['16-bit activations', '{ activations: { dtype: uint16 }, weights: { bits: 4 } }'],
  ['signed activations', '{ activations: { dtype: int8, symmetric: true }, weights: { bits: 4 } }'],
  ['learned zero points', '{ weights: { bits: 4 } }', { scales: 'lsq+' }],
  ['learned bounds', '{ weights: { bits: 4 } }', { scales: 'pact' }],
  ['fixed grids', '{ weights: { bits: 4 } }', { scales: 'fixed' }],
  ['steps by gradients', '{ weights: { bits: 4 } }', { steps: 'gradient' }],
  ['one float layer', '{ weights: { bits: 4 }, exclude: [{ position: first }] }'],
];

describe.each([
  ['convolutions', CONV],
  ['products', PRODUCTS],
])('%s', (_, text) => {
  it.each(GRIDS)('%s: fake and real integers agree', async (_name, settings, options) => {
    const c = await prepareText(text, 'qdq', { settings });
    const fake = withFakeQuant(c.model, c.planned, c.params, { steps: 'relative', ...options });
    const feed = c.used[0]!.feeds[0]!; // four samples calibrated it
    for (const values of [new Map<string, Tensor>(), moved(fake, 1), moved(fake, 2)]) {
      const floats = await outputOf(withWeights(fake.model, values), feed, 'all');
      const integers = await outputOf(written(c, fake, values), feed, 'disabled');
      const { most, share } = apart(floats, integers);
      // one code of an output of 8 bits is 0.4 % of its range; a sum on the border between two may fall either way
      expect(most).toBeLessThan(0.02);
      expect(share).toBeLessThan(0.1);
    }
  });
});

it.each([
  ['convolutions', CONV],
  ['products', PRODUCTS],
])('%s in operators on integers: fake and real integers agree', async (_, text) => {
  const c = await prepareText(text, 'qoperator', { settings: '{ weights: { bits: 4 } }' });
  const fake = withFakeQuant(c.model, c.planned, c.params, { steps: 'relative' });
  const feed = c.used[0]!.feeds[0]!; // four samples calibrated it
  for (const values of [new Map<string, Tensor>(), moved(fake, 1)]) {
    const floats = await outputOf(withWeights(fake.model, values), feed, 'all');
    const { most, share } = apart(floats, await outputOf(written(c, fake, values), feed, 'all'));
    expect(most).toBeLessThan(0.02); // as above
    expect(share).toBeLessThan(0.1);
  }
});

it.each([
  ['weight-only', '{ weights: { dtype: int4, granularity: { block: 8 } }, standardOps: true }'],
  ['weight-only', '{ weights: { dtype: int2, granularity: { block: 16 } } }'],
  ['weight-only', '{ weights: { dtype: uint4, symmetric: false, granularity: channel }, standardOps: true }'],
])('%s %s: weights are rounded, activations are not', async (format, settings) => {
  const text = PRODUCTS.replaceAll('16', '64').replaceAll('32', '96');
  const c = await prepareText(text, format, { settings });
  const fake = withFakeQuant(c.model, c.planned, c.params, { steps: 'relative' });
  expect(fake.parameters.filter((p) => p.kind === 'weight')).toHaveLength(2);
  expect(fake.parameters.filter((p) => p.kind === 'step size')).toHaveLength(2);
  const feed = c.used[0]!.feeds[0]!; // four samples
  for (const values of [new Map<string, Tensor>(), moved(fake, 1)]) {
    const floats = await outputOf(withWeights(fake.model, values), feed, 'all');
    // onnxruntime may fuse products with 4-bit weights into kernels that round their inputs
    const { most } = apart(floats, await outputOf(written(c, fake, values), feed, 'disabled'));
    expect(most).toBeLessThan(1e-4);
  }
});

it.each([
  ['integer', '{ bits: 4, block: 24 }', 'step size'],
  ['integer', '{ bits: 3 }', 'step size'],
  ['integer', '{ bits: 8 }', 'step size'],
  ['ternary', '{}', 'step size'],
  ['binary', '{}', 'step size'],
  ['power-of-two', '{ bits: 4 }', 'step size'],
  ['power-of-two', '{ bits: 3, powerOfTwoScale: true }', undefined],
  ['additive-power-of-two', '{ bits: 4 }', 'step size'],
  ['logarithmic', '{ bits: 5 }', 'step size'],
  ['k-means', '{ bits: 3 }', 'levels'],
  ['k-means', '{ bits: 2, scope: channel }', 'levels'],
])('coding %s %s: levels are as stored', async (name, options, learned) => {
  const text = PRODUCTS.replaceAll('16', '50').replaceAll('32', '96');
  const settings = `{ coding: { name: ${name}, ${options.slice(1)} }`;
  const c = await prepareText(text, 'coded', { settings });
  const fake = withFakeQuant(c.model, c.planned, c.params, { steps: 'relative' });
  const beside = fake.parameters.filter((p) => p.kind !== 'weight' && p.kind !== 'bias').map((p) => p.kind);
  expect(beside).toEqual(learned === undefined ? [] : [learned, learned]);
  const feed = c.used[0]!.feeds[0]!; // four samples
  let before: Float32Array | undefined;
  for (const values of [new Map<string, Tensor>(), moved(fake, 1)]) {
    const floats = await outputOf(withWeights(fake.model, values), feed, 'all');
    expect(apart(floats, await outputOf(written(c, fake, values), feed, 'all')).most).toBeLessThan(1e-4);
    if (before) expect(apart(floats, before).most).toBeGreaterThan(1e-3); // training changes what is computed
    before = floats;
  }
});

it.each(['float16', 'mx'])('refuses to learn codes of %s', async (coding) => {
  const c = await prepareText(PRODUCTS.replaceAll('32', '96'), 'coded', { settings: `{ coding: ${coding} }` });
  expect(() => withFakeQuant(c.model, c.planned, c.params)).toThrow(
    expect.objectContaining({ code: 'RECIPE_INVALID' }),
  );
});

it('keeps zeros where it is asked to', async () => {
  const text = CONV.replace(
    'float[4,6] w3',
    'float[4,6] w3 = {0,1,0,0.5,0,2,1,0,0,1,3,-1,0,0,0,1,2,-2,0,1,-1,0.25,0,3}',
  );
  const c = await prepareText(text, 'qdq', { settings: '{ weights: { bits: 4 } }' });
  const fake = withFakeQuant(c.model, c.planned, c.params, { keepZeros: true });
  const { weights } = fake.trained(moved(fake, 1));
  const w3 = [...weights].find(([v]) => v.name === 'w3')![1].f32(); // it is a parameter
  const was = [...c.model.graph.initializers].find((v) => v.name === 'w3')!.data!.f32(); // it is one of them
  expect([...w3].map((x) => x === 0)).toEqual([...was].map((x) => x === 0));
  expect([...w3].some((x, i) => x !== was[i])).toBe(true);
});
