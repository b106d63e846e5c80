/**
 * Faults of files and processes: full disks, signals, changes under the run. Kills are in test/models, which take
 * longer.
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { check, contents, earlier, initializer, job, lay, samples, tiny, type Row } from '../conformance/bad-inputs.js';
import { argvOf, bin, start } from '../conformance/process.js';

const slow =
  'export async function* samples() { for (let i = 0; i < 400; i++) { await new Promise((r) => setTimeout(r, ' +
  `20)); yield { feed: { x: { dtype: 'float32', dims: [1, 1, 4, 4], data: new Float32Array(16).fill(i / 400 - ` +
  '0.5) } } }; } }';
describe('signals', () => {
  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends with %d and leaves the earlier files', async (signal, code) => {
    const folder = lay({ name: signal, files: { 'data.mjs': slow }, data: '{ module: data.mjs }' });
    let sent = false;
    const ended = await start(argvOf(folder), {
      onText: (text, kill) => {
        if (!sent && /\n\s+plan /.test(text)) {
          sent = true;
          setTimeout(() => kill(signal), 300);
        }
      },
    });
    expect([ended.code, ended.signal], ended.err).toEqual([code, null]);
    expect(ended.err).toContain('stopping');
    expect(contents(path.join(folder, 'out'))).toEqual(earlier);
  });
});

it('two runs into one folder both finish, and leave whole files', async () => {
  const folder = lay({ name: 'two' });
  const ended = await Promise.all([start(argvOf(folder, '--quiet')), start(argvOf(folder, '--quiet'))]);
  expect(ended.map((e) => [e.code, e.err])).toEqual([
    [0, ''],
    [0, ''],
  ]);
  expect(readdirSync(path.join(folder, 'out')).sort()).toEqual(Object.keys(earlier).sort());
  // as the program wrote it
  const record = JSON.parse(readFileSync(path.join(folder, 'out/run.json'), 'utf8')) as { files: { bytes: number }[] };
  expect(statSync(path.join(folder, 'out/model.onnx')).size).toBe(record.files[0]!.bytes);
});

describe('a file larger than the system allows', () => {
  it.each([1, 8])('ulimit -f %d', (blocks) => {
    const folder = lay({ name: 'ulimit' });
    const r = spawnSync(
      'bash',
      ['-c', `ulimit -f ${blocks}; exec "$@"`, 'bash', process.execPath, bin, ...argvOf(folder, '--json', '--quiet')],
      { encoding: 'utf8' },
    );
    expect([r.status, r.signal, /"code": "(\w+)"/.exec(r.stdout)?.[1]], r.stderr).toEqual([3, null, 'OUTPUT_WRITE']);
    expect(contents(path.join(folder, 'out'))).toEqual(earlier);
  });
});

/** A tmpfs of so many bytes, or undefined where this user may not mount. */
const mounts: string[] = [];
function mount(options: string): string | undefined {
  const dir = mkdtempSync(path.join(tmpdir(), 'quantbench-fs-'));
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', dir]).status !== 0) {
    rmSync(dir, { recursive: true });
    return undefined;
  }
  mounts.push(dir);
  return dir;
}
afterAll(() => {
  for (const dir of mounts) {
    spawnSync('umount', [dir]);
    rmSync(dir, { recursive: true, force: true });
  }
});

describe('file systems that refuse', () => {
  it.each([4, 8, 12, 24])('a disk of %d KiB is full: the earlier files stay', async (kib) => {
    const disk = mount(`size=${kib}k`);
    if (disk === undefined) return console.warn('skipped: this user cannot mount a tmpfs');
    const out = path.join(disk, 'out');
    mkdirSync(out);
    writeFileSync(path.join(out, 'model.onnx'), 'an earlier model');
    const folder = lay({ name: 'full' });
    const r = await job(['--recipe', path.join(folder, 'r.yaml'), '--out', out, '--json']);
    expect([r.exit, /"code": "(\w+)"/.exec(r.stdout)?.[1]], r.stderr).toEqual([3, 'OUTPUT_WRITE']);
    expect(r.stderr).toContain('no space left');
    expect(contents(out)).toEqual({ 'model.onnx': 'an earlier model' });
  });
  it('a read-only disk', async () => {
    const disk = mount('ro');
    if (disk === undefined) return console.warn('skipped: this user cannot mount a tmpfs');
    const r = await job([
      '--recipe',
      path.join(lay({ name: 'ro' }), 'r.yaml'),
      '--out',
      path.join(disk, 'out'),
      '--json',
    ]);
    expect([r.exit, /"code": "(\w+)"/.exec(r.stdout)?.[1]], r.stderr).toEqual([3, 'OUTPUT_WRITE']);
    expect(r.stderr).toContain('read-only');
  });
  it('an output folder that is a link to another disk', async () => {
    const disk = mount('size=4m');
    if (disk === undefined) return console.warn('skipped: this user cannot mount a tmpfs');
    const folder = lay({ name: 'link' });
    symlinkSync(disk, path.join(folder, 'linked'));
    const r = await job(['--recipe', path.join(folder, 'r.yaml'), '--out', path.join(folder, 'linked'), '--quiet']);
    expect(r.exit, r.stderr).toBe(0);
    expect(readdirSync(disk).sort()).toEqual(Object.keys(earlier).sort());
  });
  it.each<[string, (folder: string) => string]>([
    [
      'a file where the folder should be',
      (f) => {
        writeFileSync(path.join(f, 'taken'), '');
        return path.join(f, 'taken');
      },
    ],
    [
      'a file where a folder above should be',
      (f) => {
        writeFileSync(path.join(f, 'taken'), '');
        return path.join(f, 'taken/sub/out');
      },
    ],
    ['a name that is too long', (f) => path.join(f, 'n'.repeat(300))],
    ['/proc', () => '/proc/quantbench'],
    [
      'a folder where model.onnx should be',
      (f) => {
        mkdirSync(path.join(f, 'o/model.onnx'), { recursive: true });
        return path.join(f, 'o');
      },
    ],
    [
      'a folder where run.json should be',
      (f) => {
        mkdirSync(path.join(f, 'o/run.json'), { recursive: true });
        return path.join(f, 'o');
      },
    ],
  ])('%s', async (_name, where) => {
    const folder = lay({ name: 'refused' });
    const out = where(folder);
    const before = existsSync(out) && statSync(out).isDirectory() ? readdirSync(out) : undefined;
    const r = await job(['--recipe', path.join(folder, 'r.yaml'), '--out', out, '--json']);
    expect([r.exit, /"code": "(\w+)"/.exec(r.stdout)?.[1]], r.stderr).toEqual([3, 'OUTPUT_WRITE']);
    if (before) expect(readdirSync(out)).toEqual(before);
  });
});

const bytes72 = (from: number): Uint8Array =>
  new Uint8Array(Float32Array.from({ length: 18 }, (_, i) => Math.sin(from + i)).buffer);
const external = tiny((_, g) => {
  Object.assign(initializer(g, 'w'), {
    rawData: new Uint8Array(0),
    dataLocation: 1,
    externalData: [{ key: 'location', value: 'w.bin' }],
  });
});
/** A data module that changes a file of the model when it is read. */
const changes = (file: string, content: string): string => `import { writeFileSync, readFileSync } from 'node:fs';
export function* samples() { const url = new URL('${file}', import.meta.url); ${
  content
}; for (let i = 0; i < 4; i++) yield { feed: { x: { dtype: 'float32', dims: [1, 1, 4, 4], data: new Float32Array(16).fill(i) } } }; }`;
describe('files that change during the run', () => {
  it.each<Row>([
    {
      name: 'the data file of the model',
      model: external,
      files: { 'w.bin': bytes72(0), 'data.mjs': changes('w.bin', 'writeFileSync(url, new Uint8Array(72))') },
      data: '{ module: data.mjs }',
      fails: { code: 'MODEL_CHANGED', says: /w\.bin/ },
    },
    {
      name: 'the model itself',
      files: { 'data.mjs': changes('m.onnx', 'writeFileSync(url, readFileSync(url))') },
      data: '{ module: data.mjs }',
      fails: { code: 'MODEL_CHANGED', says: /m\.onnx/ },
    },
  ])('$name', check);
  it('kept statistics belong to the content of data files too', async () => {
    const folder = lay({ name: 'cache', model: external, files: { 'w.bin': bytes72(0), 'x.npy': samples(4) } });
    const run = async (): Promise<string | undefined> => {
      const r = await job(argvOf(folder, '--set', 'calibration.cache=true', '--json'));
      expect(r.exit, r.stderr).toBe(0);
      return /"cache": "(\w+)"/.exec(r.stdout)?.[1];
    };
    expect([await run(), await run()]).toEqual(['miss', 'hit']);
    writeFileSync(path.join(folder, 'w.bin'), bytes72(5));
    expect(await run()).toBe('miss');
  });
});
