import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { comparedIntegers } from '../../../src/ops/compared.js';
import { countNodes } from '../../../src/ir/count.js';
import { choosePasses, optimizeFile, optimizeGraph } from '../../../src/standalone/optimize.js';
import { compareOnRandomFeeds, difference } from '../../../src/standalone/same-outputs.js';
import { openModel } from '../../../src/runtime/open.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-optimize-'));
const HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n';
const SCALED =
  `${HEADER}g (float[N,4] x, float[4] w) => (float[N,4] y) <float[4] w = {1, 1, 1, 1}> { a = Identity(x)\n` +
  ` b = Mul(a, w)\n y = Relu(b) }`;
const write = (text: string, name: string): string => {
  const file = path.join(temp, name);
  saveModel(parseModel(text, {}), file);
  return file;
};

describe('optimizeGraph', () => {
  it('lets callers override the default of an input at the basic level, and fixes it at the default level', async () => {
    const basic = parseModel(SCALED, {});
    await optimizeGraph(basic, { level: 'basic' });
    expect(basic.graph.inputs.map((v) => v.name)).toEqual(['x', 'w']);
    expect([...basic.graph.initializers].map((v) => [v.name, [...(v.data?.f32() ?? [])]])).toEqual([
      ['w', [1, 1, 1, 1]],
    ]);
    expect([...basic.graph.nodes].map((n) => n.op)).toEqual(['Mul', 'Relu']);
    const full = parseModel(SCALED, {});
    await optimizeGraph(full, { level: 'default' });
    expect(full.graph.inputs.map((v) => v.name)).toEqual(['x']);
    expect([...full.graph.nodes].map((n) => n.op)).toEqual(['Relu']);
  });
  it('takes inputs of models before IR 4 for constants at any level, unless asked not to', async () => {
    const old = (): ReturnType<typeof parseModel> => parseModel(SCALED.replace('ir_version: 8', 'ir_version: 3'), {});
    const model = old();
    await optimizeGraph(model, { level: 'basic' });
    expect([...model.graph.nodes].map((n) => n.op)).toEqual(['Relu']);
    const kept = old();
    await optimizeGraph(kept, { level: 'basic', skip: ['lift-initializers'] });
    expect([...kept.graph.nodes].map((n) => n.op)).toEqual(['Mul', 'Relu']);
  });
  it('says what went and came, pass by pass', async () => {
    const model = parseModel(
      `${HEADER}g (float[2,3] x) => (float[2,3] y) { a = Transpose<perm = [1, 0]>(x)\n` +
        ` b = Transpose<perm = [1, 0]>(a)\n c = Relu(b)\n y = Clip(c) }`,
      {},
    );
    const traces = await optimizeGraph(model, { level: 'default' });
    expect(
      traces.filter((t) => t.changes).map((t) => [t.pass, t.nodesBefore, t.nodesAfter, t.removed, t.added]),
    ).toEqual([
      ['eliminate-transpose-pair', 4, 2, ['Transpose a', 'Transpose b'], []],
      ['merge-clips', 2, 1, ['Relu c', 'Clip y'], ['Relu Clip']],
    ]);
    expect(countNodes(model)).toBe(1);
  });
});

describe('near misses', () => {
  it('are those of the graph as it is in the end', async () => {
    const branches = (n: number): string =>
      `<then_branch = t${n} () => (float[2,3] p${n}) { p${n} = Neg(x) }, else_branch = e${n} () => (float[2,3] ` +
      `q${n}) { q${n} = Abs(x) }>`;
    // fold-if refuses until fold-constants has computed the condition; the second If it refuses for good.
    const model = parseModel(
      `${HEADER}g (float[2,3] x, bool d) => (float[2,3] y, float[2,3] z) <bool c = {0}> { n = Not(c)\n` +
        ` y = If(n) ${branches(1)}\n z = If(d) ${branches(2)} }`,
      {},
    );
    const traces = await optimizeGraph(model, { level: 'basic' });
    expect(traces.filter((t) => t.pass === 'fold-if').map((t) => [t.changes, t.refusals])).toEqual([
      [1, []],
      [0, [{ node: 'z', reason: 'its condition is not constant' }]],
    ]);
  });
});

describe('choosePasses', () => {
  it('keeps the order of the lists, and leaves out what is skipped', () => {
    expect(choosePasses({ level: 'basic', passes: ['eliminate-dead', 'eliminate-cast'] }).map((p) => p.name)).toEqual([
      'eliminate-cast',
      'eliminate-dead',
    ]);
    expect(choosePasses({ level: 'default', skip: ['merge-pads'] }).some((p) => p.name === 'merge-pads')).toBe(false);
  });
  it('names the nearest pass for one that does not exist', () => {
    expect(() => choosePasses({ level: 'default', skip: ['merge-pad'] })).toThrowError(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('"merge-pads"') as string }) as Error,
    );
  });
});

describe('targets', () => {
  const names = (options: Parameters<typeof choosePasses>[0]): readonly string[] =>
    choosePasses(options).map((p) => p.name);
  it('let the aggressive level build operators of their own, and nothing else does', () => {
    expect(names({ level: 'aggressive', target: 'onnxruntime-cpu' })).toContain('fuse-conv-activation');
    expect(names({ level: 'aggressive' })).not.toContain('fuse-conv-activation');
    expect(names({ level: 'default', target: 'onnxruntime-cpu' })).not.toContain('fuse-conv-activation');
  });
  it('must exist, and have what a pass that is asked for builds', () => {
    expect(() => choosePasses({ level: 'default', target: 'onnxruntime' })).toThrowError(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('"onnxruntime"') as string }) as Error,
    );
    expect(() => choosePasses({ level: 'default', passes: ['fuse-conv-activation'] })).toThrowError(
      expect.objectContaining({ code: 'USAGE', hint: expect.stringContaining('onnxruntime-cpu') as string }) as Error,
    );
  });
});

describe('optimizeFile', () => {
  it('writes a model that the second run leaves as it is, byte for byte', async () => {
    const out = path.join(temp, 'once.onnx');
    const first = await optimizeFile(write(SCALED, 'scaled.onnx'), out, { level: 'default' });
    expect(first).toMatchObject({ nodes: { before: 3, after: 1 }, agreement: { feeds: 2, error: 0 } });
    const twice = path.join(temp, 'twice.onnx');
    const second = await optimizeFile(out, twice, { level: 'default' });
    expect(second.nodes).toEqual({ before: 1, after: 1 });
    expect(readFileSync(twice).equals(readFileSync(out))).toBe(true);
    expect(loadModel(out).graph.inputs.map((v) => v.name)).toEqual(['x']);
  });
  it('refuses a model that onnxruntime cannot run on any random input, and writes nothing', async () => {
    const out = path.join(temp, 'never.onnx');
    const file = write(
      `${HEADER}g (float[N,4] x) => (float[3,5] y) <int64[2] s = {3, 5}> { u = Reshape(x, s)\n y = Relu(u) }`,
      'unrunnable.onnx',
    );
    await expect(optimizeFile(file, out, { level: 'default' })).rejects.toMatchObject({ code: 'MODEL_RUNTIME' });
    expect(existsSync(out)).toBe(false);
    expect(readdirSync(temp).filter((f) => f.startsWith('never'))).toEqual([]);
  });
});

describe('compareOnRandomFeeds', () => {
  const open = (body: string): ReturnType<typeof openModel> =>
    openModel(parseModel(`${HEADER}g (float[N,4] x) => (float[N,4] y) <float c = {1.001}> { ${body} }`, {}), {
      optimization: 'disabled',
    });
  it('tells the output that differs', async () => {
    const [a, b] = [await open('y = Relu(x)'), await open('a = Relu(x)\n y = Mul(a, c)')];
    await expect(compareOnRandomFeeds(a, b, { file: 'm.onnx', choices: new Map() })).rejects.toMatchObject({
      code: 'OPTIMIZE_VERIFY',
      where: { file: 'm.onnx', tensor: 'y' },
    });
    await a.close();
    await b.close();
  });
  it('warns in place of comparing where the original draws random numbers', async () => {
    const [a, b] = [
      await open('r = RandomNormalLike(x)\n y = Add(x, r)'),
      await open('r = RandomNormalLike(x)\n n = Neg(r)\n y = Add(x, n)'),
    ];
    const found: string[] = [];
    expect(
      await compareOnRandomFeeds(a, b, { file: 'm.onnx', choices: new Map(), report: (d) => found.push(d.code) }),
    ).toEqual({ feeds: 0, error: 0 });
    expect(found).toEqual(['OUTPUTS_RANDOM']);
    await a.close();
    await b.close();
  });
});

describe('an integer input that chooses a branch', () => {
  const model = (factor: number): Model =>
    parseModel(
      `${HEADER}g (float[N,4] x, int64 rate) => (float[N,4] y) <int64[1] axes = {0}, float two = {2.0}, float k = {${
        factor
      }}> { high = Constant<value_int = 16000>()
 rates = Unsqueeze(rate, axes)\n c1 = Equal(rates, high)\n c = Squeeze(c1, axes)
 y = If(c) <then_branch = t () => (float[N,4] t1) { t1 = Mul(x, k) }, else_branch = f () => (float[N,4] f1) { f1 = Mul(x, two) }> }`,
      {},
    );
  it('takes the value that the model compares it with, so that both branches are compared', async () => {
    expect([...comparedIntegers(model(3).graph)]).toEqual([['rate', [16000]]]);
    const [a, b] = [
      await openModel(model(3), { optimization: 'disabled' }),
      await openModel(model(3.5), { optimization: 'disabled' }),
    ];
    expect(await compareOnRandomFeeds(a, b, { file: 'm.onnx', choices: new Map() })).toEqual({ feeds: 2, error: 0 });
    expect(await compareOnRandomFeeds(a, a, { file: 'm.onnx', choices: new Map([['rate', [16000]]]) })).toEqual({
      feeds: 3,
      error: 0,
    });
    await expect(
      compareOnRandomFeeds(a, b, { file: 'm.onnx', choices: comparedIntegers(model(3).graph) }),
    ).rejects.toMatchObject({ code: 'OPTIMIZE_VERIFY', where: { tensor: 'y' } });
    await a.close();
    await b.close();
  });
  it('takes the values beside a limit too; tensors of more elements and computed limits are none', () => {
    const limits = parseModel(
      `${HEADER}g (int64 n, int64[2] m, float[1] x) => (bool a, bool[2] b, bool d) <int64 five = {5}> { a = ` +
        `Less(five, n)\n b = Equal(m, five)\n s = Size(m)\n d = Equal(n, s) }`,
      {},
    );
    expect([...comparedIntegers(limits.graph)]).toEqual([['n', [4, 5, 6]]]);
  });
});

describe('difference', () => {
  const f32 = (...values: number[]): { y: { dtype: 'float32'; dims: number[]; data: Float32Array } } => ({
    y: { dtype: 'float32', dims: [values.length], data: Float32Array.from(values) },
  });
  it('is relative to the largest magnitude, and infinite where one side only is finite', () => {
    expect(difference(f32(100, 1), f32(100, 1.5)).error).toBeCloseTo(0.005, 12);
    expect(difference(f32(NaN, Infinity), f32(NaN, Infinity)).error).toBe(0);
    expect(difference(f32(1, Infinity), f32(1, 5)).error).toBe(Infinity);
    expect(difference(f32(1), f32(1, 2)).error).toBe(Infinity);
    expect(difference(f32(1), {}).error).toBe(Infinity);
  });
});
