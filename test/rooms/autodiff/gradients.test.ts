/** What gradients() gives, refuses and leaves out. */
import { describe, expect, it } from 'vitest';
import { gradients } from '../../../src/autodiff/gradients.js';
import type { GradientOptions } from '../../../src/autodiff/types.js';
import { QuantError } from '../../../src/base/errors.js';
import type { Feed, FeedTensor } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { printModel } from '../../../src/ir/text/print.js';
import { openModel } from '../../../src/runtime/open.js';
import { numbers } from './check.js';

const model = (graph: string, opset = 21): Model =>
  parseModel(`<ir_version: 10, opset_import: ["" : ${opset}]> g ${graph}`, { randomInitializers: 1 });
const f32 = (data: readonly number[], dims: readonly number[] = [data.length]): FeedTensor => ({
  dtype: 'float32',
  dims,
  data: Float32Array.from(data),
});
async function run(m: Model, feed: Feed): Promise<Record<string, number[]>> {
  const session = await openModel(m);
  try {
    const results = await session.run(feed);
    return Object.fromEntries(Object.entries(results).map(([k, t]) => [k, numbers(t)]));
  } finally {
    await session.close();
  }
}
function errorOf(graph: string, options: GradientOptions): QuantError {
  try {
    gradients(model(graph), options);
  } catch (e) {
    if (e instanceof QuantError) return e;
    throw e;
  }
  throw new Error('nothing was refused');
}
const LINEAR =
  '(float[N,2] x) => (loss) <float[2,1] w = {3,4}, float[1] b = {1}> ' +
  '{ h = MatMul (x, w) y = Add (h, b) loss = ReduceSum <keepdims = 0> (y) }';

describe('gradients()', () => {
  it('returns outputs, the loss, and a gradient for each name, in this order and shape', async () => {
    const made = gradients(model(LINEAR), { loss: 'loss', wrt: ['w', 'b', 'x', 'h'], outputs: ['y'], batch: 3 });
    expect(made.graph.outputs.map((v) => v.name)).toEqual([
      'y',
      'loss',
      'gradient of w',
      'gradient of b',
      'gradient of x',
      'gradient of h',
    ]);
    expect(made.graph.outputs.map((v) => v.shape)).toEqual([[3, 1], [], [2, 1], [1], [3, 2], [3, 1]]);
    expect(await run(made, { x: f32([1, 2, 3, 4, 5, 6], [3, 2]) })).toEqual({
      y: [12, 26, 40],
      loss: [78],
      'gradient of w': [9, 12],
      'gradient of b': [3],
      'gradient of x': [3, 4, 3, 4, 3, 4],
      'gradient of h': [1, 1, 1],
    });
  });
  it('leaves the model as it was, and gives the same model again', () => {
    const given = model(LINEAR);
    const before = printModel(given);
    const options = { loss: 'loss', wrt: ['w'], batch: 3 } as const;
    const [a, b] = [gradients(given, options), gradients(given, options)];
    expect(printModel(given)).toBe(before);
    expect(printModel(a)).toBe(printModel(b));
  });
  it('adds only nodes of the standard domain', () => {
    const made = gradients(model(LINEAR), { loss: 'loss', wrt: ['w', 'x'], batch: 2 });
    expect([...made.graph.nodes].map((n) => n.domain)).not.toContain('com.microsoft');
    expect([...made.opsets.keys()]).toEqual(['']);
  });
  it('computes no gradient that is not needed', () => {
    const two =
      '(float[1,2] x) => (loss) <float[2,2] w, float[2,2] v> ' +
      '{ h = MatMul (x, w) r = Relu (h) y = MatMul (r, v) loss = ReduceSum <keepdims = 0> (y) }';
    const count = (wrt: readonly string[]): number =>
      [...gradients(model(two), { loss: 'loss', wrt }).graph.nodes].filter((n) => n.op === 'MatMul').length;
    expect(count(['v'])).toBe(2 + 1); // nothing goes back beyond v
    expect(count(['w'])).toBe(2 + 2); // through v, not by it; x is not asked for
  });
  it('drops what the loss does not depend on', () => {
    const made = gradients(
      model('(float[2] x, float[2] z) => (loss, q) { loss = ReduceSum <keepdims = 0> (x) q = Tanh (z) }'),
      { loss: 'loss', wrt: ['x'] },
    );
    expect(made.graph.inputs.map((v) => v.name)).toEqual(['x']);
    expect([...made.graph.nodes].map((n) => n.op)).not.toContain('Tanh');
  });
  it('adds what comes back on several ways', async () => {
    const made = gradients(
      model(
        '(float[2] x) => (loss) { a = Mul (x, x) b = Add (a, x) c = Sub (b, x) d = Mul (c, x) ' +
          'loss = ReduceSum <keepdims = 0> (d) }',
      ),
      { loss: 'loss', wrt: ['x'] },
    ); // x³
    expect((await run(made, { x: f32([2, -1]) }))['gradient of x']).toEqual([12, 3]);
  });
  it('differentiates twice', async () => {
    const once = gradients(
      model('(float[2] x) => (loss) { a = Mul (x, x) b = Mul (a, x) loss = ReduceSum <keepdims = 0> (b) }'),
      { loss: 'loss', wrt: ['x'] },
    );
    const sum = parseModel(
      '<ir_version: 10, opset_import: ["" : 21]> g (float[2] d) => (s) { s = ReduceSum <keepdims = 0> (d) }',
    );
    const node = [...sum.graph.nodes][0]!;
    const d = once.graph.outputs.find((v) => v.name === 'gradient of x')!;
    sum.graph.removeOutput(0);
    sum.graph.remove(node);
    node.setInput(0, d);
    once.graph.add(node);
    once.graph.addOutput(node.outputs[0]!);
    const twice = gradients(once, { loss: 's', wrt: ['x'] });
    expect((await run(twice, { x: f32([2, -1]) }))[twice.graph.outputs[1]!.name]).toEqual([12, -6]);
  });
  it('makes weights inputs where they are to be fed', async () => {
    const made = gradients(model(LINEAR), { loss: 'loss', wrt: ['w'], batch: 1, weightsAsInputs: true });
    expect(made.graph.inputs.map((v) => v.name)).toEqual(['x', 'w']);
    const r = await run(made, { x: f32([1, 2], [1, 2]), w: f32([10, 100], [2, 1]) });
    expect(r.loss).toEqual([211]);
  });
  it('raises old models to opset 18 and reads their attributes', async () => {
    const made = gradients(
      model(
        '(float[1,4] x) => (loss) { a = Clip <min = -1.0, max = 1.0> (x) b = Slice <starts = [1], ends = [3], ' +
          'axes = [1]> (a) loss = ReduceSum <keepdims = 0> (b) }',
        9,
      ),
      { loss: 'loss', wrt: ['x'] },
    );
    expect(made.opsets.get('')).toBe(18);
    expect((await run(made, { x: f32([0, 0.5, 2, 0], [1, 4]) }))['gradient of x']).toEqual([0, 1, 0, 0]);
  });
  it('takes statistics of the batch and returns them', async () => {
    const made = gradients(
      model(
        '(float[N,1] x) => (loss) <float[1] s = {1}, float[1] b = {0}, float[1] mean = {5}, float[1] var = {9}> ' +
          '{ y = BatchNormalization <epsilon = 0.0> (x, s, b, mean, var) z = Mul (y, x) ' +
          'loss = ReduceSum <keepdims = 0> (z) }',
      ),
      { loss: 'loss', wrt: ['s', 'b'], outputs: ['y'], batch: 4, batchNorm: 'batch' },
    );
    const r = await run(made, { x: f32([0, 0, 4, 4], [4, 1]) });
    expect(r).toMatchObject({ y: [-1, -1, 1, 1], 'batch of mean': [2], 'batch of var': [4], 'gradient of b': [8] });
    expect(r['gradient of s']![0]).toBeCloseTo(8, 6);
  });
});

describe('gradients() refuses', () => {
  const sum = 'loss = ReduceSum <keepdims = 0> (y) }';
  it('every operator without a rule on the way, by name', () => {
    const e = errorOf(
      `(float[1,2,4,4] x) => (loss) { a = Attention <softcap = 2.0> (x, x, x) y = Attention <softcap = 2.0> (a, a, a) ${sum}`,
      {
        loss: 'loss',
        wrt: ['x'],
      },
    );
    expect(e).toMatchObject({ code: 'GRADIENT_UNSUPPORTED', where: { node: 'a' } });
    expect(e.more.map((m) => m.where.node)).toEqual(['y']);
  });
  it('no operator that lies aside of the way', () => {
    const aside = `(float[1,2,4,4] x, float[1] w) => (loss) { a = Attention <softcap = 2.0> (x, x, x) y = Mul (a, w) ${sum}`;
    expect(() => gradients(model(aside), { loss: 'loss', wrt: ['w'] })).not.toThrow();
  });
  it.each<[what: string, graph: string, options: Partial<GradientOptions>, code: string]>([
    ['a loss of several numbers', '(float[2] x) => (y) { y = Relu (x) }', { loss: 'y' }, 'GRADIENT_INVALID'],
    [
      'a loss that is not there',
      `(float[2] x) => (loss) { y = Relu (x) ${sum}`,
      { loss: 'l' },
      'GRADIENT_UNKNOWN_NAME',
    ],
    [
      'a name that is not there',
      `(float[2] x) => (loss) { y = Relu (x) ${sum}`,
      { wrt: ['z'] },
      'GRADIENT_UNKNOWN_NAME',
    ],
    [
      'integers',
      `(float[2] x, int64[1] i) => (loss) { y = Gather (x, i) ${sum}`,
      { wrt: ['i'] },
      'GRADIENT_UNKNOWN_NAME',
    ],
    [
      'what the loss does not depend on',
      `(float[2] x, float[2] z) => (loss) { y = Relu (x) ${sum}`,
      { wrt: ['z'] },
      'GRADIENT_INVALID',
    ],
    ['what steps', `(float[2] x) => (loss) { y = Round (x) ${sum}`, {}, 'GRADIENT_INVALID'],
    [
      'open sizes that a rule needs',
      `(float[N,2] x) => (loss) { t = Relu (x) y = Softmax (t) ${sum}`,
      {},
      'GRADIENT_UNSUPPORTED',
    ],
    [
      'a form that a rule lacks',
      `(float[1,1,4,4] x) => (loss) <float[4] s = {1,1,2,2}> { y = Resize <mode = "linear", antialias = 1> (x, , s) ${
        sum
      }`,
      {},
      'GRADIENT_UNSUPPORTED',
    ],
    [
      'a shape for no input',
      `(float[2] x) => (loss) { y = Relu (x) ${sum}`,
      { shapes: { q: [2] } },
      'GRADIENT_UNKNOWN_NAME',
    ],
  ])('%s', (_, graph, options, code) => {
    expect(errorOf(graph, { loss: 'loss', wrt: ['x'], ...options }).code).toBe(code);
  });
});

describe('straight-through', () => {
  const ste = { loss: 'loss', wrt: ['w', 's'], rounding: 'straight-through' } as const;
  it('gives the gradient of learned step sizes to Clip(w/s) → Round → ·s', async () => {
    const made = gradients(
      model(
        '(float[5] w, float s, float[5] r) => (loss) <float l = {-2}, float h = {1}> { a = Div (w, s) ' +
          'b = Clip (a, l, h) c = Round (b) d = Mul (c, s) e = Mul (d, r) loss = ReduceSum <keepdims = 0> (e) }',
      ),
      ste,
    );
    const r = await run(made, { w: f32([0.3, 0.9, -1.6, -0.7, 4]), s: f32([0.5], []), r: f32([1, 2, 3, 4, 5]) });
    // w/s = 0.6, 1.8 (beyond 1), −3.2 (beyond −2), −1.4, 8 (beyond 1)
    expect(r['gradient of w']).toEqual([1, 0, 0, 4, 0]);
    const lsq = 1 * (1 - 0.6) + 2 * 1 + 3 * -2 + 4 * (-1 + 1.4) + 5 * 1;
    expect(r['gradient of s']![0]).toBeCloseTo(lsq, 5);
  });
  it('gives the same to QuantizeLinear → DequantizeLinear, with a zero point', async () => {
    const made = gradients(
      model(
        '(float[5] w, float s, float[5] r) => (loss) <uint8 z = {2}> { q = QuantizeLinear (w, s, z) ' +
          'd = DequantizeLinear (q, s, z) e = Mul (d, r) loss = ReduceSum <keepdims = 0> (e) }',
      ),
      ste,
    );
    // codes: 2 + round(w/s): 3, 4, −1 → 0 (beyond 0), 2 − 1, 2 + 300 → 255 (beyond)
    const r = await run(made, { w: f32([0.3, 0.9, -1.6, -0.7, 150]), s: f32([0.5], []), r: f32([1, 2, 3, 4, 5]) });
    expect(r['gradient of w']).toEqual([1, 2, 0, 4, 0]);
    const lsq = 1 * (1 - 0.6) + 2 * (2 - 1.8) + 3 * -2 + 4 * (-1 + 1.4) + 5 * 253;
    expect(r['gradient of s']![0]).toBeCloseTo(lsq, 3);
  });
  it('knows scales of channels and of blocks', async () => {
    const graph = (scale: string, attrs: string): string =>
      `(float[2,4] w, float${scale} s, float[2,4] r) => (loss) { q = QuantizeLinear <output_dtype = 3, ${attrs}> ` +
      `(w, s) d = DequantizeLinear <${attrs}> (q, s) e = Mul (d, r) loss = ReduceSum <keepdims = 0> (e) }`;
    const w = [0.3, -0.6, 0.9, 1.2, 2.2, -1.4, 0.5, 3.3];
    const r = [1, 2, 3, 4, 5, 6, 7, 8];
    const wanted = (of: (i: number) => number, s: readonly number[]): number[] => {
      const sums = s.map(() => 0);
      w.forEach((x, i) => (sums[of(i)]! += r[i]! * (Math.round(x / s[of(i)]!) - x / s[of(i)]!)));
      return sums;
    };
    const cases: [string, string, readonly number[], readonly number[], (i: number) => number][] = [
      ['[2]', 'axis = 0', [2], [0.45, 0.7], (i) => Math.floor(i / 4)],
      ['[4]', 'axis = 1', [4], [0.47, 0.73, 0.26, 0.9], (i) => i % 4],
      ['[2,2]', 'axis = 1, block_size = 2', [2, 2], [0.47, 0.71, 0.36, 0.9], (i) => Math.floor(i / 2)],
    ];
    for (const [scale, attrs, dims, s, of] of cases) {
      const made = gradients(model(graph(scale, attrs)), ste);
      const got = await run(made, { w: f32(w, [2, 4]), s: f32(s, dims), r: f32(r, [2, 4]) });
      r.forEach((v, i) => expect(got['gradient of w']![i]).toBeCloseTo(v, 5));
      wanted(of, s).forEach((v, i) => expect(got['gradient of s']![i]).toBeCloseTo(v, 4));
    }
  });
  it('passes the sign between −1 and 1', async () => {
    const made = gradients(
      model('(float[4] w, float s) => (loss) { b = Sign (w) d = Mul (b, s) loss = ReduceSum <keepdims = 0> (d) }'),
      ste,
    );
    const r = await run(made, { w: f32([0.5, -0.9, 1.5, -2]), s: f32([3], []) });
    expect(r).toMatchObject({ 'gradient of w': [3, 3, 0, 0], 'gradient of s': [0] });
  });
  it('trains scales of stored codes without an estimate', async () => {
    const made = gradients(
      model(
        '(float s) => (loss) <int8[3] q = {1,2,-3}, int8 z = {1}> { d = DequantizeLinear (q, s, z) ' +
          'loss = ReduceSum <keepdims = 0> (d) }',
      ),
      { loss: 'loss', wrt: ['s'] },
    );
    expect((await run(made, { s: f32([2], []) }))['gradient of s']).toEqual([-3]);
  });
});
