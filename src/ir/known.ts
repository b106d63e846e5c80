import { invariant } from '../base/errors.js';
import type { Value } from './graph.js';
import type { Tensor } from './tensor.js';

/** The elements of an initializer, which has some. */
export function dataOf(value: Value): Tensor {
  const { data } = value;
  if (!data) invariant(false, `'${value.name}' is no initializer`);
  return data;
}
