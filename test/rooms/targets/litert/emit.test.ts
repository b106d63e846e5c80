/** What stands in .tflite files, read back slot by slot. Numbers of operators and types are those of the schema. */
import { expect, it } from 'vitest';
import { emitter } from '../../../../src/targets/litert/emitter.js';
import type { EmitInput } from '../../../../src/targets/types.js';
import { CASES } from './cases.js';
import { betweenProducts, dynamic, floating, parsed, quantized } from './emit.js';
import { readModel, type ReadModel } from './reader.js';

const [ADD, CONV_2D, DEPTHWISE, DEQUANTIZE, FULLY_CONNECTED, RESHAPE] = [0, 3, 4, 6, 9, 22];
const [PAD, TRANSPOSE, MEAN, SLICE, QUANTIZE] = [34, 39, 40, 65, 114];
const [FLOAT32, FLOAT16, INT32, INT8] = [0, 1, 2, 9];

async function bytesOf(input: EmitInput): Promise<Uint8Array> {
  const [file] = (await emitter.emit(input)).files;
  if (!(file?.data instanceof Uint8Array)) throw new Error('a model is bytes');
  return file.data;
}
const read = async (input: EmitInput): Promise<ReadModel> => readModel(await bytesOf(input));
const codesOf = ({ operators }: ReadModel): number[] => operators.map((o) => o.code);
const graphOf = (name: string): string => CASES[name]?.graph ?? name;

it('a file begins as readers want, aligns its data, and is the same each time', async () => {
  const make = (): EmitInput => quantized(parsed(graphOf('conv padded alike')));
  const bytes = await bytesOf(make());
  expect(new TextDecoder().decode(bytes.subarray(4, 8))).toBe('TFL3');
  const { root } = readModel(bytes);
  expect(root.int32(0)).toBe(3);
  const places = root.tables(4).flatMap((b) => b.place(0) ?? []);
  expect(places.length).toBeGreaterThan(1);
  expect(places.every((p) => p % 16 === 0)).toBe(true);
  expect(await bytesOf(make())).toEqual(bytes);
});

it('a convolution has weights [O, h, w, I] by channel, an int32 bias of their scales, and no Transpose around it', async () => {
  const model = parsed(
    'g (float[1,2,4,4] x) => (float[1,1,3,3] y) <float[1,2,2,2] w = {1,2,3,4,5,6,7,8}, float[1] b = {4}> { [n] y = Conv(x, w, b) }',
  );
  const lite = await read(quantized(model));
  expect(codesOf(lite)).toEqual([QUANTIZE, CONV_2D, DEQUANTIZE]);
  const conv = lite.operators[1];
  const [x, w, b] = conv?.inputs ?? [];
  expect(conv).toMatchObject({ version: 3, optionsType: 1 });
  expect([conv?.options?.int8(0), conv?.options?.int32(1), conv?.options?.int32(4)]).toEqual([1, 1, 1]);
  expect(x).toMatchObject({ type: INT8, shape: [1, 4, 4, 2] });
  expect(w).toMatchObject({ type: INT8, shape: [1, 2, 2, 2], axis: 0, zeroPoint: [0] });
  // ranges are −4 to 4: codes of 4/127, of which 8 saturates
  expect([...new Int8Array(w?.data ?? [])]).toEqual([32, 127, 64, 127, 95, 127, 127, 127]);
  expect(b).toMatchObject({ type: INT32, shape: [1], zeroPoint: [0] });
  expect(b?.scale[0]).toBeCloseTo((x?.scale[0] ?? 0) * (w?.scale[0] ?? 0), 9);
  expect(new Int32Array((b?.data ?? new Uint8Array()).slice().buffer)[0]).toBe(Math.round(4 / (b?.scale[0] ?? 1)));
  expect(lite.inputs[0]).toMatchObject({ name: 'x', type: FLOAT32, shape: [1, 4, 4, 2] });
  expect(lite.outputs[0]).toMatchObject({ name: 'y', type: FLOAT32, shape: [1, 3, 3, 1] });
});

it.each([
  ['conv padded alike', [QUANTIZE, CONV_2D, DEQUANTIZE]],
  ['conv with a stride, padded at the start', [QUANTIZE, PAD, CONV_2D, DEQUANTIZE]],
  ['conv depthwise', [QUANTIZE, DEPTHWISE, DEQUANTIZE]],
  ['conv over a line', [TRANSPOSE, QUANTIZE, RESHAPE, CONV_2D, RESHAPE, TRANSPOSE, DEQUANTIZE]],
  ['Gemm', [QUANTIZE, FULLY_CONNECTED, DEQUANTIZE]],
])('%s is written with the kernels that give it', async (name, codes) => {
  expect(codesOf(await read(quantized(parsed(graphOf(name)))))).toEqual(codes);
});

it.each([
  ['AveragePool of everything', MEAN],
  ['AveragePool of windows', DEPTHWISE],
])('%s has a scale of its own', async (name, code) => {
  const input = quantized(betweenProducts(parsed(graphOf(name))));
  const pool = [...input.graph.model.graph.nodes].find((n) => n.name === 'n')?.outputs[0];
  const params = new Map(input.graph.params);
  const own = pool && params.get(pool);
  if (!pool || !own) throw new Error('a pool between products has codes');
  params.set(pool, { ...own, scale: Float32Array.of(0.015625) });
  const lite = await read({ ...input, graph: { ...input.graph, params } });
  expect(lite.operators.find((o) => o.code === code)?.outputs[0]).toMatchObject({ type: INT8, scale: [0.015625] });
  expect(codesOf(lite)).not.toContain(1); // AVERAGE_POOL_2D
});

it('a net of images has one layout from its input to its output', async () => {
  const lite = await read(quantized(parsed(graphOf('a net of images in one layout'))));
  expect(codesOf(lite)).not.toContain(TRANSPOSE);
  expect(codesOf(lite)).toContain(SLICE);
  expect(lite.operators.filter((o) => o.code === DEQUANTIZE)).toHaveLength(1);
});

it('a step over rows and columns is a window of one place, and exact', async () => {
  const lite = await read(
    quantized(
      parsed(
        'g (float[1,2,6,6] x) => (float[1,2,3,3] y) <float[2,2,1,1] w, int64[2] a = {0, 0}, int64[2] b = {6, 6}, int64[2] c = {2, 3}, int64[2] s = {2, 2}> ' +
          '{ [n] z = Slice(x, a, b, c, s) [m] y = Conv(z, w) }',
      ),
    ),
  );
  const step = lite.operators.find((o) => o.code === DEPTHWISE);
  expect([...(step?.inputs[1]?.data ?? [])]).toEqual([1, 1]);
  expect(step?.inputs[1]).toMatchObject({ scale: [1, 1], axis: 3 });
  expect(step?.outputs[0]?.scale).toEqual(step?.inputs[0]?.scale);
});

it('Relu is the fused activation of what it follows, and other limits are operators on codes', async () => {
  const relu = await read(quantized(betweenProducts(parsed(graphOf('Add of a constant, and Relu')))));
  expect(relu.operators.find((o) => o.code === ADD)?.options?.int8(0)).toBe(1);
  const clip = await read(quantized(parsed(graphOf('conv and Clip to other limits'))));
  expect(codesOf(clip)).toEqual([QUANTIZE, CONV_2D, 55, 57, DEQUANTIZE]); // MAXIMUM, MINIMUM
});

it('float16 files hold weights in half the bytes and turn them back', async () => {
  const lite = await read(floating(parsed(graphOf('conv padded alike')), 'float16'));
  expect(codesOf(lite)).toEqual([DEQUANTIZE, CONV_2D]);
  expect(lite.operators[0]).toMatchObject({ version: 3 });
  expect(lite.operators[0]?.inputs[0]).toMatchObject({ type: FLOAT16, shape: [8, 3, 3, 4] });
});

it('dynamic products read floats beside weights in codes, in the versions that have scales by output', async () => {
  const gemm = await read(dynamic(parsed(graphOf('Gemm'))));
  expect(codesOf(gemm)).toEqual([FULLY_CONNECTED]);
  expect(gemm.operators[0]).toMatchObject({
    version: 12,
    inputs: [{ type: FLOAT32 }, { type: INT8, axis: 0 }, { type: FLOAT32 }],
  });
  expect(gemm.operators[0]?.options?.int8(3)).toBe(1); // inputs are quantized asymmetrically
  const conv = await read(dynamic(parsed(graphOf('conv padded alike'))));
  expect(codesOf(conv)).toEqual([CONV_2D]);
  expect(conv.operators[0]).toMatchObject({
    version: 5,
    inputs: [{ type: FLOAT32 }, { type: INT8, axis: 0 }, { type: FLOAT32 }],
  });
});

it('weights that are only stored in codes are turned back by a node of their own', async () => {
  const lite = await read(dynamic(parsed(graphOf('Gemm')), true));
  expect(codesOf(lite)).toEqual([DEQUANTIZE, FULLY_CONNECTED]);
  expect(lite.operators[0]).toMatchObject({ version: 5, inputs: [{ type: INT8 }] });
});

it('names what it cannot write, before work and while writing', async () => {
  const conv3d = parsed(
    'g (float[1,1,3,3,3] x) => (float[1,1,1,1,1] y) <float[1,1,3,3,3] w> { [deep] y = Conv(x, w) }',
  );
  expect(emitter.refuses(floating(conv3d).graph)).toMatchObject([{ node: 'deep', op: 'Conv' }]);
  const cubic = parsed(
    'g (float[1,1,3,3] x) => (float[1,1,6,6] y) <float[4] s = {1,1,2,2}> { [wide] y = Resize<mode = "cubic">(x, , s) }',
  );
  expect(emitter.refuses(floating(cubic).graph)).toMatchObject([{ node: 'wide', because: 'mode cubic has no kernel' }]);
  const odd = parsed(
    'g (float[1,1,4,4] x) => (float[1,1,3,3] y) <float[4] s = {1,1,0.75,0.75}> { [odd] y = Resize<mode = "nearest", nearest_mode = "ceil">(x, , s) }',
  );
  await expect(emitter.emit(floating(odd))).rejects.toMatchObject({
    code: 'EXPORT_UNSUPPORTED',
    where: { node: 'odd' },
  });
});

it('every model of the cases is written, on codes and in float', async () => {
  for (const [name, { graph, opset, float }] of Object.entries(CASES)) {
    expect(emitter.refuses(floating(parsed(graph, opset)).graph), name).toEqual([]);
    if (float || opset === 11) continue;
    const lite = await read(quantized(betweenProducts(parsed(graph, opset))));
    expect(lite.operators.length, name).toBeGreaterThan(3);
  }
});
