/** Shape inference of models that no exporter writes: wrong axes are refused, impossible sizes are unknown. */
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import type { Shape } from '../../../src/ir/graph.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { inferShapes } from '../../../src/ops/infer.js';
import { memoryPlan } from '../../../src/cost/memory.js';
import { modelCost, sized } from '../../../src/cost/nodes.js';

/** Shapes of the outputs `y` (and further ones) of one node. */
function shapes(node: string, constants = '', inputs = 'float[2,3,4] x', opset = 17): (Shape | undefined)[] {
  const model = parseModel(
    `<ir_version: 8, opset_import: ["" : ${opset}]> g (${inputs}) => (float y) <${constants}> { ${node} }`,
  );
  for (const o of model.graph.outputs) o.shape = undefined;
  inferShapes(model);
  // Whatever was inferred must be writable, and countable.
  expect(decodeModel(encodeModel(model)).graph.nodes.size).toBe(model.graph.nodes.size);
  const cost = modelCost(sized(model, new Map()));
  expect(
    [cost.macs, cost.flops, cost.readBytes, cost.writeBytes, memoryPlan(sized(model, new Map())).peakBytes].every(
      (n) => n >= 0,
    ),
  ).toBe(true);
  return [...model.graph.nodes].at(-1)!.outputs.map((o) => o.shape);
}
function refusal(...of: Parameters<typeof shapes>): unknown {
  try {
    shapes(...of);
  } catch (error) {
    if (error instanceof QuantError) return [error.code, error.where.node];
    throw error;
  }
  return 'accepted';
}

describe('an axis that the tensor lacks is GRAPH_INVALID at the node', () => {
  it.each<[string, string, number?]>([
    ['y = Slice(x, s, e, a)', 'int64[1] s = {0}, int64[1] e = {1}, int64[1] a = {4294967043}'],
    ['y = Slice(x, s, e, a)', 'int64[1] s = {0}, int64[1] e = {1}, int64[1] a = {187039912}'],
    ['y = Slice(x, s, e, a)', 'int64[1] s = {0}, int64[1] e = {1}, int64[1] a = {-4}'],
    ['y = Slice <starts = [0], ends = [1], axes = [99]> (x)', 'float u = {1}', 9],
    ['y = Gather <axis = 3> (x, i)', 'int64[1] i = {0}'],
    ['y = Concat <axis = 3> (x, x)', 'float u = {1}'],
    ['y = Concat <axis = -4> (x, x)', 'float u = {1}'],
    ['y = Split <axis = 5> (x)', 'float u = {1}'],
    ['y = Squeeze(x, a)', 'int64[1] a = {7}'],
    ['y = Unsqueeze(x, a)', 'int64[1] a = {9000000000}'],
    ['y = Flatten <axis = 4> (x)', 'float u = {1}'],
    ['y = ReduceMean <axes = [3]> (x)', 'float u = {1}'],
    ['y = ReduceSum(x, a)', 'int64[2] a = {0, -9}'],
    ['y = ArgMax <axis = 3> (x)', 'float u = {1}'],
    ['y = TopK <axis = 3> (x, k)', 'int64[1] k = {1}'],
    ['y = OneHot <axis = 9> (x, d, v)', 'int64 d = {3}, float[2] v = {0, 1}'],
    ['y = Pad(x, p, "", a)', 'int64[2] p = {1, 1}, int64[1] a = {3}', 18],
    ['y = Transpose <perm = [0, 1, 3]> (x)', 'float u = {1}'],
    ['y = Transpose <perm = [0, 0, 1]> (x)', 'float u = {1}'],
    ['y = Transpose <perm = [0, 1]> (x)', 'float u = {1}'],
  ])('%s with %s', (node, constants, opset) => {
    expect(refusal(node, constants, undefined, opset)).toEqual(['GRAPH_INVALID', 'y']);
  });
  it.each<[string, string]>([
    ['y = Pad(x, p)', 'int64[4] p = {1, 0, 1, 0}'],
    ['y = Tile(x, r)', 'int64[1] r = {2}'],
    ['y = Slice(x, s, e)', 'int64[2] s = {0, 0}, int64[1] e = {1}'],
    ['y = Slice(x, s, s, s, t)', 'int64[2] s = {0, 1}, int64[1] t = {1}'],
  ])('%s with lists of other lengths', (node, constants) => {
    expect(refusal(node, constants)).toEqual(['GRAPH_INVALID', 'y']);
  });
  it.each(['Sum', 'Max', 'Min', 'Mean', 'Concat <axis = 0>'])('%s without inputs', (op) => {
    expect(refusal(`y = ${op} ()`)).toEqual(['GRAPH_INVALID', 'y']);
  });
  it('the last and the first axis, counted from either end, are right', () => {
    expect(shapes('y = Slice(x, s, e, a)', 'int64[2] s = {0, 1}, int64[2] e = {1, 3}, int64[2] a = {-3, 2}')).toEqual([
      [1, 3, 2],
    ]);
    expect(shapes('y = Flatten <axis = 3> (x)')).toEqual([[24, 1]]);
    expect(shapes('y = Flatten <axis = -1> (x)')).toEqual([[6, 4]]);
    expect(shapes('y = Unsqueeze(x, a)', 'int64[2] a = {0, -1}')).toEqual([[1, 2, 3, 4, 1]]);
    expect(shapes('y = Concat <axis = -1> (x, x)')).toEqual([[2, 3, 8]]);
  });
});

describe('a tensor of more axes than any is MODEL_LIMIT', () => {
  it.each<[string, string, string?]>([
    ['y = Expand(x, s)', '', 'float[1] x, int64[4294967296] s'],
    ['y = Reshape(x, s)', '', 'float[1] x, int64[4294967296] s'],
    ['y = ConstantOfShape(s)', '', 'int64[70] s'],
    ['y = Reshape(x, s)', `int64[65] s = {${Array(65).fill(1).join(', ')}}`],
    ['y = Unsqueeze(x, a)', `int64[62] a = {${Array.from({ length: 62 }, (_, i) => i).join(', ')}}`],
  ])('%s %s', (node, constants, inputs) => {
    expect(refusal(node, constants || 'float u = {1}', inputs)).toEqual(['MODEL_LIMIT', 'y']);
  });
});

describe('sizes that cannot be are unknown, not NaN, fractions or negative', () => {
  it.each<[string, string, string | undefined, (Shape | undefined)[], number?]>([
    ['y = DepthToSpace <blocksize = 2> (x)', 'float u = {1}', 'float[1,5,6,6] x', [[1, null, 12, 12]]],
    ['y = DepthToSpace <blocksize = 0> (x)', 'float u = {1}', 'float[1,8,6,6] x', [[1, null, 0, 0]]],
    ['y = SpaceToDepth <blocksize = 4> (x)', 'float u = {1}', 'float[1,1,6,6] x', [[1, 16, null, null]]],
    ['y = Pad(x, p)', 'int64[4] p = {0, -5, 0, 0}', 'float[2,3] x', [[2, null]]],
    ['y = Tile(x, r)', 'int64[2] r = {-1, 1}', 'float[2,3] x', [[null, 3]]],
    ['y = Range(a, b, c)', 'int64 a = {0}, int64 b = {5}, int64 c = {0}', 'float[1] x', [[null]]],
    ['y = Conv <strides = [0, 1]> (x, w)', 'float[1,1,1,1] w = {1}', 'float[1,1,5,5] x', [[1, 1, null, 5]]],
    ['y = ConvTranspose <pads = [9, 0, 9, 0]> (x, w)', 'float[1,1,1,1] w = {1}', 'float[1,1,5,5] x', [[1, 1, null, 5]]],
    ['y = TopK(x, k)', 'int64[1] k = {-3}', 'float[2,3] x', [[2, null]]],
    ['y = Upsample(x, s)', 'float[2] s = {inf, -1}', 'float[2,3] x', [[null, null]], 9],
    ['y = Resize(x, "", s)', 'float[2] s = {nan, 0.5}', 'float[2,3] x', [[null, 1]]],
    ['y = Reshape(x, s)', 'int64[2] s = {-2, 3}', 'float[2,3] x', [[null, 3]]],
    ['y = Expand(x, s)', 'int64[2] s = {9007199254740993, 3}', 'float[1,3] x', [[null, 3]]],
    [
      'y, b = Split <axis = 1> (x, s)',
      'int64[2] s = {-1, 4}',
      'float[2,3] x',
      [
        [2, null],
        [2, 4],
      ],
    ],
  ])('%s', (node, constants, inputs, wanted, opset) => {
    expect(shapes(node, constants, inputs, opset)).toEqual(wanted);
  });
  it('long integer lists of shape arithmetic are remembered for some values only', () => {
    const many = Array.from({ length: 1500 }, (_, i) => `v${i + 1} = Add(v${i}, c)`).join('\n');
    const model = parseModel(
      `<ir_version: 8, opset_import: ["" : 17]> g (float x) => (int64[1000] v1500) <int64[1000] v0 = ` +
        `{${Array(1000).fill(1).join(', ')}}, int64[1000] c = {${Array(1000).fill(2).join(', ')}}> { ${many} }`,
    );
    const { ints } = inferShapes(model);
    expect([...ints.values()].reduce((n, list) => n + list.length, 0)).toBeLessThan(600_000);
  });
});
