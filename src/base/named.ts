/** Names of plug-ins in schemas: alone, or with their options. */
import { z } from 'zod';

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
