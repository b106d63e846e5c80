/** Costs against counts by hand. */
import { describe, expect, it } from 'vitest';
import { memoryPlan } from '../../../src/cost/memory.js';
import { modelCost, sized } from '../../../src/cost/nodes.js';
import { intensityOf, roofline } from '../../../src/cost/roofline.js';
import type { Shape } from '../../../src/ir/graph.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';

const model = (graph: string, opset = 17) => parseModel(`<ir_version: 8, opset_import: ["" : ${opset}]>\n${graph}`);
const costOf = (graph: string, shapes: Record<string, Shape> = {}, opset?: number) =>
  modelCost(sized(model(graph, opset), new Map(Object.entries(shapes))));

describe('modelCost, counted by hand', () => {
  it.each([
    // MACs: output elements × what each sums up. Parameters: weights and biases.
    [
      'a convolution',
      'g (float[1,3,8,8] x, float[4,3,3,3] w, float[4] b) => (float[1,4,6,6] y) { y = Conv(x, w, b) }',
      4 * 6 * 6 * 27,
    ],
    [
      'with padding',
      'g (float[1,3,8,8] x, float[4,3,3,3] w) => (float[1,4,8,8] y) { y = Conv <pads = [1,1,1,1]> (x, w) }',
      4 * 8 * 8 * 27,
    ],
    [
      'with stride 2',
      'g (float[1,3,8,8] x, float[4,3,3,3] w) => (float[1,4,4,4] y) { y = Conv <pads = [1,1,1,1], strides = ' +
        '[2,2]> (x, w) }',
      4 * 4 * 4 * 27,
    ],
    [
      'dilated',
      'g (float[1,3,8,8] x, float[4,3,3,3] w) => (float[1,4,4,4] y) { y = Conv <dilations = [2,2]> (x, w) }',
      4 * 4 * 4 * 27,
    ],
    [
      'in groups',
      'g (float[1,8,4,4] x, float[8,2,3,3] w) => (float[1,8,2,2] y) { y = Conv <group = 4> (x, w) }',
      8 * 2 * 2 * 18,
    ],
    [
      'depthwise',
      'g (float[1,8,4,4] x, float[8,1,3,3] w) => (float[1,8,2,2] y) { y = Conv <group = 8> (x, w) }',
      8 * 2 * 2 * 9,
    ],
    ['1 × 1', 'g (float[1,8,4,4] x, float[16,8,1,1] w) => (float[1,16,4,4] y) { y = Conv(x, w) }', 16 * 16 * 8],
    ['in one dimension', 'g (float[1,8,10] x, float[4,8,3] w) => (float[1,4,8] y) { y = Conv(x, w) }', 4 * 8 * 24],
    [
      'in three dimensions',
      'g (float[1,2,4,4,4] x, float[3,2,2,2,2] w) => (float[1,3,3,3,3] y) { y = Conv(x, w) }',
      3 * 27 * 16,
    ],
    [
      'a batch of 5',
      'g (float[5,3,8,8] x, float[4,3,3,3] w) => (float[5,4,6,6] y) { y = Conv(x, w) }',
      5 * 4 * 6 * 6 * 27,
    ],
    [
      'transposed',
      'g (float[1,3,4,4] x, float[3,5,2,2] w) => (float[1,5,8,8] y) { y = ConvTranspose <strides = [2,2]> (x, w) }',
      3 * 16 * 5 * 4,
    ],
    ['a matrix product', 'g (float[6,7] a, float[7,5] b) => (float[6,5] y) { y = MatMul(a, b) }', 6 * 5 * 7],
    [
      'stacked products',
      'g (float[2,3,6,7] a, float[2,3,7,5] b) => (float[2,3,6,5] y) { y = MatMul(a, b) }',
      6 * 6 * 5 * 7,
    ],
    ['Gemm', 'g (float[6,7] a, float[7,5] b, float[5] c) => (float[6,5] y) { y = Gemm(a, b, c) }', 6 * 5 * 7],
    [
      'Gemm transposed',
      'g (float[7,6] a, float[5,7] b) => (float[6,5] y) { y = Gemm <transA = 1, transB = 1> (a, b) }',
      6 * 5 * 7,
    ],
    [
      'attention scores and values',
      'g (float[1,2,4,8] q, float[1,2,8,4] k, float[1,2,4,8] v) => (float[1,2,4,8] y) { s = MatMul(q, k)  p = ' +
        'Softmax <axis = -1> (s)  y = MatMul(p, v) }',
      2 * (4 * 4 * 8 + 4 * 8 * 4),
    ],
    [
      'an LSTM',
      'g (float[5,1,3] x, float[1,16,3] w, float[1,16,4] r) => (float[5,1,1,4] y) { y = LSTM <hidden_size = 4> ' +
        '(x, w, r) }',
      5 * (16 * 3 + 16 * 4),
    ],
    [
      'a GRU',
      'g (float[5,1,3] x, float[1,12,3] w, float[1,12,4] r) => (float[5,1,1,4] y) { y = GRU <hidden_size = 4> ' +
        '(x, w, r) }',
      5 * (12 * 3 + 12 * 4),
    ],
    ['element-wise ops', 'g (float[2,3] x) => (float[2,3] y) { a = Relu(x)  y = Add(a, x) }', 0],
    ['an integer product', 'g (uint8[6,7] a, int8[7,5] b) => (int32[6,5] y) { y = MatMulInteger(a, b) }', 6 * 5 * 7],
  ])('%s', (_name, graph, macs) => {
    expect(costOf(graph).macs).toBe(macs);
  });

  it('counts other operations, parameters once, and bytes', () => {
    const c = costOf(
      'g (float[2,3] x) => (float[2,3] z) <float[3,3] w = {1,0,0,0,1,0,0,0,1}, int64[2] s = {2,3}> { a = ' +
        'MatMul(x, w)  b = MatMul(a, w)  r = Relu(b)  z = Reshape(r, s) }',
    );
    expect([c.macs, c.flops, c.parameters, c.parameterBytes]).toEqual([2 * 18, 2 * 36 + 6, 9, 36]);
    expect(c.nodes.map((n) => [n.parameters, n.readBytes, n.writeBytes])).toEqual([
      [9, 24 + 36, 24],
      [0, 24 + 36, 24],
      [0, 24, 24],
      [0, 0, 0],
    ]); // a view moves nothing
  });
  it('takes the shapes of the inputs, and tells what it had to guess', () => {
    const graph = 'g (float[N,3,H,W] x) => (y) <float[1,3,1,1] w = {1,1,1}> { y = Conv(x, w) }';
    expect([costOf(graph).macs, costOf(graph).nodes[0]!.guessed]).toEqual([3, true]);
    expect([costOf(graph, { x: [2, 3, 4, 5] }).macs, costOf(graph, { x: [2, 3, 4, 5] }).nodes[0]!.guessed]).toEqual([
      2 * 20 * 3,
      false,
    ]);
  });
  it('takes running statistics, shapes and indices for no parameters', () => {
    expect(
      costOf(
        'g (float[1,2,4] x) => (float[1,2,4] y) <float[2] g1 = {1,1}, float[2] b1 = {0,0}, float[2] m = {0,0}, ' +
          'float[2] v = {1,1}> { y = BatchNormalization(x, g1, b1, m, v) }',
      ).parameters,
    ).toBe(4);
  });
  it('counts the dearer branch of an If, and a Loop as often as it is known to run', () => {
    const branch = costOf(
      'g (bool c, float[2,2] x) => (y) { y = If (c) <then_branch = t () => (float[2,2] a) { a = MatMul(x, x) ' +
        '}, else_branch = e () => (float[2,2] b) { b = Relu(x) }> }',
    );
    expect([branch.macs, branch.nodes.map((n) => n.op)]).toEqual([8, ['MatMul']]);
    const loop = costOf(
      'g (float[2,2] x) => (y) <int64 n = {7}, bool c = {1}> { y = Loop (n, c, x) <body = b (int64 i, bool k, ' +
        'float[2,2] s) => (bool k2, float[2,2] t) { k2 = Identity(k)  t = MatMul(s, s) }> }',
    );
    expect([loop.macs, loop.nodes.find((n) => n.op === 'MatMul')!.times]).toEqual([56, 7]);
  });
  it('names operators that it does not know', () => {
    expect(
      modelCost(
        sized(
          parseModel(
            '<ir_version: 8, opset_import: ["" : 17, "my.domain" : 1]>\n' +
              'g (float[2] x) => (float[2] y) { y = my.domain.Foo(x) }',
          ),
          new Map(),
        ),
      ).unknownOps,
    ).toEqual(['my.domain.Foo']);
  });
});

describe('memoryPlan', () => {
  const plan = (graph: string) => memoryPlan(sized(model(graph), new Map()));
  it('frees what nobody reads any more', () => {
    // Each tensor 400 bytes; products cannot write over their input: two live at any time.
    const p = plan('g (float[10,10] x) => (float[10,10] y) { a = MatMul(x, x)  b = MatMul(a, a)  y = MatMul(b, b) }');
    expect([p.peakBytes, p.arenaBytes]).toEqual([800, 800]);
  });
  it('writes element-wise results over their input, unless it is read later', () => {
    expect(
      plan('g (float[10,10] x) => (float[10,10] y) { a = MatMul(x, x)  b = Relu(a)  y = Sigmoid(b) }').peakBytes,
    ).toBe(800);
    expect(
      plan('g (float[10,10] x) => (float[10,10] y) { a = MatMul(x, x)  b = Relu(a)  y = Add(a, b) }').peakBytes,
    ).toBe(800);
    expect(
      plan('g (float[10,10] x) => (float[10,10] y) { a = Relu(x)  b = MatMul(a, a)  y = MatMul(b, a) }').peakBytes,
    ).toBe(1200);
  });
  it('takes a view for the same buffer, and keeps outputs to the end', () => {
    const p = plan(
      'g (float[10,10] x) => (float[10,10] y, float[10,10] z) <int64[2] s = {5,20}, int64[2] t = {10,10}> { y ' +
        '= MatMul(x, x)  v = Reshape(y, s)  w = Reshape(v, t)  z = MatMul(w, w) }',
    );
    expect([p.peakBytes, p.buffers.map((b) => b.name)]).toEqual([800, ['x', 'y', 'z']]);
  });
  it('never places two live buffers on the same bytes', () => {
    const { buffers, arenaBytes, peakBytes } = plan(
      'g (float[4,8] x, float[8,16] w, float[16,2] v, float[8,2] u) => (float[4,2] y) { a = MatMul(x, w)  b = ' +
        'MatMul(a, v)  c = MatMul(x, u)  d = Add(b, c)  e = Concat <axis = 1> (b, d)  y = ReduceMax <axes = [1]> ' +
        '(e) }',
    );
    for (const [i, a] of buffers.entries())
      for (const b of buffers.slice(i + 1))
        if (a.from <= b.to && b.from <= a.to)
          expect(a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset, `${a.name} and ${b.name}`).toBe(
            true,
          );
    expect(arenaBytes).toBeGreaterThanOrEqual(peakBytes);
  });
});

describe('roofline', () => {
  it('bounds each node by arithmetic or by memory', () => {
    const c = costOf('g (float[64,64] x) => (float[64,64] y) { a = MatMul(x, x)  y = Relu(a) }');
    const r = roofline(c, { name: 'd', flopsPerSecond: 1e9, bytesPerSecond: 1e9 });
    expect(r.nodes.map((n) => n.boundBy)).toEqual(['compute', 'memory']);
    expect(r.nodes[0]!.seconds).toBeCloseTo((2 * 64 ** 3) / 1e9, 12);
    expect(r.nodes[1]!.seconds).toBeCloseTo((2 * 64 * 64 * 4) / 1e9, 12);
    expect(r.seconds).toBeCloseTo(r.nodes[0]!.seconds + r.nodes[1]!.seconds, 12);
    expect(intensityOf(c.nodes[1]!)).toBeCloseTo(4096 / (2 * 16384), 12);
  });
});

describe('constants that onnxruntime makes when it loads a model', () => {
  const identity =
    'g (float[1,4] x, float[4,8] w) => (float[1,8] y) { a = Identity(w)  b = Identity(a)  y = MatMul(x, b) }';
  const constant =
    'g (float[1,4] x) => (float[1,2] y) { w = Constant <value = float[4,2] {1,2,3,4,5,6,7,8}> ()  a = ' +
    'Identity(w)  y = MatMul(x, a) }';
  const plan = (m: ReturnType<typeof model>) => memoryPlan(sized(m, new Map()));
  it.each([
    ['Identity of an initializer', identity, 32, 4 * (4 + 8)],
    ['Constant nodes', constant, 8, 4 * (4 + 2)],
  ])('%s: parameters, and no activations', (_what, text, parameters, peak) => {
    const m = model(text);
    const w = m.graph.inputs.find((v) => v.name === 'w');
    if (w) {
      w.data = Tensor.f32(new Float32Array(32), [4, 8]);
      m.graph.addInitializer(w);
    }
    const cost = modelCost(sized(m, new Map()));
    expect(cost).toMatchObject({ parameters, parameterBytes: 4 * parameters });
    expect(cost.nodes.find((n) => n.op === 'MatMul')).toMatchObject({ parameters });
    expect(plan(m)).toMatchObject({ peakBytes: peak, peakNode: 'y' });
  });
});
