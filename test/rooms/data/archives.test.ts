import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tarEntries } from '../../../src/data/tar.js';
import type { DataSpecInput } from '../../../src/data/spec.js';
import { all, errorOf, image4, open, png, put, tar, temp } from './helpers.js';

describe('webdataset', () => {
  it('pairs members by key, over shards, with .cls and .json labels', async () => {
    const dir = await temp();
    await put(
      join(dir, 's-00.tar'),
      tar([
        { name: 'd/a.png', data: await png(1, 2, 3) },
        { name: 'd/a.cls', data: '4' },
        { name: 'd/b.cls', data: '1\n' },
        { name: 'd/b.png', data: await png(9, 9, 9) },
      ]),
    );
    await put(
      join(dir, 's-01.tar'),
      tar([
        { name: 'c.json', data: '{"label": 7, "other": [1]}' },
        { name: 'c.png', data: await png(5, 5, 5) },
      ]),
    );
    const data = await open({ webdataset: 's-{00..01}.tar', preprocess: {}, order: 'listed' }, [image4], dir);
    expect(data.count).toBe(3);
    expect((await all(data)).map((s) => [s.id, s.label, Number(s.feeds[0]!['x']!.data[0])])).toEqual([
      ['s-00.tar/d/a', 4, 1],
      ['s-00.tar/d/b', 1, 9],
      ['s-01.tar/c', 7, 5],
    ]);
    expect((await open({ webdataset: '*.tar', preprocess: {} }, [image4], dir)).count).toBe(3);
    expect((await open({ webdataset: '.', preprocess: {} }, [image4], dir)).count).toBe(3);
  });
  it('reads GNU long names, pax paths and ustar prefixes', async () => {
    const dir = await temp();
    const long = `${'x'.repeat(150)}.png`;
    const pax = 'päth/y.png';
    const body = ` path=${pax}\n`;
    const length = Buffer.byteLength(body) + 2;
    const path = await put(
      join(dir, 'n.tar'),
      tar([
        { name: '././@LongLink', type: 'L', data: `${long}\0` },
        { name: 'short', data: 'a' },
        { name: 'PaxHeader', type: 'x', data: `${length}${body}` },
        { name: 'short', data: 'b' },
        { name: 'z.png', prefix: 'deep/folder', data: 'c' },
        { name: 'folder/', type: '5' },
      ]),
    );
    const names: string[] = [];
    for await (const e of tarEntries(path)) names.push(e.name);
    expect(names).toEqual([long, pax, 'deep/folder/z.png']);
  });
  const rows: {
    name: string;
    bytes: () => Promise<Uint8Array>;
    code: string;
    where?: Record<string, unknown>;
    spec?: DataSpecInput;
  }[] = [
    {
      name: 'symbolic link',
      bytes: async () => tar([{ name: 'a.png', type: '2' }]),
      code: 'DATA_UNSAFE',
      where: { sample: 'a.png', offset: 0 },
    },
    {
      name: 'hard link',
      bytes: async () => tar([{ name: 'a.png', type: '1' }]),
      code: 'DATA_UNSAFE',
      where: { sample: 'a.png' },
    },
    { name: 'device', bytes: async () => tar([{ name: 'a.png', type: '3' }]), code: 'DATA_UNSAFE' },
    {
      name: 'absolute name',
      bytes: async () => tar([{ name: '/etc/a.png', data: 'x' }]),
      code: 'DATA_UNSAFE',
      where: { sample: '/etc/a.png' },
    },
    { name: 'name with ..', bytes: async () => tar([{ name: 'a/../../b.png', data: 'x' }]), code: 'DATA_UNSAFE' },
    {
      name: 'size beyond the file',
      bytes: async () => tar([{ name: 'a.png', data: 'x', size: 1 << 20 }]),
      code: 'DATA_FORMAT',
      where: { offset: 0 },
    },
    {
      name: 'huge pax record',
      bytes: async () => Buffer.concat([tar([{ name: 'p', type: 'x', data: new Uint8Array((1 << 20) + 1) }])]),
      code: 'DATA_UNSAFE',
    },
    {
      name: 'bad pax record',
      bytes: async () => tar([{ name: 'p', type: 'x', data: '999 path=x\n' }]),
      code: 'DATA_FORMAT',
      where: { offset: 512 },
    },
    {
      name: 'truncated header',
      bytes: async () => tar([{ name: 'a.png', data: await png(1, 2, 3) }]).subarray(0, 300),
      code: 'DATA_FORMAT',
    },
    {
      name: 'wrong checksum',
      bytes: async () => {
        const t = tar([{ name: 'a.png', data: 'x' }]);
        t[0] = 98;
        return t;
      },
      code: 'DATA_FORMAT',
      where: { offset: 0 },
    },
    { name: 'not a tar', bytes: async () => new Uint8Array(2048).fill(65), code: 'DATA_FORMAT' },
    { name: 'no image', bytes: async () => tar([{ name: 'a.txt', data: 'x' }]), code: 'DATA_MISSING' },
    { name: 'empty file', bytes: async () => new Uint8Array(), code: 'DATA_MISSING' },
    {
      name: 'some labels missing',
      bytes: async () =>
        tar([
          { name: 'a.png', data: await png(1, 2, 3) },
          { name: 'a.cls', data: '1' },
          { name: 'b.png', data: await png(1, 2, 3) },
        ]),
      code: 'DATA_LABEL',
      where: { sample: 's.tar/b' },
    },
    {
      name: 'label out of range',
      bytes: async () =>
        tar([
          { name: 'a.png', data: await png(1, 2, 3) },
          { name: 'a.cls', data: '2' },
        ]),
      code: 'DATA_LABEL',
      where: { sample: 's.tar/a' },
      spec: { classes: ['p', 'q'] },
    },
    {
      name: 'damaged image',
      bytes: async () =>
        tar([
          { name: 'a.png', data: 'not a png' },
          { name: 'a.cls', data: '2' },
        ]),
      code: 'DATA_IMAGE',
      where: { sample: 's.tar/a' },
    },
    {
      name: 'json without label',
      bytes: async () =>
        tar([
          { name: 'a.png', data: await png(1, 2, 3) },
          { name: 'a.json', data: '{}' },
        ]),
      code: 'DATA_LABEL',
      where: { sample: 's.tar/a' },
    },
  ];
  it.each(rows)('$name → $code', async ({ bytes, code, where, spec }) => {
    const dir = await temp();
    await put(join(dir, 's.tar'), await bytes());
    const error = await errorOf(async () =>
      all(await open({ webdataset: 's.tar', preprocess: {}, ...spec }, [image4], dir)),
    );
    expect(error.code).toBe(code);
    expect(error.where).toMatchObject(where ?? {});
  });
});
