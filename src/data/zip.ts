/** Reads zip archives by their central directory; nothing is inflated before it is asked for. */
import { promisify } from 'node:util';
import { crc32, inflateRaw } from 'node:zlib';
import { fail, type Where } from '../base/errors.js';
import { fileSize, readRange } from './files.js';

/** A file in a zip archive. Its bytes follow a header at `header`, whose length only that header tells. */
export interface ZipEntry {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  readonly stored: number;
  readonly size: number;
  readonly header: number;
}

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
/** A central directory of more bytes is refused: about five million files. */
const MOST_DIRECTORY = 2 ** 29;
const inflate = promisify(inflateRaw);

/**
 * The regular files of a zip archive (Zip64 too), read from its directory alone. Throws DATA_UNSAFE for links, absolute
 * names, `..`, backslashes and sizes that deflate cannot reach; DATA_FORMAT for damaged, encrypted and split archives.
 * Source: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT (sections 4.3 to 4.5)
 */
export async function zipEntries(path: string): Promise<ZipEntry[]> {
  const { at, length, count } = await directory(path);
  const bytes = await readRange(path, at, length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const entries: ZipEntry[] = [];
  for (let p = 0, n = 0; n < count; n++) {
    if (p + 46 > length || view.getUint32(p, true) !== CENTRAL) damaged(path, `entry ${n + 1} is cut off`, at + p);
    const [flags, method] = [view.getUint16(p + 8, true), view.getUint16(p + 10, true)];
    const [nameLength, extraLength] = [view.getUint16(p + 28, true), view.getUint16(p + 30, true)];
    const next = p + 46 + nameLength + extraLength + view.getUint16(p + 32, true);
    if (next > length) damaged(path, `entry ${n + 1} is cut off`, at + p);
    const name = new TextDecoder().decode(bytes.subarray(p + 46, p + 46 + nameLength));
    const extra = p + 46 + nameLength;
    const [size, stored, header] = wide(view, extra, extra + extraLength, [
      view.getUint32(p + 24, true),
      view.getUint32(p + 20, true),
      view.getUint32(p + 42, true),
    ]);
    const where = { file: path, offset: at + p, sample: name };
    const crc = view.getUint32(p + 16, true);
    const [unix, mode] = [view.getUint8(p + 5) === 3, view.getUint16(p + 40, true) & 0xf000];
    p = next;
    if (name.endsWith('/')) continue;
    if (name.startsWith('/') || /[\\\0]/.test(name) || name.split('/').includes('..'))
      fail('DATA_UNSAFE', `entry '${name}' of ${path} leaves the archive`, where);
    if (unix && mode !== 0 && mode !== 0x8000)
      fail('DATA_UNSAFE', `entry '${name}' of ${path} is a link or special file`, where, 'pack regular files only');
    if (flags & 1) fail('DATA_FORMAT', `entry '${name}' of ${path} is encrypted`, where, 'pack it without a password');
    if (method !== 0 && method !== 8)
      fail('DATA_FORMAT', `entry '${name}' of ${path} has compression method ${method}`, where, 'store or deflate it');
    // Deflate cannot exceed 1032:1; a larger claim is a lie that would allocate memory.
    if (method === 0 ? size !== stored : size > stored * 1032 + 1024)
      fail('DATA_UNSAFE', `entry '${name}' of ${path} claims ${size} bytes from ${stored}`, where);
    if (header + 30 + stored > at) damaged(path, `entry '${name}' lies beyond the files`, header);
    entries.push({ name, method, crc, stored, size, header });
  }
  return entries;
}

/** The inflated bytes of an entry, of exactly its declared size. Throws DATA_FORMAT, DATA_UNSAFE beyond `limit`. */
export async function readZipEntry(path: string, entry: ZipEntry, limit: number, where: Where): Promise<Uint8Array> {
  if (entry.size > limit)
    fail('DATA_UNSAFE', `${entry.name} has ${entry.size} bytes, over the limit of ${limit}`, where, 'split the file');
  const head = await readRange(path, entry.header, 30, entry.name);
  const view = new DataView(head.buffer, head.byteOffset, head.length);
  if (view.getUint32(0, true) !== LOCAL) damaged(path, `'${entry.name}' has no header`, entry.header);
  const start = entry.header + 30 + view.getUint16(26, true) + view.getUint16(28, true);
  const stored = await readRange(path, start, entry.stored, entry.name);
  const bytes =
    entry.method === 0
      ? stored
      : await inflate(stored, { maxOutputLength: Math.max(1, entry.size) }).catch((cause: unknown) =>
          fail('DATA_FORMAT', `${entry.name} of ${path} cannot be inflated`, where, 'the archive is damaged', cause),
        );
  if (bytes.length !== entry.size || crc32(bytes) !== entry.crc)
    fail('DATA_FORMAT', `${entry.name} of ${path} differs from its checksum`, where, 'the archive is damaged');
  return bytes;
}

/** Where the central directory lies, told by the record at the end of the file. */
async function directory(path: string): Promise<{ at: number; length: number; count: number }> {
  const size = await fileSize(path);
  const tail = Math.min(size, 22 + 0xffff + 20); // the record, its comment, and the locator of Zip64 before it
  const bytes = await readRange(path, size - tail, tail);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let end = tail - 22;
  while (end >= 0 && (view.getUint32(end, true) !== END || end + 22 + view.getUint16(end + 20, true) > tail)) end--;
  if (end < 0) damaged(path, 'it has no directory', 0);
  let [count, length, at] = [
    view.getUint16(end + 10, true),
    view.getUint32(end + 12, true),
    view.getUint32(end + 16, true),
  ];
  let from = size - tail + end;
  if (end >= 20 && view.getUint32(end - 20, true) === LOCATOR_64) {
    from = Number(view.getBigUint64(end - 12, true));
    if (from + 56 > size) damaged(path, 'its Zip64 directory lies beyond the file', from);
    const record = await readRange(path, from, 56);
    const wideView = new DataView(record.buffer, record.byteOffset, record.length);
    if (wideView.getUint32(0, true) !== END_64) damaged(path, 'its Zip64 directory is missing', from);
    const number = (offset: number): number => Number(wideView.getBigUint64(offset, true));
    [count, length, at] = [number(32), number(40), number(48)];
  }
  if (at + length > from || count * 46 > length) damaged(path, 'its directory lies beyond the file, or is split', from);
  if (length > MOST_DIRECTORY)
    fail('DATA_UNSAFE', `the directory of ${path} has ${length} bytes, over ${MOST_DIRECTORY}`, { file: path });
  return { at, length, count };
}

/** Size, stored size and offset, with those that do not fit 32 bits taken from the Zip64 field, in this order. */
function wide(
  view: DataView,
  from: number,
  to: number,
  short: readonly [number, number, number],
): [number, number, number] {
  const out: [number, number, number] = [...short];
  for (let p = from; p + 4 <= to;) {
    const [id, length] = [view.getUint16(p, true), view.getUint16(p + 2, true)];
    if (id === 1) {
      let q = p + 4;
      for (let i = 0; i < 3; i++) {
        if (short[i] !== 0xffffffff || q + 8 > Math.min(to, p + 4 + length)) continue;
        out[i] = Number(view.getBigUint64(q, true));
        q += 8;
      }
    }
    p += 4 + length;
  }
  return out;
}

const damaged = (path: string, why: string, offset: number): never =>
  fail('DATA_FORMAT', `${path} is no intact zip archive: ${why}`, { file: path, offset }, 'pack it again');
