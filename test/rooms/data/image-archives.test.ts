import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync, type Zippable } from 'fflate';
import { beforeAll, describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { guessDataSpec } from '../../../src/data/init.js';
import { openImageTree } from '../../../src/data/image-tree.js';
import { classFolders } from '../../../src/data/sources/images.js';
import { all, errorOf, image4, open, png, put, tar, temp } from './helpers.js';

/** Names whose order in a folder is not that of the whole path: files come before folders, and `-` before `/`. */
const NAMES = [
  'b/10.png',
  'b/9.png',
  'a/z/2.png',
  'a/z-1/1.png',
  'a/z.png',
  'a-b/ä.png',
  'a/.hidden/x.png',
  '.git/x.png',
];
let dir = '';
let files: { name: string; data: Uint8Array }[] = [];
beforeAll(async () => {
  dir = await temp();
  files = await Promise.all(NAMES.map(async (name, i) => ({ name, data: await png(i * 9, 50, 7) })));
  files.push({ name: 'b/notes.txt', data: new Uint8Array(3) }, { name: '__MACOSX/b/9.png', data: new Uint8Array(3) });
  for (const { name, data } of files) await put(join(dir, 'folder', name), data);
  await put(join(dir, 'plain.tar'), tar(files));
  await put(join(dir, 'wrapped.tar'), tar([{ name: './top/', type: '5' }, ...under('./top/')]));
  await put(join(dir, 'plain.zip'), zipSync(Object.fromEntries(files.map((f) => [f.name, f.data]))));
  await put(
    join(dir, 'stored.ZIP'),
    zipSync(Object.fromEntries(under('top/').map((f) => [f.name, f.data])), { level: 0 }),
  );
});
const under = (prefix: string) => files.map((f) => ({ ...f, name: prefix + f.name }));

describe('archives of images', () => {
  it.each(['plain.tar', 'wrapped.tar', 'plain.zip', 'stored.ZIP'])('%s gives what the folder gives', async (name) => {
    for (const extra of [{}, { order: 'listed' }, { split: { part: 'calibration', fraction: 0.5 } }] as const) {
      const [a, b] = await Promise.all(
        ['folder', name].map((images) => open({ images, preprocess: {}, ...extra }, [image4], dir)),
      );
      expect(await all(b!)).toEqual(await all(a!));
      expect(b!.classes).toEqual(['a', 'a-b', 'b']);
      expect({ ...b!.describe, path: 0 }).toEqual({ ...a!.describe, path: 0 });
      const ids = async (data: typeof a): Promise<unknown[]> => {
        const out: unknown[] = [];
        for await (const identity of data!.identities()) out.push(identity);
        return out;
      };
      expect(await ids(b)).toEqual(await ids(a));
    }
  });
  it('names the archive and the image where one is damaged', async () => {
    await put(join(dir, 'bad.tar'), tar([{ name: 'a/1.png', data: 'no image' }]));
    const error = await errorOf(async () => all(await open({ images: 'bad.tar', preprocess: {} }, [image4], dir)));
    expect(error).toMatchObject({ code: 'DATA_IMAGE', where: { file: join(dir, 'bad.tar'), sample: '1.png' } });
  });
  it('a flat archive has no labels, and names no classes', async () => {
    await put(
      join(dir, 'flat.tar'),
      tar([
        { name: 'x/2.png', data: await png(1, 2, 3) },
        { name: 'x/1.png', data: await png(3, 2, 1) },
      ]),
    );
    const data = await open({ images: 'flat.tar', preprocess: {}, order: 'listed' }, [image4], dir);
    expect((await all(data)).map((s) => [s.id, s.label])).toEqual([
      ['1.png', undefined],
      ['2.png', undefined],
    ]);
    expect((await classFolders(join(dir, 'flat.tar'))).names).toEqual([]);
  });
  it('reads lists of classes and annotations with an archive', async () => {
    await put(join(dir, 'listed.tar'), tar([...under('d/'), { name: 'd/classes.txt', data: 'b\na\na-b\n' }]));
    const { names, list } = await classFolders(join(dir, 'listed.tar'));
    expect(names).toEqual(['a', 'a-b', 'b']);
    expect(await list('classes.txt')).toEqual(['b', 'a', 'a-b']);
    expect(await list('labels.txt')).toBeUndefined();
    const coco = {
      images: [{ id: 1, file_name: 'b/9.png', width: 4, height: 4 }],
      categories: [{ id: 1, name: 'n' }],
      annotations: [{ id: 1, image_id: 1, category_id: 1, bbox: [0, 0, 2, 2] }],
    };
    await put(join(dir, 'coco.json'), JSON.stringify(coco));
    const data = await open({ images: 'plain.zip', annotations: 'coco.json', preprocess: {} }, [image4], dir);
    expect((await all(data)).map((s) => s.id)).toEqual(['b/9.png']);
  });
  it('refuses images beside folders of images, and archives without images', async () => {
    await put(
      join(dir, 'mixed.tar'),
      tar([
        { name: '1.png', data: 'x' },
        { name: 'a/2.png', data: 'x' },
      ]),
    );
    await put(join(dir, 'none.zip'), zipSync({ 'a/readme.txt': new Uint8Array(1) }));
    for (const [images, code] of [
      ['mixed.tar', 'DATA_FORMAT'],
      ['none.zip', 'DATA_MISSING'],
      ['absent.zip', 'DATA_MISSING'],
    ] as const)
      expect((await errorOf(() => open({ images, preprocess: {} }, [image4], dir))).code).toBe(code);
  });
  it('tells shards from archives of folders', async () => {
    const shard = join(dir, 'shard.tar');
    await put(
      shard,
      tar([
        { name: 'a.png', data: 'x' },
        { name: 'a.json', data: '{}' },
      ]),
    );
    expect(await guessDataSpec(shard)).toEqual({ webdataset: shard });
    await put(join(dir, 'described.tar'), tar([...under(''), { name: 'about.json', data: '{}' }]));
    for (const name of ['plain.tar', 'plain.zip', 'described.tar'])
      expect(await guessDataSpec(join(dir, name))).toEqual({ images: join(dir, name) });
  });
});

describe('zip archives', () => {
  const zip = (entries: Zippable): Buffer => Buffer.from(zipSync(entries, { level: 9 }));
  const refused = async (bytes: Uint8Array): Promise<string> => {
    const images = 'hostile.zip';
    await put(join(dir, images), bytes);
    return (await errorOf(async () => all(await open({ images, preprocess: {} }, [image4], dir)))).code;
  };
  it.each(['/a/1.png', 'a/../../1.png', 'a\\1.png'])('refuses the name %s', async (name) => {
    expect(await refused(zip({ [name]: new Uint8Array(9) }))).toBe('DATA_UNSAFE');
  });
  it('refuses links, encryption, unknown methods, lies about sizes and names without end', async () => {
    const one = { 'a/1.png': new Uint8Array(5000) };
    const central = (bytes: Buffer): number => bytes.indexOf('PK\x01\x02', 0, 'latin1');
    const edit = (change: (bytes: Buffer, at: number) => void): Buffer => {
      const bytes = zip(one);
      change(bytes, central(bytes));
      return bytes;
    };
    expect(await refused(zip({ 'a/1.png': [new Uint8Array(9), { os: 3, attrs: 0o120777 << 16 }] }))).toBe(
      'DATA_UNSAFE',
    );
    expect(await refused(edit((b, at) => b.writeUInt16LE(1, at + 8)))).toBe('DATA_FORMAT');
    expect(await refused(edit((b, at) => b.writeUInt16LE(12, at + 10)))).toBe('DATA_FORMAT');
    expect(await refused(edit((b, at) => b.writeUInt32LE(2 ** 31, at + 24)))).toBe('DATA_UNSAFE');
    expect(await refused(edit((b, at) => b.writeUInt32LE(4999, at + 24)))).toBe('DATA_FORMAT');
    expect(await refused(edit((b, at) => b.writeUInt32LE(1, at + 16)))).toBe('DATA_FORMAT');
    expect(await refused(edit((b, at) => b.writeUInt32LE(0xfffffff0, at + 42)))).toBe('DATA_FORMAT');
    expect(await refused(zip({ [`${'a/'.repeat(3000)}1.png`]: new Uint8Array(9) }))).toBe('DATA_UNSAFE');
  });
  it('every cut and every flipped byte of an archive is told, or read as it was', async () => {
    const contents = [await png(1, 2, 3), await png(3, 2, 1)];
    const good = zip({ 'a/1.png': contents[0]!, 'b/2.png': contents[1]! });
    let told = 0;
    const readAll = async (bytes: Uint8Array): Promise<void> => {
      const tree = await openImageTree(await put(join(dir, 'mutant.zip'), bytes));
      for (const name of await tree.images(''))
        expect(contents.map(String)).toContain(String(Buffer.from(await tree.read(name))));
    };
    for (let at = 0; at < good.length; at++) {
      const flipped = Buffer.from(good);
      flipped[at]! ^= 0x55;
      for (const bytes of [good.subarray(0, at), flipped])
        await readAll(bytes).catch((error: unknown) => {
          if (!(error instanceof QuantError && error.code.startsWith('DATA_'))) throw error;
          told++;
        });
    }
    expect(told).toBeGreaterThan(good.length * 1.5);
  });
  it.skipIf(!python())('reads the Zip64 that Python writes', async () => {
    const file = join(dir, 'wide.zip');
    execFileSync('python3', [
      '-c',
      `import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:
    for i in range(66000): z.writestr(f'c{i % 3}/{i}.png', b'x' * 40)
    with z.open('c1/big.png', 'w', force_zip64=True) as f: f.write(b'y' * 1000)`,
      file,
    ]);
    const tree = await openImageTree(file);
    expect(await tree.images('')).toHaveLength(66001);
    expect(tree.top.folders).toEqual(['c0', 'c1', 'c2']);
    expect(Buffer.from(await tree.read('c1/big.png')).toString()).toBe('y'.repeat(1000));
    expect(readFileSync(file).includes('PK\x06\x06')).toBe(true);
  });
});

function python(): boolean {
  try {
    execFileSync('python3', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
