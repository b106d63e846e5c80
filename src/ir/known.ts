import { invariant } from '../base/errors.js';
import type { Shape, Value } from './graph.js';
import type { Tensor } from './tensor.js';

/** The elements of an initializer, which has some. */
export function dataOf(value: Value): Tensor {
  const { data } = value;
  if (!data) invariant(false, `'${value.name}' is no initializer`);
  return data;
}

/** The shape of a value that was inferred, or checked to be known. */
export function shapeOf(value: Value): Shape {
  const { shape } = value;
  if (!shape) invariant(false, `the shape of '${value.name}' is not known`);
  return shape;
}
