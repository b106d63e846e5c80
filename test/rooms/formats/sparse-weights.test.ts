/** Weights stored without their zeros: the same numbers in onnxruntime, and files as small as arithmetic says. */
import { describe, expect, it } from 'vitest';
import { createRng } from '../../../src/base/rng.js';
import { storeSparse, type Store } from '../../../src/formats/sparse-weights.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { DType } from '../../../src/ir/dtype.js';
import type { Feed } from '../../../src/ir/feed.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { verify } from '../../../src/ir/verify.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { openModel } from '../../../src/runtime/open.js';

const COUNT = 40 * 213;
/** A weight of a type, of which so much is the fill. */
function weight(dtype: DType, share: number, fill: number, seed = 1): Tensor {
  const rng = createRng(seed, 'weights');
  const values = Array.from({ length: COUNT }, () => (rng.next() < share ? fill : 1 + rng.int(100)));
  if (dtype !== 'float16')
    return dtype === 'float32' ? Tensor.f32(values, [40, 213]) : Tensor.codes(dtype, values, [40, 213]);
  // Halves of 1.0 and up, by their bits.
  const halves = Uint16Array.from(values, (x) => (x === 0 ? 0 : 0x3c00 + x));
  return new Tensor('float16', [40, 213], new Uint8Array(halves.buffer));
}
function model(dtype: DType, data: Tensor, zero?: number, opset = 17): Model {
  const read =
    dtype === 'float32'
      ? 'd = Identity (w)'
      : dtype === 'float16'
        ? 'd = Cast <to: int = 1> (w)'
        : `d = DequantizeLinear (w, s${zero === undefined ? '' : ', z'})`;
  // Integers on both sides, as quantized models have them: a product of floats and codes has kernels that round.
  const integers = !dtype.startsWith('float');
  const m = parseModel(
    `<ir_version: 8, opset_import: ["" : ${opset}]> g (float[N,40] x) => (y)
     <${dtype === 'float32' ? 'float' : dtype}[40,213] w, float s = {0.01}, ${dtype.startsWith('float') ? 'int8' : dtype} z = {${zero ?? 0}}, float t = {0.008}, uint8 u = {128}> 
     { ${read} ${integers ? 'q = QuantizeLinear (x, t, u) a = DequantizeLinear (q, t, u)' : 'a = Identity (x)'} y = MatMul (a, d) }`,
    { randomInitializers: 1 },
  );
  for (const v of m.graph.initializers) if (v.name === 'w') v.data = data;
  return m;
}
const FEED: Feed = {
  x: { dtype: 'float32', dims: [3, 40], data: Float32Array.from({ length: 120 }, (_, i) => Math.sin(i)) },
};
async function run(m: Model): Promise<number[]> {
  const session = await openModel(m, {});
  const made = [...((await session.run(FEED)).y!.data as Float32Array)];
  await session.close();
  return made;
}

describe('storeSparse()', () => {
  it.each<[DType, number, number | undefined, Store, 'sparse' | 'mask']>([
    ['float32', 0.5, undefined, 'auto', 'mask'],
    ['float32', 0.5, undefined, 'mask', 'mask'],
    ['float32', 0.9, undefined, 'sparse', 'sparse'],
    ['float32', 0.999, undefined, 'auto', 'sparse'],
    ['float16', 0.75, undefined, 'auto', 'mask'],
    ['int8', 0.5, undefined, 'auto', 'mask'],
    ['int8', 0.5, 0, 'auto', 'mask'],
    ['int8', 0.5, -7, 'auto', 'mask'],
    ['uint8', 0.5, 128, 'auto', 'mask'],
    ['int8', 0.999, undefined, 'auto', 'sparse'],
    ['int8', 0.95, undefined, 'sparse', 'sparse'],
    ['float32', 1, undefined, 'auto', 'sparse'],
    ['int8', 1, 0, 'sparse', 'sparse'],
    ['int8', 1, -7, 'auto', 'mask'],
  ])('%s, %d of them zero with zero point %s, as %s: %s', async (dtype, share, zero, how, kind) => {
    const m = model(dtype, weight(dtype, share, zero ?? 0), zero);
    const { model: copy } = cloneModel(m);
    const { stored } = storeSparse(copy, how);
    expect(stored.map((s) => s.how)).toEqual([kind]);
    expect(verify(copy)).toEqual([]);
    const [before, bytes] = [encodeModel(m), encodeModel(copy)];
    expect(before.length - bytes.length).toBeGreaterThan(0);
    // What is told of the size is what it is, but for names.
    expect(Math.abs(before.length - bytes.length - (stored[0]!.dense - stored[0]!.bytes))).toBeLessThan(250);
    expect(await run(copy)).toEqual(await run(m));
    const read = decodeModel(bytes);
    expect(await run(read)).toEqual(await run(m));
    expect(encodeModel(read)).toEqual(bytes);
  });
  it.each<[string, Tensor, Store]>([
    ['what has few zeros', weight('float32', 0.02, 0), 'auto'],
    ['what is asked to be dense', weight('float32', 0.9, 0), 'dense'],
    ['what would be larger as sparse', weight('float32', 0.5, 0), 'sparse'],
  ])('leaves %s as it is', (_, data, how) => {
    const m = model('float32', data);
    const before = encodeModel(m);
    expect(storeSparse(m, how).stored).toEqual([]);
    expect(encodeModel(m)).toEqual(before);
  });
  it('has no sparse initializer that is too large for the few values it holds to be read again', () => {
    const zeros = Tensor.f32(new Float32Array(5 * 2 ** 20), [40, 2 ** 17]); // 20 MiB
    const text = `<ir_version: 8, opset_import: ["" : 17]> g (float[N,40] x) => (y) <float[40,131072] w> { y = MatMul (x, w) }`;
    const m = parseModel(text, { randomInitializers: 1 });
    for (const v of m.graph.initializers) v.data = zeros;
    expect(storeSparse(cloneModel(m).model, 'sparse').stored).toEqual([]);
    const { model: copy } = cloneModel(m);
    expect(storeSparse(copy, 'auto').stored.map((s) => s.how)).toEqual(['mask']);
    expect(verify(decodeModel(encodeModel(copy)))).toEqual([]);
  });
  it('needs operators of opset 11 for masks', () => {
    const m = model('float32', weight('float32', 0.5, 0), undefined, 10);
    expect(storeSparse(m, 'auto').stored).toEqual([]);
  });
});
