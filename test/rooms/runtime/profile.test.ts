import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it, vi } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { macsByNode, nodeFacts } from '../../../src/facts/model.js';
import { joinProfiles, profilePair, readTrace } from '../../../src/runtime/profile.js';
import { readFixtures } from '../../conformance/fixture.js';
import { header, prepareText, rewrite } from '../analyse/helpers.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-test-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('profilePair', () => {
  it.each(['qdq', 'qoperator'])(
    '%s: gives convolutions and the residual Add their kernels of both models, and leaves no file',
    async (format) => {
      const c = await prepareText(
        readFixtures('formats')
          .find((f) => f.name === 'residual-relu')!
          .sections.get('before')!,
        format,
      );
      const nodes = nodeFacts(c.model, c.planned, macsByNode(c.model, undefined));
      const { float, quantized } = rewrite(c);
      const own = mkdtempSync(path.join(dir, 'tmp-')); // other tests use the common folder meanwhile
      vi.stubEnv('TMPDIR', own);
      const p = await profilePair({ float, quantized, nodes, feed: c.used[0]!.feeds[0]!, runs: 4 }).finally(() =>
        vi.unstubAllEnvs(),
      );
      expect(readdirSync(own).filter((n) => n.startsWith('quantbench-'))).toEqual([]);
      expect(p.runs).toBe(4);
      expect(p.layers.filter((l) => l.op === 'Conv').map((l) => l.node)).toEqual(['c1', 'c2', 'c3']);
      for (const l of p.layers.filter((x) => x.op === 'Conv')) {
        expect(l.floatUs).toBeGreaterThanOrEqual(0);
        expect(l.quantizedUs).toBeGreaterThanOrEqual(0);
      }
      expect(p.layers.find((l) => l.node === 'add')?.quantizedUs).toBeGreaterThanOrEqual(0);
      expect(p.rest.quantized.some((k) => k.op === 'QuantizeLinear')).toBe(true);
      const sum = [...p.layers.map((l) => l.quantizedUs ?? 0), ...p.rest.quantized.map((k) => k.us)].reduce(
        (a, b) => a + b,
        0,
      );
      expect(p.quantizedUs).toBeCloseTo(sum, 6);
    },
  );

  it('stops when told, and refuses what onnxruntime refuses', async () => {
    const float = parseModel(`${header}\ng (float[N,2] x) => (float[N,2] y) { y = Relu(x) }`);
    const given = {
      float,
      quantized: float,
      nodes: [],
      feed: { x: { dtype: 'float32' as const, dims: [1, 2], data: Float32Array.of(1, 2) } },
    };
    await expect(profilePair({ ...given, signal: AbortSignal.abort(new Error('stopped')) })).rejects.toThrow('stopped');
    await expect(profilePair({ ...given, quantized: path.join(dir, 'absent.onnx') })).rejects.toMatchObject({
      code: 'MODEL_MISSING',
    });
  });
});

describe('readTrace', () => {
  const run = (ts: number) => ({ cat: 'Session', name: 'model_run', ts, dur: 50 });
  const kernel = (ts: number, name: string, dur: number, op = 'Conv') => ({
    cat: 'Node',
    name: `${name}_kernel_time`,
    ts,
    dur,
    args: { op_name: op },
  });
  it('takes the median of the last runs, with the kernels of a loop added up', () => {
    const trace = [
      run(0),
      kernel(1, 'c', 900),
      run(100),
      kernel(101, 'c', 3),
      kernel(110, 'c', 4),
      run(200),
      kernel(201, 'c', 500),
      run(300),
      kernel(301, 'c', 5),
      kernel(310, 'r', 2, 'Relu'),
      { cat: 'Node', name: 'c_fence_before', ts: 302, dur: 99 },
    ];
    expect(readTrace(JSON.stringify(trace), 3)).toEqual(
      new Map([
        ['c', { op: 'Conv', us: 7 }],
        ['r', { op: 'Relu', us: 0 }],
      ]),
    ); // c: 7, 500, 5; r: 0, 0, 2
  });
  it.each([
    ['[', 1],
    ['{}', 1],
    ['[]', 1],
    [JSON.stringify([run(0)]), 2],
  ])('refuses %s', (json, runs) => {
    expect(() => readTrace(json, runs)).toThrow(expect.objectContaining({ code: 'MODEL_RUNTIME' }));
  });
});

it('joinProfiles gives a kernel to one node only, and the rest to no one, slowest first', () => {
  const float = {
    byKernel: new Map([
      ['c', { op: 'Conv', us: 5 }],
      ['t', { op: 'Transpose', us: 1 }],
      ['u', { op: 'Cast', us: 2 }],
    ]),
    kernelOf: new Map([
      ['conv', 'c'],
      ['add', 'c'],
    ]),
  };
  const quantized = {
    byKernel: new Map([['q', { op: 'QLinearConv', us: 3 }]]),
    kernelOf: new Map([
      ['conv', 'q'],
      ['add', 'gone'],
    ]),
  };
  const nodes = [
    { name: 'conv', op: 'Conv', macs: 1, outputs: [] },
    { name: 'add', op: 'Add', macs: 0, outputs: [] },
  ];
  expect(joinProfiles(float, quantized, 7, nodes)).toEqual({
    runs: 7,
    floatUs: 8,
    quantizedUs: 3,
    layers: [{ node: 'conv', op: 'Conv', floatUs: 5, quantizedUs: 3 }],
    rest: {
      float: [
        { node: 'u', op: 'Cast', us: 2 },
        { node: 't', op: 'Transpose', us: 1 },
      ],
      quantized: [],
    },
  });
});
