import { open, type FileHandle } from 'node:fs/promises';
import { fail } from '../base/errors.js';
import { kindOf } from './files.js';

/** A regular file in a tar archive: its bytes are `size` bytes of the archive from `offset`. */
export interface TarEntry {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
}

const BLOCK = 512;
const CHUNK = 1 << 16;
/** pax records and GNU long names beyond this are refused. */
const META_LIMIT = 1 << 20;

/**
 * The regular files of a tar archive (ustar, pax, GNU long names) in order, reading headers only: bodies are skipped.
 * Throws DATA_UNSAFE for links, devices, absolute names and `..`; DATA_FORMAT for bad checksums and truncation.
 * Source: https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html#tag_20_92_13
 */
export async function* tarEntries(path: string): AsyncGenerator<TarEntry> {
  if ((await kindOf(path)) !== 'file') fail('DATA_FORMAT', `${path} is not a tar file`, { file: path });
  const handle = await open(path).catch((cause: unknown) =>
    fail('DATA_MISSING', `${path} cannot be read`, { file: path }, undefined, cause),
  );
  try {
    const { size: fileSize } = await handle.stat();
    const reader = windowReader(handle, fileSize, path);
    let longName: string | undefined;
    let paxSize: number | undefined;
    for (let at = 0; at < fileSize;) {
      if (at + BLOCK > fileSize)
        fail('DATA_FORMAT', `${path} is truncated within a header`, { file: path, offset: at });
      const header = await reader(at, BLOCK);
      if (header.every((b) => b === 0)) return;
      checkHeader(header, path, at);
      const type = String.fromCharCode(header[156]!);
      const meta = type === 'x' || type === 'L' || type === 'K' || type === 'g';
      const size = meta ? number(header, 124, 12) : (paxSize ?? number(header, 124, 12));
      const body = at + BLOCK;
      if (!Number.isSafeInteger(size) || size < 0) {
        fail(
          'DATA_FORMAT',
          `an entry of ${path} claims a size of ${size} bytes`,
          { file: path, offset: at },
          'the archive is damaged',
        );
      }
      if (body + size > fileSize) {
        fail(
          'DATA_FORMAT',
          `an entry of ${path} claims ${size} bytes, beyond the end of the file`,
          { file: path, offset: at },
          'the archive is truncated',
        );
      }
      at = body + Math.ceil(size / BLOCK) * BLOCK;
      if (meta) {
        if (size > META_LIMIT)
          fail('DATA_UNSAFE', `${path} has a ${size}-byte header record, over the limit of ${META_LIMIT}`, {
            file: path,
            offset: body,
          });
        const bytes = await reader(body, size);
        if (type === 'L') longName = text(bytes);
        if (type === 'x') {
          const pax = paxRecords(bytes, path, body);
          longName = pax.get('path') ?? longName;
          const s = pax.get('size');
          if (s !== undefined)
            paxSize = /^\d+$/.test(s)
              ? Number(s)
              : fail(
                  'DATA_FORMAT',
                  `a pax record of ${path} gives the size '${s}'`,
                  { file: path, offset: body },
                  'a size is a number from 0 on',
                );
        }
        continue;
      }
      const prefix =
        text(header.subarray(257, 262)) === 'ustar' && header[262] === 0 ? text(header.subarray(345, 500)) : '';
      const name = longName ?? (prefix ? `${prefix}/` : '') + text(header.subarray(0, 100));
      longName = undefined;
      paxSize = undefined;
      if (type === '5') continue;
      if (type !== '0' && type !== '\0' && type !== '7')
        fail(
          'DATA_UNSAFE',
          `entry '${name}' of ${path} is a ${'12'.includes(type) ? 'link' : 'special file'} (type '${type}')`,
          { file: path, offset: body - BLOCK, sample: name },
          'archives may hold regular files only',
        );
      if (name.startsWith('/') || name.includes('\\') || name.split('/').includes('..'))
        fail('DATA_UNSAFE', `entry '${name}' of ${path} leaves the archive`, {
          file: path,
          offset: body - BLOCK,
          sample: name,
        });
      yield { name, offset: body, size };
    }
  } finally {
    await handle.close();
  }
}

/** Reads through a window of 64 KiB, so that headers of small files do not cost a system call each. */
function windowReader(
  handle: FileHandle,
  fileSize: number,
  path: string,
): (offset: number, length: number) => Promise<Uint8Array> {
  const buffer = new Uint8Array(CHUNK);
  let start = 0;
  let filled = 0;
  const fill = async (target: Uint8Array, offset: number): Promise<number> => {
    let done = 0;
    while (done < target.length && offset + done < fileSize) {
      const { bytesRead } = await handle.read(target, done, target.length - done, offset + done);
      if (!bytesRead)
        fail('DATA_FORMAT', `${path} became shorter while it was read`, { file: path, offset: offset + done });
      done += bytesRead;
    }
    return done;
  };
  return async (offset, length) => {
    if (length > CHUNK) {
      const out = new Uint8Array(length);
      await fill(out, offset);
      return out;
    }
    if (offset < start || offset + length > start + filled) {
      filled = await fill(buffer, offset);
      start = offset;
    }
    return buffer.subarray(offset - start, offset - start + length);
  };
}

function checkHeader(header: Uint8Array, path: string, at: number): void {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : header[i]!;
  if (sum !== number(header, 148, 8))
    fail(
      'DATA_FORMAT',
      `${path} has a wrong header checksum at byte ${at}`,
      { file: path, offset: at },
      'the file is damaged or not a tar archive (compressed ones are not read)',
    );
}

/** Octal text, or GNU base-256 where the high bit is set. */
function number(header: Uint8Array, offset: number, length: number): number {
  if (header[offset]! & 0x80) {
    let value = header[offset]! & 0x7f;
    for (let i = 1; i < length; i++) value = value * 256 + header[offset + i]!;
    return value;
  }
  const digits = text(header.subarray(offset, offset + length)).trim();
  return digits === '' ? 0 : /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : NaN;
}

/** `length key=value\n` records. */
function paxRecords(bytes: Uint8Array, path: string, offset: number): Map<string, string> {
  const out = new Map<string, string>();
  for (let at = 0; at < bytes.length && bytes[at] !== 0;) {
    const space = bytes.indexOf(32, at);
    const length = space < 0 ? NaN : Number(new TextDecoder().decode(bytes.subarray(at, space)));
    if (!Number.isInteger(length) || length <= space - at + 1 || at + length > bytes.length)
      fail('DATA_FORMAT', `${path} has a malformed pax record`, { file: path, offset: offset + at });
    const record = new TextDecoder().decode(bytes.subarray(space + 1, at + length - 1));
    const equals = record.indexOf('=');
    if (equals > 0) out.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return out;
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
