/** Files of a header and bytes that are whole, or known to be damaged. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fail } from './errors.js';
import { reason, writeFileAtomic } from './files.js';

const DIGEST_BYTES = 32;
const LENGTH_BYTES = 4;

export interface Sealed {
  /** Not checked. */
  readonly header: unknown;
  readonly body: Buffer;
  /** Of the body in the file. */
  readonly offset: number;
}

/**
 * Writes magic, length of the header, header as JSON, parts, SHA-256 of all but the magic: whole or not at all,
 * whenever the process ends. The folder is made where it is missing. Throws OUTPUT_WRITE.
 */
export function writeSealed(
  file: string,
  magic: string,
  header: unknown,
  parts: readonly Uint8Array[],
): Sealed['offset'] {
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
  } catch (error) {
    fail('OUTPUT_WRITE', `cannot make the folder of '${file}': ${reason(error)}`, { file }, undefined, error);
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(json.length);
  const all = [length, json, ...parts];
  const hash = createHash('sha256');
  for (const part of all) hash.update(part);
  writeFileAtomic(file, [Buffer.from(magic), ...all, hash.digest()]);
  return magic.length + LENGTH_BYTES + json.length;
}

/**
 * What was written; undefined where there is no file. Throws an Error whose message says why where the file cannot be
 * read or is damaged.
 */
export function readSealed(file: string, magic: string): Sealed | undefined {
  let bytes: Buffer;
  try {
    bytes = fs.readFileSync(file);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new Error(reason(error), { cause: error });
  }
  const sealed = bytes.subarray(magic.length, -DIGEST_BYTES);
  const whole =
    bytes.length >= magic.length + LENGTH_BYTES + DIGEST_BYTES &&
    bytes.toString('latin1', 0, magic.length) === magic &&
    createHash('sha256').update(sealed).digest().equals(bytes.subarray(-DIGEST_BYTES));
  if (!whole) throw new Error('it is damaged');
  const start = LENGTH_BYTES + sealed.readUInt32LE(0);
  if (start > sealed.length) throw new Error('it is damaged');
  return {
    header: JSON.parse(sealed.toString('utf8', LENGTH_BYTES, start)),
    body: sealed.subarray(start),
    offset: magic.length + start,
  };
}
