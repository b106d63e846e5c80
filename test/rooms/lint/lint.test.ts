/** Each rule finds what is planted for it, and nothing in models that are placed as the runtime's guide says. */
import { describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { lintModel, rules } from '../../../src/lint/index.js';
import { inferShapes } from '../../../src/ops/infer.js';
import type { TargetProfile } from '../../../src/scheme/profile.js';
import { mnn } from '../../../src/targets/mnn/index.js';
import { onnxruntimeCpu } from '../../../src/targets/onnxruntime-cpu/index.js';
import { tensorrt } from '../../../src/targets/tensorrt/index.js';

const HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n';
/** A convolution, its Relu, a residual and its sum, a pool and a product, as NVIDIA's guide places pairs. */
const GOOD = `g (float[1,2,2,2] x) => (float[1,2] y) <
    int8[2,2,1,1] w = {1,-2,3,-127}, float[2] ws = {0.5, 0.25}, int8[2] wz = {0,0}, float[2] b = {1, 2},
    int8[2,2] m = {1,2,3,4}, float s = {0.5}, float t = {0.25}, int8 z = {0}, int64[2] flat = {1, 2}> {
  [q1] xq = QuantizeLinear(x, s, z)
  [d1] xd = DequantizeLinear(xq, s, z)
  [dw] wd = DequantizeLinear<axis = 0>(w, ws, wz)
  [conv] c = Conv(xd, wd, b)
  [relu] r = Relu(c)
  [q2] rq = QuantizeLinear(r, t, z)
  [d2] rd = DequantizeLinear(rq, t, z)
  [second] e = Conv(rd, wd, b)
  [sum] a = Add(e, xd)
  [last] f = Relu(a)
  [q3] fq = QuantizeLinear(f, t, z)
  [d3] fd = DequantizeLinear(fq, t, z)
  [pool] p = GlobalAveragePool(fd)
  [flatten] h = Reshape(p, flat)
  [q4] hq = QuantizeLinear(h, t, z)
  [d4] hd = DequantizeLinear(hq, t, z)
  [dm] md = DequantizeLinear<axis = 1>(m, ws, wz)
  [product] y = MatMul(hd, md) }`;
/** Ops that share a scale, and one that fixes its own. */
const MOVES = `g (float[1,2] x) => (float[1,4] k, float[1,4] cd) <int8[2,2] m = {1,2,3,4}, float s = {0.5}, float t = {0.5}, float u = {0.00390625},
    int8 z = {0}, int8 v = {-128}> {
  [q1] xq = QuantizeLinear(x, s, z)
  [d1] xd = DequantizeLinear(xq, s, z)
  [dm] md = DequantizeLinear(m, s, z)
  [product] p = MatMul(xd, md)
  [soft] o = Softmax(p)
  [q2] oq = QuantizeLinear(o, u, v)
  [d2] od = DequantizeLinear(oq, u, v)
  [concat] c = Concat<axis = 1>(xd, xd)
  [q3] cq = QuantizeLinear(c, t, z)
  [d3] cd = DequantizeLinear(cq, t, z)
  [again] k = Concat<axis = 1>(od, od)}`;

const shifting: TargetProfile = {
  ...tensorrt,
  name: 'shifting',
  scales: 'power-of-two',
  sameScale: ['Concat'],
  fixedOutputs: { Softmax: [{ dtype: 'int8', scale: 1 / 256, zeroPoint: -128 }] },
  fusedSums: [],
  ports: {
    activation: { types: ['int8'], granularity: ['tensor'] },
    weight: { types: ['int8'], symmetric: true, narrow: true, granularity: ['tensor', 'axis'] },
  },
};

/** Errors and warnings as `rule node`. */
function found(text: string, target: TargetProfile = tensorrt): string[] {
  const model = parseModel(HEAD + text, { randomInitializers: 1 });
  inferShapes(model);
  return lintModel(model, target).map((f) => `${f.rule} ${f.node}`);
}
const swap = (text: string, ...pairs: readonly (readonly [from: string, to: string])[]): string =>
  pairs.reduce((now, [from, to]) => {
    if (!now.includes(from)) throw new Error(`'${from}' is not in the model`);
    return now.replace(from, to);
  }, text);

/** By rule: a model with one thing wrong, and the node that is found. */
const PLANTED: Readonly<Record<string, readonly [model: string, node: string, target?: TargetProfile]>> = {
  opset: [GOOD, 'q1', { ...tensorrt, maxOpset: 13 }],
  'foreign-operators': [swap(GOOD, ['[relu] r = Relu(c)', '[relu] r = com.microsoft.Gelu(c)']), 'relu'],
  'on-codes': [
    swap(GOOD, [
      '[d2] rd = DequantizeLinear(rq, t, z)',
      '[clip] rc = Relu(rq)\n  [d2] rd = DequantizeLinear(rc, t, z)',
    ]),
    'clip',
  ],
  'pad-constants': [
    swap(
      GOOD,
      ['int64[2] flat = {1, 2}', 'int64[2] flat = {1, 2}, int64[8] around = {0,0,0,0,0,0,0,0}'],
      [
        '[conv] c = Conv(xd, wd, b)',
        '[dz] zd = DequantizeLinear(z, s, z)\n  [pad] xp = Pad(xd, around, zd)\n  [conv] c = Conv(xd, wd, b)',
      ],
      ['[sum] a = Add(e, xd)', '[sum] a = Add(e, xp)'],
    ),
    'pad',
  ],
  'code-types': [
    swap(
      GOOD,
      ['float t = {0.25}, int8 z = {0}', 'float t = {0.25}, int8 z = {0}, uint8 n = {0}'],
      ['[q3] fq = QuantizeLinear(f, t, z)', '[q3] fq = QuantizeLinear(f, t, n)'],
      ['[d3] fd = DequantizeLinear(fq, t, z)', '[d3] fd = DequantizeLinear(fq, t, n)'],
    ),
    'q3',
  ],
  'zero-points': [swap(GOOD, ['int8[2] wz = {0,0}', 'int8[2] wz = {0,3}']), 'dw'],
  biases: [
    swap(
      GOOD,
      ['float[2] b = {1, 2}', 'int32[2] b = {1, 2}'],
      ['[conv] c = Conv(xd, wd, b)', '[db] bd = DequantizeLinear<axis = 0>(b, ws)\n  [conv] c = Conv(xd, wd, bd)'],
      ['[second] e = Conv(rd, wd, b)', '[second] e = Conv(rd, wd, bd)'],
    ),
    'conv',
  ],
  'narrow-weights': [swap(MOVES, ['int8[2,2] m = {1,2,3,4}', 'int8[2,2] m = {1,2,3,-128}']), 'dm', shifting],
  'scale-values': [swap(GOOD, ['float[2] ws = {0.5, 0.25}', 'float[2] ws = {0.5, 0}']), 'dw'],
  'scale-axes': [
    swap(GOOD, ['[dw] wd = DequantizeLinear<axis = 0>(w, ws, wz)', '[dw] wd = DequantizeLinear<axis = 1>(w, ws, wz)']),
    'dw',
  ],
  'powers-of-two': [
    swap(MOVES, ['float s = {0.5}', 'float s = {0.3}'], ['float t = {0.5}', 'float t = {0.3}']),
    'q1',
    shifting,
  ],
  'same-scale': [swap(MOVES, ['float t = {0.5}', 'float t = {0.25}']), 'concat', shifting],
  'fixed-outputs': [swap(MOVES, ['float u = {0.00390625}', 'float u = {0.0078125}']), 'soft', shifting],
  'nothing-quantized': ['g (float[1,2] x) => (float[1,2] y) <float[2,2] w> { [product] y = MatMul(x, w) }', 'product'],
  'half-quantized': [
    swap(
      GOOD,
      ['[conv] c = Conv(xd, wd, b)', '[conv] c = Conv(xd, fw, b)'],
      ['int64[2] flat', 'float[2,2,1,1] fw = {1,2,3,4}, int64[2] flat'],
    ),
    'conv',
  ],
  'split-fusion': [
    swap(GOOD, [
      '[relu] r = Relu(c)',
      '[qc] cq = QuantizeLinear(c, t, z)\n  [dc] cd = DequantizeLinear(cq, t, z)\n  [relu] r = Relu(cd)',
    ]),
    'conv',
  ],
  'split-sum': [
    swap(GOOD, [
      '[sum] a = Add(e, xd)',
      '[qe] eq = QuantizeLinear(e, t, z)\n  [de] ed = DequantizeLinear(eq, t, z)\n  [sum] a = Add(ed, xd)',
    ]),
    'second',
  ],
  'float-residual': [swap(GOOD, ['[sum] a = Add(e, xd)', '[side] v = Sigmoid(xd)\n  [sum] a = Add(e, v)']), 'sum'],
  'mixed-inputs': [
    swap(MOVES, ['[concat] c = Concat<axis = 1>(xd, xd)', '[concat] c = Concat<axis = 1>(xd, x)']),
    'concat',
    { ...shifting, sameScale: [] },
  ],
  'quantized-outputs': [
    swap(GOOD, [
      '[product] y = MatMul(hd, md)',
      '[product] o = MatMul(hd, md)\n  [q5] oq = QuantizeLinear(o, t, z)\n  [d5] y = DequantizeLinear(oq, t, z)',
    ]),
    'd5',
  ],
};

describe('rules of runtimes', () => {
  it('find nothing in models that are placed as the guide says', () => {
    expect(found(GOOD)).toEqual([]);
    expect(found(MOVES, shifting)).toEqual([]);
  });
  it.each(rules.map((r) => r.name))('%s finds what is planted', (name) => {
    const [text, node, target] = PLANTED[name] ?? ['', '', undefined];
    expect(found(text, target)).toContain(`${name} ${node}`);
  });
  it('say what would be right, and where that is written', () => {
    const model = parseModel(HEAD + (PLANTED['zero-points']?.[0] ?? ''));
    inferShapes(model);
    const [first] = lintModel(model, tensorrt);
    expect(first).toMatchObject({
      severity: 'error',
      op: 'DequantizeLinear',
      fix: expect.stringContaining('symmetric') as unknown,
    });
    expect(first?.source).toMatch(/onnx-tensorrt/);
  });
  it.each([
    ['a product', 'Conv(c, wd)', []],
    ['a product behind a clamp of floats', 'Conv(k, wd)', []],
    ['a sum', 'Add(c, xd)', ['zero-points d2', 'zero-points q2']],
    ['a product and a sum', 'Add(c, e)', ['zero-points d2', 'zero-points q2']],
  ])('let zero points be between products where the runtime does: read by %s', (_what, reader, wanted) => {
    const text = `g (float[1,2,2,2] x) => (float[1,2,2,2] y) <int8[2,2,1,1] w = {1,-2,3,-127}, float s = {0.5},
        int8 z = {0}, int8 low = {-127}> {
      [q1] xq = QuantizeLinear(x, s, z) [d1] xd = DequantizeLinear(xq, s, z) wd = DequantizeLinear(w, s, z)
      a = Conv(xd, wd) r = Relu(a) [q2] rq = QuantizeLinear(r, s, low) kq = Clip(rq, low)
      [d2] c = DequantizeLinear(kq, s, low) k = Relu(c) e = Conv(c, wd) y = ${reader} }`;
    const zeros = (target: TargetProfile): string[] => found(text, target).filter((f) => f.startsWith('zero-points'));
    expect(zeros(mnn).sort()).toEqual(wanted);
    expect(zeros({ ...mnn, zeroPointsBetween: [] }).sort()).toEqual(['zero-points d2', 'zero-points q2']);
  });
  it('of ONNX Runtime take operators on codes and biases of int32', () => {
    const text = PLANTED.biases?.[0] ?? '';
    expect(found(text, onnxruntimeCpu).filter((f) => !/^(split|mixed)/.test(f))).toEqual([]);
  });
});
