/** How large files are on their way to whoever loads them. */
import type { Codec } from '../../record/sent-bytes.js';
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

/** The strongest levels take minutes for larger files. */
const LARGE = 64 * 2 ** 20;

/** Of a version of Node that has it; not known to the types of older ones. */
type ZstdCompress = (
  data: Uint8Array,
  options: { readonly params: Readonly<Record<number, number>> },
  done: (error: Error | null, made: Buffer) => void,
) => void;
// As Node documents it from 22.15 on.
const zstdCompress = 'zstdCompress' in zlib ? (zlib.zstdCompress as ZstdCompress) : undefined;
const LEVEL: Readonly<Record<string, number | undefined>> = { ...zlib.constants };

/** Whether this version of Node can do it. */
export const hasCodec = (codec: Codec): boolean => codec !== 'zstd' || zstdCompress !== undefined;

const brotli = promisify(zlib.brotliCompress);
const gzip = promisify(zlib.gzip);

/** Bytes that a codec makes of some, at its strongest level; one lower for large files. */
export async function compressedBytes(codec: Codec, data: Uint8Array): Promise<number> {
  const large = data.length > LARGE;
  switch (codec) {
    case 'brotli': {
      const {
        BROTLI_PARAM_QUALITY: quality,
        BROTLI_PARAM_SIZE_HINT: hint,
        BROTLI_PARAM_LGWIN: window,
      } = zlib.constants;
      const params = { [quality]: large ? 9 : 11, [hint]: data.length, [window]: 24 };
      return (await brotli(data, { params })).length;
    }
    case 'gzip':
      return (await gzip(data, { level: 9 })).length;
    case 'zstd': {
      const level = LEVEL.ZSTD_c_compressionLevel;
      if (!zstdCompress || level === undefined) return data.length;
      return new Promise((resolve, reject) => {
        zstdCompress(data, { params: { [level]: large ? 12 : 19 } }, (error, made) => {
          if (error) reject(error);
          else resolve(made.length);
        });
      });
    }
    default:
      return codec satisfies never;
  }
}

export interface TransportSizes {
  readonly raw: number;
  readonly brotli: number;
  readonly gzip: number;
  readonly zstd?: number;
}

/** Of files that are sent one by one. */
export async function transportSizes(files: readonly Uint8Array[]): Promise<TransportSizes> {
  const total = async (codec: Codec): Promise<number> => {
    let bytes = 0;
    for (const f of files) bytes += await compressedBytes(codec, f);
    return bytes;
  };
  return {
    raw: files.reduce((n, f) => n + f.length, 0),
    brotli: await total('brotli'),
    gzip: await total('gzip'),
    ...(hasCodec('zstd') ? { zstd: await total('zstd') } : {}),
  };
}
