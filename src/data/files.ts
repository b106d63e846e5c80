/** File access of the data room: every system error becomes a QuantError that names the file. */
import { createHash } from 'node:crypto';
import { open, readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fail, QuantError } from '../base/errors.js';
import { globTest } from '../base/match.js';

export const sha256 = (...parts: readonly (Uint8Array | string)[]): string => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

/** What lies at a path. Throws DATA_MISSING. */
export async function kindOf(path: string): Promise<'file' | 'folder'> {
  const found = await stat(path).catch((e: unknown) => ioError(e, path));
  if (found.isDirectory()) return 'folder';
  if (found.isFile()) return 'file';
  return fail(
    'DATA_FORMAT',
    `${path} is neither a file nor a folder`,
    { file: path },
    'devices, sockets and pipes are not read',
  );
}

/** How many bytes a file has. Throws DATA_MISSING, or DATA_FORMAT where it is none. */
export async function fileSize(path: string): Promise<number> {
  const found = await stat(path).catch((e: unknown) => ioError(e, path));
  if (!found.isFile()) fail('DATA_FORMAT', `${path} is not a file`, { file: path });
  return found.size;
}

/** The bytes of a file of at most `limit` bytes. Throws DATA_MISSING, or DATA_UNSAFE beyond the limit. */
export async function readBytes(path: string, sample?: string, limit = 2 ** 31 - 1): Promise<Uint8Array> {
  const where = sample === undefined ? { file: path } : { file: path, sample };
  const found = await stat(path).catch((e: unknown) => ioError(e, path, sample));
  if (!found.isFile()) fail('DATA_FORMAT', `${path} is not a file`, where);
  if (found.size > limit)
    fail('DATA_UNSAFE', `${path} has ${found.size} bytes, over the limit of ${limit}`, where, 'split the file');
  return readFile(path).catch((e: unknown) => ioError(e, path, sample));
}

/** Text of a file as UTF-8 without a byte order mark. Throws DATA_FORMAT for NUL bytes and invalid UTF-8. */
export async function readText(path: string, limit = 256 * 2 ** 20): Promise<string> {
  return textOf(await readBytes(path, undefined, limit), path);
}

/** UTF-8 text without a byte order mark. Throws DATA_FORMAT for NUL bytes and invalid UTF-8. */
export function textOf(bytes: Uint8Array, path: string): string {
  const nul = bytes.indexOf(0);
  if (nul >= 0)
    fail(
      'DATA_FORMAT',
      `${path} holds a NUL byte, so it is not text`,
      { file: path, offset: nul },
      'save it as UTF-8 without NUL',
    );
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes); // strips the byte order mark
  } catch (cause) {
    return fail('DATA_FORMAT', `${path} is not valid UTF-8`, { file: path }, 'save it as UTF-8', cause);
  }
}

/**
 * Exactly `length` bytes from `offset`. Throws DATA_MISSING, or DATA_FORMAT where the file is shorter (it changed since
 * it was listed).
 */
export async function readRange(path: string, offset: number, length: number, sample?: string): Promise<Uint8Array> {
  const handle = await open(path).catch((e: unknown) => ioError(e, path, sample));
  try {
    const out = new Uint8Array(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await handle.read(out, done, length - done, offset + done);
      if (!bytesRead)
        fail(
          'DATA_FORMAT',
          `${path} ends at byte ${offset + done}, but ${length} bytes from ${offset} are needed`,
          { file: path, offset: offset + done, ...(sample === undefined ? {} : { sample }) },
          'the file is truncated or changed during the run',
        );
      done += bytesRead;
    }
    return out;
  } catch (e) {
    return ioError(e, path, sample);
  } finally {
    await handle.close();
  }
}

export interface Listing {
  readonly files: readonly string[];
  readonly folders: readonly string[];
}
/**
 * Names in a folder in code-unit order (as Python's `sorted`), hidden ones left out; links are followed. Throws
 * DATA_MISSING, DATA_FORMAT on a link loop.
 */
export async function listFolder(folder: string): Promise<Listing> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((e: unknown) => ioError(e, folder));
  const files: string[] = [];
  const folders: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (entry.name.startsWith('.') || entry.name === '__MACOSX') continue;
    const path = join(folder, entry.name);
    const found = entry.isSymbolicLink() ? await stat(path).catch((e: unknown) => ioError(e, path)) : entry;
    if (found.isDirectory()) folders.push(entry.name);
    else if (found.isFile()) files.push(entry.name);
  }
  return { files, folders };
}

/**
 * Paths, relative to `root` and with `/`, of all files below it that `accept` takes, sorted folder by folder. Throws
 * DATA_FORMAT where a link leads back to an ancestor.
 */
export async function walkFiles(root: string, accept: (name: string) => boolean): Promise<string[]> {
  const found: string[] = [];
  const visit = async (folder: string, prefix: string, ancestors: readonly string[]): Promise<void> => {
    const real = await realpath(folder).catch((e: unknown) => ioError(e, folder));
    if (ancestors.includes(real))
      fail('DATA_FORMAT', `${folder} is a link to the folder that contains it`, { file: folder }, 'remove the link');
    const { files, folders } = await listFolder(folder);
    for (const name of files) if (accept(name)) found.push(prefix + name);
    for (const name of folders) await visit(join(folder, name), `${prefix}${name}/`, [...ancestors, real]);
  };
  await visit(root, '', []);
  return found;
}

/**
 * Paths of one file, of the files of a folder with an extension, or of a pattern with `*`, `?`, `{a,b}` or
 * `{0000..0003}` in its last part.
 */
export async function expandPaths(pattern: string, baseDir: string, extension: string): Promise<string[]> {
  const path = resolve(baseDir, pattern);
  const name = basename(path);
  if (!/[*?{]/.test(name)) {
    if ((await kindOf(path)) === 'file') return [path];
    const files = (await listFolder(path)).files.filter((f) => f.toLowerCase().endsWith(extension));
    if (!files.length) fail('DATA_MISSING', `${path} holds no ${extension} file`, { file: path });
    return files.map((f) => join(path, f));
  }
  const folder = resolve(path, '..');
  const tests = expandBraces(name, path).map(globTest);
  const files = (await listFolder(folder)).files.filter((f) => tests.some((t) => t(f)));
  if (!files.length) fail('DATA_MISSING', `no file matches ${path}`, { file: path });
  return files.map((f) => join(folder, f));
}

/** Most names that braces may stand for. */
const MOST_NAMES = 100_000;

function expandBraces(pattern: string, path: string): string[] {
  let names = [pattern];
  for (let more = true; more;) {
    const next: string[] = [];
    for (const name of names) {
      for (const n of expandFirst(name, path)) next.push(n);
      if (next.length > MOST_NAMES) {
        fail('DATA_FORMAT', `the braces of '${pattern}' stand for more than ${MOST_NAMES} names`, { file: path });
      }
    }
    more = next.length !== names.length || next.some((n, i) => n !== names[i]);
    names = next;
  }
  return names;
}

/** The names that the first braces stand for. */
function expandFirst(pattern: string, path: string): string[] {
  const match = /^(.*?)\{([^{}]*)\}(.*)$/.exec(pattern);
  if (!match) return [pattern];
  const [, head = '', body = '', tail = ''] = match;
  const range = /^(\d+)\.\.(\d+)$/.exec(body);
  let parts = body.split(',');
  if (range) {
    const [first, last] = [Number(range[1]), Number(range[2])];
    if (last < first || last - first > 100_000)
      fail('DATA_FORMAT', `the range {${body}} is empty or too long`, { file: path });
    parts = Array.from({ length: last - first + 1 }, (_, i) => String(first + i).padStart(range[1]!.length, '0'));
  }
  return parts.map((p) => head + p + tail);
}

function ioError(error: unknown, path: string, sample?: string): never {
  if (error instanceof QuantError) throw error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const where = sample === undefined ? { file: path } : { file: path, sample };
  if (code === 'ENOENT' || code === 'ENOTDIR') fail('DATA_MISSING', `${path} does not exist`, where, undefined, error);
  if (code === 'ELOOP') fail('DATA_FORMAT', `${path} is a link that leads to itself`, where, 'remove the link', error);
  if (code === 'EACCES' || code === 'EPERM')
    fail('DATA_MISSING', `${path} may not be read`, where, 'check its permissions', error);
  return fail(
    'DATA_MISSING',
    `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    where,
    undefined,
    error,
  );
}
