/** Where the pixels of an image go: resize, crop and pad. */
import { fail, type Where } from '../base/errors.js';
import { type Pixels } from './image.js';
import { resizeImage } from './resample.js';
import { type PreprocessSpec } from './preprocess-spec.js';

/** How pixels of a decoded image lie in the model input: x · scaleX + left, y · scaleY + top. */
export interface ImageFrame {
  readonly original: { readonly width: number; readonly height: number };
  /** Of the model input. */
  readonly width: number;
  readonly height: number;
  readonly scaleX: number;
  readonly scaleY: number;
  readonly left: number;
  readonly top: number;
  /** Left, top, right, bottom of what a crop left over; undefined where the whole image is there. */
  readonly visible?: readonly [number, number, number, number];
}

/** Resize, centre crop, pad. Sizes and offsets round as torchvision does. */
export function fit(
  image: Pixels,
  spec: PreprocessSpec,
  maxPixels: number,
  where: Where,
): { readonly image: Pixels; readonly frame: ImageFrame } {
  let out = image;
  let [left, top] = [0, 0];
  let visible: [number, number, number, number] | undefined;
  const r = spec.resize;
  if (r) {
    const { width: w, height: h } = image;
    const ratio = r.shortest !== undefined ? r.shortest / Math.min(w, h) : (r.longest ?? 0) / Math.max(w, h);
    // The declared side is exact; only the other side is rounded down.
    const side = (n: number): number =>
      (r.shortest !== undefined ? n === Math.min(w, h) : n === Math.max(w, h))
        ? (r.shortest ?? r.longest ?? n)
        : Math.max(1, Math.floor(n * ratio));
    const width = r.width ?? side(w);
    const height = r.height ?? side(h);
    if (width * height > maxPixels)
      fail(
        'DATA_IMAGE',
        `resize gives ${width} × ${height} = ${width * height} pixels, over the limit of ${maxPixels}`,
        where,
        'crop very long images, or raise maxPixels',
      );
    out = resizeImage(out, width, height, r.interpolation);
  }
  const [scaleX, scaleY] = [out.width / image.width, out.height / image.height];
  if (spec.crop) {
    const { width, height } = spec.crop;
    if (width > out.width || height > out.height)
      fail(
        'DATA_SHAPE',
        `crop ${width} × ${height} is larger than the image, ${out.width} × ${out.height}`,
        where,
        'resize first, or use pad',
      );
    [left, top] = [-halfEven((out.width - width) / 2), -halfEven((out.height - height) / 2)];
    visible = [0, 0, width, height];
    out = place(out, width, height, 0, left, top);
  }
  if (spec.pad) {
    const { width, height, value, position } = spec.pad;
    if (width < out.width || height < out.height)
      fail(
        'DATA_SHAPE',
        `pad ${width} × ${height} is smaller than the image, ${out.width} × ${out.height}`,
        where,
        'resize with longest, or crop',
      );
    const center = position === 'center';
    const [x, y] = center ? [(width - out.width) >> 1, (height - out.height) >> 1] : [0, 0];
    [left, top] = [left + x, top + y];
    if (visible) visible = [visible[0] + x, visible[1] + y, visible[2] + x, visible[3] + y];
    out = place(out, width, height, value, x, y);
  }
  return {
    image: out,
    frame: {
      original: { width: image.width, height: image.height },
      width: out.width,
      height: out.height,
      scaleX,
      scaleY,
      left,
      top,
      ...(visible ? { visible } : {}),
    },
  };
}

/** The image at offset (left, top) of a new area; what falls outside is cut, the rest is `value`. */
function place(image: Pixels, width: number, height: number, value: number, left: number, top: number): Pixels {
  const data = new Uint8Array(width * height * 3).fill(value);
  const x0 = Math.max(0, left);
  const columns = Math.min(width, left + image.width) - x0;
  for (let y = Math.max(0, top); y < Math.min(height, top + image.height); y++) {
    const from = ((y - top) * image.width + (x0 - left)) * 3;
    data.set(image.data.subarray(from, from + columns * 3), (y * width + x0) * 3);
  }
  return { data, width, height };
}

const halfEven = (x: number): number => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
