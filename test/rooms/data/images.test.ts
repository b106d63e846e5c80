import { existsSync } from 'node:fs';
import { symlink, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.js';
import { sha256 } from '../../../src/data/files.js';
import { resizeImage } from '../../../src/data/resample.js';
import type { DataSpecInput } from '../../../src/data/spec.js';
import type { ValueInfo } from '../../../src/ir/feed.js';
import { all, errorOf, image4, open, png, put, temp } from './helpers.js';

const NORMAL = { scale: '1/255', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
/** numpy's float32 `(x / 255 - mean) / std`. */
const numpy = (x: number, c: number): number =>
  Math.fround(Math.fround(Math.fround(x / 255) - Math.fround(NORMAL.mean[c]!)) / Math.fround(NORMAL.std[c]!));
let dir = '';
beforeAll(async () => {
  dir = await temp();
  for (const name of ['cat', 'dog', 'emu'])
    for (let i = 0; i < (name === 'emu' ? 2 : 3); i++)
      await put(join(dir, 'classes', name, `${i}.png`), await png(i * 10, 100, 200));
  await put(join(dir, 'classes', '.hidden', 'a.png'), await png(1, 1, 1));
  await put(join(dir, 'classes', 'cat', '.DS_Store'), 'x');
});

describe('image folders', () => {
  it('interleaves classes, labels by sorted folder, hashes the file and normalizes as numpy float32', async () => {
    const data = await open({ images: 'classes', preprocess: NORMAL }, [image4], dir);
    expect(data.count).toBe(8);
    expect(data.classes).toEqual(['cat', 'dog', 'emu']);
    const samples = await all(data);
    expect(samples.map((s) => s.id)).toEqual([
      'cat/0.png',
      'dog/0.png',
      'emu/0.png',
      'cat/1.png',
      'dog/1.png',
      'emu/1.png',
      'cat/2.png',
      'dog/2.png',
    ]);
    expect(samples.map((s) => s.label)).toEqual([0, 1, 2, 0, 1, 2, 0, 1]);
    expect(samples[3]!.hash).toBe(sha256(await png(10, 100, 200)));
    const x = samples[3]!.feeds[0]!['x']!;
    expect(x.dims).toEqual([1, 3, 4, 4]);
    expect(Array.from(x.data, Number)).toEqual(
      [10, 100, 200].flatMap((v, c) => new Array<number>(16).fill(numpy(v, c))),
    );
    expect((await all(data, 2)).map((s) => s.id)).toEqual(['cat/0.png', 'dog/0.png']);
    expect(data.describe).toMatchObject({
      source: 'images',
      order: 'interleaved',
      count: 8,
      preprocess: { layout: 'NCHW', colour: 'RGB', scale: '1/255' },
    });
  });
  it('splits by id, deterministically and without overlap', async () => {
    const part = async (name: 'calibration' | 'evaluation'): Promise<string[]> =>
      (
        await all(
          await open(
            { images: 'classes', preprocess: {}, split: { part: name, fraction: 0.5, seed: 3 } },
            [image4],
            dir,
          ),
        )
      ).map((s) => s.id);
    const [a, b] = [await part('calibration'), await part('evaluation')];
    expect([...a, ...b].sort()).toHaveLength(8);
    expect(new Set([...a, ...b]).size).toBe(8);
  });
  it('shuffles by seed', async () => {
    const ids = async (seed: number): Promise<string[]> =>
      (await all(await open({ images: 'classes', preprocess: {}, order: 'shuffled' }, [image4], dir, [], seed))).map(
        (s) => s.id,
      );
    expect(await ids(5)).toEqual(await ids(5));
    expect(await ids(5)).not.toEqual(await ids(6));
  });
  it('warns about raw pixels only where nothing is declared', async () => {
    const found: Diagnostic[] = [];
    await open({ images: 'classes' }, [image4], dir, found);
    expect(found.map((d) => d.code)).toEqual(['DATA_PREPROCESS']);
  });
  it('reads lists of images with class names, a byte order mark and other columns', async () => {
    await put(join(dir, 'list.csv'), '\uFEFFname,kind\nclasses/cat/1.png,dog\n"classes/emu/0.png",0\n');
    const data = await open(
      {
        imageList: 'list.csv',
        classes: ['cat', 'dog'],
        columns: { path: 'name', label: 'kind' },
        preprocess: {},
        order: 'listed',
      },
      [image4],
      dir,
    );
    expect((await all(data)).map((s) => [s.id, s.label])).toEqual([
      ['classes/cat/1.png', 1],
      ['classes/emu/0.png', 0],
    ]);
  });
});

describe('preprocessing', () => {
  const pixel = async (
    spec: DataSpecInput['preprocess'],
    file: Uint8Array,
    shape: ValueInfo['shape'],
    dtype: ValueInfo['dtype'] = 'float32',
  ): Promise<number[]> => {
    const root = await temp();
    await put(join(root, 'i', 'a.png'), file);
    const [s] = await all(await open({ images: 'i', preprocess: spec }, [{ name: 'x', dtype, shape }], root));
    return Array.from(s!.feeds[0]!['x']!.data, Number);
  };
  it('orders channels and axes', async () => {
    expect(await pixel({ colour: 'BGR' }, await png(1, 2, 3, 1, 1), [1, 3, 1, 1])).toEqual([3, 2, 1]);
    expect(await pixel({}, await png(1, 2, 3, 2, 1), [1, 1, 2, 3], 'uint8')).toEqual([1, 2, 3, 1, 2, 3]);
    expect(await pixel({ layout: 'NCHW' }, await png(10, 200, 50, 1, 1), ['n', 1, 1, 1], 'uint8')).toEqual([
      (10 * 19595 + 200 * 38470 + 50 * 7471 + 32768) >> 16,
    ]);
    expect(await pixel({ mean: 128 }, await png(0, 128, 255, 1, 1), [1, 3, 1, 1], 'int8')).toEqual([-128, 0, 127]);
    expect(await pixel({ scale: '1/255' }, await png(255, 0, 255, 1, 1), [1, 3, 1, 1], 'float16')).toEqual([
      0x3c00, 0, 0x3c00,
    ]);
  });
  it('resizes, crops the centre and pads', async () => {
    expect(
      await pixel({ resize: { shortest: 2 }, crop: { height: 2, width: 2 } }, await png(9, 8, 7, 8, 4), [1, 3, 2, 2]),
    ).toEqual([9, 9, 9, 9, 8, 8, 8, 8, 7, 7, 7, 7]);
    expect(
      await pixel({ pad: { height: 1, width: 3, value: 5 }, layout: 'NCHW' }, await png(9, 8, 7, 1, 1), [1, 3, 1, 3]),
    ).toEqual([5, 9, 5, 5, 8, 5, 5, 7, 5]);
    expect(
      await pixel(
        { resize: { height: 1, width: 1, interpolation: 'nearest' } },
        await png(9, 8, 7, 3, 3),
        [1, 3, 1, 1],
      ),
    ).toEqual([9, 8, 7]);
  });
  it('turns by EXIF, drops alpha, widens gray, converts CMYK and cuts 16 bits', async () => {
    const two = await sharp(Buffer.from([255, 0, 0, 0, 0, 255]), { raw: { width: 2, height: 1, channels: 3 } })
      .withMetadata({ orientation: 6 })
      .png()
      .toBuffer();
    expect(await pixel({}, two, [1, 3, 2, 1])).toEqual([255, 0, 0, 0, 0, 255]);
    const alpha = await sharp(Buffer.from([10, 20, 30, 0]), { raw: { width: 1, height: 1, channels: 4 } })
      .png()
      .toBuffer();
    expect(await pixel({}, alpha, [1, 3, 1, 1])).toEqual([10, 20, 30]);
    const gray = await sharp(Buffer.from([77]), { raw: { width: 1, height: 1, channels: 1 } })
      .toColourspace('b-w')
      .png()
      .toBuffer();
    expect(await pixel({}, gray, [1, 3, 1, 1])).toEqual([77, 77, 77]);
    const deep = await sharp(Uint16Array.from([0x1234, 0x80ff, 0xffff]), { raw: { width: 1, height: 1, channels: 3 } })
      .toColourspace('rgb16')
      .png()
      .toBuffer();
    expect((await sharp(deep).metadata()).depth).toBe('ushort');
    expect(await pixel({}, deep, [1, 3, 1, 1])).toEqual([0x12, 0x80, 0xff]);
    const cmyk = await sharp(await png(255, 255, 255))
      .toColourspace('cmyk')
      .jpeg()
      .toBuffer();
    expect(Math.min(...(await pixel({}, cmyk, [1, 3, 4, 4])))).toBeGreaterThan(240);
    const animated = await sharp([await png(1, 2, 3), await png(200, 200, 200)], { join: { animated: true } })
      .gif()
      .toBuffer();
    expect(Math.max(...(await pixel({}, animated, [1, 3, 4, 4])))).toBeLessThan(20);
  });
});

describe('bad images and folders', () => {
  const rows: {
    name: string;
    make: (root: string) => Promise<DataSpecInput>;
    code: string;
    where: Record<string, unknown>;
  }[] = [
    {
      name: 'zero bytes',
      make: async (d) => {
        await put(join(d, 'i/a.jpg'), '');
        return { images: 'i' };
      },
      code: 'DATA_IMAGE',
      where: { sample: 'a.jpg' },
    },
    {
      name: 'HTML',
      make: async (d) => {
        await put(join(d, 'i/a.jpg'), '<html>404</html>');
        return { images: 'i' };
      },
      code: 'DATA_IMAGE',
      where: { sample: 'a.jpg' },
    },
    {
      name: 'SVG under another name',
      make: async (d) => {
        await put(join(d, 'i/a.png'), '<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"/>');
        return { images: 'i' };
      },
      code: 'DATA_IMAGE',
      where: { sample: 'a.png' },
    },
    {
      name: 'truncated JPEG',
      make: async (d) => {
        const j = await sharp({
          create: {
            width: 64,
            height: 64,
            channels: 3,
            background: 'red',
            noise: { type: 'gaussian', mean: 100, sigma: 50 },
          },
        })
          .jpeg()
          .toBuffer();
        await put(join(d, 'i/a.jpg'), j.subarray(0, j.length / 2));
        return { images: 'i' };
      },
      code: 'DATA_IMAGE',
      where: { sample: 'a.jpg' },
    },
    {
      name: 'truncated PNG',
      make: async (d) => {
        const p = await png(1, 2, 3, 4, 4);
        await put(join(d, 'i/a.png'), p.subarray(0, p.length - 24));
        return { images: 'i' };
      },
      code: 'DATA_IMAGE',
      where: { sample: 'a.png' },
    },
    {
      name: 'too many pixels',
      make: async (d) => {
        await put(join(d, 'i/a.png'), await png(1, 2, 3, 101, 100));
        return { images: 'i', maxPixels: 10_000 };
      },
      code: 'DATA_IMAGE',
      where: { sample: 'a.png' },
    },
    {
      name: '100 megapixels',
      make: async (d) => {
        await put(join(d, 'i/a.png'), await png(1, 2, 3, 10_000, 10_000));
        return { images: 'i' };
      },
      code: 'DATA_IMAGE',
      where: { sample: 'a.png' },
    },
    {
      name: 'wrong size without resize',
      make: async (d) => {
        await put(join(d, 'i/a.png'), await png(1, 2, 3, 5, 4));
        return { images: 'i' };
      },
      code: 'DATA_SHAPE',
      where: { sample: 'a.png', tensor: 'x' },
    },
    {
      name: 'channels that contradict the model',
      make: async (d) => {
        await put(join(d, 'i/a.png'), await png(1, 2, 3));
        return { images: 'i', preprocess: { colour: 'gray' } };
      },
      code: 'DATA_SHAPE',
      where: { tensor: 'x' },
    },
    {
      name: 'folder outside classes',
      make: async (d) => {
        await put(join(d, 'i/cat/a.png'), await png(1, 2, 3));
        return { images: 'i', classes: ['dog'] };
      },
      code: 'DATA_LABEL',
      where: {},
    },
    {
      name: 'images beside class folders',
      make: async (d) => {
        await put(join(d, 'i/cat/a.png'), await png(1, 2, 3));
        await put(join(d, 'i/b.png'), await png(1, 2, 3));
        return { images: 'i' };
      },
      code: 'DATA_FORMAT',
      where: {},
    },
    {
      name: 'empty folder',
      make: async (d) => {
        await put(join(d, 'i/readme.txt'), 'x');
        return { images: 'i' };
      },
      code: 'DATA_MISSING',
      where: {},
    },
    { name: 'no folder', make: async () => ({ images: 'nowhere' }), code: 'DATA_MISSING', where: {} },
    {
      name: 'link loop',
      make: async (d) => {
        await put(join(d, 'i/cat/a.png'), await png(1, 2, 3));
        await symlink('..', join(d, 'i/cat/up'));
        return { images: 'i' };
      },
      code: 'DATA_FORMAT',
      where: {},
    },
    {
      name: 'link to itself',
      make: async (d) => {
        await put(join(d, 'i/cat/a.png'), await png(1, 2, 3));
        await symlink('self', join(d, 'i/cat/self'));
        return { images: 'i' };
      },
      code: 'DATA_FORMAT',
      where: {},
    },
    {
      name: 'ragged list',
      make: async (d) => {
        await put(join(d, 'l.csv'), 'path,label\na.png,1\nb.png\n');
        return { imageList: 'l.csv' };
      },
      code: 'DATA_FORMAT',
      where: { line: 3 },
    },
    {
      name: 'NUL in a list',
      make: async (d) => {
        await put(join(d, 'l.csv'), 'path,label\na\0.png,1\n');
        return { imageList: 'l.csv' };
      },
      code: 'DATA_FORMAT',
      where: { offset: 12 },
    },
    {
      name: 'label out of range',
      make: async (d) => {
        await put(join(d, 'l.csv'), 'path,label\na.png,1\na.png,2\n');
        return { imageList: 'l.csv', classes: ['a', 'b'] };
      },
      code: 'DATA_LABEL',
      where: { line: 3 },
    },
    {
      name: 'negative label',
      make: async (d) => {
        await put(join(d, 'l.csv'), 'path,label\na.png,-1\n');
        return { imageList: 'l.csv' };
      },
      code: 'DATA_LABEL',
      where: { line: 2 },
    },
    {
      name: 'empty label',
      make: async (d) => {
        await put(join(d, 'l.csv'), 'path,label\na.png,\n');
        return { imageList: 'l.csv' };
      },
      code: 'DATA_LABEL',
      where: { line: 2 },
    },
    {
      name: 'listed file is gone',
      make: async (d) => {
        await put(join(d, 'l.csv'), 'path,label\na.png,1\n');
        return { imageList: 'l.csv' };
      },
      code: 'DATA_MISSING',
      where: { sample: 'a.png' },
    },
  ];
  it.each(rows)('$name → $code', async ({ make, code, where }) => {
    const root = await temp();
    const spec = await make(root);
    const error = await errorOf(async () => all(await open({ preprocess: {}, ...spec }, [image4], root)));
    expect(error.code).toBe(code);
    expect(error.where).toMatchObject(where);
  });
  it('a file that vanishes is an error or is left out with a warning', async () => {
    const root = await temp();
    for (const n of ['a', 'b', 'c']) await put(join(root, 'i', `${n}.png`), await png(1, 2, 3));
    const found: Diagnostic[] = [];
    const strict = await open({ images: 'i', preprocess: {} }, [image4], root);
    const lenient = await open(
      { images: 'i', preprocess: {}, onBadSample: 'skip', order: 'listed' },
      [image4],
      root,
      found,
    );
    await rm(join(root, 'i/b.png'));
    expect(await errorOf(() => all(strict))).toMatchObject({ code: 'DATA_MISSING', where: { sample: 'b.png' } });
    expect((await all(lenient)).map((s) => s.id)).toEqual(['a.png', 'c.png']);
    expect(found).toMatchObject([{ code: 'DATA_MISSING', where: { sample: 'b.png' } }]);
  });
});

describe('resizing', () => {
  // Numbers from Pillow 13.0: Image.fromarray(a).resize((3, 2), filter), and row 1 of the red band of resize((7, 5),
  // filter).
  const data = Uint8Array.from({ length: 60 }, (_, i) => {
    const [c, x, y] = [i % 3, Math.floor(i / 3) % 5, Math.floor(i / 15)];
    return (x * x * 7 + y * 31 + c * 50) % 256;
  });
  it.each([
    [
      'linear',
      [25, 75, 125, 53, 103, 153, 113, 163, 192, 74, 124, 174, 102, 152, 177, 162, 212, 90],
      [22, 26, 35, 50, 75, 106, 134],
    ],
    [
      'cubic',
      [19, 69, 119, 47, 97, 150, 111, 161, 203, 76, 126, 179, 104, 154, 184, 168, 218, 78],
      [20, 23, 32, 48, 72, 107, 135],
    ],
    [
      'lanczos3',
      [18, 68, 116, 45, 95, 151, 112, 162, 209, 77, 127, 181, 104, 154, 188, 171, 221, 76],
      [19, 21, 30, 47, 67, 108, 134],
    ],
    [
      'area',
      [20, 70, 120, 44, 94, 144, 104, 154, 204, 82, 132, 182, 106, 156, 206, 166, 216, 74],
      [31, 38, 38, 59, 94, 94, 143],
    ],
    [
      'nearest',
      [31, 81, 131, 59, 109, 159, 143, 193, 243, 93, 143, 193, 121, 171, 221, 205, 255, 49],
      [31, 38, 38, 59, 94, 94, 143],
    ],
  ] as const)('%s equals PIL', (name, down, up) => {
    const image = { data, width: 5, height: 4 };
    expect(Array.from(resizeImage(image, 3, 2, name).data)).toEqual(down);
    expect(Array.from(resizeImage(image, 7, 5, name).data.subarray(21, 42)).filter((_, i) => i % 3 === 0)).toEqual(up);
  });
});

const cifar = resolve('../shared/data/cifar10');
describe.skipIf(!existsSync(cifar))('CIFAR-10 class folders (skipped: ../shared is absent)', () => {
  it('reads 2,000 test images, any prefix balanced', async () => {
    const data = await open(
      { images: join(cifar, 'test'), classes: join(cifar, 'classes.txt'), preprocess: NORMAL },
      [{ name: 'input', dtype: 'float32', shape: ['batch', 3, 32, 32] }],
      '.',
    );
    expect(data.count).toBe(2000);
    const samples = await all(data, 100);
    expect(samples.filter((s) => s.label === 7)).toHaveLength(10);
    expect(samples[1]!.feeds[0]!['input']!.dims).toEqual([1, 3, 32, 32]);
  });
});
