/** Small pieces of the recipe schema. */
import { z } from 'zod';
import { adjustments } from '../adjust/index.js';
import { compressions, compressionsWith } from '../compress/index.js';
import { codings } from '../scheme/codings/index.js';
import { metrics } from '../evaluate/metrics/index.js';
import { gateSpec, withLimit } from '../gate/settings.js';
import { named, type Named } from '../base/named.js';
import { builtIn, type Plugins } from './plugins.js';

/** Changes of the model before quantization. */
export const adjustmentSpec = named('An adjustment', adjustments);
/** Ways to store weights. */
export const codingSpec = named('A coding', codings);

/** The pieces that plug-ins of a recipe add names to. */
export interface NamedParts {
  /** Ways to make the float model smaller, whose measures of channels may be of plug-ins. */
  readonly compression: z.ZodType<Named, string | Named>;
  readonly observer: z.ZodType<Named, string | Named>;
  /** Ways to choose codes. */
  readonly method: z.ZodType<Named, string | Named>;
  readonly target: z.ZodType<string, string>;
  readonly exporter: z.ZodType<Named, string | Named>;
  readonly gate: typeof gateSpec;
}
const beyond = <T>(all: readonly T[], known: readonly T[]): T[] => all.filter((x) => !known.includes(x));
export function namedParts({ observers, weightMethods, targets, gates, exporters, importances }: Plugins): NamedParts {
  const ownGates = beyond(gates, builtIn.gates);
  const limits = Object.fromEntries(ownGates.map((g) => [g.name, g.options.describe(g.doc).optional()]));
  const withOwn = withLimit(z.strictObject({ ...gateSpec.shape, ...limits }), gates);
  const own = importances === builtIn.importances;
  return {
    compression: named('A compression', own ? compressions : compressionsWith(importances)),
    observer: named('An observer', builtIn.observers, beyond(observers, builtIn.observers)),
    method: named('A method', builtIn.weightMethods, beyond(weightMethods, builtIn.weightMethods)),
    target: z.enum(targets.map((t) => t.name) as [string, ...string[]]), // the list of targets is not empty
    exporter: named('An exporter', builtIn.exporters, beyond(exporters, builtIn.exporters)),
    // Types know the built-in gates only.
    gate: ownGates.length ? withOwn : gateSpec,
  };
}
/** A metric of the user's own. */
const moduleSpec = z.strictObject({
  module: z
    .string()
    .min(1)
    .describe(
      'JavaScript module that exports metric: { name, unit, higherIsBetter, start(options, outputs) }, see ' +
        'docs/metrics.md. It runs with your rights: name only modules you trust.',
    ),
  options: z.record(z.string(), z.json()).default({}).describe('Passed to start() of the module.'),
});
export const metricSpec = z.union([named('A metric', metrics), moduleSpec]);

export const filterSpec = z.union([
  z.string().min(1),
  z.strictObject({ opType: z.string().min(1).describe('Every node of this operator.') }),
  z.strictObject({ position: z.enum(['first', 'last']).describe('The first or last node with multiply-accumulates.') }),
]);

const UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
};
/** Bytes: a number, or a number with a unit such as 800 MB or 1.2 GiB. */
export const bytesSpec = z.union([
  z.number().positive(),
  z
    .string()
    .regex(/^\s*\d+(\.\d+)?\s*(B|[KMG]i?B)\s*$/i, 'expected bytes such as 800 MB or 1.2 GiB')
    .transform((s) => {
      const [, amount, unit] = /^\s*([\d.]+)\s*([a-z]+)\s*$/i.exec(s)!; // the regex above matched
      return Number(amount) * UNITS[unit!.toUpperCase()]!;
    }),
]);
