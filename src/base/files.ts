/** Files: atomic writing (the target is either the old file or the whole new one), and hashing by stream. */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { fail, QuantError } from './errors.js';

const PIECE_BYTES = 4 << 20;
/** One call of the system reads or writes less than 2 GiB. */
const CALL_BYTES = 64 << 20;

/**
 * Writes a file so that a crash or kill at any point leaves `file` as it was or complete: a temporary file in the same
 * directory, fsync, rename, fsync of the directory. Chunks are written as they come. Returns the bytes written.
 * Throws OUTPUT_WRITE naming the path; errors thrown by the chunks themselves pass through. The temporary file is
 * removed on failure.
 */
export function writeFileAtomic(file: string, data: string | Uint8Array | Iterable<Uint8Array>): number {
  const chunks =
    typeof data === 'string' ? [new TextEncoder().encode(data)] : data instanceof Uint8Array ? [data] : data;
  const temporary = temporaryFor(file);
  let bytes = 0;
  let fd: number | undefined;
  try {
    fd = guard(file, () => openFor(file, temporary));
    for (const chunk of chunks) bytes += guardWrite(file, fd, chunk);
    finish(file, temporary, fd);
    fd = undefined;
  } finally {
    discard(temporary, fd);
  }
  return bytes;
}

/** Writes all bytes, at a place of the file or behind what was written last: a call may write less than it is given. */
export function writeAll(fd: number, bytes: Uint8Array, place?: number): void {
  for (let at = 0; at < bytes.length;)
    at += fs.writeSync(fd, bytes, at, Math.min(CALL_BYTES, bytes.length - at), place === undefined ? null : place + at);
}

/**
 * Fills an array from a place of the file, as a call may read less than it is asked for. Gives the bytes that were
 * there.
 */
export function readAll(fd: number, into: Uint8Array, place: number): number {
  let at = 0;
  for (let n = 1; n > 0 && at < into.length; at += n)
    n = fs.readSync(fd, into, at, Math.min(CALL_BYTES, into.length - at), place + at);
  return at;
}

/**
 * As {@link writeFileAtomic}, for a file that is named after the SHA-256 of its content, in lower-case hex. Gives the
 * path too.
 */
export function writeFileByHash(
  directory: string,
  nameOf: (sha256: string) => string,
  chunks: Iterable<Uint8Array>,
): { readonly file: string; readonly bytes: number } {
  const any = path.join(directory, nameOf('data'));
  const temporary = temporaryFor(any);
  const hash = createHash('sha256');
  let bytes = 0;
  let fd: number | undefined;
  try {
    fd = guard(any, () => openFor(any, temporary));
    for (const chunk of chunks) {
      hash.update(chunk);
      bytes += guardWrite(any, fd, chunk);
    }
    const file = path.join(directory, nameOf(hash.digest('hex')));
    finish(file, temporary, fd);
    fd = undefined;
    return { file, bytes };
  } finally {
    discard(temporary, fd);
  }
}

/** As {@link writeFileAtomic}, for chunks that arrive asynchronously. */
export async function writeFileAtomicAsync(file: string, chunks: AsyncIterable<Uint8Array>): Promise<number> {
  const temporary = temporaryFor(file);
  let bytes = 0;
  let fd: number | undefined;
  try {
    fd = guard(file, () => openFor(file, temporary));
    for await (const chunk of chunks) bytes += guardWrite(file, fd, chunk);
    finish(file, temporary, fd);
    fd = undefined;
  } finally {
    discard(temporary, fd);
  }
  return bytes;
}

/** Lower-case hex SHA-256 of a file, read in pieces. Throws MODEL_MISSING where the file cannot be read. */
export function sha256File(file: string): string {
  const hash = createHash('sha256');
  let fd: number | undefined;
  try {
    fd = fs.openSync(file, 'r');
    const piece = new Uint8Array(PIECE_BYTES);
    for (;;) {
      const n = fs.readSync(fd, piece, 0, piece.length, null);
      if (n === 0) break;
      hash.update(piece.subarray(0, n));
    }
  } catch (error) {
    return fail('MODEL_MISSING', `cannot read '${file}': ${reason(error)}`, { file }, undefined, error);
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
  return hash.digest('hex');
}

/** Plain words for a file-system error. */
export function reason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return WORDS[code] ?? (error instanceof Error ? error.message : String(error));
}
const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'a part of the path is not a directory',
  EISDIR: 'it is a directory',
  EACCES: 'permission denied',
  EPERM: 'operation not permitted',
  EROFS: 'the file system is read-only',
  ENOSPC: 'no space left on the device',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file system allows no file that large',
  EXDEV: 'the path crosses file systems',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'too many symbolic links',
  EMFILE: 'too many open files',
  ENFILE: 'too many open files in the whole system',
  ENOMEM: 'not enough memory',
  EIO: 'the device fails',
  EBUSY: 'it is in use',
};

// The process id keeps two runs apart; a leftover of a killed run with the same id is replaced.
const temporaryFor = (file: string): string =>
  path.join(path.dirname(file), `.${path.basename(file).slice(0, 200)}.${process.pid}.tmp`);

function openFor(file: string, temporary: string): number {
  const there = fs.statSync(file, { throwIfNoEntry: false });
  if (there?.isDirectory()) throw Object.assign(new Error('EISDIR'), { code: 'EISDIR' });
  fs.rmSync(temporary, { force: true });
  return fs.openSync(temporary, 'wx', there ? there.mode & 0o777 : 0o666);
}

function guardWrite(file: string, fd: number, chunk: Uint8Array): number {
  return guard(file, () => {
    writeAll(fd, chunk);
    return chunk.length;
  });
}

function finish(file: string, temporary: string, fd: number): void {
  guard(file, () => {
    fs.fsyncSync(fd);
    fs.closeSync(fd);
    fs.renameSync(temporary, file);
  });
  syncDirectory(path.dirname(file));
}

/** Makes renames in a directory survive a power cut, where the file system can. */
export function syncDirectory(directory: string): void {
  try {
    const fd = fs.openSync(directory, 'r');
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    /* some file systems refuse to sync a directory; the rename itself has happened */
  }
}

function discard(temporary: string, fd: number | undefined): void {
  if (fd !== undefined)
    try {
      fs.closeSync(fd);
    } catch {
      /* closed by the step that failed */
    }
  fs.rmSync(temporary, { force: true });
}

function guard<T>(file: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof QuantError) throw error;
    return fail(
      'OUTPUT_WRITE',
      `cannot write '${file}': ${reason(error)}`,
      { file },
      'nothing was left at that path by this run',
      error,
    );
  }
}
