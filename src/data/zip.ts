/** Zip archives by their directory, which yauzl reads; nothing is inflated before it is asked for. */
import { promisify } from 'node:util';
import { crc32, inflateRaw } from 'node:zlib';
import {
  Entry,
  fromRandomAccessReaderPromise,
  getFileNameLowLevel,
  RandomAccessReader,
  validateFileName,
  type ZipFile,
} from 'yauzl';
import { fail, QuantError, type Where } from '../base/errors.js';
import { fileSize, readRange } from './files.js';

/** A regular file in a zip archive. */
export interface ZipEntry {
  readonly name: string;
  /** Its bytes, of exactly the declared size and checksum. Throws DATA_FORMAT; DATA_UNSAFE beyond `limit` bytes. */
  read(limit: number, where: Where): Promise<Uint8Array>;
}

/** An archive of more files is refused. */
const MOST_ENTRIES = 5_000_000;
/** Deflate cannot make more of a byte; a larger claim is a lie that would allocate memory. */
const DEFLATE_RATIO = 1032;
const inflate = promisify(inflateRaw);

/**
 * The regular files of a zip archive (Zip64 too), read from its directory alone. Throws DATA_UNSAFE for links, absolute
 * names, `..`, backslashes and sizes that deflate cannot reach; DATA_FORMAT for damaged, encrypted and split archives.
 */
export async function zipEntries(path: string): Promise<ZipEntry[]> {
  const size = await fileSize(path);
  const options = { autoClose: false, decodeStrings: false, validateEntrySizes: false } as const;
  const zip = await fromRandomAccessReaderPromise(new Blocks(path, size), size, options).catch(damaged(path));
  const count = zip.entryCount;
  if (count > MOST_ENTRIES)
    fail('DATA_UNSAFE', `${path} claims ${count} files, over the limit of ${MOST_ENTRIES}`, { file: path });
  const entries: ZipEntry[] = [];
  try {
    for await (const entry of zip.eachEntry()) {
      const name = checkedName(path, entry);
      if (name !== undefined) entries.push({ name, read: reading(path, zip, entry, name) });
    }
  } catch (error) {
    damaged(path)(error);
  }
  return entries;
}

/** The name of an entry that may be read; undefined for folders. */
function checkedName(path: string, entry: Entry): string | undefined {
  const { generalPurposeBitFlag: flags, fileNameRaw, extraFields, compressionMethod: method } = entry;
  const name = getFileNameLowLevel(flags, fileNameRaw, extraFields, true);
  const where = { file: path, sample: name };
  const unsafe = validateFileName(name) ?? (name.includes('\0') ? 'NUL in its name' : undefined);
  if (unsafe !== undefined) fail('DATA_UNSAFE', `entry '${name}' of ${path} leaves the archive: ${unsafe}`, where);
  if (name.endsWith('/')) return undefined;
  const unix = entry.versionMadeBy >> 8 === 3;
  const kind = (entry.externalFileAttributes >>> 16) & 0xf000;
  if (unix && kind !== 0 && kind !== 0x8000)
    fail('DATA_UNSAFE', `entry '${name}' of ${path} is a link or special file`, where, 'pack regular files only');
  if (entry.isEncrypted())
    fail('DATA_FORMAT', `entry '${name}' of ${path} is encrypted`, where, 'pack it without a password');
  if (method !== 0 && method !== 8)
    fail('DATA_FORMAT', `entry '${name}' of ${path} has compression method ${method}`, where, 'store or deflate it');
  const { uncompressedSize: size, compressedSize: stored } = entry;
  if (method === 0 ? size !== stored : size > stored * DEFLATE_RATIO + 1024)
    fail('DATA_UNSAFE', `entry '${name}' of ${path} claims ${size} bytes from ${stored}`, where);
  return name;
}

function reading(path: string, zip: ZipFile, entry: Entry, name: string): ZipEntry['read'] {
  const { uncompressedSize: size, compressedSize, compressionMethod: method, crc32: crc } = entry;
  // an entry as read holds its names and fields, a kilobyte for each file of the archive
  const { relativeOffsetOfLocalHeader } = entry;
  const place = Object.assign(new Entry(), { relativeOffsetOfLocalHeader, compressedSize });
  return async (limit, where) => {
    if (size > limit)
      fail('DATA_UNSAFE', `${name} has ${size} bytes, over the limit of ${limit}`, where, 'split the file');
    const { fileDataStart } = await zip.readLocalFileHeaderPromise(place, { minimal: true }).catch(damaged(path));
    const stored = await readRange(path, fileDataStart, compressedSize, name);
    const bytes =
      method === 0
        ? stored
        : await inflate(stored, { maxOutputLength: Math.max(1, size) }).catch((cause: unknown) =>
            fail('DATA_FORMAT', `${name} of ${path} cannot be inflated`, where, 'the archive is damaged', cause),
          );
    if (bytes.length !== size || crc32(bytes) !== crc)
      fail('DATA_FORMAT', `${name} of ${path} differs from its checksum`, where, 'the archive is damaged');
    return bytes;
  };
}

const BLOCK = 2 ** 16;
/** Reads a file in blocks, of which the last is kept: a directory is asked for in pieces of 46 bytes and a name. */
class Blocks extends RandomAccessReader {
  readonly #path: string;
  readonly #size: number;
  #start = 0;
  #block: Uint8Array = new Uint8Array(0);
  constructor(path: string, size: number) {
    super();
    this.#path = path;
    this.#size = size;
  }
  override read(
    to: Buffer,
    offset: number,
    length: number,
    position: number,
    done: (error: Error | null, bytes?: number) => void,
  ): void {
    this.#at(position, length).then(
      (bytes) => {
        to.set(bytes, offset);
        setImmediate(done, null, length); // what `done` throws is no rejection of ours
      },
      (error: unknown) => setImmediate(done, error instanceof Error ? error : new Error(String(error))),
    );
  }
  override close(done: (error: Error | null) => void): void {
    done(null); // a file is open only while a block is read
  }
  async #at(position: number, length: number): Promise<Uint8Array> {
    const inside = position >= this.#start && position + length <= this.#start + this.#block.length;
    if (!inside) {
      const most = Math.max(length, Math.min(BLOCK, this.#size - position));
      this.#block = await readRange(this.#path, position, most);
      this.#start = position;
    }
    return this.#block.subarray(position - this.#start, position - this.#start + length);
  }
}

/** What yauzl throws, as an error of ours. */
const damaged =
  (path: string) =>
  (error: unknown): never => {
    if (error instanceof QuantError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    return fail('DATA_FORMAT', `${path} is no intact zip archive: ${why}`, { file: path }, 'pack it again', error);
  };
