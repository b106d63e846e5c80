/** kill -9 at every change of a file that a store makes. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openStore, type Store } from '../../src/store/index.js';
import { runFolder, temporary } from '../rooms/store/helpers.js';

const library = pathToFileURL(fileURLToPath(new URL('../../dist/store/index.js', import.meta.url))).href;

/** Loaded before the store: kills the process at the n-th change of a file, half-way through where it is a write. */
const KILLER = `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
const at = Number(process.env.KILL_AT); let n = 0;
const die = () => { process.kill(process.pid, 'SIGKILL'); for (;;); };
for (const name of ['mkdirSync', 'openSync', 'writeSync', 'writeFileSync', 'fsyncSync', 'ftruncateSync', 'renameSync', 'linkSync', 'rmSync']) {
  const real = fs[name];
  fs[name] = (...a) => {
    if (name === 'openSync' && (a[1] ?? 'r') === 'r') return real(...a);
    if (n++ === at) { if (name === 'writeSync' && a[3] > 1) real(a[0], a[1], a[2], a[3] >> 1, a[4]); if (name === 'writeFileSync') real(a[0], a[1].slice(0, 20), a[2]); die(); }
    return real(...a);
  };
}
syncBuiltinESMExports();
process.on('exit', () => { if (at < 0) fs.writeFileSync(process.env.KILL_COUNT, String(n)); });`;

const base = temporary();
const killer = path.join(base, 'killer.mjs');
writeFileSync(killer, KILLER);

function killed(dir: string, script: string, at: number): Promise<{ signal: string | null; err: string }> {
  const child = spawn(
    process.execPath,
    [
      '--import',
      killer,
      '--input-type=module',
      '-e',
      `import { openStore, parseReference } from ${JSON.stringify(library)};\n` +
        `const store = openStore(${JSON.stringify(dir)});\n${script}`,
    ],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, KILL_AT: String(at), KILL_COUNT: path.join(base, 'count') },
    },
  );
  let err = '';
  child.stderr.on('data', (d: Buffer) => {
    err += d.toString();
  });
  return new Promise((resolve) => {
    child.on('close', (_, signal) => {
      resolve({ signal, err });
    });
  });
}

/** What the log says, version by version. */
const told = (store: Store): string =>
  (existsSync(path.join(store.dir, 'log.jsonl')) ? store.list() : [])
    .flatMap((n) => n.versions.map((v) => `${n.name}@${v.version} ${v.stage} ${v.source}`))
    .join(', ');

const one = runFolder('one');
const three = runFolder('three');
const full = async (dir: string): Promise<Store> => {
  const store = openStore(dir);
  await store.addRun('m', one);
  await store.addRun('m', runFolder('two'));
  for (const v of [1, 2])
    for (const to of ['canary', 'production'] as const) await store.promote({ name: 'm', at: v }, to);
  await store.addRun('m', runFolder('next'));
  return store;
};

describe.each([
  {
    name: 'the first add',
    start: async (dir: string) => openStore(dir),
    script: `await store.addRun('m', ${JSON.stringify(one)})`,
    least: 20,
  },
  { name: 'add', start: full, script: `await store.addRun('m', ${JSON.stringify(three)})`, least: 15 },
  {
    name: 'add after a torn line',
    start: async (dir: string) => {
      const store = await full(dir);
      writeFileSync(path.join(dir, 'log.jsonl'), '{"check":"0', { flag: 'a' });
      return store;
    },
    script: `await store.addRun('m', ${JSON.stringify(three)})`,
    least: 15,
  },
  {
    name: 'add after a dead lock',
    start: async (dir: string) => {
      const store = await full(dir);
      await killed(
        dir,
        `const { withLock } = await import(${JSON.stringify(library.replace('index.js', 'lock.js'))}); await ` +
          `withLock(${JSON.stringify(path.join(dir, 'lock'))}, 1000, () => { process.kill(process.pid, ` +
          `'SIGKILL'); for (;;); });`,
        1e9,
      );
      return store;
    },
    script: `await store.addRun('m', ${JSON.stringify(three)})`,
    least: 20,
  },
  { name: 'promote', start: full, script: `await store.promote(parseReference('m@3'), 'canary')`, least: 6 },
  { name: 'rollback', start: full, script: `await store.rollback('m')`, least: 6 },
])('kill -9 at every change of a file by $name', ({ script, start, least }) => {
  it('leaves the state before or after, whole, and the next change works', { timeout: 200_000 }, async () => {
    const template = path.join(temporary(), 'store');
    const before = told(await start(template));
    const copy = (): string => {
      const dir = path.join(temporary(), 'store');
      if (existsSync(template)) cpSync(template, dir, { recursive: true });
      return dir;
    };
    const reference = copy();
    expect(await killed(reference, script, -1)).toEqual({ signal: null, err: '' });
    const after = told(openStore(reference));
    expect(after).not.toBe(before);
    const count = Number(readFileSync(path.join(base, 'count'), 'utf8'));
    expect(count).toBeGreaterThanOrEqual(least);
    const points = Array.from({ length: count }, (_, i) => i);
    const at = async (n: number): Promise<void> => {
      const dir = copy();
      expect([n, (await killed(dir, script, n)).signal]).toEqual([n, 'SIGKILL']);
      const store = openStore(dir, { waitMs: 5000 });
      expect([before, after]).toContain(told(store));
      if (told(store)) expect(store.verify().problems).toEqual([]);
      const versions = told(store) ? store.list()[0]!.versions.length : 0;
      expect((await store.addRun('m', three)).version).toBe(versions + 1);
      expect(store.verify()).toMatchObject({ problems: [], torn: 0, versions: versions + 1 });
      expect(readdirSync(dir).sort()).toEqual(['log.jsonl', 'objects', 'tmp']);
    };
    const worker = async (): Promise<void> => {
      for (let n = points.shift(); n !== undefined; n = points.shift()) await at(n);
    };
    await Promise.all([worker(), worker()]);
  });
});
