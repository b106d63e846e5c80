import { expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { inferShapes } from '../../../src/ops/infer.js';

const shapeOf = (input: string): unknown => {
  const model = parseModel(
    `<ir_version: 8, opset_import: ["" : 13]>\ng (float${input} x) => (float y) { h = Squeeze(x) y = ReduceSum(h) }`,
  );
  inferShapes(model);
  return [...model.graph.nodes][0]!.outputs[0]!.shape;
};

it('Squeeze without axes drops the axes of size 1 that are known', () => {
  expect(shapeOf('[2,1,3,1]')).toEqual([2, 3]);
});

it('Squeeze without axes says nothing of the shape where a size is not known: a batch of 1 is dropped too', () => {
  expect(shapeOf('[N,1,2]')).toBeUndefined();
});
