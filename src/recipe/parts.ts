/** Small pieces of the recipe schema. */
import { z } from 'zod';
import { adjustments } from '../adjust/index.js';
import { codings } from '../scheme/codings/index.js';
import { metrics } from '../evaluate/metrics/index.js';
import { gateSpec, withLimit } from '../gate/settings.js';
import { builtIn, type Plugins } from './plugins.js';

interface Entry {
  readonly name: string;
  readonly doc: string;
  readonly options: z.ZodType;
}
/** A plug-in and its options, defaults filled in. */
export interface Named {
  readonly name: string;
  readonly [option: string]: unknown;
}

/**
 * A name, or the name with options: `percentile` or `{ name: percentile, percentile: 99.9 }`. Both give the long form.
 */
export function named(
  kind: string,
  builtIns: readonly Entry[],
  own: readonly Entry[] = [],
): z.ZodType<Named, string | Named> {
  const entries = [...builtIns, ...own];
  const names = entries.map((e) => e.name) as [string, ...string[]]; // no list of plug-ins is empty
  const objects = [
    ...builtIns.map((e) =>
      z.strictObject({ name: z.literal(e.name).describe(e.doc), ...(e.options as z.ZodObject).shape }),
    ),
    ...own.map(checkedByItself),
  ]; // every plug-in's options are an object schema
  const long = z.discriminatedUnion(
    'name',
    objects as unknown as [z.ZodObject, ...z.ZodObject[]],
  ) as unknown as z.ZodType<Named, Named>; // its inferred type does not know the plug-ins
  const short = z.enum(names).describe(`${kind}: ${entries.map((e) => `${e.name} (${e.doc})`).join('; ')}`);
  return z.union([short.transform((name) => ({ name })).pipe(long), long]);
}

/** An entry of a user's plug-in: its own schema checks the options as a whole, so that refinements of it hold too. */
function checkedByItself({ name, doc, options }: Entry): z.ZodType {
  const { properties = {} } = z.toJSONSchema(options, { io: 'input', unrepresentable: 'any' });
  const keys = { name: { type: 'string', const: name, description: doc }, ...properties };
  // The JSON Schema tells the keys: hints and --set read it.
  return z
    .looseObject({ name: z.literal(name).describe(doc) })
    .meta({ properties: keys })
    .transform(({ name: _, ...given }, ctx) => {
      const parsed = options.safeParse(given);
      if (parsed.success) return { name, ...(parsed.data as object) }; // of an object schema
      // an issue with its input
      for (const issue of parsed.error.issues) ctx.issues.push({ ...issue, input: given } as z.core.$ZodRawIssue);
      return z.NEVER;
    });
}

/** Changes of the model before quantization. */
export const adjustmentSpec = named('An adjustment', adjustments);
/** Ways to store weights. */
export const codingSpec = named('A coding', codings);

/** The pieces that plug-ins of a recipe add names to. */
export interface NamedParts {
  readonly observer: z.ZodType<Named, string | Named>;
  /** Ways to choose codes. */
  readonly method: z.ZodType<Named, string | Named>;
  readonly target: z.ZodType<string, string>;
  readonly exporter: z.ZodType<Named, string | Named>;
  readonly gate: typeof gateSpec;
}
const beyond = <T>(all: readonly T[], known: readonly T[]): T[] => all.filter((x) => !known.includes(x));
export function namedParts({ observers, weightMethods, targets, gates, exporters }: Plugins): NamedParts {
  const ownGates = beyond(gates, builtIn.gates);
  const limits = Object.fromEntries(ownGates.map((g) => [g.name, g.options.describe(g.doc).optional()]));
  const withOwn = withLimit(z.strictObject({ ...gateSpec.shape, ...limits }), gates);
  return {
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
