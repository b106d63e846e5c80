/** What a loss is built of, and gives. */
import type { z } from 'zod';
import type { DType } from '../../ir/dtype.js';
import type { Shape, Value } from '../../ir/graph.js';
import type { GraphBuilder } from '../../rewrite/builder.js';

export interface LossContext {
  readonly builder: GraphBuilder;
  /** What the model gives, with known sizes along the axes that the loss looks at. */
  readonly prediction: Value;
  /**
   * What the prediction is held against: a value of the model where there is one of that name (a teacher's result),
   * else a new input. `part` names further ones, such as a mask.
   */
  target(dtype: DType, shape: Shape | undefined, part?: string): Value;
  /** A value of the model by name. Throws GRADIENT_UNKNOWN_NAME. */
  value(name: string): Value;
}

/** One number, smaller where a prediction is better: the mean over a batch. */
export interface Loss<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  /** A value of one element without axes. */
  build(context: LossContext, options: O): Value;
}
