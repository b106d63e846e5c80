import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { probeModels } from '../../../src/runtime/probe.js';
import { Session } from '../../../src/runtime/session.js';
import { CRASHES, writeModel } from '../pipeline/models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-probe-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const feed = (rows: number) =>
  ({ x: { dtype: 'float32', dims: [rows, 4], data: new Float32Array(4 * rows) } }) as const;

const fine = writeModel(path.join(dir, 'fine.onnx'), 'g (float[N,4] x) => (float[N,4] y) { y = Relu(x) }');
const crashes = writeModel(path.join(dir, 'crashes.onnx'), CRASHES);
const long = writeModel(
  path.join(dir, 'long.onnx'),
  `g (float[N,4] x) => (float[N,4] y) <int64 trips = {1000000000}, bool go = {1}> {
  y = Loop<body = b (int64 i, bool c, float[N,4] v) => (bool d, float[N,4] w) {
    d = Identity(c)  w = Abs(v) }>(trips, go, x) }`,
);
const map = writeModel(
  path.join(dir, 'map.onnx'),
  `<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 2]>
g (float[N,4] x) => (float[N,4] y, seq(map(int64, float[])) z) {
  y = Softmax (x)  z = ai.onnx.ml.ZipMap <classlabels_int64s: ints = [0, 1, 2, 3]> (y) }`,
);

describe('probeModels', () => {
  it('outlives a crash of the runtime, names it, and goes on with the next model', async () => {
    const garbage = path.join(dir, 'garbage.onnx');
    writeFileSync(garbage, 'no model');
    const found = await probeModels([{ file: crashes }, { file: fine, feeds: [feed(1), feed(2)] }, { file: garbage }]);
    expect(found[0]!.trouble?.at).toBe('crash');
    if (process.platform !== 'win32') expect(found[0]!.trouble?.message).toContain('SIGSEGV');
    expect(found[1]).toEqual({ trouble: undefined, shapes: [{ y: [1, 4] }, { y: [2, 4] }] });
    expect(found[2]!.trouble?.at).toBe('load');
  });
  it('tells which feed a model refuses', async () => {
    const one = writeModel(
      path.join(dir, 'one.onnx'),
      'g (float[N,4] x) => (float[A,B] y) <int64[2] s = {1, 4}> { y = Reshape (x, s) }',
    );
    const [{ trouble, shapes }] = (await probeModels([{ file: one, feeds: [feed(1), feed(2)] }])) as [
      Awaited<ReturnType<typeof probeModels>>[number],
    ]; // one for each
    expect(trouble).toMatchObject({ at: 'run', feed: 1 });
    expect(shapes).toEqual([{ y: [1, 4] }]);
  });
  it('stops a process that takes too long, and all when asked to', async () => {
    const endless = { file: long, feeds: [feed(1)] };
    expect((await probeModels([endless], { timeoutMs: 20 }))[0]!.trouble).toMatchObject({ at: 'crash' });
    await expect(probeModels([{ file: fine }], { signal: AbortSignal.abort(new Error('stop')) })).rejects.toThrow(
      'stop',
    );
    const soon = new AbortController();
    setTimeout(() => soon.abort(new Error('stop later')), 20);
    await expect(probeModels([endless], { signal: soon.signal })).rejects.toThrow('stop later');
  });
  it('a process waits for the next question, and a crash in it is asked for again in another', async () => {
    const children = (): number => process.getActiveResourcesInfo().filter((r) => r === 'ProcessWrap').length;
    expect((await probeModels([{ file: fine, feeds: [feed(1)] }]))[0]!.trouble).toBeUndefined();
    const before = children();
    expect((await probeModels([{ file: fine, feeds: [feed(3)] }]))[0]!.shapes).toEqual([{ y: [3, 4] }]);
    expect(children()).toBe(before);
    const [crashed, again] = await probeModels([{ file: crashes }, { file: fine, feeds: [feed(2)] }]);
    expect([crashed?.trouble?.at, again?.trouble]).toEqual(['crash', undefined]);
  });
});

describe('outputs that are sequences or maps', () => {
  it('are left out where all outputs are asked for, here and in the probe', async () => {
    expect((await probeModels([{ file: map, feeds: [feed(2)] }]))[0]).toEqual({
      trouble: undefined,
      shapes: [{ y: [2, 4] }],
    });
    const session = await Session.open(map);
    expect(Object.keys(await session.run(feed(2)))).toEqual(['y']);
    expect(session.outputs.map((o) => o.dtype)).toEqual(['float32', undefined]);
    await session.close();
  });
  it('alone are refused with advice', async () => {
    const only = writeModel(
      path.join(dir, 'only.onnx'),
      `<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 2]>
g (float[N,4] x) => (seq(map(int64, float[])) z) { z = ai.onnx.ml.ZipMap <classlabels_int64s: ints = [0, 1, 2, 3]> (x) }`,
    );
    const session = await Session.open(only);
    await expect(session.run(feed(1))).rejects.toMatchObject({ code: 'MODEL_UNSUPPORTED' });
    await session.close();
  });
});
