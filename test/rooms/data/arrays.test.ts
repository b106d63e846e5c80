import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { parseNpy } from '../../../src/data/npy.js';
import { readNpz } from '../../../src/data/sources/npz.js';
import type { DataSpecInput } from '../../../src/data/spec.js';
import type { ValueInfo } from '../../../src/ir/feed.js';
import { all, errorOf, f32, npy, open, put, temp, vector2 } from './helpers.js';

const bytes = (view: ArrayBufferView): Uint8Array => new Uint8Array(view.buffer);

describe('npy', () => {
  it('reads types, byte orders and axis orders', () => {
    expect(parseNpy(npy('<f4', [2, 2], f32(1, 2, 3, 4)), {})).toMatchObject({
      dtype: 'float32',
      dims: [2, 2],
      data: Float32Array.of(1, 2, 3, 4),
    });
    expect(parseNpy(npy('>i2', [2], Uint8Array.of(1, 2, 255, 254)), {}).data).toEqual(Int16Array.of(258, -2));
    expect(parseNpy(npy('<f4', [2, 3], f32(1, 4, 2, 5, 3, 6), { fortran: true }), {}).data).toEqual(
      Float32Array.of(1, 2, 3, 4, 5, 6),
    );
    expect(parseNpy(npy('|b1', [], Uint8Array.of(1)), {})).toMatchObject({ dtype: 'bool', dims: [] });
    expect(parseNpy(npy('<i8', [1], bytes(BigInt64Array.of(-5n))), {}).data).toEqual(BigInt64Array.of(-5n));
  });
  it('gives one sample per row, with labels, in seeded order', async () => {
    const dir = await temp();
    await put(join(dir, 'x.npy'), npy('<f4', [4, 2], f32(0, 1, 2, 3, 4, 5, 6, 7)));
    await put(join(dir, 'y.npy'), npy('<i8', [4], bytes(BigInt64Array.of(0n, 1n, 2n, 3n))));
    const data = await open({ npy: 'x.npy', labels: 'y.npy' }, [vector2], dir);
    const samples = await all(data);
    expect(samples.map((s) => s.id).sort()).toEqual(['x.npy#0', 'x.npy#1', 'x.npy#2', 'x.npy#3']);
    for (const s of samples)
      expect(s.feeds[0]!['x']).toEqual({
        dtype: 'float32',
        dims: [1, 2],
        data: Float32Array.of(2 * s.label!, 2 * s.label! + 1),
      });
    expect(data.describe).toMatchObject({ order: 'shuffled', seed: 1, count: 4 });
  });
  it('reads a folder of one-sample files, several inputs, and float64 into float32', async () => {
    const dir = await temp();
    await put(join(dir, 'f/a.npy'), npy('<f8', [2], bytes(Float64Array.of(0.1, 2))));
    await put(join(dir, 'f/b.npy'), npy('<f8', [1, 2], bytes(Float64Array.of(3, 4))));
    expect(
      (await all(await open({ npy: 'f', order: 'listed' }, [vector2], dir))).map((s) => s.feeds[0]!['x']!.data),
    ).toEqual([Float32Array.of(0.1, 2), Float32Array.of(3, 4)]);
    const two: ValueInfo[] = [vector2, { name: 'n', dtype: 'int64', shape: [null] }];
    await put(join(dir, 'x.npy'), npy('<f4', [2, 2], f32(1, 2, 3, 4)));
    await put(join(dir, 'n.npy'), npy('<i4', [2], bytes(Int32Array.of(8, 9))));
    const samples = await all(await open({ npy: { x: 'x.npy', n: 'n.npy' }, order: 'listed' }, two, dir));
    expect(samples[1]!.feeds[0]!['n']).toEqual({ dtype: 'int64', dims: [1], data: BigInt64Array.of(9n) });
  });
});

describe('npz and raw', () => {
  it('reads rows by input name with labels', async () => {
    const dir = await temp();
    await put(
      join(dir, 'd.npz'),
      zipSync({ 'x.npy': npy('<f4', [3, 2], f32(0, 0, 1, 1, 2, 2)), 'y.npy': npy('|u1', [3], Uint8Array.of(5, 6, 7)) }),
    );
    const samples = await all(await open({ npz: 'd.npz', labels: 'y', order: 'listed' }, [vector2], dir));
    expect(samples.map((s) => [s.id, s.label, Array.from(s.feeds[0]!['x']!.data, Number)])).toEqual([
      ['d.npz#0', 5, [0, 0]],
      ['d.npz#1', 6, [1, 1]],
      ['d.npz#2', 7, [2, 2]],
    ]);
  });
  it('reads headerless numbers', async () => {
    const dir = await temp();
    await put(join(dir, 'd.bin'), f32(1, 2, 3, 4));
    expect(
      (await all(await open({ raw: 'd.bin', shape: [2], dtype: 'float32', order: 'listed' }, [vector2], dir))).map(
        (s) => [s.id, ...Array.from(s.feeds[0]!['x']!.data, Number)],
      ),
    ).toEqual([
      ['d.bin#0', 1, 2],
      ['d.bin#1', 3, 4],
    ]);
  });
  it('reads ONNX test data through the decoder it is given', async () => {
    const dir = await temp();
    await put(join(dir, 'test_data_set_0/input_0.pb'), f32(7, 8));
    const { openDataset } = await import('../../../src/data/dataset.js');
    const { dataSpec } = await import('../../../src/data/spec.js');
    const data = await openDataset(dataSpec.parse({ testData: '.' }), [vector2], {
      baseDir: dir,
      seed: 0,
      decodeTensor: (b) => ({ dtype: 'float32', dims: [1, 2], data: new Float32Array(b.slice().buffer) }),
    });
    expect((await all(data))[0]).toMatchObject({
      id: 'test_data_set_0',
      feeds: [{ x: { dims: [1, 2], data: Float32Array.of(7, 8) } }],
    });
  });
});

describe('bad arrays', () => {
  const good = npy('<f4', [2, 2], f32(1, 2, 3, 4));
  const file =
    (name: string, content: Uint8Array, spec: DataSpecInput) =>
    async (d: string): Promise<DataSpecInput> => {
      await put(join(d, name), content);
      return spec;
    };
  const x = { npy: 'x.npy' };
  const z = { npz: 'x.npz' };
  it.each<{ name: string; make: (d: string) => Promise<DataSpecInput>; code: string; where: Record<string, unknown> }>([
    {
      name: 'object dtype',
      make: file('x.npy', npy('|O', [2], new Uint8Array(16)), x),
      code: 'DATA_FORMAT',
      where: { offset: 10 },
    },
    {
      name: 'structured dtype',
      make: file(
        'x.npy',
        npy('', [], new Uint8Array(8), {
          header: "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }",
        }),
        x,
      ),
      code: 'DATA_FORMAT',
      where: { offset: 10 },
    },
    {
      name: 'text dtype',
      make: file('x.npy', npy('<U3', [2], new Uint8Array(24)), x),
      code: 'DATA_FORMAT',
      where: { offset: 10 },
    },
    {
      name: 'shape larger than the file',
      make: file('x.npy', npy('<f4', [1000, 2], f32(1, 2)), x),
      code: 'DATA_FORMAT',
      where: { offset: 128 },
    },
    {
      name: 'shape smaller than the file',
      make: file('x.npy', npy('<f4', [1, 2], f32(1, 2, 3, 4)), x),
      code: 'DATA_FORMAT',
      where: { offset: 128 },
    },
    {
      name: 'shape that overflows',
      make: file('x.npy', npy('<f4', [2 ** 40, 2 ** 40], f32(1)), x),
      code: 'DATA_FORMAT',
      where: { offset: 10 },
    },
    {
      name: 'header length beyond the file',
      make: file('x.npy', Uint8Array.of(0x93, 78, 85, 77, 80, 89, 2, 0, 255, 255, 255, 255), x),
      code: 'DATA_FORMAT',
      where: { offset: 8 },
    },
    { name: 'not npy', make: file('x.npy', f32(1, 2, 3, 4), x), code: 'DATA_FORMAT', where: { offset: 0 } },
    { name: 'empty npy', make: file('x.npy', new Uint8Array(), x), code: 'DATA_FORMAT', where: { offset: 0 } },
    { name: 'no rows', make: file('x.npy', npy('<f4', [0, 2], new Uint8Array()), x), code: 'DATA_MISSING', where: {} },
    {
      name: 'shape against the model',
      make: file('x.npy', npy('<f4', [2, 3], f32(1, 2, 3, 4, 5, 6)), x),
      code: 'DATA_SHAPE',
      where: { tensor: 'x', sample: 'x.npy#1' },
    },
    {
      name: 'float input from text of labels count',
      make: async (d) => {
        await put(join(d, 'x.npy'), good);
        await put(join(d, 'y.npy'), npy('<i4', [3], bytes(Int32Array.of(1, 2, 3))));
        return { npy: 'x.npy', labels: 'y.npy' };
      },
      code: 'DATA_LABEL',
      where: {},
    },
    {
      name: 'NaN label',
      make: async (d) => {
        await put(join(d, 'x.npy'), good);
        await put(join(d, 'y.npy'), npy('<f4', [2], f32(1, NaN)));
        return { npy: 'x.npy', labels: 'y.npy' };
      },
      code: 'DATA_LABEL',
      where: { sample: '1' },
    },
    {
      name: 'npz name that leaves',
      make: file('x.npz', zipSync({ '../x.npy': good }), z),
      code: 'DATA_UNSAFE',
      where: { tensor: '../x.npy' },
    },
    {
      name: 'npz with a stranger',
      make: file('x.npz', zipSync({ 'x.npy': good, 'run.sh': new Uint8Array(3) }), z),
      code: 'DATA_FORMAT',
      where: { tensor: 'run.sh' },
    },
    { name: 'npz that is not a zip', make: file('x.npz', good, z), code: 'DATA_FORMAT', where: {} },
    {
      name: 'truncated npz',
      make: file('x.npz', zipSync({ 'x.npy': good }).subarray(0, 100), z),
      code: 'DATA_FORMAT',
      where: {},
    },
    {
      name: 'npz key that is no input',
      make: file('x.npz', zipSync({ 'x.npy': good, 'z.npy': good }), z),
      code: 'DATA_SHAPE',
      where: { tensor: 'z' },
    },
    {
      name: 'raw of a broken size',
      make: file('x.bin', new Uint8Array(7), { raw: 'x.bin', shape: [2], dtype: 'float32' }),
      code: 'DATA_FORMAT',
      where: {},
    },
  ])('$name → $code', async ({ make, code, where }) => {
    const dir = await temp();
    const spec = await make(dir);
    const error = await errorOf(async () => all(await open({ order: 'shuffled', ...spec }, [vector2], dir)));
    expect(error.code).toBe(code);
    expect(error.where).toMatchObject(where);
  });
  it('refuses a zip bomb before and while inflating', async () => {
    const bomb = zipSync({ 'x.npy': new Uint8Array(1 << 20) });
    expect(await errorOf(async () => readNpz(bomb, 'x.npz', 1 << 19))).toMatchObject({
      code: 'DATA_UNSAFE',
      where: { tensor: 'x.npy' },
    });
    const lying = bomb.slice();
    const at = Buffer.from(lying).indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    new DataView(lying.buffer).setUint32(at + 24, 0x7fffff00, true); // central directory: uncompressed size
    expect(await errorOf(async () => readNpz(lying, 'x.npz'))).toMatchObject({ code: 'DATA_UNSAFE' });
    const small = bomb.slice();
    new DataView(small.buffer).setUint32(at + 24, 64, true);
    expect(await errorOf(async () => readNpz(small, 'x.npz'))).toMatchObject({ code: 'DATA_FORMAT' });
  });
  it('names the file that shrinks during the run', async () => {
    const dir = await temp();
    const path = await put(join(dir, 'x.npy'), good);
    const data = await open({ npy: 'x.npy', order: 'listed' }, [vector2], dir);
    await truncate(path, good.length - 4);
    expect(await errorOf(() => all(data))).toMatchObject({
      code: 'DATA_FORMAT',
      where: { file: path, sample: 'x.npy#1' },
    });
  });
  it('does not turn floats into integers', async () => {
    const dir = await temp();
    await put(join(dir, 'x.npy'), good);
    expect(
      await errorOf(async () => all(await open({ npy: 'x.npy' }, [{ ...vector2, dtype: 'int64' }], dir))),
    ).toMatchObject({ code: 'DATA_SHAPE' });
  });
});
