/**
 * Draws the shipped demo data: ten classes of glyphs, 32×32 RGB, from a seed and nothing else.
 *
 *   node scripts/glyphs.mjs                                  rewrites calibration-data/glyphs/*.tar and the manifest
 *   node scripts/glyphs.mjs --manifest                       rewrites the manifest only (after training demo.onnx)
 *   node scripts/glyphs.mjs --training FILE --per-class N --seed S  a training set: an archive of N·10 images in folders
 *                                                            by class, for calibration-data/train.yaml
 *
 * An image is drawn straight into a 16-colour palette, so the PNG files are small and decode to the drawn pixels.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { crc32, deflateSync } from 'node:zlib';

const SIZE = 32;
const SPLITS = { calibration: { seed: 1, perClass: 30 }, test: { seed: 2, perClass: 100 } };
const home = join(dirname(fileURLToPath(import.meta.url)), '..', 'calibration-data');

/** Outlines in a unit circle, y down; `open` ones are only ever stroked. */
const GLYPHS = {
  arrow: {
    points: [
      [0, -0.95],
      [0.65, -0.2],
      [0.25, -0.2],
      [0.25, 0.95],
      [-0.25, 0.95],
      [-0.25, -0.2],
      [-0.65, -0.2],
    ],
  },
  circle: { points: polygon(28, () => 0.85) },
  crescent: { points: crescent() },
  heart: {
    points: Array.from({ length: 28 }, (_, i) => {
      const t = (i / 28) * 2 * Math.PI;
      return [
        0.056 * 16 * Math.sin(t) ** 3,
        -0.056 * (13 * Math.cos(t) - 5 * Math.cos(2 * t) - 2 * Math.cos(3 * t) - Math.cos(4 * t)),
      ];
    }),
  },
  hexagon: { points: polygon(6, () => 0.92) },
  plus: {
    points: [
      [-0.28, -0.9],
      [0.28, -0.9],
      [0.28, -0.28],
      [0.9, -0.28],
      [0.9, 0.28],
      [0.28, 0.28],
      [0.28, 0.9],
      [-0.28, 0.9],
      [-0.28, 0.28],
      [-0.9, 0.28],
      [-0.9, -0.28],
      [-0.28, -0.28],
    ],
  },
  square: { points: polygon(4, () => 1) },
  star: { points: polygon(10, (i) => (i % 2 ? 0.42 : 1)) },
  triangle: { points: polygon(3, () => 1) },
  zigzag: {
    open: true,
    points: [
      [-0.95, 0.45],
      [-0.5, -0.5],
      [0, 0.45],
      [0.5, -0.5],
      [0.95, 0.45],
    ],
  },
};
const CLASSES = Object.keys(GLYPHS);

function polygon(corners, radius) {
  return Array.from({ length: corners }, (_, i) => {
    const t = (i / corners) * 2 * Math.PI - Math.PI / 2;
    return [radius(i) * Math.cos(t), radius(i) * Math.sin(t)];
  });
}
function crescent() {
  const outer = Array.from({ length: 15 }, (_, i) => {
    const t = -2.2 + (4.4 * i) / 14;
    return [-0.9 * Math.cos(t) + 0.1, 0.9 * Math.sin(t)];
  });
  const inner = Array.from({ length: 13 }, (_, i) => {
    const t = 1.75 - (3.5 * i) / 12;
    return [0.38 - 0.74 * Math.cos(t) + 0.12, 0.74 * Math.sin(t)];
  });
  return [...outer, ...inner];
}

/** sfc32, as src/base/rng.ts: one stream per image, so that the count of images does not change any of them. */
function createRng(seed, stream) {
  let h = 2166136261 ^ seed;
  for (let i = 0; i < stream.length; i++) h = Math.imul(h ^ stream.charCodeAt(i), 16777619);
  let a = h | 0,
    b = (h ^ 0x9e3779b9) | 0,
    c = 0x243f6a88,
    counter = 1;
  const next = () => {
    const t = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let i = 0; i < 12; i++) next();
  return next;
}

/** One image: palette (16 RGB triples) and an index per pixel. */
function draw(className, index, seed) {
  const random = createRng(seed, `${className}/${index}`);
  const between = (low, high) => low + (high - low) * random();
  const glyph = GLYPHS[className];
  const background = [between(0, 255), between(0, 255), between(0, 255)];
  let ink = background;
  while (distance3(ink, background) < 105) ink = [between(0, 255), between(0, 255), between(0, 255)];
  const clutter = [between(0, 255), between(0, 255), between(0, 255)];

  const radius = between(7, 13);
  const squeeze = between(0.72, 1); // one axis is shortened, so that aspect says little
  const angle = between(0, 2 * Math.PI);
  const lean = between(0, 2 * Math.PI);
  const room = Math.max(0, SIZE / 2 - radius);
  const centre = [SIZE / 2 + between(-room, room), SIZE / 2 + between(-room, room)];
  const filled = !glyph.open && random() < 0.5;
  const half = between(0.8, Math.max(1.1, radius / 6));
  const points = glyph.points.map(([x0, y0]) => {
    const x = x0 * Math.cos(angle) - y0 * Math.sin(angle);
    const y = (x0 * Math.sin(angle) + y0 * Math.cos(angle)) * squeeze;
    return [
      centre[0] + radius * (x * Math.cos(lean) - y * Math.sin(lean)),
      centre[1] + radius * (x * Math.sin(lean) + y * Math.cos(lean)),
    ];
  });
  const lines = Array.from({ length: Math.floor(between(0, 2.8)) }, () => [
    [between(0, SIZE), between(0, SIZE)],
    [between(0, SIZE), between(0, SIZE)],
  ]);
  const lineHalf = between(0.4, 1);
  const speckle = between(0, 0.14);
  const swing = between(10, 50);

  const palette = [];
  for (let level = 0; level < 5; level++) {
    for (const noise of [0, -swing, swing])
      palette.push(background.map((v, k) => clampByte(v + ((ink[k] - v) * level) / 4 + noise)));
  }
  palette.push(clutter.map(clampByte));
  const pixels = new Uint8Array(SIZE * SIZE);
  for (let y = 0; y < SIZE; y++) {
    for (let x = 0; x < SIZE; x++) {
      let covered = 0;
      for (const [dx, dy] of SAMPLES) if (hit(points, glyph.open, filled, half, x + dx, y + dy)) covered++;
      const noise = random() < speckle ? 1 + Math.floor(random() * 2) : 0;
      const line = lines.some(([p, q]) => segmentDistance(p, q, x + 0.5, y + 0.5) < lineHalf);
      pixels[y * SIZE + x] = line ? 15 : covered * 3 + noise;
    }
  }
  return { palette, pixels };
}
const SAMPLES = [
  [0.125, 0.375],
  [0.375, 0.875],
  [0.625, 0.125],
  [0.875, 0.625],
];

function hit(points, open, filled, half, x, y) {
  const n = points.length;
  let inside = false;
  for (let i = 0, j = n - 1; i < n; j = i++) {
    const [xi, yi] = points[i],
      [xj, yj] = points[j];
    if (filled) {
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) inside = !inside;
    } else if (!(open && i === 0) && segmentDistance(points[j], points[i], x, y) < half) return true;
  }
  return inside;
}
function segmentDistance([ax, ay], [bx, by], x, y) {
  const dx = bx - ax,
    dy = by - ay;
  const t = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - ax - t * dx, y - ay - t * dy);
}
const distance3 = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
const clampByte = (v) => Math.min(255, Math.max(0, Math.round(v)));

/** A 4-bit indexed PNG. */
function png({ palette, pixels }) {
  const rows = Buffer.alloc(SIZE * (1 + SIZE / 2));
  for (let y = 0; y < SIZE; y++)
    for (let x = 0; x < SIZE; x++) rows[y * (1 + SIZE / 2) + 1 + (x >> 1)] |= pixels[y * SIZE + x] << (x & 1 ? 0 : 4);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(SIZE, 0);
  header.writeUInt32BE(SIZE, 4);
  header.set([4, 3, 0, 0, 0], 8); // 4 bits, palette, deflate, no filter, not interlaced
  return Buffer.concat([
    Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]),
    chunk('IHDR', header),
    chunk('PLTE', Buffer.from(palette.flat())),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}
function chunk(type, body) {
  const out = Buffer.alloc(12 + body.length);
  out.writeUInt32BE(body.length, 0);
  out.write(type, 4, 'latin1');
  body.copy(out, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + body.length)), 8 + body.length);
  return out;
}

function writeShipped() {
  rmSync(join(home, 'glyphs'), { recursive: true, force: true });
  mkdirSync(join(home, 'glyphs'));
  for (const [split, { seed, perClass }] of Object.entries(SPLITS)) {
    writeFileSync(join(home, 'glyphs', `${split}.tar`), archive(perClass, seed));
  }
}

/** A ustar archive whose bytes follow from names and contents alone: no time, no owner. */
function tar(files) {
  const blocks = files.flatMap(({ name, bytes }) => {
    const header = Buffer.alloc(512);
    const put = (text, at) => header.write(text, at, 'latin1');
    put(name, 0);
    put('0000644\0', 100);
    for (const at of [108, 116]) put('0000000\0', at);
    put(`${bytes.length.toString(8).padStart(11, '0')}\0`, 124);
    put('00000000000\0', 136);
    put('        0', 148);
    put('ustar\x0000', 257);
    const sum = header.reduce((a, b) => a + b, 0);
    put(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    return [header, bytes, Buffer.alloc(-bytes.length & 511)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

/** An archive of images in folders by class. */
const archive = (perClass, seed) =>
  tar(
    CLASSES.flatMap((className) =>
      Array.from({ length: perClass }, (_, i) => ({
        name: `${className}/${String(i).padStart(4, '0')}.png`,
        bytes: png(draw(className, i, seed)),
      })),
    ),
  );

function writeTraining(file, perClass, seed) {
  if (Object.values(SPLITS).some((s) => s.seed === seed))
    throw new Error(`seed ${seed} draws a shipped split; take another`);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, archive(perClass, seed));
}

function sha256(path) {
  if (!existsSync(path)) throw new Error(`${path} does not exist`);
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

function writeManifest() {
  const splits = Object.entries(SPLITS).map(([split, { seed, perClass }]) => ({
    path: `glyphs/${split}.tar`,
    images: perClass * CLASSES.length,
    classes: CLASSES,
    size: [SIZE, SIZE, 3],
    sha256: sha256(join(home, 'glyphs', `${split}.tar`)),
    madeBy: `scripts/glyphs.mjs, seed ${seed}`,
    licence: 'Apache-2.0',
  }));
  const model = existsSync(join(home, 'demo.onnx'))
    ? [
        {
          path: 'demo.onnx',
          sha256: sha256(join(home, 'demo.onnx')),
          madeBy: 'an earlier script in PyTorch, trained on scripts/glyphs.mjs, seed 3',
          licence: 'Apache-2.0',
        },
      ]
    : [];
  writeFileSync(join(home, 'manifest.json'), `${JSON.stringify({ entries: [...splits, ...model] }, null, 2)}\n`);
}

const { values } = parseArgs({
  options: {
    training: { type: 'string' },
    'per-class': { type: 'string', default: '2000' },
    seed: { type: 'string', default: '3' },
    manifest: { type: 'boolean' },
  },
});
if (values.training) writeTraining(values.training, Number(values['per-class']), Number(values.seed));
else {
  if (!values.manifest) writeShipped();
  writeManifest();
}
