import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import type { RuntimeFacts } from '../../../src/record/index.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { describeOptimized, inspectOptimized, type PlannedNode } from '../../../src/runtime/inspect-optimized.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-test-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const save = (graph: string): string => {
  const file = path.join(dir, 'model.onnx');
  writeFileSync(file, encodeModel(parseModel(`<ir_version: 8, opset_import: ["" : 17]>\n${graph}`)));
  return file;
};
const nodes = [
  { name: 'first', macs: 300, outputs: ['a'] },
  { name: 'second', macs: 100, outputs: ['y'] },
  { name: 'relu', macs: 0, outputs: ['r'] },
];
const scales =
  'float s = {0.02}, uint8 z = {128}, float ws = {0.01}, int8 wz = {0}, int8[4,4] w = ' +
  '{1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}, float[4,4] f = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16}';

describe('inspectOptimized', () => {
  it('sees two fused products as integer kernels and leaves no temporary file', async () => {
    const file = save(`g (float[N,4] x) => (float[N,4] y) <${
      scales
    }> { xq = QuantizeLinear(x, s, z)  xd = DequantizeLinear(xq, s, z)  wd = DequantizeLinear(w, ws, wz)
      [first] a = MatMul(xd, wd)  aq = QuantizeLinear(a, s, z)  ad = DequantizeLinear(aq, s, z)  wd2 = DequantizeLinear(w, ws, wz)  [second] b = MatMul(ad, wd2)  bq = QuantizeLinear(b, s, z)  y = DequantizeLinear(bq, s, z) }`);
    const own = mkdtempSync(path.join(dir, 'tmp-')); // other tests use the common folder meanwhile
    vi.stubEnv('TMPDIR', own);
    const { kernels, ...facts } = await inspectOptimized(file, nodes).finally(() => vi.unstubAllEnvs());
    const found: RuntimeFacts & { kernels: typeof kernels } = { ...facts, kernels };
    // onnxruntime itself leaves a log there
    expect(readdirSync(own).filter((n) => n.startsWith('quantbench-'))).toEqual([]);
    expect(found.integerMacsShare).toBe(1);
    expect(found.kernels).toEqual([
      { name: 'first', kernel: 'QLinearMatMul', ranInteger: true },
      { name: 'second', kernel: 'QLinearMatMul', ranInteger: true },
    ]);
    expect(found.unfused).toEqual([]);
    expect(found.floatCompute).toEqual([]);
    expect(found.ops).toMatchObject({ QLinearMatMul: 2, QuantizeLinear: 1, DequantizeLinear: 1 });
  });

  it('weighs a product that stayed float by its MACs', async () => {
    const file = save(`g (float[N,4] x) => (float[N,4] y) <${
      scales
    }> { xq = QuantizeLinear(x, s, z)  xd = DequantizeLinear(xq, s, z)  wd = DequantizeLinear(w, ws, wz)
      [first] a = MatMul(xd, wd)  aq = QuantizeLinear(a, s, z)  ad = DequantizeLinear(aq, s, z)  [second] y = MatMul(ad, f) }`);
    const asPlanned = await inspectOptimized(
      file,
      nodes.map((n) => ({ ...n, planned: n.name === 'second' ? ('float' as const) : ('integer' as const) })),
    );
    expect(asPlanned.integerMacsShare).toBe(0.75);
    expect(asPlanned.kernels.map((k) => k.ranInteger)).toEqual([true, false]);
    expect(asPlanned.floatCompute).toEqual(['second']);
    expect(asPlanned.unfused).toEqual([]); // the plan wanted the second product in float
    const missed = await inspectOptimized(file, nodes);
    expect(missed.unfused).toHaveLength(1);
  });

  it('reports a float model as float, whatever onnxruntime calls the nodes', async () => {
    const found = await inspectOptimized(
      save(
        `g (float[N,4] x) => (float[N,4] y) <${scales}, float[4] c = {1,2,3,4}> { [first] m = MatMul(x, f)  a ` +
          '= Add(m, c)  r = Relu(a)  [second] y = MatMul(r, f) }',
      ),
      [{ ...nodes[0]!, outputs: ['m'] }, nodes[1]!],
    );
    expect(found.integerMacsShare).toBe(0);
    expect(found.kernels.map((k) => k.ranInteger)).toEqual([false, false]);
    expect(found.kernels.every((k) => k.kernel !== undefined)).toBe(true);
  });

  it('refuses what onnxruntime refuses', async () => {
    await expect(inspectOptimized(path.join(dir, 'absent.onnx'), nodes)).rejects.toMatchObject({
      code: 'MODEL_MISSING',
    });
  });
});

describe('describeOptimized', () => {
  const describeText = (graph: string, planned: readonly PlannedNode[] = nodes): ReturnType<typeof describeOptimized> =>
    describeOptimized(
      parseModel(`<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1, "com.microsoft.nchwc" : 1]>\n${graph}`)
        .graph,
      planned,
    );

  it('knows the names that layout changes and fusions leave', () => {
    const found = describeText(
      'g (float[1,4] x, uint8[1,4] q) => (float[1,4] y) { ["conv_1_nchwc"] t1 = com.microsoft.nchwc.Conv(x, x) ' +
        ' ["conv_token_2"] t2 = com.microsoft.QLinearConv(q, q)  ["mm/MatMulAddFusion"] t3 = Gemm(x, x)  ' +
        '["other"] "out_QuantizeLinear_Output_token_4" = com.microsoft.QGemm(q, q)  y = Identity(t1) }',
      [
        { name: 'conv', macs: 1, outputs: [] },
        { name: 'conv_1', macs: 2, outputs: [] },
        { name: 'mm', macs: 4, outputs: [] },
        { name: 'gemm', macs: 8, outputs: ['out'] },
      ],
    );
    expect(found.kernels.map((k) => k.kernel)).toEqual([
      'com.microsoft.QLinearConv',
      'com.microsoft.nchwc.Conv',
      'Gemm',
      'com.microsoft.QGemm',
    ]);
    expect(found.integerMacsShare).toBe(9 / 15);
  });

  it('finds nameless nodes by their constants, and does not guess between nodes that share one', () => {
    const graph =
      'g (uint8[1,4] q) => (uint8[1,4] y) <int8[1] w_quantized = {1}, int8[1] v_quantized = {1}> { a = ' +
      'com.microsoft.QLinearConv(q, w_quantized)  b = Conv(a, v_quantized)  y = Conv(b, v_quantized) }';
    const found = describeText(graph, [
      { name: '', macs: 1, outputs: ['o'], constants: ['w'] },
      { name: '', macs: 1, outputs: ['p'], constants: ['v'] },
      { name: '', macs: 1, outputs: ['r'], constants: ['v'] },
    ] as never);
    expect(found.kernels.map((k) => k.ranInteger)).toEqual([true, undefined, undefined]);
    expect(found.integerMacsShare).toBeCloseTo(1 / 3, 12);
  });

  it('finds what a kernel was fused with by what follows it, and does not guess where two follow into one', () => {
    // an activation of AVX-512 and AVX2 alike: the layout's kernel of Conv and Relu has the name of what Relu gives
    const found = describeText(
      'g (float[1,4] x) => (float[1,4] y) { ["p_nchwc"] p = com.microsoft.nchwc.Conv(x, x)  ["s_nchwc"] s = ' +
        'com.microsoft.nchwc.Conv(p, p)  ["q"] y = com.microsoft.QLinearConv(s, s) }',
      [
        { name: 'mid', macs: 1, outputs: ['m'], followers: ['p'] },
        { name: 'left', macs: 2, outputs: ['l'], followers: ['s'] },
        { name: 'right', macs: 4, outputs: ['r'], followers: ['s'] },
      ],
    );
    expect(found.kernels.map((k) => k.ranInteger)).toEqual([false, undefined, undefined]);
    const residual = describeText(
      'g (float[1,4] x) => (float[1,4] y) { ["short"] l = com.microsoft.nchwc.Conv(x, x)  ["s_nchwc"] s = ' +
        'com.microsoft.nchwc.Conv(x, x, l)  ["q"] y = com.microsoft.QLinearConv(s, s) }',
      [
        { name: 'short', macs: 1, outputs: ['l'], followers: ['s'] },
        { name: 'long', macs: 2, outputs: ['r'], followers: ['s'] },
        { name: 'q', macs: 4, outputs: ['y'], followers: [] },
      ],
    );
    expect(residual.kernels.map((k) => k.ranInteger)).toEqual([false, false, true]);
  });

  it('calls conversions around an op on codes unfused, and those at the borders normal', () => {
    const found = describeText(
      'g (uint8[1,4] q, float s, uint8 z) => (uint8[1,4] y, float[1,4] o) { [border] x = DequantizeLinear(q, ' +
        's, z)  o = Softmax(x)  [before] d = DequantizeLinear(q, s, z)  r = Relu(d)  [after] y = ' +
        'QuantizeLinear(r, s, z) }',
    );
    expect(found.unfused).toEqual(['before', 'after']);
  });
});
