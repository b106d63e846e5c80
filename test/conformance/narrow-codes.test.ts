/**
 * Codes of 2 to 6 bits in bit planes: what onnxruntime puts together from them is every code, and integer kernels run
 * on the result.
 */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../src/base/rng.js';
import { NarrowCodes } from '../../src/formats/narrow-codes.js';
import { Graph } from '../../src/ir/graph.js';
import { createModel } from '../../src/ir/model.js';
import { Tensor } from '../../src/ir/tensor.js';
import { verify } from '../../src/ir/verify.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { GraphBuilder } from '../../src/rewrite/builder.js';
import type { QuantScheme } from '../../src/scheme/types.js';
import { optimized, outputsOf, quantizeText, worstSqnr, worstSteps } from './quantized.js';

const BITS = [2, 3, 4, 5, 6] as const;

describe.each(BITS)('%i bits', (bits) => {
  it.each(['int8', 'uint8'] as const)('%s: every code comes back, whatever the number of weights', async (dtype) => {
    const [low, high] = dtype === 'int8' ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
    const scheme: QuantScheme = { dtype, bits, symmetric: dtype === 'int8', granularity: { kind: 'tensor' } };
    const rng = createRng(bits);
    for (const dims of [[3200], [37, 83], [5, 7, 3, 29], [1, 3001]]) {
      const size = dims.reduce((n, d) => n * d, 1);
      const codes = Array.from({ length: size }, (_, i) =>
        i < high - low + 1 ? low + i : low + Math.floor(rng.next() * (high - low + 1)),
      );
      const model = createModel(new Graph(), 18);
      const b = new GraphBuilder(model);
      const made = new NarrowCodes(b).codes(Tensor.codes(dtype, codes, dims), scheme, 'w');
      expect(made.dtype).toBe(dtype);
      expect(made.shape).toEqual(dims);
      model.graph.addOutput(made);
      expect(verify(model)).toEqual([]);
      for (const optimization of ['disabled', 'all'] as const)
        expect([...Object.values(await outputsOf(model, {}, optimization))[0]!]).toEqual(codes); // one output
      // initializers have data
      const stored = [...model.graph.initializers].reduce((n, v) => n + v.data!.byteLength, 0);
      expect(stored).toBeLessThan((size * bits) / 8 + 150);
    }
  });

  it.each([
    [
      'qdq',
      'g (float[N,32,6,6] x) => (float[N,40,4,4] y) <float[40,32,3,3] w, float[40] b> { y = Conv(x, w, b) }',
      'QLinearConv',
    ],
    [
      'qoperator',
      'g (float[N,32,6,6] x) => (float[N,40,4,4] y) <float[40,32,3,3] w, float[40] b> { y = Conv(x, w, b) }',
      'QLinearConv',
    ],
    ['qdq', 'g (float[N,96] x) => (float[N,128] y) <float[96,128] w, float[128] b> { y = Gemm(x, w, b) }', 'QGemm'],
    [
      'dynamic',
      'g (float[N,96] x) => (float[N,128] y) <float[96,128] w> { y = MatMul(x, w) }',
      'DynamicQuantizeMatMul',
    ],
  ])('format %s: %s runs in the int8 kernel', async (format, text, kernel) => {
    const body = `<ir_version: 9, opset_import: ["" : 17]>\n${text}`;
    const q = await quantizeText(body, format, `weights: { dtype: int8, bits: ${bits}, granularity: channel }`);
    const whole = await quantizeText(body, format, 'weights: { dtype: int8, granularity: channel }');
    expect(verify(q.model)).toEqual([]);
    const { ops, integerMacsShare } = await optimized(q);
    expect(
      Object.keys(ops).some((op) => op.endsWith(kernel)),
      Object.keys(ops).join(' '),
    ).toBe(true);
    expect(integerMacsShare).toBe(1);
    expect(Object.keys(ops)).not.toContain('BitShift'); // folded
    const [plain, fused] = [await outputsOf(q.model, q.feed, 'disabled'), await outputsOf(q.model, q.feed, 'all')];
    expect(worstSteps(q, plain, fused)).toBeLessThanOrEqual(1.01);
    expect(worstSqnr(await outputsOf(q.float, q.feed, 'disabled'), fused)).toBeGreaterThan(6 * bits - 9);
    const weight = [...q.float.graph.initializers].find((v) => v.name === 'w')!.data!.size; // the fixtures have one
    expect(encodeModel(q.model).length).toBeLessThan(encodeModel(whole.model).length - weight * (1 - bits / 8) + 1300);
  });
});

it.each([2, 3])('fields of 4 bits that use %i are filled too, from zero or around the middle', async (bits) => {
  const rng = createRng(bits + 100);
  for (const base of [0, 8 - 2 ** (bits - 1)]) {
    const field = (): number => base + Math.floor(rng.next() * 2 ** bits);
    const bytes = Uint8Array.from({ length: 1001 }, () => field() | (field() << 4));
    const model = createModel(new Graph(), 18);
    model.graph.addOutput(
      new NarrowCodes(new GraphBuilder(model)).fields({ bytes, dims: [7, 143], width: 4, bits, base, name: 'w' }),
    );
    expect([...Object.values(await outputsOf(model, {}, 'all'))[0]!]).toEqual([...bytes]); // one output
  }
});

it('small weights and half-range ones stay plain constants', async () => {
  for (const [text, settings] of [
    ['g (float[N,8] x) => (float[N,16] y) <float[8,16] w> { y = Gemm(x, w) }', 'weights: { bits: 4 }'],
    ['g (float[N,96] x) => (float[N,128] y) <float[96,128] w> { y = Gemm(x, w) }', 'weights: { reduceRange: true }'],
  ] as const) {
    const q = await quantizeText(`<ir_version: 9, opset_import: ["" : 17]>\n${text}`, 'qdq', settings);
    expect([...q.model.graph.nodes].map((n) => n.op)).not.toContain('BitShift');
  }
});
