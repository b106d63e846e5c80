import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';

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
const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true })
    .map((f) => String(f).replaceAll('\\', '/'))
    .filter((f) => f.endsWith('.png'))
    .sort();

describe('the shipped demo data', () => {
  it('lists the model and both splits', () => {
    expect(entries.map((e) => e.path)).toEqual(['glyphs/calibration', 'glyphs/test', 'demo.onnx']);
  });

  it.each(entries)('$path has the sha256 and the contents of the manifest', (entry) => {
    const path = join(home, entry.path);
    expect(entry.licence).toBe('Apache-2.0');
    if (!entry.classes) {
      expect(hash(readFileSync(path))).toBe(entry.sha256);
      return;
    }
    const files = filesOf(path);
    expect(files).toHaveLength(entry.images!);
    expect(hash(files.map((f) => `${hash(readFileSync(join(path, f)))}  ${f}\n`).join(''))).toBe(entry.sha256);
    expect([...new Set(files.map((f) => f.split('/')[0]))]).toEqual(entry.classes);
  });

  it('is small', () => {
    const images = ['calibration', 'test'].flatMap((s) =>
      filesOf(join(home, 'glyphs', s)).map((f) => statSync(join(home, 'glyphs', s, f)).size),
    );
    expect(images.reduce((a, b) => a + b, 0)).toBeLessThan(1e6);
    expect(statSync(join(home, 'demo.onnx')).size).toBeLessThan(1e6);
  });

  it('decodes to 32×32 RGB, and no image is in both splits', async () => {
    const seen = new Set<string>();
    let count = 0;
    for (const split of ['calibration', 'test']) {
      for (const file of filesOf(join(home, 'glyphs', split))) {
        const { data, info } = await sharp(join(home, 'glyphs', split, file))
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
