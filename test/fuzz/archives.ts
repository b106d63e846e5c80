/** Archives of images, damaged where readers trust what archives say of themselves. */
import { zipSync } from 'fflate';
import type { Rng } from '../../src/base/rng.js';
import { tar } from '../rooms/data/helpers.js';
import { EDGES, joined, mutateBytes, pick } from './bytes.js';

const ascii = (s: string): Uint8Array => new TextEncoder().encode(s);

/** An archive of samples with pax records and sizes at edges, checksums right. */
export function archive(picture: Uint8Array, rng: Rng): Uint8Array {
  const pax = (key: string, value: string): string => {
    const body = ` ${key}=${value}\n`;
    return `${body.length + String(body.length + 2).length}${body}`;
  };
  const edge = (): string => String(pick(rng, [...EDGES, 0.5, -512, -1536, -1024, 1536]));
  const extra = rng.int(2)
    ? [
        {
          name: 'pax',
          data: ascii(pax(pick(rng, ['size', 'path', 'mtime']), edge())),
          type: pick(rng, ['x', 'g', 'L']),
        },
      ]
    : [];
  const made = tar([
    { name: 'a.png', data: picture },
    ...extra,
    { name: pick(rng, ['b', '../b', 'b/', '']), data: new Uint8Array(0), type: pick(rng, ['0', '5', '1', '7']) },
    { name: 'a.cls', data: ascii('1') },
  ]);
  return rng.int(2) ? made : mutateBytes(made, rng);
}

/** Fields of two and of four bytes in a zip archive's records, by the last two bytes of their signature. */
const ZIP_FIELDS: Readonly<Record<number, { readonly two: readonly number[]; readonly four: readonly number[] }>> = {
  0x0403: { two: [4, 6, 8, 26, 28], four: [14, 18, 22] },
  0x0201: { two: [4, 8, 10, 28, 30, 32, 34], four: [16, 20, 24, 38, 42] },
  0x0605: { two: [4, 6, 8, 10, 20], four: [12, 16] },
  0x0606: { two: [12, 14], four: [4, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52] },
  0x0706: { two: [], four: [4, 8, 12, 16] },
};

/** An archive of images, stored and deflated, with odd names, and with fields of its records at edges. */
export function zipped(picture: Uint8Array, rng: Rng): Uint8Array {
  const name = pick(rng, [
    'a/2.png',
    '../2.png',
    '/2.png',
    'a\\2.png',
    'a/',
    '',
    'é/2.png',
    `${'a/'.repeat(999)}2.png`,
  ]);
  const attrs = pick(rng, [0, 0o120777, 0o100644, 0o040755]) << 16;
  let made: Uint8Array = zipSync({
    'a/1.png': [picture, { level: pick(rng, [0, 9]) }],
    [name]: [rng.int(2) ? picture : new Uint8Array(pick(rng, [0, 9, 70_000])), { level: 9, os: 3, attrs }],
  });
  if (rng.int(4) === 0) made = withZip64(made);
  const view = Buffer.from(made);
  const records = Object.keys(ZIP_FIELDS).flatMap((key) => {
    const kind = Number(key);
    const at = view.indexOf(Buffer.from([0x50, 0x4b, kind & 255, kind >> 8]));
    return at < 0 ? [] : [{ at, ...ZIP_FIELDS[kind]! }]; // a key of it
  });
  for (let k = rng.int(3); k > 0; k--) {
    const { at, two, four } = pick(rng, records);
    const short = two.length > 0 && rng.int(2) === 0;
    const field = at + pick(rng, short ? two : four);
    const value = pick(rng, EDGES);
    if (field + 4 > view.length) continue;
    if (short) view.writeUInt16LE(((value % 65536) + 65536) % 65536, field);
    else view.writeUInt32LE(((value % 2 ** 32) + 2 ** 32) % 2 ** 32, field);
  }
  return rng.int(3) ? view : mutateBytes(view, rng);
}

/** The same archive with its end also told by the records of Zip64. */
function withZip64(zip: Uint8Array): Uint8Array {
  const end = zip.length - 22;
  const old = Buffer.from(zip.subarray(end));
  const wide = Buffer.alloc(56 + 20);
  wide.writeUInt32LE(0x06064b50, 0);
  wide.writeBigUInt64LE(44n, 4);
  wide.writeBigUInt64LE(BigInt(old.readUInt16LE(8)), 24);
  wide.writeBigUInt64LE(BigInt(old.readUInt16LE(10)), 32);
  wide.writeBigUInt64LE(BigInt(old.readUInt32LE(12)), 40);
  wide.writeBigUInt64LE(BigInt(old.readUInt32LE(16)), 48);
  wide.writeUInt32LE(0x07064b50, 56);
  wide.writeBigUInt64LE(BigInt(end), 64);
  wide.writeUInt32LE(1, 72);
  return joined(zip.subarray(0, end), wide, old);
}
