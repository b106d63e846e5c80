/** The `gate:` section of a recipe. */
import { z } from 'zod';
import { accuracyDrop } from './gates/accuracy-drop.js';
import { agreement } from './gates/agreement.js';
import { classDrop } from './gates/class-drop.js';
import { gates } from './gates/index.js';
import { integerMacs } from './gates/integer-macs.js';
import { latencyRatio } from './gates/latency-ratio.js';
import { memoryRatio } from './gates/memory-ratio.js';
import { minAccuracy } from './gates/min-accuracy.js';
import { outputError } from './gates/output-error.js';
import { sizeRatio } from './gates/size-ratio.js';
import { confidenceSpec } from './limits.js';
import type { Gate } from './types.js';

/** Refuses settings without a limit of any of the gates. */
export const withLimit = <T extends z.ZodObject>(spec: T, all: readonly Gate[]): T =>
  spec.refine(
    (settings) => all.some((g) => Object.hasOwn(settings, g.name)),
    `a gate needs a limit: ${all.map((g) => g.name).join(', ')}`,
  );

/** Spelt out, so that recipes are typed; a test compares the keys with the list of gates. */
export const gateSpec = withLimit(
  z.strictObject({
    confidence: confidenceSpec
      .prefault('95%')
      .describe('Confidence of the two-sided intervals, such as 95%: each side errs by half of the rest.'),
    accuracyDrop: accuracyDrop.options.describe(accuracyDrop.doc).optional(),
    classDrop: classDrop.options.describe(classDrop.doc).optional(),
    minAccuracy: minAccuracy.options.describe(minAccuracy.doc).optional(),
    agreement: agreement.options.describe(agreement.doc).optional(),
    latencyRatio: latencyRatio.options.describe(latencyRatio.doc).optional(),
    sizeRatio: sizeRatio.options.describe(sizeRatio.doc).optional(),
    memoryRatio: memoryRatio.options.describe(memoryRatio.doc).optional(),
    integerMacs: integerMacs.options.describe(integerMacs.doc).optional(),
    outputError: outputError.options.describe(outputError.doc).optional(),
  }),
  gates,
);
export type GateSettings = z.output<typeof gateSpec>;
