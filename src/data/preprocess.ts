import { item } from '../base/lists.js';
import { fail, type Diagnostic, type Where } from '../base/errors.js';
import { numberToFloat16 } from '../ir/convert.js';
import { integerRange, isFloat, type DType } from '../ir/dtype.js';
import type { Feed, FeedTensor, TypedArray, ValueInfo } from '../ir/feed.js';
import { decodeImage, type Pixels } from './image.js';
import { IMAGE_DTYPES, type PreprocessSpec } from './preprocess-spec.js';
import { fit, type ImageFrame } from './fit.js';

/** Turns the bytes of an image file into a feed of the one image input. */
export interface ImageReader {
  /** Every setting after defaults, for the run record. */
  readonly details: Readonly<Record<string, unknown>>;
  read(bytes: Uint8Array, where: Where): Promise<Feed>;
  /** Also tells where the image went, so that what is known of its pixels can follow. */
  /** A feed of pixels that have the size of the model input already. */
  fromPixels(image: Pixels): Feed;
  /** Size of the model input in pixels, where the model or the settings fix it. */
  readonly size: { readonly height: number | undefined; readonly width: number | undefined };
  readFramed(bytes: Uint8Array, where: Where): Promise<{ readonly feed: Feed; readonly frame: ImageFrame }>;
}

/**
 * Reader for a model input [N,C,H,W] or [N,H,W,C]. Per pixel value x in 0..255: y = (x · scale − mean) / std, every
 * step rounded to float32, so that the result equals numpy's float32 `(x / 255 - mean) / std` bit for bit.
 * Throws DATA_SHAPE where the settings contradict the model.
 */
export function createImageReader(
  spec: {
    readonly preprocess?: PreprocessSpec | undefined;
    readonly input?: string | undefined;
    readonly maxPixels: number;
  },
  inputs: readonly ValueInfo[],
  onDiagnostic: ((d: Diagnostic) => void) | undefined,
): ImageReader {
  const preprocess: PreprocessSpec = spec.preprocess ?? {};
  const { input, layout, colour, height, width, dtype, tables } = pixelValues(spec, inputs);
  if (!spec.preprocess && isFloat(dtype)) {
    onDiagnostic?.({
      severity: 'warning',
      code: 'DATA_PREPROCESS',
      message: `images go to '${input.name}' as raw 0 to 255, since no preprocess is declared`,
      where: { tensor: input.name },
      hint: 'add preprocess: { scale: 1/255, mean, std } as in training, or preprocess: {} if raw pixels are right',
    });
  }
  const readFramed: ImageReader['readFramed'] = async (bytes, where) => {
    const { image, frame } = fit(await decodeImage(bytes, spec.maxPixels, where), preprocess, spec.maxPixels, where);
    if ((height !== undefined && image.height !== height) || (width !== undefined && image.width !== width)) {
      fail(
        'DATA_SHAPE',
        `${where.sample ?? where.file ?? 'an image'} is ${image.width} × ${image.height} (width × height) ` +
          `after preprocessing, but '${input.name}' takes ${width ?? 'any'} × ${height ?? 'any'}`,
        { ...where, tensor: input.name },
        `add preprocess: { resize: { height: ${height ?? image.height}, width: ${width ?? image.width} } }, or ` +
          'resize: { shortest } with crop',
      );
    }
    return { feed: { [input.name]: toTensor(image, tables, dtype, layout, colour) }, frame };
  };
  return {
    details: {
      input: input.name,
      dtype,
      layout,
      colour,
      scale: preprocess.scale ?? 1,
      mean: preprocess.mean ?? 0,
      std: preprocess.std ?? 1,
      resize: preprocess.resize ?? null,
      crop: preprocess.crop ?? null,
      pad: preprocess.pad ?? null,
    },
    fromPixels: (image) => ({ [input.name]: toTensor(image, tables, dtype, layout, colour) }),
    size: {
      height: height ?? preprocess.pad?.height ?? preprocess.crop?.height ?? preprocess.resize?.height,
      width: width ?? preprocess.pad?.width ?? preprocess.crop?.width ?? preprocess.resize?.width,
    },
    read: async (bytes, where) => (await readFramed(bytes, where)).feed,
    readFramed,
  };
}

/** What an input gets for each value of a pixel's channels, in their order there. */
export interface PixelValues {
  readonly input: ValueInfo;
  readonly dtype: DType;
  readonly layout: 'NCHW' | 'NHWC';
  readonly colour: 'RGB' | 'BGR' | 'gray';
  readonly height: number | undefined;
  readonly width: number | undefined;
  /** 256 values for each channel of the input. */
  readonly tables: readonly TypedArray[];
}

/** Throws DATA_SHAPE where the settings contradict the model. */
export function pixelValues(
  spec: { readonly preprocess?: PreprocessSpec | undefined; readonly input?: string | undefined },
  inputs: readonly ValueInfo[],
): PixelValues {
  const input = chooseInput(inputs, spec.input);
  const preprocess: PreprocessSpec = spec.preprocess ?? {};
  const found = resolveLayout(input, preprocess);
  const channels = found.colour === 'gray' ? 1 : 3;
  const dtype = resolveDtype(input, preprocess);
  const tables = Array.from({ length: channels }, (_, c) => pixelTable(preprocess, c, channels, dtype, input.name));
  return { ...found, input, dtype, tables };
}

/** The input by name, or the only one. Throws DATA_SHAPE where it does not exist or others would stay empty. */
export function chooseInput(inputs: readonly ValueInfo[], name: string | undefined): ValueInfo {
  const names = inputs.map((i) => `'${i.name}'`).join(', ');
  const input = name === undefined ? inputs[0] : inputs.find((i) => i.name === name);
  if (!input)
    return fail(
      'DATA_SHAPE',
      name === undefined ? 'the model has no input' : `the model has no input '${name}'; it has ${names}`,
      name === undefined ? {} : { tensor: name },
    );
  if (inputs.length > 1)
    fail(
      'DATA_SHAPE',
      `this source feeds one input, but the model has ${inputs.length}: ${names}`,
      { tensor: input.name },
      'use npz, testData or module, which can feed several',
    );
  return input;
}

function resolveLayout(
  input: ValueInfo,
  spec: PreprocessSpec,
): { layout: 'NCHW' | 'NHWC'; colour: 'RGB' | 'BGR' | 'gray'; height: number | undefined; width: number | undefined } {
  const shape = input.shape;
  const where = { tensor: input.name };
  if (shape && shape.length !== 4)
    fail(
      'DATA_SHAPE',
      `images need an input of 4 axes, but '${input.name}' has shape [${shape.map((d) => d ?? '?').join(',')}]`,
      where,
      'use npy, npz or module',
    );
  // Three is surer than one: a width of 1 is rarer than three channels.
  const rank = (d: number | string | null | undefined): number => (d === 3 ? 2 : d === 1 ? 1 : 0);
  const first = rank(shape?.[1]);
  const last = rank(shape?.[3]);
  if (!spec.layout && first === last)
    fail(
      'DATA_SHAPE',
      `the shape of '${input.name}', ${shape ? `[${shape.map((d) => d ?? '?').join(',')}]` : 'unknown'}, does ` +
        'not tell whether channels come first',
      where,
      'add preprocess: { layout: NCHW } or NHWC',
    );
  const layout = spec.layout ?? (first > last ? 'NCHW' : 'NHWC');
  const axis = layout === 'NCHW' ? [1, 2, 3] : [3, 1, 2];
  const [c, h, w] = axis.map((a) => shape?.[a]);
  const colour = spec.colour ?? (c === 1 ? 'gray' : 'RGB');
  const channels = colour === 'gray' ? 1 : 3;
  if (typeof c === 'number' && c !== channels)
    fail(
      'DATA_SHAPE',
      `'${input.name}' takes ${c} channels in layout ${layout}, but colour ${colour} gives ${channels}`,
      where,
      'check preprocess.layout and preprocess.colour',
    );
  return {
    layout,
    colour,
    height: typeof h === 'number' ? h : undefined,
    width: typeof w === 'number' ? w : undefined,
  };
}

function resolveDtype(input: ValueInfo, spec: PreprocessSpec): DType {
  const dtype = spec.dtype ?? input.dtype ?? 'float32';
  if (input.dtype && dtype !== input.dtype)
    fail(
      'DATA_SHAPE',
      `preprocess.dtype is ${dtype}, but '${input.name}' takes ${input.dtype}`,
      { tensor: input.name },
      'leave dtype out',
    );
  if (!IMAGE_DTYPES.some((d) => d === dtype))
    fail(
      'DATA_SHAPE',
      `'${input.name}' takes ${dtype}, which images cannot give`,
      { tensor: input.name },
      'use npy, npz or module',
    );
  return dtype;
}

/**
 * The output for each of the 256 values of a channel. Throws DATA_SHAPE where an integer input would get fractions or
 * overflow.
 */
function pixelTable(spec: PreprocessSpec, channel: number, channels: number, dtype: DType, input: string): TypedArray {
  const pick = (v: number | number[] | undefined, fallback: number, name: string): number => {
    if (!Array.isArray(v)) return Math.fround(v ?? fallback);
    if (v.length !== channels)
      fail('DATA_SHAPE', `preprocess.${name} has ${v.length} numbers for ${channels} channels`, { tensor: input });
    return Math.fround(v[channel]!);
  };
  const mean = pick(spec.mean, 0, 'mean');
  const std = pick(spec.std, 1, 'std');
  const [numerator, denominator] =
    typeof spec.scale === 'string' ? spec.scale.split('/').map(Number) : [spec.scale ?? 1, 1];
  const values = new Float32Array(256);
  for (let x = 0; x < 256; x++) {
    const scaled = Math.fround(Math.fround(x * Math.fround(numerator!)) / Math.fround(denominator!));
    values[x] = Math.fround(Math.fround(scaled - mean) / std);
  }
  if (!values.every(Number.isFinite))
    fail('DATA_SHAPE', 'preprocess gives infinite or undefined values', { tensor: input }, 'check scale, mean and std');
  if (dtype === 'float32') return values;
  if (dtype === 'float64') return Float64Array.from(values);
  if (dtype === 'float16') return Uint16Array.from(values, numberToFloat16);
  const [low, high] = integerRange(dtype) ?? [-(2 ** 31), 2 ** 31 - 1];
  const bad = values.find((v) => !Number.isInteger(v) || v < low || v > high);
  if (bad !== undefined)
    fail(
      'DATA_SHAPE',
      `preprocess gives ${bad}, but '${input}' takes ${dtype}`,
      { tensor: input },
      `choose scale, mean and std so that the values are whole numbers in ${low}..${high}`,
    );
  switch (dtype) {
    case 'uint8':
      return Uint8Array.from(values);
    case 'int8':
      return Int8Array.from(values);
    case 'int16':
      return Int16Array.from(values);
    case 'int32':
      return Int32Array.from(values);
    default:
      return BigInt64Array.from(values, BigInt);
  }
}

function toTensor(
  image: Pixels,
  tables: readonly TypedArray[],
  dtype: DType,
  layout: 'NCHW' | 'NHWC',
  colour: 'RGB' | 'BGR' | 'gray',
): FeedTensor {
  const { width, height } = image;
  const pixels = width * height;
  const channels = tables.length;
  const values = colour === 'gray' ? luma(image.data, pixels) : image.data;
  const data = sameType(item(tables, 0), pixels * channels);
  const pixelStride = layout === 'NCHW' ? 1 : channels;
  const channelStride = layout === 'NCHW' ? pixels : 1;
  for (let c = 0; c < channels; c++) {
    const table = item(tables, c);
    const from = colour === 'BGR' ? 2 - c : c;
    for (let i = 0, o = c * channelStride; i < pixels; i++, o += pixelStride)
      data[o] = table[values[i * channels + from]!]!;
  }
  return { dtype, dims: layout === 'NCHW' ? [1, channels, height, width] : [1, height, width, channels], data };
}

/** PIL's convert('L'): ITU-R 601 in 16-bit fixed point. */
function luma(rgb: Uint8Array, pixels: number): Uint8Array {
  const out = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++)
    out[i] = (rgb[i * 3]! * 19595 + rgb[i * 3 + 1]! * 38470 + rgb[i * 3 + 2]! * 7471 + 0x8000) >> 16;
  return out;
}

function sameType(like: TypedArray, length: number): TypedArray {
  const Type = like.constructor as new (n: number) => TypedArray; // every typed array's constructor takes a length
  return new Type(length);
}
