import { join } from 'node:path';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.js';
import { readCoco } from '../../../src/data/annotations/coco.js';
import { readVoc } from '../../../src/data/annotations/voc.js';
import { dataSpec } from '../../../src/data/spec.js';
import type { DataSpecInput } from '../../../src/data/spec.js';
import type { ValueInfo } from '../../../src/ir/feed.js';
import { all, errorOf, f32, npy, open, png, put, temp, vector2 } from './helpers.js';

const coco = (more: object = {}): object => ({
  images: [
    { id: 7, file_name: 'a.png', width: 40, height: 20 },
    { id: 9, file_name: 'sub/b.png' },
    { id: 10, file_name: 'gone.png' },
  ],
  categories: [
    { id: 5, name: 'dog' },
    { id: 2, name: 'cat' },
  ],
  annotations: [
    { id: 1, image_id: 7, category_id: 5, bbox: [10, 5, 20, 10], iscrowd: 0 },
    { id: 2, image_id: 7, category_id: 2, bbox: [0, 0, 4, 4], iscrowd: 1 },
  ],
  ...more,
});
async function images(content: unknown = coco()): Promise<string> {
  const dir = await temp();
  await put(join(dir, 'img/a.png'), await png(1, 2, 3, 40, 20));
  await put(join(dir, 'img/sub/b.png'), await png(1, 2, 3, 40, 20));
  await put(join(dir, 'img/other.png'), await png(1, 2, 3, 40, 20));
  await put(join(dir, 'c.json'), JSON.stringify(content));
  return dir;
}
const input = (height: number, width: number): ValueInfo => ({
  name: 'x',
  dtype: 'float32',
  shape: [1, 3, height, width],
});
const spec = { images: 'img', annotations: 'c.json', order: 'listed' } as const satisfies DataSpecInput;

describe('COCO annotations', () => {
  it('give boxes in pixels of the model input, and leave out what is not annotated', async () => {
    const dir = await images();
    const said: Diagnostic[] = [];
    const data = await open({ ...spec, preprocess: { resize: { height: 40, width: 20 } } }, [input(40, 20)], dir, said);
    const samples = await all(data);
    expect(samples.map((s) => [s.id, s.label])).toEqual([
      ['a.png', undefined],
      ['sub/b.png', undefined],
    ]);
    // Halved across, doubled down; classes by ascending category id: cat, dog.
    expect(samples[0]!.target).toEqual({
      size: { width: 20, height: 40 },
      boxes: [
        { box: [5, 10, 15, 30], label: 1 },
        { box: [0, 0, 2, 8], label: 0, crowd: true },
      ],
    });
    expect(samples[1]!.target).toEqual({ size: { width: 20, height: 40 }, boxes: [] });
    expect(data.classes).toEqual(['cat', 'dog']);
    expect(said.map((d) => d.code)).toEqual(['DATA_ANNOTATIONS', 'DATA_ANNOTATIONS']);
    expect(said[0]!.message).toMatch(/^1 of 3 annotated images/);
    expect(said[1]!.message).toMatch(/'other.png' first/);
  });
  it.each<[string, DataSpecInput['preprocess'], [number, number], number[][]]>([
    // 40 × 20 shrinks to 20 × 10 and lies 5 from the top; or in the corner.
    [
      'letterbox in the centre',
      { resize: { longest: 20 }, pad: { height: 20, width: 20 } },
      [20, 20],
      [
        [5, 7.5, 15, 12.5],
        [0, 5, 2, 7],
      ],
    ],
    [
      'letterbox at the top left',
      { resize: { longest: 20 }, pad: { height: 20, width: 20, position: 'top-left' } },
      [20, 20],
      [
        [5, 2.5, 15, 7.5],
        [0, 0, 2, 2],
      ],
    ],
    // The middle 16 × 20 starts at 12: the first is cut, the second is gone.
    ['crop', { crop: { height: 20, width: 16 } }, [20, 16], [[0, 5, 16, 15]]],
    ['crop and pad', { crop: { height: 20, width: 16 }, pad: { height: 22, width: 20 } }, [22, 20], [[2, 6, 18, 16]]],
  ])('follow %s', async (_, preprocess, [height, width], boxes) => {
    const [first] = await all(await open({ ...spec, preprocess }, [input(height, width)], await images()));
    expect(first!.target!.boxes!.map((b) => [...b.box])).toEqual(boxes);
    expect(first!.target!.size).toEqual({ width, height });
  });
  it('take class indices from classes, or from the category ids', async () => {
    const dir = await images();
    const labels = async (more: DataSpecInput): Promise<number[]> =>
      (await all(await open({ ...spec, ...more }, [input(20, 40)], dir)))[0]!.target!.boxes!.map((b) => b.label);
    expect(await labels({ classes: ['bird', 'dog', 'cat'] })).toEqual([1, 2]);
    expect(await labels({ categoryIds: true })).toEqual([5, 2]);
    expect(await errorOf(() => labels({ classes: ['dog'] }))).toMatchObject({ code: 'DATA_LABEL' });
  });
  it.each<[string, unknown, string, RegExp]>([
    ['no images', { categories: [] }, 'DATA_FORMAT', /images: it is nothing/],
    ['an image without id', coco({ images: [{ file_name: 'a' }] }), 'DATA_FORMAT', /images\[0\]/],
    ['an image without name', coco({ images: [{ id: 1 }] }), 'DATA_FORMAT', /image 1/],
    [
      'an image twice',
      coco({
        images: [
          { id: 1, file_name: 'a' },
          { id: 1, file_name: 'b' },
        ],
      }),
      'DATA_FORMAT',
      /image 1.*twice/,
    ],
    ['a category twice', coco({ categories: [{ id: 1 }, { id: 1 }] }), 'DATA_FORMAT', /category 1.*twice/],
    [
      'an unknown image',
      coco({ annotations: [{ id: 4, image_id: 1, category_id: 2, bbox: [0, 0, 1, 1] }] }),
      'DATA_FORMAT',
      /annotation 4.*image_id 1/,
    ],
    [
      'an unknown category',
      coco({ annotations: [{ id: 4, image_id: 7, category_id: 1, bbox: [0, 0, 1, 1] }] }),
      'DATA_LABEL',
      /annotation 4.*category_id 1/,
    ],
    [
      'a box of three',
      coco({ annotations: [{ id: 4, image_id: 7, category_id: 2, bbox: [0, 0, 1] }] }),
      'DATA_FORMAT',
      /annotation 4.*bbox \[0,0,1\]/,
    ],
    [
      'a box of negative width',
      coco({ annotations: [{ image_id: 7, category_id: 2, bbox: [0, 0, -1, 1] }] }),
      'DATA_FORMAT',
      /annotations\[0\]/,
    ],
  ])('are refused with %s', async (_, content, code, message) => {
    const dir = await images(content);
    const error = await errorOf(() => readCoco(join(dir, 'c.json'), undefined, false));
    expect(error).toMatchObject({ code, where: { file: join(dir, 'c.json') } });
    expect(error.message).toMatch(message);
  });
  it('refuse images of another size, files without JSON, and folders without a match', async () => {
    const dir = await images(coco({ images: [{ id: 7, file_name: 'a.png', width: 20, height: 40 }], annotations: [] }));
    const data = await open(spec, [input(20, 40)], dir);
    expect(await errorOf(() => all(data))).toMatchObject({ code: 'DATA_FORMAT', where: { sample: 'a.png' } });
    await put(join(dir, 'c.json'), '{"images": [');
    expect(await errorOf(() => open(spec, [input(20, 40)], dir))).toMatchObject({ code: 'DATA_FORMAT' });
    await put(join(dir, 'c.json'), JSON.stringify(coco({ images: [], annotations: [] })));
    expect(await errorOf(() => open(spec, [input(20, 40)], dir))).toMatchObject({ code: 'DATA_MISSING' });
  });
});

describe('Pascal VOC annotations', () => {
  const object = (name: string, bounds: readonly number[], more = ''): string =>
    `<object>\n` +
    `<name>${name}</name>${more}<bndbox><xmin>${bounds[0]}</xmin><ymin>${bounds[1]}</ymin><xmax>${
      bounds[2]
    }</xmax><ymax>${bounds[3]}</ymax></bndbox></object>`;
  const file = (...objects: string[]): string =>
    `<annotation>\n<size><width>40</width><height>20</height></size>\n${objects.join('\n')}\n</annotation>\n`;
  it('give boxes whose last pixel belongs to them, and difficult objects', async () => {
    const dir = await images();
    await put(
      join(dir, 'voc/a.xml'),
      file(
        object('dog', [11, 6, 30, 15], '<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>'),
        object('cat', [1, 1, 4, 4], '<difficult>1</difficult>'),
      ),
    );
    const [only, ...others] = await all(await open({ ...spec, annotations: 'voc' }, [input(20, 40)], dir));
    expect(others).toEqual([]);
    expect(only).toMatchObject({
      id: 'a.png',
      target: {
        boxes: [
          { box: [10, 5, 30, 15], label: 1 },
          { box: [0, 0, 4, 4], label: 0, difficult: true },
        ],
      },
    });
  });
  it.each<[string, string, string, number | undefined]>([
    ['another file', '<html></html>', 'DATA_FORMAT', undefined],
    ['a cut file', file(object('cat', [1, 1, 2, 2])).slice(0, -20), 'DATA_FORMAT', undefined],
    ['an object without an end', '<annotation>\n<object><name>x</name>\n</annotation>', 'DATA_FORMAT', 2],
    ['an object without a name', file('<object></object>'), 'DATA_FORMAT', 3],
    [
      'an object without a box',
      file(object('cat', [1, 1, 2, 2]), '<object><name>dog</name></object>'),
      'DATA_FORMAT',
      5,
    ],
    ['a box turned over', file(object('cat', [3, 1, 2, 2])), 'DATA_FORMAT', 3],
    ['an unknown class', file(object('cow', [1, 1, 2, 2])), 'DATA_LABEL', 3],
  ])('are refused with %s', async (_, text, code, line) => {
    const dir = await temp();
    const path = await put(join(dir, 'a.xml'), text);
    expect(await errorOf(() => readVoc(dir, ['cat', 'dog']))).toMatchObject({
      code,
      where: { file: path, ...(line === undefined ? {} : { line }) },
    });
  });
  it('are refused where there is none, or with category ids', async () => {
    const dir = await images();
    await put(join(dir, 'empty/readme.txt'), '');
    expect(await errorOf(() => open({ ...spec, annotations: 'empty' }, [input(20, 40)], dir))).toMatchObject({
      code: 'DATA_MISSING',
    });
    expect(
      await errorOf(() => open({ ...spec, annotations: 'empty', categoryIds: true }, [input(20, 40)], dir)),
    ).toMatchObject({ code: 'DATA_LABEL' });
  });
});

describe('target tensors', () => {
  const x = npy('<f4', [2, 2], f32(1, 2, 3, 4));
  it('come from npy files, one row per sample', async () => {
    const dir = await temp();
    await put(join(dir, 'x.npy'), x);
    await put(join(dir, 't.npy'), npy('<f4', [2, 3], f32(1, 2, 3, 4, 5, 6)));
    const [, second] = await all(await open({ npy: 'x.npy', targets: 't.npy', order: 'listed' }, [vector2], dir));
    expect(second!.target).toEqual({
      tensors: { target: { dtype: 'float32', dims: [3], data: Float32Array.of(4, 5, 6) } },
    });
    const [first] = await all(
      await open({ npy: 'x.npy', targets: { y: 't.npy', z: 'x.npy' }, order: 'listed' }, [vector2], dir),
    );
    expect(Object.entries(first!.target!.tensors!).map(([name, t]) => [name, [...t.data]])).toEqual([
      ['y', [1, 2, 3]],
      ['z', [1, 2]],
    ]);
    await put(join(dir, 'short.npy'), npy('<f4', [1, 3], f32(1, 2, 3)));
    expect(await errorOf(() => open({ npy: 'x.npy', targets: 'short.npy' }, [vector2], dir))).toMatchObject({
      code: 'DATA_LABEL',
      where: { file: join(dir, 'short.npy') },
    });
    expect(
      await errorOf(() => open({ npy: 'x.npy', targets: { y: 't.npy', z: 'short.npy' } }, [vector2], dir)),
    ).toMatchObject({ code: 'DATA_LABEL' });
    expect(await errorOf(() => open({ npy: 'x.npy', targets: {} }, [vector2], dir))).toMatchObject({
      code: 'DATA_LABEL',
    });
  });
  it('come from npz archives, by key', async () => {
    const dir = await temp();
    await put(join(dir, 'd.npz'), zipSync({ 'x.npy': x, 'clean.npy': npy('<f4', [2, 2], f32(5, 6, 7, 8)) }));
    const [, second] = await all(
      await open({ npz: 'd.npz', targets: { y: 'clean' }, order: 'listed' }, [vector2], dir),
    );
    expect(second!.target!.tensors!['y']!.data).toEqual(Float32Array.of(7, 8));
    expect([...second!.feeds[0]!['x']!.data]).toEqual([3, 4]);
    expect(await errorOf(() => open({ npz: 'd.npz', targets: 'no' }, [vector2], dir))).toMatchObject({
      code: 'DATA_LABEL',
      where: { file: join(dir, 'd.npz') },
    });
    await put(join(dir, 'e.npz'), zipSync({ 'x.npy': x, 't.npy': npy('<f4', [3], f32(5, 6, 7)) }));
    expect(await errorOf(() => open({ npz: 'e.npz', targets: 't' }, [vector2], dir))).toMatchObject({
      code: 'DATA_LABEL',
      where: { tensor: 'target' },
    });
    await put(
      join(dir, 'one/a.npz'),
      zipSync({ 'x.npy': npy('<f4', [2], f32(1, 2)), 't.npy': npy('<f4', [1], f32(9)) }),
    );
    expect(
      (await all(await open({ npz: 'one', targets: 't' }, [vector2], dir)))[0]!.target!.tensors!['target']!.data,
    ).toEqual(Float32Array.of(9));
  });
});

describe('targets of modules', () => {
  const from = async (target: string): Promise<Awaited<ReturnType<typeof all>>> => {
    const dir = await temp();
    await put(
      join(dir, 'm.mjs'),
      `export function* samples() { yield { feed: { x: [1, 2] }, target: ${target}, id: 'one' }; }`,
    );
    return all(await open({ module: 'm.mjs' }, [vector2], dir));
  };
  it('pass as they are', async () => {
    const [found] = await from(
      "{ text: 'hi', size: { width: 4, height: 2 }, boxes: [{ box: [0, 0, 1, 2], label: 3, crowd: true }], " +
        'tensors: { y: [[1, 2]], z: new Uint8Array([7]) } }',
    );
    expect(found!.target).toEqual({
      text: 'hi',
      size: { width: 4, height: 2 },
      boxes: [{ box: [0, 0, 1, 2], label: 3, crowd: true }],
      tensors: {
        y: { dtype: 'float32', dims: [1, 2], data: Float32Array.of(1, 2) },
        z: { dtype: 'uint8', dims: [1], data: Uint8Array.of(7) },
      },
    });
  });
  it.each([
    'null',
    '3',
    '{ txt: 1 }',
    '{ text: 1 }',
    '{ boxes: {} }',
    '{ boxes: [{ box: [0, 0, 1], label: 0 }] }',
    '{ boxes: [{ box: [2, 0, 1, 1], label: 0 }] }',
    '{ boxes: [{ box: [0, 0, 1, NaN], label: 0 }] }',
    '{ boxes: [{ box: [0, 0, 1, 1], label: 0.5 }] }',
    '{ size: { width: 0, height: 1 } }',
    '{ tensors: 1 }',
    "{ tensors: { y: ['a'] } }",
  ])('are refused as %s', async (target) => {
    expect(await errorOf(() => from(target))).toMatchObject({ code: 'DATA_MODULE', where: { sample: 'one' } });
  });
});

describe('data specs', () => {
  it('allow each kind of target with its source only', () => {
    const issues = (value: DataSpecInput): unknown[] => {
      const p = dataSpec.safeParse(value);
      return p.success ? [] : p.error.issues.map((i) => i.path[0]);
    };
    expect(issues({ images: 'a', annotations: 'b', categoryIds: true })).toEqual([]);
    expect(issues({ images: 'a', categoryIds: true })).toEqual(['categoryIds']);
    expect(issues({ npy: 'a', annotations: 'b' })).toEqual(['annotations']);
    expect(issues({ images: 'a', targets: 'b' })).toEqual(['targets']);
    expect(issues({ npz: 'a', target: 'b' })).toEqual(['target']);
  });
});
