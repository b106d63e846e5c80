import { item } from '../base/lists.js';
import sharp from 'sharp';
import { fail, type Where } from '../base/errors.js';

/** Interleaved 8-bit RGB, [height, width, 3]. */
export interface Pixels {
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** Extensions that count as images when a folder is listed. */
export const isImageName = (name: string): boolean => /\.(jpe?g|png|webp|gif|tiff?|avif)$/i.test(name);
/** Bytes that tell the format of an image. */
export const IMAGE_HEAD = 12;
/** Whether a file begins as the images do that are read; only decoding it tells that it is whole. */
export function beginsAsImage(head: Uint8Array): boolean {
  const text = String.fromCharCode(...head.subarray(0, IMAGE_HEAD));
  return /^(?:\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8|RIFF[^]{4}WEBP|II[*+]\0|MM\0[*+]|[^]{4}ftyp)/.test(text);
}
/** Formats by content. SVG and PDF are left out: they are programs rather than pixels. */
const FORMATS: ReadonlySet<string> = new Set(['jpeg', 'png', 'webp', 'gif', 'tiff', 'heif', 'avif']);

/** An image of more pixels must have a byte for so many: a picture of one colour in a PNG has one for about 1,000. */
const FREE_PIXELS = 8_000_000;
const MOST_PER_BYTE = 8000;

/**
 * Decodes an image to 8-bit RGB: first frame of animations, turned upright by EXIF, alpha dropped without blending,
 * gray repeated, CMYK converted to sRGB, 16 bits cut to their high 8. ICC profiles are ignored except for CMYK, as
 * PIL and OpenCV ignore them. Throws DATA_IMAGE for anything that is not an intact image of at most `maxPixels`.
 */
export async function decodeImage(bytes: Uint8Array, maxPixels: number, where: Where): Promise<Pixels> {
  const name = where.sample ?? where.file ?? 'image';
  if (!bytes.length) fail('DATA_IMAGE', `${name} is empty (0 bytes)`, where, 'remove it, or set onBadSample: skip');
  const metadata = await sharp(bytes, { limitInputPixels: false })
    .metadata()
    .catch((cause: unknown) =>
      fail(
        'DATA_IMAGE',
        `${name} is not an image${looksLike(bytes)}: ${messageOf(cause)}`,
        where,
        'expected JPEG, PNG, WebP, GIF, TIFF or AVIF',
        cause,
      ),
    );
  if (!FORMATS.has(metadata.format))
    fail(
      'DATA_IMAGE',
      `${name} is ${metadata.format}, which is not read`,
      where,
      'expected JPEG, PNG, WebP, GIF, TIFF or AVIF',
    );
  const pixels = metadata.width * metadata.height;
  if (pixels > maxPixels)
    fail(
      'DATA_IMAGE',
      `${name} has ${metadata.width} × ${metadata.height} = ${pixels} pixels, over the limit of ${maxPixels}`,
      where,
      'raise maxPixels if the image is what you mean',
    );
  if (pixels > FREE_PIXELS && pixels > MOST_PER_BYTE * bytes.length) {
    fail(
      'DATA_IMAGE',
      `${name} claims ${metadata.width} × ${metadata.height} = ${pixels} pixels in ${bytes.length} bytes`,
      where,
      'no picture is stored in so few; the file is damaged, or made to fill the memory',
    );
  }
  const { data, info } = await sharp(bytes, {
    limitInputPixels: maxPixels,
    failOn: 'error',
    ignoreIcc: metadata.space !== 'cmyk',
  })
    .autoOrient()
    .toColourspace('srgb')
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
    .catch((cause: unknown) =>
      fail(
        'DATA_IMAGE',
        `${name} cannot be decoded: ${messageOf(cause)}`,
        where,
        'the file is damaged; remove it, or set onBadSample: skip',
        cause,
      ),
    );
  return { data: toThreeBands(data, info.channels, info.width * info.height), width: info.width, height: info.height };
}

function toThreeBands(data: Uint8Array, bands: number, pixels: number): Uint8Array {
  if (bands === 3) return data;
  const out = new Uint8Array(pixels * 3);
  const rgb = bands > 3;
  for (let i = 0; i < pixels; i++) {
    out[i * 3] = data[i * bands]!;
    out[i * 3 + 1] = data[i * bands + (rgb ? 1 : 0)]!;
    out[i * 3 + 2] = data[i * bands + (rgb ? 2 : 0)]!;
  }
  return out;
}

function looksLike(bytes: Uint8Array): string {
  const head = new TextDecoder('latin1').decode(bytes.subarray(0, 64)).trimStart().toLowerCase();
  if (head.startsWith('<!doctype html') || head.startsWith('<html')) return ' but an HTML page (a failed download?)';
  if (head.startsWith('version https://git-lfs')) return ' but a Git LFS pointer (run git lfs pull)';
  return '';
}
const messageOf = (cause: unknown): string =>
  cause instanceof Error ? item(cause.message.split('\n'), 0) : String(cause);
