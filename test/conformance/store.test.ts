/** Several processes on one store. Kills at every change of a file are in test/models. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openStore } from '../../src/store/index.js';
import { runFolder, temporary } from '../rooms/store/helpers.js';

const library = pathToFileURL(fileURLToPath(new URL('../../dist/store/index.js', import.meta.url))).href;

/** A process that runs a script with `store` open. */
function writer(dir: string, script: string): Promise<string> {
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { openStore } from ${JSON.stringify(library)};\n` +
        `const store = openStore(${JSON.stringify(dir)}, { waitMs: 60000 });\n${script}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let err = '';
  child.stderr.on('data', (d: Buffer) => {
    err += d.toString();
  });
  return new Promise((resolve) => {
    child.on('close', () => {
      resolve(err);
    });
  });
}

it('a full disk leaves the store as it was', async () => {
  const disk = temporary();
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]).status !== 0)
    return console.warn('skipped: this user cannot mount a tmpfs');
  try {
    const store = openStore(path.join(disk, 'store'));
    await store.addRun('m', runFolder('small'));
    await expect(store.addRun('m', runFolder('x'.repeat(100_000)))).rejects.toMatchObject({
      code: 'OUTPUT_WRITE',
      message: expect.stringContaining('no space left') as string,
    });
    // Small versions until the log or the lock has no room: whatever fails, what was told to be there is there.
    let added = 1;
    let failed: unknown;
    for (; failed === undefined && added < 40; added++)
      await store.addRun('m', runFolder(`version ${added}`)).catch((e: unknown) => {
        failed = e;
      });
    expect(failed).toMatchObject({ code: 'OUTPUT_WRITE' });
    expect(store.list()[0]!.versions).toHaveLength(added - 1);
    expect(store.verify()).toMatchObject({ problems: [], torn: 0 });
  } finally {
    spawnSync('umount', [disk]);
  }
});

describe('two writers at once', () => {
  it('lose none of 20 versions each, and no line of the log', async () => {
    const dir = path.join(temporary(), 'store');
    const add = (who: string): Promise<string> =>
      writer(
        dir,
        `for (let i = 0; i < 20; i++) await store.addRun(${JSON.stringify(who)} === 'a' || i % 2 ? 'shared' : ` +
          `'own', ${JSON.stringify(runFolder(who))});`,
      );
    expect(await Promise.all([add('a'), add('b')])).toEqual(['', '']);
    const store = openStore(dir);
    expect(store.list().map((n) => [n.name, n.versions.length])).toEqual([
      ['own', 10],
      ['shared', 30],
    ]);
    expect(store.list()[1]!.versions.filter((v) => v.source === 'recipe a')).toHaveLength(20);
    expect(store.verify()).toMatchObject({ versions: 40, problems: [], unused: 0, torn: 0 });
    expect(readdirSync(dir).sort()).toEqual(['log.jsonl', 'objects', 'tmp']);
  });
  it('of which a dead one left its lock, and one died while it took that over', { timeout: 120_000 }, async () => {
    for (let round = 0; round < 2; round++) {
      const dir = path.join(temporary(), 'store');
      mkdirSync(path.join(dir, 'tmp'), { recursive: true });
      // A process that takes the lock and is killed with it: its record is a real one.
      const die =
        `const { withLock } = await import(${JSON.stringify(library.replace('index.js', 'lock.js'))}); await ` +
        `withLock(process.env.LOCK, 1000, () => { process.kill(process.pid, 'SIGKILL'); for (;;); });`;
      await writer(dir, `process.env.LOCK = ${JSON.stringify(path.join(dir, 'lock'))}; ${die}`);
      expect(readdirSync(dir)).toContain('lock');
      // as the store wrote it
      const { token } = JSON.parse(readFileSync(path.join(dir, 'lock'), 'utf8')) as { token: string };
      if (round) await writer(dir, `process.env.LOCK = ${JSON.stringify(path.join(dir, `lock.${token}`))}; ${die}`);
      const add = (): Promise<string> =>
        writer(dir, `for (let i = 0; i < 5; i++) await store.addRun('m', ${JSON.stringify(runFolder('x'))});`);
      expect(await Promise.all([add(), add(), add()])).toEqual(['', '', '']);
      expect(openStore(dir).list()[0]!.versions).toHaveLength(15);
      expect(openStore(dir).verify().problems).toEqual([]);
      expect(readdirSync(dir).sort()).toEqual(['log.jsonl', 'objects', 'tmp']);
    }
  });
  it('a lock of an earlier process with the same id is taken over', async () => {
    const dir = path.join(temporary(), 'store');
    const store = openStore(dir, { waitMs: 300 });
    await store.addRun('m', runFolder('x'));
    const lock = path.join(dir, 'lock');
    await writer(
      dir,
      `const { withLock } = await import(${JSON.stringify(library.replace('index.js', 'lock.js'))}); await ` +
        `withLock(${JSON.stringify(lock)}, 1000, () => { process.kill(process.pid, 'SIGKILL'); for (;;); });`,
    );
    const holder = JSON.parse(readFileSync(lock, 'utf8')) as { pid: number; started: string }; // as the store wrote it
    if (holder.started === '') return console.warn('skipped: this system does not tell when a process started');
    rmSync(lock);
    writeFileSync(lock, JSON.stringify({ ...holder, pid: process.pid })); // this process runs, but started later
    expect((await store.addRun('m', runFolder('x'))).version).toBe(2);
  });
});
