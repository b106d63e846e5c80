import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { openImageTree } from '../../../src/data/image-tree.js';

const home = fileURLToPath(new URL('../../../calibration-data', import.meta.url));
interface Entry {
  path: string;
  sha256: string;
  images?: number;
  classes?: string[];
  size?: number[];
  licence: string;
}
// our own script wrote it
const { entries } = JSON.parse(readFileSync(join(home, 'manifest.json'), 'utf8')) as { entries: Entry[] };
const hash = (bytes: string | Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('the shipped demo data', () => {
  it('lists the model and both splits', () => {
    expect(entries.map((e) => e.path)).toEqual(['glyphs/calibration.tar', 'glyphs/test.tar', 'demo.onnx']);
  });

  it.each(entries)('$path has the sha256 and the contents of the manifest', async (entry) => {
    const path = join(home, entry.path);
    expect(entry.licence).toBe('Apache-2.0');
    expect(hash(readFileSync(path))).toBe(entry.sha256);
    if (!entry.classes) return;
    const tree = await openImageTree(path);
    expect(await tree.images('')).toHaveLength(entry.images!);
    expect(tree.top).toEqual({ files: [], folders: entry.classes });
  });

  it('is small', () => {
    for (const { path } of entries) expect(statSync(join(home, path)).size).toBeLessThan(1.1e6);
  });

  it('decodes to 32×32 RGB, and no image is in both splits', async () => {
    const seen = new Set<string>();
    let count = 0;
    for (const split of ['calibration', 'test']) {
      const tree = await openImageTree(join(home, 'glyphs', `${split}.tar`));
      for (const file of await tree.images('')) {
        const { data, info } = await sharp(await tree.read(file))
          .raw()
          .toBuffer({ resolveWithObject: true });
        expect([info.width, info.height, info.channels]).toEqual([32, 32, 3]);
        seen.add(hash(data));
        count++;
      }
    }
    expect(seen.size).toBe(count);
  });
});
