/** The recipe as JSON Schema: published for editors, and asked for the keys and values that are valid at a place. */
import { z } from 'zod';
import { recipeSpec } from './schema.js';
import type { Path } from './text.js';

export interface JsonSchema {
  readonly description?: string;
  readonly type?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly oneOf?: readonly JsonSchema[];
  readonly [key: string]: unknown;
}

let ofRecipes: JsonSchema | undefined;
/** Draft 2020-12, as a recipe is written: defaults may be left out. That of recipes without plug-ins is made once. */
export function recipeJsonSchema(spec: z.ZodType = recipeSpec): JsonSchema {
  return spec === recipeSpec ? (ofRecipes ??= schemaOf(spec)) : schemaOf(spec);
}

function schemaOf(spec: z.ZodType): JsonSchema {
  // zod types the same structure more loosely
  const schema = z.toJSONSchema(spec, { io: 'input', unrepresentable: 'any' }) as unknown as JsonSchema;
  return {
    ...schema,
    title: 'quantbench recipe',
    description: 'What to quantize, for which runtime, with which data, and how to check it.',
  };
}

/** Sections in which a list where one value is taken makes a recipe of each: see sweep.ts. */
export const SWEPT_SECTIONS = ['target', 'quantize', 'optimize'] as const;

/** What editors check recipes by: also allows the lists of sweeps, and the names that plug-ins may add. */
export function publishedSchema(): JsonSchema {
  const schema = withPluginNames(recipeJsonSchema());
  const properties = { ...schema.properties };
  for (const key of SWEPT_SECTIONS) {
    const section = properties[key];
    if (section) properties[key] = withLists(section);
  }
  const { compress } = properties;
  if (compress?.items) properties.compress = { ...compress, items: inEach(compress.items) };
  return { ...schema, properties };
}

/** Lists in the options of each step that a list of steps may hold. */
function inEach(schema: JsonSchema): JsonSchema {
  return {
    ...(schema.properties ? withLists(schema) : schema),
    ...(schema.anyOf ? { anyOf: schema.anyOf.map(inEach) } : {}),
    ...(schema.oneOf ? { oneOf: schema.oneOf.map(inEach) } : {}),
  };
}

/** Keys whose names plug-ins add to. */
const NAMED: ReadonlySet<string> = new Set(['observer', 'method', 'target', 'importance']);
const OF_PLUGIN = { type: 'string', description: 'A name that a module in `plugins` adds.' };

function withPluginNames(schema: JsonSchema): JsonSchema {
  const visit = (at: unknown, key: string): unknown => {
    if (Array.isArray(at)) return at.map((x) => visit(x, ''));
    if (typeof at !== 'object' || at === null) return at;
    // JSON Schema's own form
    const entries = Object.entries(at).map(([k, v]: [string, unknown]) => [
      k,
      k === 'properties' ? inside(v as object) : visit(v, ''),
    ]);
    const same = Object.fromEntries(entries) as JsonSchema; // of the same form
    if (key === 'gate') return { ...same, additionalProperties: { ...OF_PLUGIN, type: 'object' } };
    return NAMED.has(key) ? alsoNames(same) : same;
  };
  const inside = (properties: object): unknown =>
    Object.fromEntries(Object.entries(properties).map(([k, v]) => [k, visit(v, k)]));
  return visit(schema, '') as JsonSchema; // of the same form
}

/** A list of names, or of names with options, that takes others too; anything else as it is. */
function alsoNames(schema: JsonSchema): JsonSchema {
  const { description, default: standard, ...names } = schema;
  const list = branches(names);
  if (!list.some((b) => b.enum)) return schema;
  const built = list.flatMap((b) => b.properties?.name?.const ?? []);
  const name = { ...OF_PLUGIN, not: { enum: built } };
  const options = built.length ? [{ type: 'object', properties: { name }, required: ['name'] }] : [];
  return {
    ...(description === undefined ? {} : { description }),
    ...(standard === undefined ? {} : { default: standard }),
    anyOf: [...(names.anyOf ?? [names]), OF_PLUGIN, ...options],
  };
}

/** Every value that is no mapping and no list may be a list of such values. */
function withLists(schema: JsonSchema): JsonSchema {
  if (!schema.properties) return schema;
  return {
    ...schema,
    properties: Object.fromEntries(
      Object.entries(schema.properties).map(([key, value]): [string, JsonSchema] => {
        if (value.properties) return [key, withLists(value)];
        if (branches(value).some(takesLists)) return [key, value];
        const { description, default: standard, ...one } = value;
        return [
          key,
          {
            ...(description === undefined ? {} : { description }),
            ...(standard === undefined ? {} : { default: standard }),
            anyOf: [one, { type: 'array', items: one, minItems: 1, description: 'A sweep: one run for each value.' }],
          },
        ];
      }),
    ),
  };
}

/** Whether a list is a value of its own here, or anything goes. */
export const takesLists = (s: JsonSchema): boolean =>
  s.type === 'array' ||
  s.items !== undefined ||
  (s.type === undefined && s.const === undefined && s.enum === undefined);

/** Alternatives of a schema, flattened. */
export const branches = (schema: JsonSchema): readonly JsonSchema[] => {
  const list = schema.anyOf ?? schema.oneOf;
  return list ? list.flatMap(branches) : [schema];
};

/** Every schema that may hold at a path, given the written `value` above it (which picks among named options). */
export function schemasAt(path: Path, value: unknown, schema: JsonSchema = recipeJsonSchema()): readonly JsonSchema[] {
  let here = choose(branches(schema), value);
  let at: unknown = value;
  for (const part of path) {
    // any object may be indexed
    at = typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[part] : undefined;
    const next = here.flatMap((s) => {
      if (s.items && /^\d+$/.test(String(part))) return branches(s.items);
      const property =
        s.properties && Object.hasOwn(s.properties, String(part)) ? s.properties[String(part)] : undefined;
      if (property) return branches(property);
      return typeof s.additionalProperties === 'object' ? branches(s.additionalProperties) : [];
    });
    here = choose(next, at);
  }
  return here;
}

/** Of objects that a `name` tells apart, the one that is named. */
function choose(list: readonly JsonSchema[], value: unknown): readonly JsonSchema[] {
  const name = typeof value === 'object' && value !== null && 'name' in value ? value.name : undefined;
  const named = list.filter((s) => s.properties?.name?.const !== undefined && s.properties.name.const === name);
  return named.length ? named : list;
}

/** Keys that a mapping at this path may have. `schema` saves making it anew for each of many paths. */
export const keysAt = (path: Path, value: unknown, schema?: JsonSchema): string[] => [
  ...new Set(schemasAt(path, value, schema).flatMap((s) => Object.keys(s.properties ?? {}))),
];
