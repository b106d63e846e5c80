import type { z } from 'zod';
import type { RuleResult, RunRecord } from '../record/index.js';

/** A limit that a run must keep. What could not be measured fails it. */
export interface Gate<O = unknown> {
  /** The key of recipes. */
  readonly name: string;
  readonly doc: string;
  /**
   * Strict zod object with a description for each key. Values stay as they were written, so that a resolved recipe can
   * be read again.
   */
  readonly options: z.ZodType<O>;
  /**
   * Judges `run` against its own float model, or against the quantized model of `baseline`. `confidence`, 0…1, is that
   * of the two-sided intervals. Throws nothing: what is missing is told in the result.
   */
  judge(run: RunRecord, baseline: RunRecord | undefined, options: O, confidence: number): RuleResult;
}
