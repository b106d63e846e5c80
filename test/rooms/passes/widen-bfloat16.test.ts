/** A model that computes in bfloat16 computes in float32 with the same weights, and runs. */
import { describe, expect, it } from 'vitest';
import { allGraphs, type Model } from '../../../src/ir/model.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { verify } from '../../../src/ir/verify.js';
import { computesInBfloat16, widenBfloat16 } from '../../../src/passes/widen-bfloat16.js';
import { openModel } from '../../../src/runtime/open.js';

const header = '<ir_version: 10, opset_import: ["" : 21]>\n';
/** Bits of bfloat16: 1, −2, 0.5. */
const [ONE, MINUS_TWO, HALF] = [0x3f80, 0xc000, 0x3f00];

const widened = (text: string): Model => {
  const model = parseModel(header + text, { randomInitializers: 1 });
  expect(computesInBfloat16(model)).toBe(true);
  widenBfloat16(model);
  expect(verify(model)).toEqual([]);
  expect(computesInBfloat16(model)).toBe(false);
  return model;
};
const run = async (model: Model, values: readonly number[], dims: readonly number[]): Promise<number[]> => {
  const session = await openModel(model);
  try {
    const { y } = await session.run({ x: { dtype: 'float32', dims, data: Float32Array.from(values) } });
    return Array.from((y?.data ?? []) as ArrayLike<number>);
  } finally {
    await session.close();
  }
};

describe('widenBfloat16', () => {
  it('keeps weights, inputs and outputs, which are float32 then', async () => {
    const model = widened(
      `g (bfloat16[1,3] x) => (bfloat16[1,1] y) <bfloat16[3,1] w = {${ONE},${MINUS_TWO},${HALF}}> { y = MatMul(x, w) }`,
    );
    expect([...model.graph.inputs, ...model.graph.outputs].map((v) => v.dtype)).toEqual(['float32', 'float32']);
    expect(await run(model, [1, 1, 1], [1, 3])).toEqual([-0.5]);
  });
  it('turns casts and constants between float32 inputs and outputs', async () => {
    const model = widened(
      `g (float[2] x) => (float[2] y) {
        b = Cast<to = 16>(x)
        c = Constant<value = bfloat16[1] {${MINUS_TWO}}>()
        n = Shape(x)
        f = ConstantOfShape<value = bfloat16[1] {${HALF}}>(n)
        p = Mul(b, c)
        s = Add(p, f)
        y = Cast<to = 1>(s)
      }`,
    );
    // 1.00390625 is no bfloat16: nothing is rounded to one any more
    expect(await run(model, [1.00390625, 3], [2])).toEqual([-1.5078125, -5.5]);
  });
  it('reaches bodies, and functions', async () => {
    const model = widened(
      `g (bfloat16[2] x) => (bfloat16[2] y) <bfloat16 w = {${MINUS_TWO}}, bool which = {1}> {
        t = own.twice(x)
        y = If(which)<then_branch = yes () => (bfloat16[2] r) { r = Mul(t, w) },
          else_branch = no () => (bfloat16[2] q) { q = Add(t, w) }>
      }
      <domain: "own", opset_import: ["" : 21]>
      twice (a) => (b) { two = Constant<value = bfloat16[1] {${0x4000}}>() b = Mul(a, two) }`,
    );
    expect(model.functions).toEqual([]);
    expect([...allGraphs(model.graph)].flatMap((g) => g.outputs.map((v) => v.dtype))).not.toContain('bfloat16');
    expect(await run(model, [1, 0.5], [2])).toEqual([-4, -2]);
  });
  it('leaves large weights where they are, behind one Cast', () => {
    const model = widened(
      `g (bfloat16[1,128] x) => (bfloat16[1,64] y, bfloat16[128,64] w) <bfloat16[128,64] w> { y = MatMul(x, w) }`,
    );
    const cast = [...model.graph.nodes].find((n) => n.op === 'Cast');
    expect(cast?.inputs[0]?.data?.dtype).toBe('bfloat16');
    expect(model.graph.outputs[1]).toBe(cast?.outputs[0]);
    expect([...(cast?.outputs[0]?.uses ?? [])].map((u) => u.node.op)).toEqual(['MatMul']);
  });
  it.each([
    ['weights behind a Cast', `(float[4] x) => (float[4] y) <bfloat16[4] w> { c = Cast<to = 1>(w) y = Mul(x, c) }`],
    ['a rounding by two casts', `(float[4] x) => (float[4] y) { c = Cast<to = 16>(x) y = Cast<to = 1>(c) }`],
    ['float16', `(float16[4] x) => (float16[4] y) { y = Relu(x) }`],
  ])('%s compute in nothing of the kind', (_, text) => {
    expect(computesInBfloat16(parseModel(`${header}g ${text}`, { randomInitializers: 1 }))).toBe(false);
  });
});
