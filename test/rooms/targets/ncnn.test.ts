/** What is written for ncnn, read back by a reader of its own. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { weightCodes } from '../../../src/scheme/arithmetic.js';
import { folded, heldOf, type Held } from '../../../src/targets/ncnn/held.js';
import { ncnn } from '../../../src/targets/ncnn/index.js';
import type { Edge } from '../../../src/targets/shared/layers.js';
import { fileOf, inputOf, netOf, quantized } from './graphs.js';

interface Row {
  type: string;
  inputs: string[];
  outputs: string[];
  settings: Record<string, string>;
}
function read(text: string): Row[] {
  const [magic, counts, ...lines] = text.trimEnd().split('\n');
  expect(magic).toBe('7767517');
  const rows = lines.map((line): Row => {
    const [type = '', , n = '', m = '', ...rest] = line.split(/ +/);
    const [i, o] = [Number(n), Number(m)];
    const settings = Object.fromEntries(rest.slice(i + o).map((s) => s.split('=') as [string, string]));
    return { type, inputs: rest.slice(0, i), outputs: rest.slice(i, i + o), settings };
  });
  expect(counts).toBe(`${rows.length} ${rows.reduce((k, r) => k + r.outputs.length, 0)}`);
  const made = rows.flatMap((r) => r.outputs);
  expect(new Set(made).size).toBe(made.length);
  const used = rows.flatMap((r) => r.inputs);
  expect(new Set(used).size, 'a blob has one reader').toBe(used.length);
  expect(used.filter((b) => !made.includes(b))).toEqual([]);
  return rows;
}
const emitted = async (text: string): Promise<[Row[], Buffer, string]> => {
  const files = ncnn.emitter.emit(inputOf(await quantized(ncnn, text)));
  return [read(fileOf(files, '.param').toString()), fileOf(files, '.bin'), fileOf(files, '.table').toString()];
};
const floats = (b: Buffer, at: number, n: number): number[] =>
  Array.from({ length: n }, (_, i) => b.readFloatLE(at + 4 * i));

const CONV = netOf(`(float[N,3,8,8] x) => (float[N,6,4,4] y) <float[6,3,3,3] w, float[6] b> {
  [c] a = Conv<pads = [1,2,0,1], strides = [2,2]>(x, w, b)
  [r] y = Relu(a) }`);

describe('ncnn', () => {
  it('has sizes, pads and the Relu of a convolution, and its codes and factors', async () => {
    const graph = await quantized(ncnn, CONV);
    const files = ncnn.emitter.emit(inputOf(graph));
    const [rows, bin] = [read(fileOf(files, '.param').toString()), fileOf(files, '.bin')];
    expect(rows.map((r) => r.type)).toEqual(['Input', 'Convolution']);
    expect(rows[0]?.settings).toEqual({ 0: '8', 1: '8', 2: '3' });
    const wanted = { 0: '6', 1: '3', 11: '3', 3: '2', 13: '2', 4: '2', 14: '1', 15: '1', 16: '0', 6: '162' };
    expect(rows[1]?.settings).toMatchObject({ ...wanted, 5: '1', 8: '2', 9: '1' });
    expect(rows[1]?.outputs).toEqual(['y']);
    expect(bin.length).toBe(4 + 164 + 4 * (6 + 6 + 1));
    expect(bin.readUInt32LE(0)).toBe(0x000d4b38);
    const conv = [...graph.model.graph.nodes][0]!; // there are two
    const w = conv.inputs[1]!; // a weight
    const p = graph.params.get(conv.use(1)!) ?? graph.params.get(w)!; // planned
    expect([...bin.subarray(4, 166)].map((v) => (v << 24) >> 24)).toEqual([...weightCodes(w.data!, p).f64()]);
    const scales = Array.from({ length: 6 }, (_, i) => 1 / p.scale[i]!);
    floats(bin, 168 + 24, 6).forEach((f, i) => expect(f).toBeCloseTo(scales[i]!, 3));
    expect(floats(bin, 168 + 48, 1)[0]).toBeCloseTo(127 / 4, 4);
    const table = fileOf(files, '.table').toString().trimEnd().split('\n');
    expect(table.map((l) => l.split(' ').length)).toEqual([7, 2]);
  });

  it('holds what lies between products so that all its codes are used, with borders of the code of zero', async () => {
    const graph = await quantized(
      ncnn,
      netOf(`(float[N,3,8,8] x) => (float[N,5,8,8] y) <float[4,3,1,1] w, float[5,4,3,3] v, float[5] b> {
        a = Conv(x, w) r = Relu(a) y = Conv<pads = [1,1,1,1]>(r, v, b) }`),
    );
    const r = [...graph.model.graph.nodes][1]!.outputs[0]!; // of the Relu
    const scheme = graph.params.get(r)!.scheme;
    expect(scheme).toMatchObject({ dtype: 'int8', symmetric: false, narrow: true });
    const own = { scheme, scale: Float32Array.of(1 / 64), zeroPoint: Int32Array.of(-127) };
    const files = ncnn.emitter.emit(inputOf({ ...graph, params: new Map([...graph.params, [r, own]]) }));
    const [, first, second] = read(fileOf(files, '.param').toString());
    const top = (127 / 64).toExponential(8);
    expect(first?.settings).toMatchObject({
      5: '1',
      9: '3',
      '-23310': `2,${Math.fround(-3.4e38).toExponential(8)},${top}`,
    });
    expect(second?.settings).toMatchObject({ 5: '1', 18: '1.27000000e+2' });
    const bin = fileOf(files, '.bin');
    const codesOf = (at: number, n: number): number[] => [...bin.subarray(at, at + n)].map((c) => (c << 24) >> 24);
    const conv = [...graph.model.graph.nodes][2]!;
    const p = graph.params.get(conv.use(1)!) ?? graph.params.get(conv.inputs[1]!)!; // planned
    const plain = [...weightCodes(conv.inputs[1]!.data!, p).f64()];
    // the first: 12 codes, 4 biases, which it had none of, 4 factors and that of x
    floats(bin, 4 + 12, 4).forEach((v) => expect(v).toBeCloseTo(127 / 64, 6));
    const at = 4 + 12 + 4 * (4 + 4 + 1) + 4;
    expect(codesOf(at, 180)).toEqual(plain.map((c) => (c === 0 ? 0 : -c)));
    const bias = conv.inputs[2]!.data!.f32(); // written above
    floats(bin, at + 180, 5).forEach((v, row) => {
      const sum = plain.slice(36 * row, 36 * row + 36).reduce((a, c) => a + c, 0) * p.scale[row]!;
      expect(v).toBeCloseTo(bias[row]! + (127 / 64) * sum, 4);
    });
    expect(floats(bin, at + 180 + 40, 1)[0]).toBeCloseTo(64, 4);
    // ncnn's own quantizer gives it half of the codes
    expect(fileOf(files, '.table').toString().trimEnd().split('\n').at(-1)?.split(' ')[1]).toBe('32');
  });

  it.each([
    ['one-sided', -127, 100],
    ['mostly below zero', 90, 127],
    ['both', -13, 5],
    ['none', 0, 0],
  ])('gives the same results where zero points are %s', (_what, zeroOfX, zeroOfY) => {
    const rng = createRng(zeroOfX + 500, 'held');
    const edge = (zero: number, scale: number): Edge =>
      ({ params: { scale: Float32Array.of(scale), zeroPoint: Int32Array.of(zero) } }) as Edge; // all that is read
    const [x, y] = [heldOf(edge(zeroOfX, 0.03)), heldOf(edge(zeroOfY, 0.2))];
    const codes = Int8Array.from({ length: 6 }, () => rng.int(255) - 127);
    const factors = Float32Array.of(30, 50);
    const values = Float32Array.from(codes, (c, i) => c / factors[i < 3 ? 0 : 1]!);
    const rows = { rows: 2, columns: 3, values, codes: { codes, factors, input: 1 / 0.03 } };
    const bias = Float32Array.of(0.4, -1.2);
    const made = folded({ rows, bias, clamp: [-0.5, 2] }, x, y);
    const held = (v: number, h: Held): number => h.sign * v + h.shift;
    const q = [rng.int(100) - 50, rng.int(100) - 50, rng.int(100) - 50];
    const given = q.map((c) => (c - zeroOfX) * 0.03);
    expect(held(0, x)).toBeCloseTo(x.zero * 0.03, 5);
    for (const row of [0, 1]) {
      const product = (w: ArrayLike<number>, v: readonly number[]): number =>
        v.reduce((sum, a, i) => sum + a * w[3 * row + i]!, 0);
      const plain = Math.min(2, Math.max(-0.5, product(values, given) + bias[row]!));
      const [low, high] = made.clamp!;
      const own = given.map((v) => held(v, x));
      for (const w of [made.rows.values, made.rows.codes!.codes.map((c) => c)]) {
        const factor = w instanceof Int8Array ? factors[row]! : 1;
        const result = product(w, own) / factor + (made.bias?.[row] ?? 0);
        expect(Math.min(high, Math.max(low, result))).toBeCloseTo(held(plain, y), 4);
      }
    }
  });

  it('gives each reader a blob of its own, and outputs their names', async () => {
    const [rows] = await emitted(
      netOf(`(float[N,3,8,8] x) => (float[N,3,8,8] y, float[N,3,8,8] a) <float[3,3,1,1] w> {
        a = Conv(x, w) b = Sigmoid(a) y = Mul(a, b) }`),
    );
    expect(rows.filter((r) => r.type === 'Split')).toHaveLength(1);
    const used = new Set(rows.flatMap((r) => r.inputs));
    expect(
      rows
        .flatMap((r) => r.outputs)
        .filter((b) => !used.has(b))
        .sort(),
    ).toEqual(['a', 'y']);
  });

  it('parts groups whose codes have several scales, and keeps depthwise ones whole', async () => {
    const graph = await quantized(
      ncnn,
      netOf(`(float[N,4,8,8] x) => (float[N,6,8,8] y) <float[6,2,1,1] w> { y = Conv<group = 2>(x, w) }`),
    );
    const params = new Map(
      [...graph.params].map(([point, p]) => [point, { ...p, scale: p.scale.map((v, i) => v * (1 + i)) }] as const),
    );
    const parted = read(fileOf(ncnn.emitter.emit(inputOf({ ...graph, params })), '.param').toString());
    const kinds = (rows: Row[]): string[] => rows.map((r) => r.type);
    expect(kinds(parted)).toEqual(['Input', 'Slice', 'Convolution', 'Convolution', 'Concat']);
    const [whole] = await emitted(
      netOf(`(float[N,4,8,8] x) => (float[N,4,6,6] y) <float[4,1,3,3] w> { y = Conv<group = 4>(x, w) }`),
    );
    expect(kinds(whole)).toEqual(['Input', 'ConvolutionDepthWise']);
    expect(whole[1]?.settings).toMatchObject({ 7: '4', 8: '1' });
  });

  it.each<[string, string, Record<string, string>]>([
    [
      'p = MaxPool<kernel_shape = [3,3], strides = [2,2], ceil_mode = 1>(a)',
      'Pooling',
      { 0: '0', 1: '3', 2: '2', 5: '0' },
    ],
    [
      'p = AveragePool<kernel_shape = [2,2], pads = [1,1,1,1], count_include_pad = 1>(a)',
      'Pooling',
      { 0: '1', 6: '1' },
    ],
    ['p = Transpose<perm = [0,2,3,1]>(a)', 'Permute', { 0: '3' }],
    ['p = Clip(a, low, high)', 'Convolution', { 9: '3', '-23310': '2,-5.00000000e-1,6.00000000e+0' }],
    ['p = Add(a, two)', 'BinaryOp', { 0: '0', 1: '1', 2: '2.00000000e+0' }],
    ['p = Sub(two, a)', 'BinaryOp', { 0: '7', 1: '1', 2: '2.00000000e+0' }],
    ['p = Slice(a, starts, ends, axes, steps)', 'Crop', { '-23309': '1,1', '-23310': '1,8', '-23311': '1,1' }],
    ['p = Pad<mode = "reflect">(a, pads)', 'Padding', { 0: '1', 1: '0', 2: '2', 3: '0', 4: '2' }],
    ['p = ReduceMax<axes = [-1], keepdims = 0>(a)', 'Reduction', { 0: '4', '-23303': '1,2', 5: '1' }],
    ['p = Softmax<axis = 1>(a)', 'Softmax', { 0: '0', 1: '1' }],
    ['p = Resize(a, none, sizes)', 'Interp', { 0: '1', 3: '16', 4: '16' }],
    ['p = DepthToSpace<blocksize = 2>(a)', 'PixelShuffle', { 0: '2', 1: '1' }],
  ])('%s', async (line, type, settings) => {
    const text = netOf(`(float[N,4,8,8] x) => (float p) <float[4,4,1,1] w, float low = {-0.5}, float high = {6},
      float two = {2}, int64[1] starts = {1}, int64[1] ends = {8}, int64[1] axes = {2}, int64[1] steps = {2},
      int64[8] pads = {0,0,1,2,0,0,0,0}, float[4] sizes = {1,1,2,2}, float[0] none = {}> {
      a = Conv(x, w) ${line} }`);
    const [rows] = await emitted(text.replace('(float p)', '(float[N,A,B,C] p)'));
    expect(rows.find((r) => r.type === type)?.settings).toMatchObject(settings);
  });

  it.each([
    [
      'ceil_mode that counts padding',
      'y = AveragePool<kernel_shape = [2,2], strides = [2,2], ceil_mode = 1, count_include_pad = 1>(x)',
    ],
    ['dilated pools', 'y = MaxPool<kernel_shape = [2,2], dilations = [2,2]>(x)'],
    ['moves of the batch axis', 'y = Transpose<perm = [1,0,2,3]>(x)'],
    ['an operator that is not there', 'y = Asinh(x)'],
    ['a Concat of samples', 'y = Concat<axis = 0>(x, x)'],
  ])('refuses %s, by node', (_what, line) => {
    const model = parseModel(netOf(`(float[N,4,9,9] x) => (float[A,B,C,D] y) { z = Relu(x) [here] ${line} }`));
    expect(ncnn.emitter.refuses({ model }).map((r) => r.node)).toContain('here');
  });

  it('writes float16 weights behind their tag, and float32 ones behind 0', async () => {
    const none = { plan: new Map(), integerNodes: new Set<never>(), weightOnlyNodes: new Set<never>() };
    const planned = { ...none, fusedClamps: new Map(), floatNodes: new Map() };
    const model = parseModel(CONV, { randomInitializers: 1 });
    const graph = { model, planned, params: new Map(), seed: 0 };
    const [half, whole] = await Promise.all(
      (['float16', 'float32'] as const).map(async (p) => fileOf(ncnn.emitter.emit(inputOf(graph, p)), '.bin')),
    );
    expect(half?.readUInt32LE(0)).toBe(0x01306b47);
    expect(half?.length).toBe(4 + 162 * 2 + 24);
    expect(whole?.readUInt32LE(0)).toBe(0);
    expect(whole?.length).toBe(4 + 162 * 4 + 24);
  });
});
