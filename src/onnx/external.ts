/**
 * External tensor data (https://github.com/onnx/onnx/blob/main/docs/ExternalData.md), read by range. A model comes from
 * strangers, so the data file must be a plain file inside the model's own directory: no absolute path, no '..', no
 * link of either kind, but for those of a Hugging Face cache, which lead to the blobs of the same repository. Throws
 * MODEL_EXTERNAL_DATA naming the tensor, and MODEL_CHANGED where the file is no longer the one seen at load.
 */
import fs from 'node:fs';
import path from 'node:path';
import { fail, QuantError, type Where } from '../base/errors.js';
import { readAll, reason } from '../base/files.js';
import type { ByteSource } from '../ir/tensor.js';

/** Where a tensor's bytes go in a data file; `location` is relative to the model. */
export interface ExternalPlace {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

const KEYS = new Set(['location', 'offset', 'length', 'checksum', 'basepath']);
/** Node reads at most 2 GiB in one call. */
const MAX_READ_BYTES = 2 ** 30;
const COPY_BYTES = 8 << 20;

/** The byte source of an external tensor that needs `need` bytes; checked now, read when asked for. */
export function openExternal(
  dir: string | undefined,
  entries: readonly { key?: string | null; value?: string | null }[],
  need: number,
  label: string,
  where: Where,
): ByteSource {
  const refuse: Refuse = (message, hint, cause, code = 'MODEL_EXTERNAL_DATA') =>
    fail(code, `external data of tensor '${label}': ${message}`, where, hint, cause);
  const fields = new Map<string, string>();
  for (const { key, value } of entries) {
    const name = key ?? '';
    if (!KEYS.has(name)) refuse(`unknown key '${name}'`, 'the keys are location, offset, length and checksum');
    if (fields.has(name)) refuse(`key '${name}' is given twice`);
    fields.set(name, value ?? '');
  }
  const location = fields.get('location') ?? refuse('no location is given');
  if (dir === undefined)
    return refuse(
      `'${location}' cannot be found for a model that was not loaded from a file`,
      'load the model with loadModel',
    );
  const offset =
    wholeNumber(fields.get('offset') ?? '0') ?? refuse(`offset '${fields.get('offset')}' is not a whole number`);
  const length =
    wholeNumber(fields.get('length') ?? String(need)) ??
    refuse(`length '${fields.get('length')}' is not a whole number`);
  if (length !== need) refuse(`its type and dims need ${need} bytes, but length is ${length}`);
  const { file, seen } = guard(refuse, () => {
    const found = confine(dir, location, refuse);
    return { file: found, seen: statPlain(found, refuse) };
  });
  if (offset + length > seen.size)
    refuse(
      `bytes ${offset} to ${offset + length} lie beyond the end of '${location}' (${seen.size} bytes)`,
      'the data file is cut off or belongs to another model',
    );
  let cached: WeakRef<Uint8Array> | undefined;
  const read = (): Uint8Array => {
    const there = cached?.deref();
    if (there) return there;
    const bytes = guard(refuse, () => readRange(file, offset, length, seen, refuse));
    cached = new WeakRef(bytes);
    return bytes;
  };
  const pieces = function* (): Generator<Uint8Array> {
    const source = piecesOf(file, offset, length, seen, COPY_BYTES, refuse);
    for (let next = guard(refuse, () => source.next()); !next.done; next = guard(refuse, () => source.next()))
      yield next.value;
  };
  const range: ByteSource['range'] = (from, size, count = 1, stride = size, into = new Uint8Array(size * count)) => {
    const runs = { file, offset: offset + from, length: size, count, stride, into };
    guard(refuse, () => readRuns(runs, seen, refuse));
    return into;
  };
  return { byteLength: length, read, range, pieces, file: { path: file, offset } };
}

type Refuse = (
  message: string,
  hint?: string,
  cause?: unknown,
  code?: 'MODEL_EXTERNAL_DATA' | 'MODEL_CHANGED',
) => never;
interface Seen {
  readonly size: number;
  readonly mtimeMs: number;
  readonly ino: number;
}

function wholeNumber(text: string): number | undefined {
  const n = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(n) ? n : undefined;
}

/** The absolute path of `location` in `dir`. No symbolic link is followed below the model's directory. */
function confine(dir: string, location: string, refuse: Refuse): string {
  if (location === '' || location.includes('\0')) refuse(`location '${location}' is not a file name`);
  if (path.isAbsolute(location) || path.win32.isAbsolute(location))
    refuse(`location '${location}' is absolute`, 'only files beside the model are read');
  const segments = location.split(/[\\/]/);
  if (segments.includes('..'))
    refuse(`location '${location}' leaves the directory of the model`, 'only files beside the model are read');
  const real = fs.realpathSync(dir);
  let at = real;
  for (const segment of segments) {
    if (segment === '' || segment === '.') continue;
    at = path.join(at, segment);
    const stat = fs.lstatSync(at, { throwIfNoEntry: false });
    if (!stat)
      return refuse(
        `'${location}' does not exist`,
        `put the data file into the directory of the model under that name`,
      );
    if (stat.isSymbolicLink()) {
      const blob = cachedBlob(real, at);
      if (blob !== undefined && segment === segments.at(-1)) return blob;
      refuse(`'${location}' goes through a symbolic link`, 'copy the file instead of linking it');
    }
  }
  const inside = path.relative(real, fs.realpathSync(at));
  if (inside === '' || inside.startsWith('..') || path.isAbsolute(inside))
    refuse(`'${location}' is not a file inside the directory of the model`);
  return at;
}

/**
 * The file behind a link in `<cache>/<repository>/snapshots/<revision>/…` that leads into `<repository>/blobs`;
 * undefined for other links.
 */
function cachedBlob(dir: string, link: string): string | undefined {
  const parts = dir.split(path.sep);
  const at = parts.lastIndexOf('snapshots');
  if (at < 1 || at + 1 >= parts.length) return undefined;
  const blobs = path.join(parts.slice(0, at).join(path.sep), 'blobs');
  const target = fs.realpathSync(link);
  return path.dirname(target) === blobs ? target : undefined;
}

function statPlain(file: string, refuse: Refuse): Seen {
  const stat = fs.lstatSync(file);
  if (!stat.isFile()) refuse(`'${path.basename(file)}' is not a regular file`);
  if (stat.nlink > 1)
    refuse(`'${path.basename(file)}' has ${stat.nlink} hard links`, 'copy the file instead of linking it');
  return { size: stat.size, mtimeMs: stat.mtimeMs, ino: stat.ino };
}

/** The bytes of a range piece by piece, after checking that the file is still the one seen at load. */
function* piecesOf(
  file: string,
  offset: number,
  length: number,
  seen: Seen,
  pieceBytes: number,
  refuse: Refuse,
): Generator<Uint8Array> {
  const fd = openSeen(file, seen, refuse);
  try {
    for (let at = 0; at < length;) {
      const piece = new Uint8Array(Math.min(pieceBytes, length - at));
      const n = fs.readSync(fd, piece, 0, piece.length, offset + at);
      if (n === 0) refuse(`'${path.basename(file)}' ended ${length - at} bytes early`);
      yield n === piece.length ? piece : piece.subarray(0, n);
      at += n;
    }
  } finally {
    fs.closeSync(fd);
  }
}

/** A descriptor of the file that was seen at load. */
function openSeen(file: string, seen: Seen, refuse: Refuse): number {
  // O_NOFOLLOW: the name may have become a link since it was checked.
  const fd = fs.openSync(
    file,
    fs.constants.O_RDONLY | ((fs.constants.O_NOFOLLOW as number | undefined) ?? 0) /* Windows has none */,
  );
  const now = fs.fstatSync(fd);
  if (now.size === seen.size && now.mtimeMs === seen.mtimeMs && now.ino === seen.ino) return fd;
  fs.closeSync(fd);
  return refuse(
    `'${path.basename(file)}' changed while the model was in use`,
    'run again, and leave the file alone meanwhile',
    undefined,
    'MODEL_CHANGED',
  );
}

/** Runs of bytes, `stride` apart, one behind the other. */
function readRuns(
  o: { file: string; offset: number; length: number; count: number; stride: number; into: Uint8Array },
  seen: Seen,
  refuse: Refuse,
): void {
  const out = o.into;
  const whole = o.stride === o.length; // one run
  const [runs, size] = whole ? [1, out.length] : [o.count, o.length];
  const fd = openSeen(o.file, seen, refuse);
  try {
    for (let i = 0; i < runs; i++) {
      const missing = size - readAll(fd, out.subarray(i * size, (i + 1) * size), o.offset + i * o.stride);
      if (missing) refuse(`'${path.basename(o.file)}' ended ${missing} bytes early`);
    }
  } finally {
    fs.closeSync(fd);
  }
}

function readRange(file: string, offset: number, length: number, seen: Seen, refuse: Refuse): Uint8Array {
  let whole: Uint8Array | undefined;
  let at = 0;
  for (const piece of piecesOf(file, offset, length, seen, MAX_READ_BYTES, refuse)) {
    if (piece.length === length) return piece;
    whole ??= new Uint8Array(length);
    whole.set(piece, at);
    at += piece.length;
  }
  return whole ?? new Uint8Array(0);
}

/** Runs `step` with file-system errors turned into refusals. */
function guard<T>(refuse: Refuse, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof QuantError) throw error;
    return refuse(`it cannot be read: ${reason(error)}`, undefined, error);
  }
}
