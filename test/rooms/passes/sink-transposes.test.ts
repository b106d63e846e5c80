import { describe, expect, it } from 'vitest';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { verify } from '../../../src/ir/verify.js';
import { randomFeed } from '../../../src/pipeline/feeds.js';
import { countNodes } from '../../../src/ir/count.js';
import { optimizeGraph } from '../../../src/standalone/optimize.js';
import { difference, TOLERANCE } from '../../../src/standalone/same-outputs.js';
import { openModel } from '../../../src/runtime/open.js';

/** A MobileNet block by block as tf2onnx writes it: channels last, with Transposes around every Conv and pool. */
const MOBILENET = `<ir_version: 8, opset_import: ["" : 13]>
mobilenet (float[1,16,16,3] image) => (float[1,5] scores) <
  float[8,3,3,3] w0, float[8] b0, float[8,1,3,3] w1, float[8] g1, float[8] o1, float[8,8,1,1] w2, float[8] b2,
  float[8,8,1,1] w3, float[8,1,3,3] w4, float[12,8,1,1] w5, float[20,5] w6, float[5] b6,
  float zero = {0}, float six = {6}, float three = {3}, float sixth = {0.16666667}, int64[8] pads = {0,0,0,0,0,1,1,0}, int64[2] hw = {1,2}, int64[2] flat = {-1,20},
  int64[1] from = {0}, int64[1] to = {4}, int64[1] channels = {3}>
{
  t0 = Transpose<perm=[0,3,1,2]>(image)
  c0 = Conv<kernel_shape=[3,3], strides=[2,2], pads=[0,0,1,1]>(t0, w0, b0)
  n0 = Transpose<perm=[0,2,3,1]>(c0)
  r0 = Clip(n0, zero, six)
  t1 = Transpose<perm=[0,3,1,2]>(r0)
  c1 = Conv<kernel_shape=[3,3], group=8, pads=[1,1,1,1]>(t1, w1)
  n1 = Transpose<perm=[0,2,3,1]>(c1)
  m1 = Mul(n1, g1)
  a1 = Add(m1, o1)
  h1 = Add(a1, three)
  k1 = Clip(h1, zero, six)
  s1 = Mul(a1, k1)
  q1 = Mul(s1, sixth)
  t2 = Transpose<perm=[0,3,1,2]>(q1)
  c2 = Conv<kernel_shape=[1,1]>(t2, w2, b2)
  n2 = Transpose<perm=[0,2,3,1]>(c2)
  res = Add(n2, r0)
  t3 = Transpose<perm=[0,3,1,2]>(res)
  c3 = Conv<kernel_shape=[1,1]>(t3, w3)
  n3 = Transpose<perm=[0,2,3,1]>(c3)
  r3 = Relu(n3)
  p3 = Pad(r3, pads)
  t4 = Transpose<perm=[0,3,1,2]>(p3)
  c4 = Conv<kernel_shape=[3,3], strides=[2,2], group=8>(t4, w4)
  n4 = Transpose<perm=[0,2,3,1]>(c4)
  t5 = Transpose<perm=[0,3,1,2]>(p3)
  m5 = MaxPool<kernel_shape=[3,3], strides=[2,2]>(t5)
  n5 = Transpose<perm=[0,2,3,1]>(m5)
  cat = Concat<axis=3>(n4, n5)
  first = Slice(cat, from, to, channels)
  rest = Concat<axis=-1>(cat, first)
  both = ReduceMean<axes=[1,2], keepdims=0>(rest)
  flatten = Reshape(both, flat)
  fc = MatMul(flatten, w6)
  dense = Add(fc, b6)
  scores = Softmax(dense)
}`;

const transposes = (m: Model): number => [...m.graph.nodes].filter((n) => n.op === 'Transpose').length;
async function run(model: Model): Promise<Awaited<ReturnType<Awaited<ReturnType<typeof openModel>>['run']>>> {
  const session = await openModel(model, { optimization: 'disabled' });
  try {
    return await session.run(
      randomFeed(
        model.graph.inputs.map((v) => ({ name: v.name, dtype: v.dtype, shape: v.shape })),
        5,
        2,
      ),
    );
  } finally {
    await session.close();
  }
}

describe('models converted from channels last', () => {
  it('keep the Transpose of the image, and no other', async () => {
    const model = parseModel(MOBILENET, { randomInitializers: 3 });
    const before = cloneModel(model).model;
    expect(transposes(before)).toBe(12);
    await optimizeGraph(model, { level: 'default' });
    expect(verify(model)).toEqual([]);
    expect(transposes(model)).toBe(1);
    expect(difference(await run(before), await run(model)).error).toBeLessThanOrEqual(TOLERANCE);
    expect((await optimizeGraph(model, { level: 'default' })).filter((t) => t.changes)).toEqual([]);
    expect(countNodes(model)).toBe(22);
  });
});
