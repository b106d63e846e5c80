import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readAll, sha256File, writeAll, writeFileAtomic, writeFileAtomicAsync } from '../../../src/base/files.js';

let dir: string;
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'files-'));
});
afterEach(() => fs.rmSync(dir, { recursive: true, force: true }));

describe('atomic files', () => {
  it('writes strings, bytes and chunks, and keeps the mode of what it replaces', async () => {
    const file = path.join(dir, 'a');
    expect(writeFileAtomic(file, 'grüße')).toBe(7);
    fs.chmodSync(file, 0o640);
    writeFileAtomic(file, [Uint8Array.of(1), Uint8Array.of(2, 3)]);
    expect([...fs.readFileSync(file)]).toEqual([1, 2, 3]);
    expect(fs.statSync(file).mode & 0o777).toBe(0o640);
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      yield Uint8Array.of(9);
    };
    expect(await writeFileAtomicAsync(file, chunks())).toBe(1);
    expect(sha256File(file)).toBe(createHash('sha256').update(Uint8Array.of(9)).digest('hex'));
  });

  it('leaves the old file and no litter when the source of the chunks fails', async () => {
    const file = path.join(dir, 'a');
    writeFileAtomic(file, 'old');
    const broken = function* (): Generator<Uint8Array> {
      yield Uint8Array.of(1);
      throw new Error('source broke');
    };
    expect(() => writeFileAtomic(file, broken())).toThrowError('source broke');
    await expect(
      writeFileAtomicAsync(
        file,
        (async function* () {
          yield* broken();
        })(),
      ),
    ).rejects.toThrow('source broke');
    expect(fs.readFileSync(file, 'utf8')).toBe('old');
    expect(fs.readdirSync(dir)).toEqual(['a']);
  });

  it('hashing what is not there says so', () => {
    expect(() => sha256File(path.join(dir, 'no'))).toThrowError(expect.objectContaining({ code: 'MODEL_MISSING' }));
  });
});

describe('readAll and writeAll', () => {
  it('take as many calls as it needs, behind each other or at a place', () => {
    const fd = fs.openSync(path.join(dir, 'f'), 'w+');
    // as a system that takes and gives little at a time
    const [write, read] = [fs.writeSync, fs.readSync];
    const few = 3;
    const short = fs as { writeSync: unknown; readSync: unknown };
    short.writeSync = (d: number, b: Uint8Array, at: number, n: number, place: number | null) =>
      write(d, b, at, Math.min(few, n), place);
    short.readSync = (d: number, b: Uint8Array, at: number, n: number, place: number) =>
      read(d, b, at, Math.min(few, n), place);
    try {
      writeAll(fd, Uint8Array.of(1, 2, 3, 4, 5, 6, 7));
      writeAll(fd, Uint8Array.of(8));
      writeAll(fd, Uint8Array.of(20, 30, 40, 50), 1);
      const into = new Uint8Array(6);
      expect(readAll(fd, into, 2)).toBe(6);
      expect([...into]).toEqual([30, 40, 50, 6, 7, 8]);
      expect(readAll(fd, into, 5)).toBe(3); // the file ends there
      expect([...into]).toEqual([6, 7, 8, 6, 7, 8]);
    } finally {
      Object.assign(fs, { writeSync: write, readSync: read });
      fs.closeSync(fd);
    }
  });
});
