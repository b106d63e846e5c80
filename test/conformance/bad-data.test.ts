/** Every bad data file that the project knows of, through the whole job: one row each. */
import { linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { zlibSync, zipSync } from 'fflate';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/base/errors.js';
import { f32, npy, tar } from '../rooms/data/helpers.js';
import { check, samples, type Row } from './bad-inputs.js';

const gray = await sharp({ create: { width: 4, height: 4, channels: 3, background: { r: 90, g: 120, b: 200 } } })
  .greyscale()
  .png()
  .toBuffer();
const jpeg = await sharp({ create: { width: 64, height: 64, channels: 3, background: { r: 9, g: 120, b: 200 } } })
  .jpeg()
  .toBuffer();
const cmyk = await sharp(jpeg).toColourspace('cmyk').jpeg().toBuffer();
const deep = await sharp({ create: { width: 8, height: 8, channels: 3, background: 'red' } })
  .toColourspace('rgb16')
  .png()
  .toBuffer();
const transparent = await sharp({
  create: { width: 8, height: 8, channels: 4, background: { r: 1, g: 2, b: 3, alpha: 0.5 } },
})
  .png()
  .toBuffer();
const rotated = await sharp(jpeg).withMetadata({ orientation: 6 }).jpeg().toBuffer();
const animated = await sharp(
  [jpeg, jpeg].map((input) => input),
  { join: { animated: true } },
)
  .gif()
  .toBuffer();
const ascii = (s: string): Uint8Array => new TextEncoder().encode(s);

/** A PNG that claims other sizes than it has. */
function claims(width: number, height: number): Uint8Array {
  const ihdr = Buffer.alloc(13);
  ihdr.writeUInt32BE(width, 0);
  ihdr.writeUInt32BE(height, 4);
  ihdr.set([8, 0, 0, 0, 0], 8);
  const chunk = (type: string, body: Uint8Array): Buffer => {
    const typed = Buffer.concat([Buffer.from(type, 'latin1'), body]);
    const out = Buffer.alloc(typed.length + 8);
    out.writeUInt32BE(body.length, 0);
    typed.copy(out, 4);
    out.writeUInt32BE(crc32(typed), typed.length + 4);
    return out;
  };
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    chunk('IHDR', ihdr),
    chunk('IDAT', zlibSync(new Uint8Array(1000))),
    chunk('IEND', new Uint8Array(0)),
  ]);
}
function crc32(bytes: Uint8Array): number {
  let c = 0xffffffff;
  for (const b of bytes) {
    c ^= b;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  }
  return (c ^ 0xffffffff) >>> 0;
}

const among = { 'images/a.png': gray, 'images/b.png': gray };
const images = '{ images: images }';
const bad = (name: string, file: string, bytes: Uint8Array | string, says?: RegExp): Row[] => [
  {
    name,
    data: images,
    files: { ...among, [`images/${file}`]: bytes },
    fails: { code: 'DATA_IMAGE', ...(says ? { says } : {}) },
  },
  {
    name: `${name}, left out`,
    data: '{ images: images, onBadSample: skip }',
    files: { ...among, [`images/${file}`]: bytes },
    holds: ({ record, codes }) => {
      expect(record.calibration!.samples).toBe(2);
      expect(codes()).toContain('DATA_IMAGE');
    },
  },
];
const resized = '{ images: images, preprocess: { resize: { height: 4, width: 4 } } }';
const good = (name: string, file: string, bytes: Uint8Array): Row => ({
  name,
  data: resized,
  files: { ...among, [`images/${file}`]: bytes },
  holds: ({ record }) => expect(record.calibration!.samples).toBe(3),
});

describe('images', () => {
  it.each<Row>([
    ...bad('an empty image', 'c.png', new Uint8Array(0), /empty|0 bytes/),
    ...bad('a truncated PNG', 'c.png', gray.subarray(0, gray.length - 20)),
    ...bad('a truncated JPEG', 'c.jpg', jpeg.subarray(0, jpeg.length >> 1)),
    ...bad('a web page called .jpg', 'c.jpg', '<!DOCTYPE html><html></html>'),
    ...bad(
      'noise called .png',
      'c.png',
      Uint8Array.from({ length: 500 }, (_, i) => (i * 97) & 255),
    ),
    ...bad('an image of 144 Mpx', 'c.png', claims(12_000, 12_000), /pixel/),
    ...bad('an image of 4 Gpx', 'c.png', claims(65_535, 65_535)),
    good('CMYK', 'c.jpg', cmyk),
    good('16 bits a channel', 'c.png', deep),
    good('transparent', 'c.png', transparent),
    good('rotated by EXIF', 'c.jpg', rotated),
    good('animated', 'c.gif', animated),
    {
      name: 'an image of another size',
      data: images,
      files: { ...among, 'images/c.jpg': jpeg },
      fails: { code: 'DATA_SHAPE', says: /64/ },
    },
    { name: 'a folder that is missing', data: images, fails: { code: 'DATA_MISSING' } },
    {
      name: 'a folder without images',
      data: images,
      files: { 'images/readme.txt': 'none' },
      fails: { code: 'DATA_MISSING' },
    },
    {
      name: 'a folder that links to itself',
      data: images,
      files: among,
      prepare: (f) => {
        mkdirSync(path.join(f, 'images/loop'));
        symlinkSync(path.join(f, 'images'), path.join(f, 'images/loop/again'));
      },
      fails: { code: 'DATA_FORMAT', says: /link to the folder/ },
    },
    {
      name: 'a link to nowhere',
      data: images,
      files: among,
      prepare: (f) => symlinkSync(path.join(f, 'gone.png'), path.join(f, 'images/c.png')),
      fails: { code: 'DATA_MISSING' },
    },
    {
      name: 'fewer classes than folders',
      data: '{ images: images, classes: [ a ] }',
      files: { 'images/a/1.png': gray, 'images/b/1.png': gray },
      fails: { code: 'DATA_LABEL', says: /b/ },
    },
    {
      name: 'labels beyond the outputs of the model',
      data: images,
      recipe: '',
      argv: ['--set', 'evaluation.metrics=[ top1 ]'],
      files: Object.fromEntries(['a', 'b', 'c', 'd', 'e'].map((c) => [`images/${c}/1.png`, gray])),
      fails: { code: 'DATA_LABEL', says: /4|3/ },
    },
    {
      name: 'top1 without labels is told',
      data: images,
      argv: ['--set', 'evaluation.metrics=[ top1 ]'],
      files: among,
      holds: ({ codes, record }) => {
        expect(codes()).toContain('EVALUATION_NO_LABELS');
        expect(record.evaluation!.metrics).toEqual([]);
      },
    },
  ])('$name', check);
});

const list = (name: string, csv: string | Uint8Array, code?: ErrorCode): Row => ({
  name,
  data: '{ imageList: list.csv }',
  files: { ...among, 'list.csv': csv },
  ...(code ? { fails: { code } } : { holds: ({ record }) => expect(record.calibration!.samples).toBe(2) }),
});
describe('tables', () => {
  it.each<Row>([
    list('with a BOM', '\ufeffpath,label\nimages/a.png,0\nimages/b.png,1\n'),
    list('with CRLF', 'path,label\r\nimages/a.png,0\r\nimages/b.png,1\r\n'),
    list('ragged', 'path,label\nimages/a.png,0\nimages/b.png\n', 'DATA_FORMAT'),
    list('with NUL', 'path,label\nimages/a.png\0,0\n', 'DATA_FORMAT'),
    list('with an unclosed quote', 'path,label\n"images/a.png,0\n', 'DATA_FORMAT'),
    list('without the column', 'file,label\nimages/a.png,0\n', 'DATA_FORMAT'),
    list('empty', '', 'DATA_MISSING'),
    list('with a missing label', 'path,label\nimages/a.png,0\nimages/b.png,\n', 'DATA_LABEL'),
    list('with a negative label', 'path,label\nimages/a.png,0\nimages/b.png,-1\n', 'DATA_LABEL'),
    list('with an image that is not there', 'path,label\nimages/a.png,0\nimages/none.png,1\n', 'DATA_MISSING'),
    list('not UTF-8', Uint8Array.of(0xff, 0xfe, 0x70, 0x00), 'DATA_FORMAT'),
  ])('$name', check);
});

const arrays = (name: string, bytes: Uint8Array, code: ErrorCode, says?: RegExp): Row => ({
  name,
  data: '{ npy: a.npy }',
  files: { 'a.npy': bytes },
  fails: { code, ...(says ? { says } : {}) },
});
const header = (text: string): Uint8Array => npy('', [], f32(...new Float32Array(16)), { header: text });
const whole = samples(2);
describe('arrays', () => {
  it.each<Row>([
    arrays('empty', new Uint8Array(0), 'DATA_FORMAT'),
    arrays('a web page', ascii('<html>'), 'DATA_FORMAT'),
    arrays('cut off', whole.subarray(0, whole.length - 3), 'DATA_FORMAT'),
    arrays('too long', Uint8Array.of(...whole, 1, 2, 3, 4), 'DATA_FORMAT'),
    arrays('objects (a pickle)', npy('|O', [1, 1, 4, 4], new Uint8Array(128)), 'DATA_FORMAT', /object/i),
    arrays('a shape that lies', npy('<f4', [1000, 1, 4, 4], f32(1, 2, 3)), 'DATA_FORMAT'),
    arrays('a shape that overflows', npy('<f4', [2 ** 40, 2 ** 40], f32(1)), 'DATA_FORMAT'),
    arrays('a negative shape', npy('<f4', [-1, 1, 4, 4], f32(1)), 'DATA_FORMAT'),
    arrays(
      'a header of code',
      header("{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': (1,1,4,4), }"),
      'DATA_FORMAT',
    ),
    arrays('a header without shape', header("{'descr': '<f4', 'fortran_order': False, }"), 'DATA_FORMAT'),
    arrays('complex numbers', npy('<c8', [1, 1, 4, 4], new Uint8Array(128)), 'DATA_FORMAT'),
    {
      name: 'integers that float32 holds',
      data: '{ npy: a.npy }',
      files: {
        'a.npy': npy(
          '<i8',
          [1, 1, 4, 4],
          Uint8Array.from({ length: 128 }, (_, i) => (i % 8 === 0 ? 7 : 0)),
        ),
      },
      holds: ({ record }) => expect(record.points.find((p) => p.name === 'x')!.observedMax).toEqual([7]),
    },
    arrays('another rank', npy('<f4', [2, 16], f32(...new Float32Array(32))), 'DATA_SHAPE'),
    arrays('other channels', npy('<f4', [2, 3, 4, 4], f32(...new Float32Array(96))), 'DATA_SHAPE', /3/),
    {
      name: 'Fortran order',
      data: '{ npy: a.npy }',
      files: {
        'a.npy': npy('<f4', [2, 1, 4, 4], f32(...Float32Array.from({ length: 32 }, (_, i) => i)), { fortran: true }),
      },
      holds: ({ record }) => expect(record.calibration!.samples).toBe(2),
    },
    {
      name: 'big endian',
      data: '{ npy: a.npy }',
      files: {
        'a.npy': npy(
          '>f4',
          [1, 1, 4, 4],
          Uint8Array.from({ length: 64 }, (_, i) => [0x40, 0, 0, 0][i % 4]!),
        ),
      },
      holds: ({ record }) => expect(record.points.find((p) => p.name === 'x')!.observedMax).toEqual([2]),
    },
    {
      name: 'an input that the model lacks',
      data: '{ npy: { nope: x.npy } }',
      fails: { code: 'DATA_SHAPE', says: /nope/ },
    },
    {
      name: 'raw of another length',
      data: '{ raw: r.bin, shape: [ 1, 4, 4 ], dtype: float32 }',
      files: { 'r.bin': new Uint8Array(65) },
      fails: { code: 'DATA_FORMAT' },
    },
    {
      name: 'a test tensor that is none',
      data: '{ testData: t }',
      files: { 't/test_data_set_0/input_0.pb': ascii('nonsense') },
      fails: { code: 'DATA_FORMAT', says: /input_0\.pb/ },
    },
  ])('$name', check);
});

/** A zip of a megabyte of zeros that claims another size. */
function claiming(size: number): Uint8Array {
  const zip = Buffer.from(zipSync({ 'x.npy': [new Uint8Array(1 << 20), { level: 9 }] }));
  zip.writeUInt32LE(size, 22);
  zip.writeUInt32LE(size, zip.indexOf('PK\x01\x02', 0, 'latin1') + 24);
  return zip;
}
describe('archives', () => {
  it.each<Row>([
    {
      name: 'npz with a name that leaves the folder',
      data: '{ npz: a.npz }',
      files: { 'a.npz': zipSync({ '../../x.npy': whole }) },
      fails: { code: 'DATA_UNSAFE' },
    },
    {
      name: 'npz that claims to expand to 2 GB',
      data: '{ npz: a.npz }',
      files: { 'a.npz': claiming(0x7ffffff0) },
      fails: { code: 'DATA_UNSAFE' },
    },
    {
      name: 'npz that claims less than it holds',
      data: '{ npz: a.npz }',
      files: { 'a.npz': claiming(64) },
      fails: { code: 'DATA_FORMAT' },
    },
    {
      name: 'npz that is cut off',
      data: '{ npz: a.npz }',
      files: { 'a.npz': zipSync({ 'x.npy': whole }).subarray(0, 60) },
      fails: { code: 'DATA_FORMAT' },
    },
    {
      name: 'npz with other names',
      data: '{ npz: a.npz }',
      files: { 'a.npz': zipSync({ 'a.npy': whole, 'b.npy': whole }) },
      fails: { code: 'DATA_SHAPE', says: /'x'/ },
    },
    ...(
      [
        ['../evil.png', '0'],
        ['/etc/evil.png', '0'],
      ] as const
    ).map(([name, type]): Row => ({
      name: `tar with ${name}`,
      data: '{ webdataset: s.tar }',
      files: { 's.tar': tar([{ name, type, data: gray.toString('latin1') }]) },
      fails: { code: 'DATA_UNSAFE' },
    })),
    ...(
      [
        ['a symbolic link', '2'],
        ['a hard link', '1'],
        ['a device', '3'],
      ] as const
    ).map(([what, type]): Row => ({
      name: `tar with ${what}`,
      data: '{ webdataset: s.tar }',
      files: { 's.tar': tar([{ name: 'a.png', type }]) },
      fails: { code: 'DATA_UNSAFE' },
    })),
    {
      name: 'tar that is cut off',
      data: '{ webdataset: s.tar }',
      files: { 's.tar': tar([{ name: 'a.png', data: new Uint8Array(gray) }]).subarray(0, 540) },
      fails: { code: 'DATA_FORMAT' },
    },
    {
      name: 'tar that lies about a size',
      data: '{ webdataset: s.tar }',
      files: { 's.tar': tar([{ name: 'a.png', data: new Uint8Array(gray), size: 2 ** 32 }]) },
      fails: { code: 'DATA_FORMAT' },
    },
  ])('$name', check);
});

const module_ = (body: string): Readonly<Record<string, string>> => ({ 'data.mjs': body });
const user = '{ module: data.mjs }';
describe('user modules', () => {
  it.each<Row>([
    {
      name: 'that do not parse',
      data: user,
      files: module_('export function samples( {'),
      fails: { code: 'DATA_MODULE' },
    },
    {
      name: 'that throw when loaded',
      data: user,
      files: module_('throw new Error("no")'),
      fails: { code: 'DATA_MODULE', says: /no/ },
    },
    {
      name: 'that throw null',
      data: user,
      files: module_('export function* samples() { throw null; }'),
      fails: { code: 'DATA_MODULE' },
    },
    { name: 'without samples()', data: user, files: module_('export const x = 1'), fails: { code: 'DATA_MODULE' } },
    {
      name: 'that yield nonsense',
      data: user,
      files: module_('export function* samples() { yield 5; }'),
      fails: { code: 'DATA_MODULE' },
    },
    {
      name: 'that yield nothing',
      data: user,
      files: module_('export function* samples() {}'),
      fails: { code: 'DATA_MISSING', says: /no sample/ },
    },
    {
      name: 'that yield too few values',
      data: user,
      files: module_(
        'export function* samples() { yield { feed: { x: { dtype: "float32", dims: [1, 1, 4, 4], data: new ' +
          'Float32Array(3) } } }; }',
      ),
      fails: { code: 'DATA_SHAPE', says: /3 values/ },
    },
    {
      name: 'that reject later',
      data: user,
      files: module_('export async function* samples() { await Promise.resolve(); throw new Error("late"); }'),
      fails: { code: 'DATA_MODULE', says: /late/ },
    },
  ])('$name', check);
});

describe('data that change or repeat', () => {
  it.each<Row>([
    {
      name: 'evaluation on calibration samples is told',
      argv: ['--set', 'evaluation.data={ npy: x.npy }'],
      holds: ({ codes }) => expect(codes()).toContain('DATA_OVERLAP'),
    },
    {
      name: 'a file that vanishes during the run',
      data: '{ imageList: list.csv }',
      files: { ...among, 'list.csv': 'path,label\nimages/a.png,0\nimages/gone.png,1\n' },
      fails: { code: 'DATA_MISSING' },
    },
    {
      name: 'a hard link to a sample is a sample',
      data: images,
      files: among,
      prepare: (f) => linkSync(path.join(f, 'images/a.png'), path.join(f, 'images/c.png')),
      holds: ({ record }) => expect(record.calibration!.samples).toBe(3),
    },
    {
      name: 'a pipe among the images',
      data: images,
      files: among,
      prepare: (f) => writeFileSync(path.join(f, 'images/.hidden.png'), ''),
      holds: ({ record }) => expect(record.calibration!.samples).toBe(2),
    },
    {
      name: 'safetensors and parquet are not sources',
      data: '{ parquet: a.parquet }',
      fails: { code: 'RECIPE_UNKNOWN_KEY', says: /parquet/ },
    },
  ])('$name', check);
});
