import { describe, expect, it } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.js';
import { float16 } from '../../../src/formats/float16.js';
import type { FormatInput } from '../../../src/formats/types.js';
import type { FeedTensor } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { verify } from '../../../src/ir/verify.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { planHalf } from '../../../src/quantize/planners/half.js';
import { openModel } from '../../../src/runtime/open.js';

const header = '<ir_version: 8, opset_import: ["" : 17]>';
function made(
  body: string,
  o: { exclude?: string[]; /** Largest value in calibration, by tensor. */ seen?: Record<string, number> } = {},
): { model: Model; float: Model; reasons: Map<string, string>; told: Diagnostic[] } {
  const read = (): Model => {
    const m = parseModel(`${header}\n${body}`, { randomInitializers: 2 });
    inferShapes(m);
    return m;
  };
  const model = read();
  const planned = planHalf(model, { include: [], exclude: o.exclude ?? [] });
  const reasons = new Map([...planned.floatNodes].map(([n, why]) => [n.name, why]));
  const told: Diagnostic[] = [];
  const stats: FormatInput['stats'] = new Map(
    [...model.graph.nodes]
      .flatMap((n) => n.outputs)
      .flatMap((v) => {
        const most = o.seen?.[v.name];
        return most === undefined
          ? []
          : [[v, { count: 10, min: Float64Array.of(0), max: Float64Array.of(most) }] as const];
      }),
  );
  float16.rewrite({
    model,
    planned,
    params: new Map(),
    target: { onCodes: [] },
    seed: 0,
    report: (d) => {
      told.push(d);
    },
    stats,
  });
  return { model, float: read(), reasons, told };
}
async function run(m: Model, feed: Record<string, FeedTensor>): Promise<Record<string, FeedTensor>> {
  const session = await openModel(m);
  try {
    return await session.run(feed);
  } finally {
    await session.close();
  }
}
const ops = (m: Model): string[] => m.graph.topological().map((n) => n.op);
const x = (...values: number[]): FeedTensor => ({
  dtype: 'float32',
  dims: [1, values.length],
  data: Float32Array.from(values),
});
const net =
  'g (float[N,3] x) => (float[N,2] y) <float[3,4] w, float[4,2] v> { [one] a = MatMul(x, w) [two] b = Relu(a) ' +
  '[three] y = MatMul(b, v) }';

describe('float16', () => {
  it('converts once at each end, keeps the interface, halves the weights and stays near', async () => {
    const { model, float } = made(net);
    expect(verify(model)).toEqual([]);
    expect(ops(model)).toEqual(['Cast', 'MatMul', 'Relu', 'MatMul', 'Cast']);
    expect([...model.graph.initializers].map((v) => [v.dtype, v.data!.byteLength])).toEqual([
      ['float16', 24],
      ['float16', 16],
    ]);
    const feed = { x: x(0.5, -1, 2) };
    const [a, b] = [(await run(float, feed)).y!, (await run(model, feed)).y!];
    expect([b.dtype, b.dims]).toEqual(['float32', [1, 2]]);
    // float32 outputs
    (a.data as Float32Array).forEach((v, i) => expect((b.data as Float32Array)[i]! / v).toBeCloseTo(1, 2));
  });

  it('keeps nodes in float32 that the recipe excludes, with Casts around them', () => {
    const { model, reasons } = made(net, { exclude: ['two'] });
    expect(ops(model)).toEqual(['Cast', 'MatMul', 'Cast', 'Relu', 'Cast', 'MatMul', 'Cast']);
    expect(reasons.get('two')).toBe('excluded by the recipe (two)');
  });

  it.each([
    [1e5, 'beyond the range of float16'],
    [1e-6, 'where float16 loses bits'],
  ])('keeps the nodes around a tensor that reaches %f in calibration, and says why', (most, why) => {
    const { model, told } = made(net, { seen: { b: most } });
    expect(ops(model)).toEqual(['Cast', 'MatMul', 'Cast', 'Relu', 'MatMul']);
    expect(told.map((d) => [d.code, d.where?.node])).toEqual([
      ['KEPT_FLOAT32', 'two'],
      ['KEPT_FLOAT32', 'three'],
    ]);
    expect(told[0]!.message).toContain(why);
  });

  it('keeps nodes whose constants do not fit', () => {
    const { model, reasons } = made(
      'g (float[N,2] x) => (float[N,2] y) <float[2] k = {70000, 1}> { [big] a = Mul(x, k) [small] y = Relu(a) }',
    );
    expect(reasons.get('big')).toBe("'k' holds 70000, beyond the range of float16");
    expect(ops(model)).toEqual(['Mul', 'Cast', 'Relu', 'Cast']);
  });

  it('gives graphs inside of nodes float32, and leaves types of other kinds alone', async () => {
    const { model, float } =
      made(`g (float[N,4] x, bool c, int64[2] i) => (float[N,4] y, float[2,4] t, int64[N,1] k) <float[4,4] w, float[9,4] e> {
      [m] a = MatMul(x, w) [if] y = If (c) <then_branch = yes () => (float[N,4] p) { p = Relu(a) }, else_branch = no () => (float[N,4] q) { q = Neg(a) }>
      [g] t = Gather(e, i) [k] k = ArgMax<axis=1>(a) }`);
    expect(verify(model)).toEqual([]);
    const feed = {
      x: x(1, -2, 3, 0.5),
      c: { dtype: 'bool', dims: [], data: Uint8Array.of(1) },
      i: { dtype: 'int64', dims: [2], data: BigInt64Array.of(1n, 8n) },
    } satisfies Record<string, FeedTensor>;
    const [a, b] = [await run(float, feed), await run(model, feed)];
    for (const name of ['y', 't'])
      // float32 outputs
      (a[name]!.data as Float32Array).forEach((v, j) => expect((b[name]!.data as Float32Array)[j]).toBeCloseTo(v, 1));
    expect(b.k!.data).toEqual(a.k!.data);
    expect([b.y!.dtype, b.t!.dtype, b.k!.dtype]).toEqual(['float32', 'float32', 'int64']);
  });
});

describe('operators without a float16 form', () => {
  it.each([
    [
      'Celu',
      'g (float[1,3] x) => (float[1,3] y) { a = Mul(x, x) [kept] b = Celu(a) y = Mul(b, b) }',
      'is defined for float32 only',
    ],
    [
      'what reads a window, whose type is not known,',
      (
        'g (float[1,3] x, int64 n) => (float[1,3] y) { w = HammingWindow(n) a = Slice(w, from, to) [kept] y = ' +
        'Mul(x, a) }'
      ).replace('=> (float[1,3] y)', '=> (float[1,3] y) <int64[1] from={0}, int64[1] to={3}>'),
      'the type of one of its tensors is not known',
    ],
    [
      'an operator that is not known',
      'g (float[1,2,2] x) => (float[1] y) { a = Mul(x, x) [kept] b = Det(a) y = Mul(b, b) }',
      'the type of one of its tensors is not known',
    ],
  ])('%s stays float32, and onnxruntime loads the model', async (_name, body, why) => {
    const { model, float, reasons } = made(body);
    expect(reasons.get('kept')).toBe(why);
    expect(verify(model)).toEqual([]);
    const dims = model.graph.inputs[0]!.shape!.map(Number);
    const size = dims.reduce((n, d) => n * d, 1);
    const feed: Record<string, FeedTensor> = {
      x: { dtype: 'float32', dims, data: Float32Array.from({ length: size }, (_, i) => 0.5 + i) },
      ...(model.graph.inputs.length > 1
        ? { n: { dtype: 'int64', dims: [], data: BigInt64Array.of(8n) } as const }
        : {}),
    };
    const [a, b] = [(await run(float, feed)).y!, (await run(model, feed)).y!];
    // float32 outputs
    (b.data as Float32Array).forEach((v, i) => expect(v).toBeCloseTo((a.data as Float32Array)[i]!, 1));
  });
});
