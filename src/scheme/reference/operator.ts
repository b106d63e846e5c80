/** What the reference operators share: how they are called, and how they read their inputs. */
import { fail } from '../../base/errors.js';
import { integerRange, type DType } from '../../ir/dtype.js';
import type { Tensor } from '../../ir/tensor.js';

export type ReferenceAttributes = Readonly<Record<string, number | string | readonly number[]>>;
/** One ONNX operator as plain arithmetic. Inputs are in ONNX order, undefined where left out. */
export type ReferenceOperator = (inputs: readonly (Tensor | undefined)[], attributes: ReferenceAttributes) => Tensor[];

export function required(inputs: readonly (Tensor | undefined)[], index: number, name: string): Tensor {
  return inputs[index] ?? fail('MODEL_TENSOR', `input ${index} (${name}) is missing`);
}
export function numberOf(attributes: ReferenceAttributes, name: string, otherwise: number): number {
  const value = attributes[name];
  if (value === undefined) return otherwise;
  return typeof value === 'number'
    ? value
    : fail('MODEL_TENSOR', `attribute ${name} is ${JSON.stringify(value)}, but must be a number`);
}
export function numbersOf(attributes: ReferenceAttributes, name: string): readonly number[] | undefined {
  const value = attributes[name];
  return value === undefined || typeof value === 'object'
    ? value
    : fail('MODEL_TENSOR', `attribute ${name} is ${JSON.stringify(value)}, but must be a list of numbers`);
}
/**
 * The only element of a scalar, or `otherwise` where the input is left out. Throws MODEL_TENSOR for more than one
 * element.
 */
export function scalarOf(tensor: Tensor | undefined, otherwise: number): number {
  if (!tensor) return otherwise;
  return tensor.size === 1
    ? tensor.f64()[0]!
    : fail('MODEL_TENSOR', `a scalar is needed, but the tensor has dims [${tensor.dims.join(',')}]`);
}
/** Clips to the range of an integer type; NaN gives 0. */
export function saturate(dtype: DType, x: number): number {
  const [low, high] = integerRange(dtype) ?? fail('MODEL_TENSOR', `${dtype} is no integer type`);
  return x >= high ? high : x > low ? x : Number.isNaN(x) ? 0 : low;
}
