/** Reads records from disk; files come from anywhere, so they are checked before anyone uses them. */
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import type { z } from 'zod';
import { fail } from '../base/errors.js';
import { reason } from '../base/files.js';
import { runRecordSpec, type RunRecord } from './run.js';

/** A record of 50,000 scored samples has about 1 MB; this leaves room for large models. */
const MOST_BYTES = 512e6;

/**
 * The record of a run, from its folder or its run.json. Throws DATA_MISSING and DATA_FORMAT naming the file and the
 * key.
 */
export function readRun(target: string): RunRecord {
  const inside = path.join(target, 'run.json');
  return readRecord(
    statSync(target, { throwIfNoEntry: false })?.isDirectory() ? inside : target,
    runRecordSpec,
    'the record of a run',
  );
}

/** A JSON file checked against a schema. Unknown keys, as later versions may write, are dropped. */
export function readRecord<T extends z.ZodType>(file: string, spec: T, what: string): z.output<T> {
  let value: unknown;
  try {
    const stat = statSync(file);
    if (!stat.isFile()) fail('DATA_FORMAT', `'${file}' is not a regular file`, { file }, `give ${what}, or its folder`);
    if (stat.size > MOST_BYTES)
      fail('DATA_FORMAT', `'${file}' has ${stat.size} bytes, more than ${what} can have`, { file });
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof SyntaxError)
      return fail(
        'DATA_FORMAT',
        `'${file}' is not JSON: ${error.message}`,
        { file },
        `give ${what}, or its folder`,
        error,
      );
    if (error instanceof Error && 'syscall' in error)
      return fail(
        'DATA_MISSING',
        `cannot read '${file}': ${reason(error)}`,
        { file },
        `give ${what}, or its folder`,
        error,
      );
    throw error;
  }
  const parsed = spec.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  return fail(
    'DATA_FORMAT',
    `'${file}' is not ${what} of this version: ${issue?.path.map(String).join('.') ?? ''}: ` +
      `${issue?.message ?? 'it does not fit'}`,
    { file },
    'expected "schema": 1; make it again with this version',
  );
}
