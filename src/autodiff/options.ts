import { fail, nearest } from '../base/errors.js';
import type { z } from 'zod';

/** The part of that name. Throws RECIPE_UNKNOWN_NAME. */
export function partOf<T extends { readonly name: string }>(parts: readonly T[], name: string, what: string): T {
  const names = parts.map((p) => p.name);
  const near = nearest(name, names);
  return (
    parts.find((p) => p.name === name) ??
    fail(
      'RECIPE_UNKNOWN_NAME',
      `unknown ${what} '${name}'`,
      {},
      `${near ? `did you mean '${near}'? ` : ''}there are ${names.join(', ')}`,
    )
  );
}

/** Options with their defaults. Throws RECIPE_INVALID for a key or a value that the schema does not take. */
export function checkedOptions<O>(schema: z.ZodType<O>, given: unknown, owner: string): O {
  const parsed = schema.safeParse(given ?? {});
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return fail('RECIPE_INVALID', `${owner}: ${issue?.path.join('.') || 'options'}: ${issue?.message ?? 'not valid'}`);
}
