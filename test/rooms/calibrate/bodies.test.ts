import { describe, expect, it } from 'vitest';
import { measureBodies } from '../../../src/calibrate/bodies.js';
import type { Feed, FeedTensor } from '../../../src/ir/feed.js';
import type { Value } from '../../../src/ir/graph.js';
import { allGraphs, type Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { openModel } from '../../../src/runtime/open.js';
import { prepareText, rewrite } from '../analyse/helpers.js';

const header = '<ir_version: 8, opset_import: ["" : 17]>';
const f = (...values: number[]): FeedTensor => ({
  dtype: 'float32',
  dims: [values.length],
  data: Float32Array.from(values),
});
const flag = (on: boolean): FeedTensor => ({ dtype: 'bool', dims: [], data: Uint8Array.of(on ? 1 : 0) });
const count = (n: number): FeedTensor => ({ dtype: 'int64', dims: [], data: BigInt64Array.of(BigInt(n)) });

async function extremes(
  text: string,
  names: readonly string[],
  feeds: readonly Feed[],
): Promise<Record<string, readonly [count: number, min: number, max: number]>> {
  const model = parseModel(`${header}\n${text}`);
  inferShapes(model);
  const values = names.map((name) => valueOf(model, name));
  const found = await measureBodies({
    model,
    values,
    threads: 1,
    strict: true,
    feeds: async function* () {
      yield* feeds;
      await Promise.resolve();
    },
  });
  return Object.fromEntries(
    values.map((v) => {
      const s = found.get(v)!;
      return [v.name, [s.count, s.min[0]!, s.max[0]!]];
    }),
  );
}
function valueOf(model: Model, name: string): Value {
  for (const g of allGraphs(model.graph))
    for (const v of [...g.inputs, ...[...g.nodes].flatMap((n) => n.outputs)]) if (v.name === name) return v;
  throw new Error(`no value ${name}`);
}

describe('measureBodies', () => {
  const nested = `g (float[N] x, bool a, bool b) => (float[N] y) { y = If (a) <then_branch = t () => (float[N] p) {
    p0 = Neg(x) p = If (b) <then_branch = tt () => (float[N] q) { q1 = Exp(p0) q = Identity(q1) }, else_branch = te () => (float[N] r) { r = Add(p0, p0) }> },
    else_branch = e () => (float[N] s) { s = Abs(x) }> }`;
  it('sees tensors of branches where they run, at any depth', async () => {
    const feeds = [
      { x: f(1, -2), a: flag(true), b: flag(false) },
      { x: f(3, 5), a: flag(true), b: flag(false) },
      { x: f(-7, 4), a: flag(false), b: flag(true) },
    ];
    expect(await extremes(nested, ['p0', 'r', 's', 'q1'], feeds)).toEqual({
      p0: [2, -5, 2],
      r: [2, -10, 4],
      s: [1, 4, 7],
      q1: [0, Infinity, -Infinity],
    });
  });

  it('sees all trips of a Loop, also where there is none, and what it carries', async () => {
    const loop =
      'g (float[N] x, int64 n, bool go) => (float[N] y) { y = Loop (n, go, x) <body = l (int64 i, bool c, ' +
      'float[N] v) => (bool c2, float[N] w) { c2 = Identity(c) w = Add(v, v) }> }';
    expect(
      await extremes(
        loop,
        ['v', 'w'],
        [
          { x: f(1, -2), n: count(3), go: flag(true) },
          { x: f(9, 9), n: count(0), go: flag(true) },
        ],
      ),
    ).toEqual({ v: [1, -8, 4], w: [1, -16, 8] });
  });

  it('sees all steps of a Scan', async () => {
    const scan = (
      'g (float[N] x) => (float s, float[N] y) <float z = {0}> { s, y = Scan<num_scan_inputs=1>(z, x) <body = ' +
      'b (float a, float v) => (float c, float d) { c = Add(a, v) d = Identity(c) }> }'
    ).replace('Scan<num_scan_inputs=1>(z, x) <body', 'Scan (z, x) <num_scan_inputs=1, body');
    expect(await extremes(scan, ['c'], [{ x: f(1, -4, 2) }])).toEqual({ c: [1, -3, 1] });
  });

  it('refuses NaN in a body, by the name of the tensor', async () => {
    const log =
      'g (float[N] x, bool a) => (float[N] y) { y = If (a) <then_branch = t () => (float[N] p) { l = Log(x) p = ' +
      'Neg(l) }, else_branch = e () => (float[N] s) { s = Abs(x) }> }';
    await expect(extremes(log, ['l'], [{ x: f(-1, 1), a: flag(true) }])).rejects.toMatchObject({
      code: 'CALIBRATION_NON_FINITE',
      message: expect.stringContaining("'l'") as string,
    });
  });
});

describe('static quantization in bodies', () => {
  const text = `${
    header
  }\ng (float[1,3,6,6] x, bool a) => (float[1,4,6,6] y) <float[4,3,3,3] w, float[4] wb> { [outer] o = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w, wb)
    y = If (a) <then_branch = t () => (float[1,4,6,6] p) <float[4,4,3,3] v, float[4] vb, float[4,4,1,1] u, float[4] ub> { [one] h = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(o, v, vb) k = Relu(h) [two] p = Conv<kernel_shape=[1,1]>(k, u, ub) },
    else_branch = e () => (float[1,4,6,6] s) { s = Sqrt(o) }> }`;
  it('quantizes what lies in a branch with ranges of its own, and onnxruntime computes it in integers', async () => {
    const image = (seed: number): FeedTensor => ({
      dtype: 'float32',
      dims: [1, 3, 6, 6],
      data: Float32Array.from({ length: 108 }, (_, i) => Math.sin(i * seed)),
    });
    const c = await prepareText(text, 'qdq', { feeds: [1, 2, 3].map((seed) => ({ x: image(seed), a: flag(true) })) });
    const { float, quantized } = rewrite(c);
    const inner = [...allGraphs(quantized.graph)]
      .slice(1)
      .flatMap((g) => [...g.nodes].map((n) => n.op))
      .sort();
    expect(inner.filter((op) => op === 'QuantizeLinear').length).toBeGreaterThanOrEqual(2);
    expect([...c.planned.integerNodes].filter((n) => n.op === 'Conv').map((n) => n.name)).toEqual([
      'outer',
      'one',
      'two',
    ]);
    const [a, b] = [await openModel(float), await openModel(quantized)];
    const feed = { x: image(2), a: flag(true) };
    // float32 outputs
    const [y, q] = [(await a.run(feed)).y!.data as Float32Array, (await b.run(feed)).y!.data as Float32Array];
    const noise = y.reduce((n, v, i) => n + (v - q[i]!) ** 2, 0) / y.reduce((n, v) => n + v * v, 0);
    expect(noise).toBeGreaterThan(0);
    expect(noise).toBeLessThan(1e-3);
  });
});
