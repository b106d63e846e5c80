/** Loading of a user's own code, and looking at what it gives. */
import { pathToFileURL } from 'node:url';
import { fail, type ErrorCode } from '../base/errors.js';
import { kindOf } from './files.js';

/**
 * The exports of an ES module. It runs with the user's rights. Throws DATA_MISSING, or `code` where it does not load.
 */
export async function importModule(file: string, code: ErrorCode = 'DATA_MODULE'): Promise<unknown> {
  if ((await kindOf(file)) !== 'file') fail(code, `${file} is a folder`, { file });
  return import(/* @vite-ignore */ pathToFileURL(file).href).catch((cause: unknown) =>
    fail(
      code,
      `${file} failed to load: ${messageOf(cause)}`,
      { file },
      'it must be an ES module without errors',
      cause,
    ),
  );
}

export function property(value: unknown, key: string): unknown {
  // Any object may be asked for a key; the result stays unknown.
  return typeof value === 'object' && value !== null && key in value
    ? (value as Readonly<Record<string, unknown>>)[key]
    : undefined;
}
export const kindName = (v: unknown): string =>
  v === null
    ? 'null'
    : v === undefined
      ? 'nothing'
      : Array.isArray(v)
        ? 'an array'
        : typeof v === 'object'
          ? 'an object'
          : `a ${typeof v}`;
export const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
