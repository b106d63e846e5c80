/**
 * Passes on models that no exporter writes: they leave alone what they cannot rely on, and make nothing out of a
 * declared size.
 */
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { assertValid } from '../../../src/ir/verify.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { optimizing } from '../../../src/passes/presets.js';
import { optimizeGraph } from '../../../src/standalone/optimize.js';
import { runPasses } from '../../../src/rewrite/pass.js';

const HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n';
const evaluate = (): never => {
  throw new QuantError('MODEL_RUNTIME', 'not here');
};
async function ops(text: string): Promise<string[]> {
  const model = parseModel(text);
  inferShapes(model);
  await runPasses(model, optimizing.aggressive, { evaluate });
  assertValid(model);
  return [...decodeModel(encodeModel(model)).graph.nodes].map((n) => n.op);
}

describe('declared sizes of 2^32 and more', () => {
  const norm = (
    size: number,
    channels = 8,
  ): string => `${HEADER}g (float[N,${channels},5,${size}] x) => (float[N,${channels},5,${
    size
  }] y) <float two = {2}, float eps = {0.00001}> {
    mu = ReduceMean <axes = [-1]> (x) d = Sub(x, mu) q = Pow(d, two) v = ReduceMean <axes = [-1]> (q) e = Add(v, eps) s = Sqrt(e) y = Div(d, s) }`;
  it('LayerNormalization is fused at a size that layers have, and left alone beyond', async () => {
    expect(await ops(norm(64))).toEqual(['LayerNormalization']);
    expect(await ops(norm(65_536))).toEqual(['LayerNormalization']);
    for (const size of [65_537, 2 ** 32, 2 ** 40, 2 ** 53 - 1]) expect(await ops(norm(size))).toContain('ReduceMean');
  });
  it('InstanceNormalization and RMSNormalization too', async () => {
    const instance = (channels: number): string => norm(7, channels).replaceAll('axes = [-1]', 'axes = [2, 3]');
    expect(await ops(instance(8))).toEqual(['InstanceNormalization']);
    expect(await ops(instance(2 ** 32))).not.toContain('InstanceNormalization');
    const rms = (size: number): string =>
      `<ir_version: 10, opset_import: ["" : 23]> g (float[N,${size}] x) => (float[N,${size}] y) <float two = ` +
      '{2}, float eps = {0.00001}, int64[1] a = {-1}> { q = Pow(x, two) v = ReduceMean(q, a) e = Add(v, eps) s ' +
      '= Sqrt(e) y = Div(x, s) }';
    expect(await ops(rms(64))).toEqual(['RMSNormalization']);
    expect(await ops(rms(2 ** 32))).toContain('ReduceMean');
  });
  it('a scalar beside declared channels is not spread over all of them', async () => {
    const started = performance.now();
    await ops(
      `${HEADER}g (float[N,4294967296,2,2] x) => (float[N,M,2,2] y) <float[1,1,1,1] k = {2}, float[2,1,1,1] w ` +
        '= {1, 2}> { c = Conv(x, w) d = Mul(c, k) y = Add(d, k) }',
    );
    expect(performance.now() - started).toBeLessThan(2000);
  });
});

describe('control flow that is not what it says', () => {
  it.each<[string, string]>([
    [
      'an If whose branch takes inputs',
      'g (float[N,2] x) => (float[N,2] y) <bool c = {0}> { z = Relu(x) y = If (c) <then_branch = t () => ' +
        '(float[N,2] p) { p = Relu(x) }, else_branch = e (float[N,2] w) => (float[N,2] q) { q = Identity(w) }> }',
    ],
    [
      'an If that takes more than its branches give',
      'g (float[N,2] x) => (float[N,2] y, float[N,2] z) <bool c = {1}> { y, z = If (c) <then_branch = t () => ' +
        '(float[N,2] p) { p = Relu(x) }, else_branch = e () => (float[N,2] q) { q = Neg(x) }> }',
    ],
    [
      'a Loop that takes more than its body gives',
      'g (float[2] x) => (float[2] y, float[2] z) <int64 m = {1}, bool c = {1}> { y, z = Loop (m, c, x) <body ' +
        '= b (int64 i, bool go, float[2] a) => (bool go2, float[2] a2) { go2 = Identity(go) a2 = Relu(a) }> }',
    ],
    [
      'a Scan of 2^63 inputs',
      'g (float[3] s, float[1,3] x) => (float[3] t) { t = Scan (s, x) <num_scan_inputs = 9223372036854775807, ' +
        'body = b (float[3] a, float[3] r) => (float[3] c) { c = Add(a, r) }> }',
    ],
    [
      'a Scan of -1 inputs',
      'g (float[3] s, float[1,3] x) => (float[3] t) { t = Scan (s, x) <num_scan_inputs = -1, body = b ' +
        '(float[3] a, float[3] r) => (float[3] c) { c = Add(a, r) }> }',
    ],
    [
      'a Scan that takes more than its body gives',
      'g (float[3] s, float[1,3] x) => (float[3] t, float[3] u) { t, u = Scan (s, x) <num_scan_inputs = 1, ' +
        'body = b (float[3] a, float[3] r) => (float[3] c) { c = Add(a, r) }> }',
    ],
  ])('%s stays', async (_what, graph) => {
    expect((await ops(HEADER + graph)).some((op) => ['If', 'Loop', 'Scan'].includes(op))).toBe(true);
  });
  it('Transposes whose permutations do not compose stay two', async () => {
    expect(
      await ops(
        `${HEADER}g (float x) => (float y) { u = Custom(x) a = Transpose <perm = [1, 0]> (u) y = Transpose ` +
          '<perm = [0, 2, 1]> (a) }',
      ),
    ).toEqual(['Custom', 'Transpose', 'Transpose']);
  });
});

describe('a model that computes nothing', () => {
  const optimized = async (graph: string): Promise<Model> => {
    const model = parseModel(`${HEADER}${graph}`);
    await optimizeGraph(model, { level: 'default' });
    return decodeModel(encodeModel(model)); // which refuses graphs without nodes
  };
  it('keeps an Identity, and gives the same outputs', async () => {
    const unused = await optimized('g (float[2] x) => (float[2] x) { y = Relu(x) }');
    expect([unused.graph.outputs.map((o) => o.name), [...unused.graph.nodes].map((n) => n.op)]).toEqual([
      ['x'],
      ['Identity'],
    ]);
    const constant = await optimized(
      'g (float[2] x) => (float[2] y, float[2] y) <float[2] y = {1, 2}> { z = Relu(x) }',
    );
    expect([
      constant.graph.outputs.map((o) => [o.name, o.producer?.op]),
      [...constant.graph.initializers].map((v) => [...v.data!.f32()]),
    ]).toEqual([
      [
        ['y', 'Identity'],
        ['y', 'Identity'],
      ],
      [[1, 2]],
    ]);
  });
});
