import { fail } from '../../base/errors.js';
import { createRng, type Rng } from '../../base/rng.js';
import { sha256 } from '../files.js';
import type { Pixels } from '../image.js';
import { createImageReader } from '../preprocess.js';
import type { OpenSource } from '../source.js';

const DEFAULT_COUNT = 1024;

/**
 * `synthetic:` — made-up images with the statistics of photographs, where none may be read. Image i depends on the
 * seed, i and the size alone. source: dead leaves and 1/f noise as stand-ins for photographs, Baradad et al. 2021,
 * https://arxiv.org/abs/2106.05963, section 3
 */
export const openSynthetic: OpenSource = (spec, inputs, context) => {
  const reader = createImageReader(spec, inputs, context.onDiagnostic);
  const { height, width } = reader.size;
  if (height === undefined || width === undefined)
    fail(
      'DATA_SHAPE',
      'synthetic images have the size of the model input, which this model leaves open',
      {},
      'set preprocess.resize: { height, width }',
    );
  if (height * width > spec.maxPixels)
    fail(
      'DATA_IMAGE',
      `synthetic images would have ${width} × ${height} pixels, over the limit of ${spec.maxPixels}`,
      {},
      'raise maxPixels',
    );
  const pattern = spec.synthetic ?? 'both';
  const paint = (i: number): Pixels => {
    const rng = createRng(context.seed, `synthetic image ${i}`);
    return (pattern === 'leaves' || (pattern === 'both' && i % 2 === 0) ? leaves : fractal)(width, height, rng);
  };
  return Promise.resolve({
    kind: 'listed',
    count: spec.count ?? DEFAULT_COUNT,
    id: (i) => `synthetic ${i}`,
    load: (i) => {
      const image = paint(i);
      return Promise.resolve({ feeds: [reader.fromPixels(image)], hash: sha256(image.data) });
    },
    details: { source: 'synthetic', pattern, size: [height, width], preprocess: reader.details },
  });
};

type Colour = readonly [red: number, green: number, blue: number];
/** Brightness varies far more than hue, as in photographs. */
function colour(rng: Rng): Colour {
  const light = 256 * rng.next();
  const warm = 24 * rng.normal();
  const green = 10 * rng.normal();
  return [light + warm, light + green, light - warm];
}
const byte = (x: number): number => Math.min(255, Math.max(0, Math.round(x)));

/**
 * Discs and rectangles over each other, sizes by a power law: dead leaves. Each is shaded from one side to the other.
 */
function leaves(width: number, height: number, rng: Rng): Pixels {
  const data = new Uint8Array(3 * width * height);
  const side = Math.max(width, height);
  const [least, most] = [Math.max(1, side / 24), side / 1.5];
  const paint = (x0: number, y0: number, radius: number): void => {
    const [from, to] = [colour(rng), 0.4 * rng.normal()];
    const angle = 2 * Math.PI * rng.next();
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const flat = rng.next() < 0.5 ? 0 : 0.3 + 0.7 * rng.next(); // a disc, or the ratio of a rectangle's sides
    const reach = radius * Math.SQRT2;
    for (let y = Math.max(0, Math.floor(y0 - reach)); y < Math.min(height, y0 + reach); y++) {
      for (let x = Math.max(0, Math.floor(x0 - reach)); x < Math.min(width, x0 + reach); x++) {
        const [u, v] = [((x - x0) * cos + (y - y0) * sin) / radius, ((y - y0) * cos - (x - x0) * sin) / radius];
        if (flat ? Math.abs(u) > 1 || Math.abs(v) > flat : u * u + v * v > 1) continue;
        const shade = 1 + to * u;
        for (let c = 0, at = 3 * (y * width + x); c < 3; c++) data[at + c] = byte(from[c]! * shade); // three channels
      }
    }
  };
  paint(width / 2, height / 2, side * 2);
  for (let k = 0; k < 60; k++)
    paint(width * rng.next(), height * rng.next(), least * (1 - rng.next() * (1 - (least / most) ** 2)) ** -0.5);
  return { data, width, height };
}

/** Sum of octaves of smooth noise whose amplitude is that of their period: a 1/f spectrum. */
function fractal(width: number, height: number, rng: Rng): Pixels {
  const sum = [0, 1, 2].map(() => new Float64Array(width * height)); // brightness, warmth, green
  const slope = 0.7 + 0.6 * rng.next();
  const side = Math.max(width, height);
  let energy = 0;
  for (let period = side; period >= 1; period /= 2) {
    const amplitude = (period / side) ** slope;
    energy += amplitude * amplitude;
    for (const plane of sum) addSmooth(plane, width, height, period, amplitude, rng);
  }
  const centre = 60 + 136 * rng.next();
  const contrast = (30 + 50 * rng.next()) / Math.sqrt(energy / 2);
  const data = new Uint8Array(3 * width * height);
  const [light, warm, green] = sum as [Float64Array, Float64Array, Float64Array]; // made with three
  for (let i = 0; i < width * height; i++) {
    const l = centre + contrast * light[i]!; // i is a pixel
    data[3 * i] = byte(l + 0.3 * contrast * warm[i]!);
    data[3 * i + 1] = byte(l + 0.15 * contrast * green[i]!);
    data[3 * i + 2] = byte(l - 0.3 * contrast * warm[i]!);
  }
  return { data, width, height };
}

/** Adds normal noise on a grid of cells of `period` pixels, linear between grid points. */
function addSmooth(
  plane: Float64Array,
  width: number,
  height: number,
  period: number,
  amplitude: number,
  rng: Rng,
): void {
  const [columns, rows] = [Math.ceil(width / period) + 2, Math.ceil(height / period) + 2];
  const grid = Float64Array.from({ length: columns * rows }, () => amplitude * rng.normal());
  const [dx, dy] = [rng.next(), rng.next()];
  for (let y = 0, i = 0; y < height; y++) {
    const v = y / period + dy;
    const row = Math.floor(v);
    for (let x = 0; x < width; x++, i++) {
      const u = x / period + dx;
      const column = Math.floor(u);
      const at = row * columns + column;
      const [a, b] = [u - column, v - row];
      plane[i]! +=
        (1 - b) * ((1 - a) * grid[at]! + a * grid[at + 1]!) +
        b * ((1 - a) * grid[at + columns]! + a * grid[at + columns + 1]!); // the grid reaches one cell further
    }
  }
}
