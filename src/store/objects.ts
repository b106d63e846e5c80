/** Stored files by their SHA-256: objects/sha256/ab/cdef…, written once and never changed. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fail, QuantError } from '../base/errors.js';
import { reason, sha256File, syncDirectory } from '../base/files.js';

export interface StoredFile {
  readonly bytes: number;
  readonly sha256: string;
}

const PIECE_BYTES = 4 << 20;

export const objectPath = (dir: string, sha256: string): string =>
  path.join(dir, 'objects', 'sha256', sha256.slice(0, 2), sha256.slice(2));
const temporaryDir = (dir: string): string => path.join(dir, 'tmp');

/**
 * Copies a file (never links it) into the store: to a temporary file there, fsync, then by rename to its hash. Killed
 * at any point, it leaves either no object or the whole one. `expected` is what the hash must be. Throws DATA_MISSING,
 * MODEL_CHANGED where the hash is another, OUTPUT_WRITE.
 */
export function putFile(dir: string, source: string, expected?: string): StoredFile {
  const stat = fs.statSync(source, { throwIfNoEntry: false });
  if (!stat?.isFile())
    return fail(
      'DATA_MISSING',
      `'${source}' ${stat ? 'is not a regular file' : 'does not exist'}`,
      { file: source },
      'a version is made of files',
    );
  const temporary = path.join(
    temporaryDir(dir),
    `${process.pid}-${(counter++).toString(36)}-${Date.now().toString(36)}`,
  );
  let from: number | undefined;
  let to: number | undefined;
  try {
    try {
      from = fs.openSync(source, 'r');
    } catch (error) {
      return fail('DATA_MISSING', `cannot read '${source}': ${reason(error)}`, { file: source }, undefined, error);
    }
    makeFolder(temporaryDir(dir));
    to = fs.openSync(temporary, 'wx', 0o444);
    const hash = createHash('sha256');
    const piece = new Uint8Array(PIECE_BYTES);
    let bytes = 0;
    for (let n = fs.readSync(from, piece); n > 0; n = fs.readSync(from, piece)) {
      hash.update(piece.subarray(0, n));
      for (let at = 0; at < n;) at += fs.writeSync(to, piece, at, n - at);
      bytes += n;
    }
    fs.fsyncSync(to);
    fs.closeSync(to);
    to = undefined;
    const sha256 = hash.digest('hex');
    if (expected !== undefined && sha256 !== expected)
      return fail(
        'MODEL_CHANGED',
        `'${source}' has SHA-256 ${sha256}, but its record says ${expected}`,
        { file: source },
        'it was changed after the run; make the run again',
      );
    const object = objectPath(dir, sha256);
    if (isWhole(object, bytes, sha256)) return { bytes, sha256 };
    makeFolder(path.dirname(object));
    fs.renameSync(temporary, object); // over a damaged one too
    syncDirectory(path.dirname(object));
    return { bytes, sha256 };
  } catch (error) {
    if (error instanceof QuantError) throw error;
    return fail(
      'OUTPUT_WRITE',
      `cannot store '${source}' in '${dir}': ${reason(error)}`,
      { file: dir },
      'nothing was added',
      error,
    );
  } finally {
    for (const fd of [from, to]) if (fd !== undefined) fs.closeSync(fd);
    fs.rmSync(temporary, { force: true });
  }
}
// Temporary names of one process; the clock keeps them from those of an earlier process with the same id.
let counter = 0;

/** The content of a file, piece by piece; each is valid until the next. */
export function* piecesOf(file: string): Generator<Uint8Array> {
  const fd = fs.openSync(file, 'r');
  try {
    const piece = new Uint8Array(PIECE_BYTES);
    for (let n = fs.readSync(fd, piece); n > 0; n = fs.readSync(fd, piece)) yield piece.subarray(0, n);
  } finally {
    fs.closeSync(fd);
  }
}

/** Whether the object is there with the right size and content. */
export function isWhole(object: string, bytes: number, sha256: string): boolean {
  const stat = fs.statSync(object, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile() && stat.size === bytes && sha256File(object) === sha256;
}

/**
 * mkdir -p that survives a power cut. Level by level: on file systems that refuse new folders, Node's recursive form
 * never returns.
 */
export function makeFolder(folder: string): void {
  if (fs.existsSync(folder)) return;
  makeFolder(path.dirname(folder));
  try {
    fs.mkdirSync(folder);
  } catch (error) {
    if (!fs.existsSync(folder)) throw error;
  } // another process may have made it
  syncDirectory(path.dirname(folder));
}

/**
 * Removes what killed processes left: old temporary files, and locks of earlier locks. Only for the holder of the lock.
 */
export function sweep(dir: string): void {
  for (const name of fs.readdirSync(temporaryDir(dir))) {
    const file = path.join(temporaryDir(dir), name);
    // Whose they are cannot be told where machines share the folder: an hour is more than any copy takes.
    const age = Date.now() - (fs.statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
    if (age > 36e5) fs.rmSync(file, { force: true });
  }
  // They guard locks that are no more, for this process holds the one there is.
  for (const name of fs.readdirSync(dir))
    if (/^lock\.[0-9a-f-]{36}/.test(name)) fs.rmSync(path.join(dir, name), { force: true });
}

/** Hashes of all objects of the store, whole or not. */
export function listObjects(dir: string): string[] {
  const root = path.join(dir, 'objects', 'sha256');
  return (fs.existsSync(root) ? fs.readdirSync(root) : [])
    .flatMap((prefix) => fs.readdirSync(path.join(root, prefix)).map((rest) => prefix + rest))
    .sort();
}
