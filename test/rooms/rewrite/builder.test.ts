import { describe, expect, it } from 'vitest';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { GraphBuilder } from '../../../src/rewrite/builder.js';
import { openModel } from '../../../src/runtime/open.js';

const model = (opset = 17) => {
  const m = parseModel(
    `<ir_version: 8, opset_import: ["" : ${opset}]> g (float[2,3,4] x) => (float[2,3,4] y) { y = Identity(x) }`,
  );
  inferShapes(m);
  return m;
};

describe('attributes of added nodes', () => {
  const attrs = { alpha: 0.1, beta: 1, axis: 1, axes: [0, 1], scales: [1, 2], mode: 'a', names: ['a', 'b'], big: 5n };
  const made = () => {
    const m = model();
    const b = new GraphBuilder(m);
    return b.node('Op', [m.graph.inputs[0] ?? null], 1, { attrs: { ...attrs, odd: [0.5], t: Tensor.i64([1]) } });
  };
  it.each([
    ['alpha', { type: 'float', value: Math.fround(0.1) }],
    ['beta', { type: 'float', value: 1 }],
    ['axis', { type: 'int', value: 1n }],
    ['axes', { type: 'ints', value: [0n, 1n] }],
    ['scales', { type: 'floats', value: [1, 2] }],
    ['odd', { type: 'floats', value: [0.5] }],
    ['mode', { type: 'string', value: 'a' }],
    ['names', { type: 'strings', value: ['a', 'b'] }],
    ['big', { type: 'int', value: 5n }],
  ])('%s is what the operator declares', (name, attr) => expect(made().attrs.get(name)).toEqual(attr));
  it('hold tensors', () => expect(made().attrs.get('t')).toMatchObject({ type: 'tensor' }));
  it('of numbers that are no integers in float32 are floats, NaN and infinity too', () => {
    const m = model();
    const node = new GraphBuilder(m).node('Op', [], 1, { attrs: { value: Infinity, other: NaN } });
    expect([node.attrs.get('value'), node.attrs.get('other')]).toEqual([
      { type: 'float', value: Infinity },
      { type: 'float', value: NaN },
    ]);
  });
  it('make a node that the runtime takes', async () => {
    const m = model();
    const b = new GraphBuilder(m);
    const y = b.op('LeakyRelu', [m.graph.inputs[0] ?? null], { attrs: { alpha: 1 } });
    m.graph.addOutput(y);
    const session = await openModel(m);
    const out = await session.run({ x: { dtype: 'float32', data: new Float32Array(24).fill(-2), dims: [2, 3, 4] } });
    expect(out[y.name]?.data).toEqual(new Float32Array(24).fill(-2));
    await session.close();
  });
});

describe('axes', () => {
  it.each([
    ['ReduceSum', 12, 'attribute'],
    ['ReduceSum', 13, 'input'],
    ['ReduceMax', 17, 'attribute'],
    ['ReduceMax', 18, 'input'],
    ['Unsqueeze', 12, 'attribute'],
    ['Squeeze', 13, 'input'],
  ])('of %s at opset %i are an %s', (op, opset, where) => {
    const m = model(opset);
    const y = new GraphBuilder(m).overAxes(op, m.graph.inputs[0]!, [0], {
      attrs: op.startsWith('R') ? { keepdims: 0 } : {},
    });
    expect(y.producer?.attrs.has('axes') ? 'attribute' : 'input').toBe(where);
    expect(y.producer?.inputs.length).toBe(where === 'input' ? 2 : 1);
    expect(y.shape).toEqual(op === 'Unsqueeze' ? [1, 2, 3, 4] : op === 'Squeeze' ? [3, 4] : [3, 4]);
  });
});

describe('shape arithmetic', () => {
  it('is remembered between added nodes', () => {
    const m = model();
    const b = new GraphBuilder(m);
    const x = m.graph.inputs[0]!;
    const shape = b.op('Shape', [x]);
    const part = b.op('Gather', [shape, b.constant(Tensor.i64([0, 2]))]);
    const to = b.op('Concat', [part, b.constant(Tensor.i64([-1]))], { attrs: { axis: 0 } });
    expect(b.op('Reshape', [x, to]).shape).toEqual([2, 4, 3]);
    expect(b.op('Expand', [b.constant(1), shape]).shape).toEqual([2, 3, 4]);
  });
});
