/** How the learning rate goes over the course of training. */
import type { z } from 'zod';

export interface Schedule<O = unknown> {
  readonly name: string;
  readonly doc: string;
  /** Strict zod object with a default and a description for each key. */
  readonly options: z.ZodType<O>;
  /** The share of the rate that holds at a point of training, from 0 at the first step to almost 1 at the last. */
  factor(progress: number, options: O): number;
}
