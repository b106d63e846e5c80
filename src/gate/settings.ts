/** The `gate:` section of a recipe. */
import { z } from 'zod';
import { gates } from './gates/index.js';
import { confidenceSpec } from './limits.js';
import type { Gate } from './types.js';

/** Refuses settings without a limit of any of the gates. */
export const withLimit = <T extends z.ZodObject>(spec: T, all: readonly Gate[]): T =>
  spec.refine(
    (settings) =>
      all.some((g) => Object.hasOwn(settings, g.name)) || Object.values(settings['targets'] ?? {}).length > 0,
    `a gate needs a limit: ${all.map((g) => g.name).join(', ')}; or targets with limits of their own`,
  );

type Limits = { [G in (typeof gates)[number] as G['name']]: z.ZodOptional<G['options']> };

// One key for each gate of the list, which its type says key by key.
const limits = Object.fromEntries(
  gates.map((g) => [g.name, g.options.describe(g.doc).optional()]),
) as unknown as Limits;

export const gateSpec = withLimit(
  z.strictObject({
    confidence: confidenceSpec
      .prefault('95%')
      .describe('Confidence of the two-sided intervals, such as 95%: each side errs by half of the rest.'),
    targets: z
      .record(z.string(), z.strictObject(limits))
      .describe(
        'Limits by runtime, which hold for what `quantize verify` measures there: { openvino: { accuracyDrop: … } }. ' +
          'Before it was verified there, such a limit is undecided.',
      )
      .optional(),
    ...limits,
  }),
  gates,
);
export type GateSettings = z.output<typeof gateSpec>;
