/** Programs and parameters of Paddle, read back by a reader of its own. */
import protobuf from 'protobufjs/minimal.js';
import { describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { paddle } from '../../../src/targets/paddle/index.js';
import { fileOf, inputOf, netOf, quantized } from './graphs.js';

type Fields = Map<number, (number | Buffer)[]>;
/** Numbers and byte strings of a message by their field numbers. */
function fields(bytes: Buffer): Fields {
  const reader = protobuf.Reader.create(bytes);
  const found: Fields = new Map();
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const value =
      (tag & 7) === 2
        ? Buffer.from(reader.bytes())
        : (tag & 7) === 5
          ? reader.float()
          : Number(BigInt.asIntN(64, BigInt(reader.int64().toString())));
    found.set(tag >>> 3, [...(found.get(tag >>> 3) ?? []), value]);
  }
  return found;
}
const all = (f: Fields, id: number): Fields[] => (f.get(id) ?? []).map((b) => fields(b as Buffer)); // messages
const text = (f: Fields, id: number): string => (f.get(id)?.[0] as Buffer).toString(); // a string

interface Op {
  type: string;
  inputs: Record<string, string[]>;
  attributes: Record<string, unknown>;
}
function operators(file: Buffer): Op[] {
  const [block] = all(fields(file), 1);
  return all(block!, 4).map((op) => ({
    type: text(op, 3),
    inputs: Object.fromEntries(all(op, 1).map((v) => [text(v, 1), (v.get(2) ?? []).map(String)])),
    attributes: Object.fromEntries(
      all(op, 4).map((a) => [
        text(a, 1),
        a.get(3)?.[0] ?? a.get(4)?.[0] ?? a.get(6) ?? a.get(10)?.[0] ?? a.get(5)?.[0],
      ]),
    ),
  }));
}
/** Sizes and data of the parameters, in the order of the file. */
function parameters(file: Buffer): { dims: number[]; data: Buffer }[] {
  const found: { dims: number[]; data: Buffer }[] = [];
  for (let at = 0; at < file.length;) {
    const size = file.readInt32LE(at + 16);
    const head = fields(file.subarray(at + 20, at + 20 + size));
    const dims = (head.get(2) ?? []).map(Number);
    const bytes = dims.reduce((n, d) => n * d, 1) * (head.get(1)?.[0] === 21 ? 1 : 4);
    found.push({ dims, data: file.subarray(at + 20 + size, at + 20 + size + bytes) });
    at += 20 + size + bytes;
  }
  return found;
}

const NET =
  netOf(`(float[N,3,8,8] x) => (float[N,5] y) <float[4,3,3,3] w, float[4] b, float[5,4] v, int64[2] s = {0,-1}> {
  a = Conv<pads = [1,0,1,2]>(x, w, b) r = Relu(a) p = GlobalAveragePool(r) f = Reshape(p, s)
  y = Gemm<transB = 1>(f, v) }`);

describe('paddle', () => {
  it('puts quantization before products, and weights in int8 with absolute maxima', async () => {
    const files = await paddle.emitter.emit(inputOf(await quantized(paddle, NET)));
    const ops = operators(fileOf(files, '.pdmodel'));
    expect(ops.map((o) => o.type)).toEqual(
      (
        'feed quantize_linear dequantize_linear dequantize_linear conv2d elementwise_add relu quantize_linear ' +
        'dequantize_linear reduce_mean reshape2 quantize_linear dequantize_linear dequantize_linear matmul_v2 fetch'
      )
        .split(' ')
        .filter((t) => t),
    );
    const conv = ops.find((o) => o.type === 'conv2d');
    expect(conv?.attributes).toMatchObject({ paddings: [1, 1, 0, 2], strides: [1, 1], groups: 1 });
    const stored = parameters(fileOf(files, '.pdiparams'));
    const largest = stored
      .filter((p) => p.dims.join() === '1' && p.data.readFloatLE(0) > 1)
      .map((p) => p.data.readFloatLE(0));
    largest.forEach((m) => expect(m).toBeCloseTo(4, 5));
    expect(largest.length).toBeGreaterThanOrEqual(2);
    expect(stored.filter((p) => p.data.length === 108)).toHaveLength(1); // int8 weights of the convolution
    expect(stored.find((p) => p.data.length === 20 && p.dims.join() === '4,5')).toBeDefined(); // turned for matmul
  });

  it('adds without elementwise_add where the sum has no scale', async () => {
    const files = await paddle.emitter.emit(
      inputOf(
        await quantized(
          paddle,
          netOf(`(float[N,4,8,8] x) => (float[N,4,8,8] y) <float[4,4,1,1] w> {
          a = Conv(x, w) y = Add(a, x) }`),
        ),
      ),
    );
    expect(operators(fileOf(files, '.pdmodel')).map((o) => o.type)).toContain('sum');
  });

  it.each([
    ['negative steps', 'y = Slice(x, one, zero, one, back)'],
    ['reflected borders', 'y = Pad<mode = "reflect">(x, pads)'],
    ['windows beyond the padding', 'y = MaxPool<kernel_shape = [2,2], strides = [2,2], ceil_mode = 1>(x)'],
    ['an operator that is not there', 'y = Asinh(x)'],
    ['reductions of the batch', 'y = ReduceMean<axes = [0]>(x)'],
  ])('refuses %s, by node', (_what, line) => {
    const model = parseModel(
      netOf(`(float[N,4,9,9] x) => (float[A,B,C,D] y) <int64[1] one = {1}, int64[1] zero = {0}, int64[1] back = {-1},
        int64[8] pads = {0,0,1,1,0,0,1,1}> { [here] ${line} }`),
    );
    expect(paddle.emitter.refuses({ model }).map((r) => r.node)).toEqual(['here']);
  });
});
