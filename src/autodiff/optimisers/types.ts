/** How a step of training changes a weight. */
import type { z } from 'zod';
import type { Value } from '../../ir/graph.js';

/** What an optimiser builds with, in the type of the weight. */
export interface StepContext {
  readonly parameter: Value;
  readonly gradient: Value;
  /** Of the weight. */
  readonly shape: readonly number[];
  /** What the steps before left, of the shape of the weight; zeros at first. */
  readonly state: readonly Value[];
  /** Learning rate, and the number of this step, from 1: scalars. */
  readonly rate: Value;
  readonly step: Value;
  /** False for weights that decay leaves alone, such as biases. */
  readonly decays: boolean;
  add(op: string, ...inputs: readonly Value[]): Value;
  /** A number of the type of the weight. */
  number(value: number): Value;
  reshape(x: Value, shape: readonly number[]): Value;
}

export interface Optimiser<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  /** Names of the tensors that it keeps for a weight of a shape. */
  state(options: O, shape: readonly number[]): readonly string[];
  /** The weight and the state after the step. */
  step(context: StepContext, options: O): { readonly parameter: Value; readonly state: readonly Value[] };
}
