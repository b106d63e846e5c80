/** Sweeps: a list where a recipe takes one value stands for one recipe a value. */
import { item } from '../base/lists.js';
import { oneLine } from '../base/text.js';
import { schemasAt, SWEPT_SECTIONS, takesLists, type JsonSchema } from './json-schema.js';
import { isPlain, type Plain } from './override.js';
import type { Path } from './text.js';

/** One recipe of a sweep and what sets it apart, such as `observer=kl`. */
export interface Swept {
  readonly value: Plain;
  readonly label: string | undefined;
  /** Whether runtimes are among what sets it apart. */
  readonly byTarget?: true;
}

/** More recipes than this are a mistake sooner than a plan. */
const MOST = 64;

/**
 * The recipes that a written one stands for, in the order of the lists, the last list changing fastest: one where
 * nothing is a list. Refuses an empty list, equal values in one, and more than 64 recipes.
 */
export function expandSweep(
  written: Plain,
  refuse: (message: string, path: Path, hint: string) => never,
  schema?: JsonSchema,
): Swept[] {
  // Data are shared by all recipes of a sweep, and its model is one.
  const axes = [
    ...stepsOf(written.compress).flatMap(({ step, i }) =>
      Object.entries(step).flatMap(([key, v]) => axesIn(v, ['compress', i, key], written, schema)),
    ),
    ...SWEPT_SECTIONS.flatMap((key) => axesIn(written[key], [key], written, schema)),
  ];
  for (const { path, values } of axes) {
    const name = path.join('.');
    if (!values.length) refuse(`\`${name}\` is an empty list`, path, 'give one value, or a list of values to try each');
    if (new Set(values.map((v) => JSON.stringify(v))).size < values.length)
      refuse(`\`${name}\` lists a value twice`, path, 'each value of a sweep is tried once');
  }
  const total = axes.reduce((n, a) => n * a.values.length, 1);
  if (total > MOST)
    refuse(
      `the lists ${axes.map((a) => `\`${a.path.join('.')}\``).join(', ')} make ${total} recipes; at most ` +
        `${MOST} are run`,
      item(axes, 0).path,
      'try fewer values at a time',
    );
  const keys = axes.map((a) => String(a.path.at(-1)));
  let all: { value: Plain; parts: string[] }[] = [{ value: written, parts: [] }];
  axes.forEach(({ path, values }, i) => {
    // one for each axis
    const key = keys.filter((k) => k === keys[i]).length > 1 ? path.slice(-2).join('.') : item(keys, i);
    all = all.flatMap(({ value, parts }) =>
      values.map((v) => ({
        value: replaced(value, path, v),
        parts: [...parts, path[0] === 'target' ? shown(v) : `${key}=${shown(v)}`],
      })),
    );
  });
  const byTarget = axes.some(({ path }) => path[0] === 'target');
  return all.map(({ value, parts }) => ({
    value,
    label: parts.length ? parts.join(' ') : undefined,
    ...(byTarget ? { byTarget } : {}),
  }));
}

/** The list of steps is one; values of their options are swept. */
const stepsOf = (compress: unknown): { readonly step: Plain; readonly i: number }[] =>
  Array.isArray(compress) ? compress.flatMap((step: unknown, i) => (isPlain(step) ? [{ step, i }] : [])) : [];

interface Axis {
  readonly path: Path;
  readonly values: readonly unknown[];
}

function axesIn(value: unknown, path: Path, root: Plain, schema: JsonSchema | undefined): Axis[] {
  if (Array.isArray(value)) {
    const schemas = schemasAt(path, root, schema);
    // Keys that no recipe has, and those that take lists, are left to the check of the recipe.
    return schemas.length && !schemas.some(takesLists) ? [{ path, values: value }] : [];
  }
  return isPlain(value) ? Object.entries(value).flatMap(([key, v]) => axesIn(v, [...path, key], root, schema)) : [];
}

function replaced(value: Plain, path: Path, by: unknown): Plain {
  return replacedIn(value, path, by) as Plain; // a mapping stays one
}
function replacedIn(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by;
  if (Array.isArray(value)) return value.map((v: unknown, i) => (i === key ? replacedIn(v, rest, by) : v));
  const own = value as Plain; // only lists and mappings are gone through
  const name = String(key); // of mappings
  return { ...own, [name]: replacedIn(own[name], rest, by) };
}

function shown(value: unknown): string {
  if (!isPlain(value)) return oneLine(typeof value === 'string' ? value : JSON.stringify(value));
  const { name, ...options } = value;
  const rest = Object.entries(options)
    .map(([k, v]) => `${k}:${typeof v === 'string' ? v : JSON.stringify(v)}`)
    .join(',');
  return oneLine(typeof name === 'string' ? `${name}${rest && `(${rest})`}` : rest);
}
