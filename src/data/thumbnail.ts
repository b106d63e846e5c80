/** A small picture of a model's input, for a person who looks at what went wrong. */
import sharp from 'sharp';
import type { Feed, FeedTensor } from '../ir/feed.js';

const PIXELS = 64;
/** Larger inputs are no thumbnails' worth of time. */
const MOST_ELEMENTS = 3 * 2048 * 2048;

/**
 * PNG as a data URI of the one input that looks like an image: [1, C, H, W] or [1, H, W, C] with 1 or 3 channels of
 * float32 or uint8, stretched from its own least to its largest value. Undefined for other inputs: a picture is never
 * worth an error.
 */
export async function thumbnail(feed: Feed): Promise<string | undefined> {
  const images = Object.values(feed).flatMap((t) => layoutOf(t) ?? []);
  const [image] = images;
  if (!image || images.length !== 1) return undefined;
  const { data, channels, height, width, planar } = image;
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < data.length; i++) {
    const v = data[i]!;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  if (!Number.isFinite(low) || !Number.isFinite(high)) return undefined;
  const scale = high > low ? 255 / (high - low) : 0;
  const area = width * height;
  const pixels = new Uint8Array(channels * area);
  for (let p = 0; p < area; p++)
    for (let c = 0; c < channels; c++)
      pixels[p * channels + c] = (data[planar ? c * area + p : p * channels + c]! - low) * scale;
  try {
    const png = await sharp(pixels, { raw: { width, height, channels } })
      .resize(PIXELS, PIXELS, { fit: 'inside', withoutEnlargement: true })
      .png({ compressionLevel: 9 })
      .toBuffer();
    return `data:image/png;base64,${png.toString('base64')}`;
  } catch {
    return undefined;
  }
}

function layoutOf({
  data,
  dims,
}: FeedTensor):
  { data: Float32Array | Uint8Array; channels: 1 | 3; height: number; width: number; planar: boolean } | undefined {
  if (
    !(data instanceof Float32Array || data instanceof Uint8Array) ||
    dims.length !== 4 ||
    dims[0] !== 1 ||
    !data.length ||
    data.length > MOST_ELEMENTS
  )
    return undefined;
  const [, a, b, c] = dims as readonly [number, number, number, number]; // four of them
  const isChannels = (n: number): n is 1 | 3 => n === 1 || n === 3;
  if (isChannels(a) && b > 3 && c > 3) return { data, channels: a, height: b, width: c, planar: true };
  if (isChannels(c) && a > 3 && b > 3) return { data, channels: c, height: a, width: b, planar: false };
  return undefined;
}
