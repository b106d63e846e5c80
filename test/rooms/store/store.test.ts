import {
  appendFileSync,
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { differences, openStore, parseReference, type Store } from '../../../src/store/index.js';
import type { RunRecord } from '../../../src/record/index.js';
import { folderOf, runFolder, sha256, temporary } from './helpers.js';

const fresh = (): Store => openStore(path.join(temporary(), 'store'), { waitMs: 300 });
const error = (code: string, message: RegExp = /./): unknown =>
  expect.objectContaining({ code, message: expect.stringMatching(message) as string });
const at = parseReference;
/** Stage of each version, in order. */
const stages = (store: Store, name = 'm'): string[] =>
  store
    .list()
    .find((n) => n.name === name)
    ?.versions.map((v) => v.stage) ?? [];

describe('add', () => {
  it('stores every file of a run and its record by content', async () => {
    const store = fresh();
    const version = await store.addRun('m', runFolder('one'));
    expect(version).toMatchObject({
      name: 'm',
      version: 1,
      stage: 'candidate',
      source: 'recipe one',
      gate: { verdict: 'pass' },
    });
    expect(version.files.map((f) => f.path)).toEqual(['model.onnx', 'model.onnx.data', 'run.json']);
    const stored = store.pathOf(version.files[0]!);
    expect(stored).toBe(path.join(store.dir, 'objects/sha256', sha256('one').slice(0, 2), sha256('one').slice(2)));
    expect(readFileSync(stored, 'utf8')).toBe('one');
    expect(statSync(stored).mode & 0o222).toBe(0); // written once
    expect(store.record(version)!.recipe.name).toBe('recipe one');
    expect(store.verify()).toEqual({
      versions: 1,
      files: 3,
      bytes: version.files.reduce((n, f) => n + f.bytes, 0),
      problems: [],
      unused: 0,
      torn: 0,
    });
    expect(readdirSync(path.join(store.dir, 'tmp'))).toEqual([]);
  });
  it('keeps equal content once and numbers versions by name', async () => {
    const store = fresh();
    const folder = runFolder('one');
    await store.addRun('m', folder);
    expect((await store.addRun('m', path.join(folder, 'run.json'))).version).toBe(2);
    expect((await store.addRun('other', folder)).version).toBe(1);
    expect(store.verify()).toMatchObject({ versions: 3, files: 3 });
  });
  it('copies linked files', async () => {
    const store = fresh();
    const folder = folderOf({ real: 'weights' });
    linkSync(path.join(folder, 'real'), path.join(folder, 'hard'));
    symlinkSync('real', path.join(folder, 'soft'));
    const version = await store.addFiles(
      'm',
      'm',
      ['hard', 'soft'].map((f) => ({ path: f, source: path.join(folder, f) })),
    );
    writeFileSync(path.join(folder, 'real'), 'changed');
    expect(statSync(store.pathOf(version.files[0]!)).nlink).toBe(1);
    expect(version.files.map((f) => readFileSync(store.pathOf(f), 'utf8'))).toEqual(['weights', 'weights']);
  });
  it('repairs a stored file that was damaged', async () => {
    const store = fresh();
    const version = await store.addRun('m', runFolder('one'));
    const stored = store.pathOf(version.files[0]!);
    chmodSync(stored, 0o644);
    writeFileSync(stored, 'two');
    expect(store.verify().problems).toEqual([`file 'model.onnx' of m@1 is damaged: ${sha256('one')}`]);
    await expect(store.promote(at('m'), 'canary')).rejects.toEqual(error('STORE_DAMAGED'));
    await store.addRun('m', runFolder('one'));
    expect(store.verify().problems).toEqual([]);
    rmSync(stored);
    expect(store.verify().problems[0]).toMatch(/of m@\d is missing/);
  });
  it.each<[string, (folder: string) => void, string, RegExp]>([
    [
      'a file that changed after the run',
      (f) => writeFileSync(path.join(f, 'model.onnx'), 'other'),
      'MODEL_CHANGED',
      /its record says/,
    ],
    ['a file that is gone', (f) => rmSync(path.join(f, 'model.onnx.data')), 'DATA_MISSING', /does not exist/],
    [
      'a folder instead of a file',
      (f) => {
        rmSync(path.join(f, 'model.onnx'));
        mkdirSync(path.join(f, 'model.onnx'));
      },
      'DATA_MISSING',
      /not a regular file/,
    ],
    ['no record', (f) => rmSync(path.join(f, 'run.json')), 'DATA_MISSING', /run\.json/],
    ['a broken record', (f) => truncateSync(path.join(f, 'run.json'), 100), 'DATA_FORMAT', /not JSON/],
  ])('refuses %s, and adds nothing', async (_, spoil, code, message) => {
    const store = fresh();
    await store.addRun('m', runFolder('first'));
    const folder = runFolder('one');
    spoil(folder);
    await expect(store.addRun('m', folder)).rejects.toEqual(error(code, message));
    expect(store.list()[0]!.versions).toHaveLength(1);
    expect(store.verify().problems).toEqual([]);
    expect(readdirSync(path.join(store.dir, 'tmp'))).toEqual([]);
  });
  it.each(['../../etc/passwd', '/etc/passwd', 'a/../../b', 'C:\\x', '..\\x', './x', ''])(
    'refuses a record that names the file %j',
    async (name) => {
      const folder = runFolder('one', 'pass', { files: [{ path: name, bytes: 1, sha256: sha256('x') }] });
      await expect(fresh().addRun('m', folder)).rejects.toEqual(error('DATA_UNSAFE'));
    },
  );
  it('refuses runs that failed or have no file, and files that are there twice', async () => {
    await expect(fresh().addRun('m', runFolder('one', 'pass', { outcome: 'failed' }))).rejects.toEqual(
      error('DATA_FORMAT', /failed/),
    );
    await expect(fresh().addRun('m', runFolder('one', 'pass', { files: [] }))).rejects.toEqual(error('DATA_MISSING'));
    const source = path.join(folderOf({ a: 'x' }), 'a');
    await expect(
      fresh().addFiles('m', 'm', [
        { path: 'a', source },
        { path: 'a', source },
      ]),
    ).rejects.toEqual(error('DATA_UNSAFE', /twice/));
  });
  it.each(['', '.', '..', '../x', 'a/b', 'a b', '-x', 'ü', 'a@1', 'x'.repeat(101), '__proto__'])(
    'refuses the name %j',
    async (name) => {
      await expect(fresh().addRun(name, runFolder('one'))).rejects.toEqual(error('USAGE'));
    },
  );
  it('takes names that objects have of their own', async () => {
    const store = fresh();
    await store.addRun('constructor', runFolder('one'));
    await store.addRun('toString', runFolder('one'));
    expect(store.list().map((n) => n.name)).toEqual(['constructor', 'toString']);
  });
  it('refuses a folder that is something else, and tells one that cannot be written', async () => {
    const folder = folderOf({ 'notes.txt': 'mine' });
    await expect(openStore(folder).addRun('m', runFolder('one'))).rejects.toEqual(error('USAGE', /is no store/));
    expect(readdirSync(folder)).toEqual(['notes.txt']);
    await expect(openStore(path.join(folder, 'notes.txt')).addRun('m', runFolder('one'))).rejects.toEqual(
      error('OUTPUT_WRITE'),
    );
    expect(() => openStore(folder).list()).toThrow(error('STORE_UNKNOWN') as Error);
    await expect(openStore(path.join(folder, 'none')).promote(at('m'), 'canary')).rejects.toEqual(
      error('STORE_UNKNOWN'),
    );
    expect(existsSync(path.join(folder, 'none'))).toBe(false);
  });
});

describe('stages', () => {
  it('a version becomes canary, then production, and the one before retires', async () => {
    const store = fresh();
    for (const content of ['one', 'two', 'three']) await store.addRun('m', runFolder(content));
    await store.promote(at('m@1'), 'canary');
    expect(stages(store)).toEqual(['canary', 'candidate', 'candidate']);
    await store.promote(at('m@1'), 'production');
    await store.promote(at('m@2'), 'canary');
    expect(stages(store)).toEqual(['production', 'canary', 'candidate']);
    await store.promote(at('m@3'), 'canary'); // there is one canary
    expect(stages(store)).toEqual(['production', 'candidate', 'canary']);
    await store.promote(at('m@canary'), 'production');
    expect(stages(store)).toEqual(['retired', 'candidate', 'production']);
    expect(store.find(at('m')).version).toBe(3);
    expect(store.find(at('m@latest')).version).toBe(3);
  });
  it('rolls back to what production held before, again and again', async () => {
    const store = fresh();
    for (const [i, content] of ['one', 'two', 'three'].entries()) {
      await store.addRun('m', runFolder(content));
      await store.promote(at(`m@${i + 1}`), 'canary');
      await store.promote(at(`m@${i + 1}`), 'production');
    }
    expect((await store.rollback('m')).version).toBe(2);
    expect(stages(store)).toEqual(['retired', 'production', 'retired']);
    await store.promote(at('m@3'), 'canary');
    await store.promote(at('m@3'), 'production'); // forward again
    expect((await store.rollback('m')).version).toBe(2);
    expect((await store.rollback('m')).version).toBe(1);
    await expect(store.rollback('m')).rejects.toEqual(error('STORE_REFUSED', /no earlier version/));
    expect(stages(store)).toEqual(['production', 'retired', 'retired']);
  });
  it.each([
    ['fail', /its gate says fail/],
    ['undecided', /its gate says undecided/],
    ['none', /its run has no gate/],
  ] as const)('refuses a version whose gate is %s, unless forced, and logs that', async (verdict, message) => {
    const store = fresh();
    await store.addRun('m', runFolder('one', verdict));
    await expect(store.promote(at('m'), 'canary')).rejects.toEqual(error('STORE_REFUSED', message));
    expect(stages(store)).toEqual(['candidate']);
    await store.promote(at('m'), 'canary', true);
    expect(stages(store)).toEqual(['canary']);
    const last = JSON.parse(readFileSync(path.join(store.dir, 'log.jsonl'), 'utf8').trimEnd().split('\n').at(-1)!) as {
      change: object;
    }; // as the store wrote it
    expect(last.change).toMatchObject({
      op: 'promote',
      forced: true,
      ...(verdict === 'none' ? {} : { gate: { verdict } }),
    });
  });
  it('refuses a skipped stage, a stage that is reached, and files without a run', async () => {
    const store = fresh();
    await store.addRun('m', runFolder('one'));
    await expect(store.promote(at('m'), 'production')).rejects.toEqual(error('STORE_REFUSED', /was not the canary/));
    await store.promote(at('m'), 'canary');
    await expect(store.promote(at('m'), 'canary')).rejects.toEqual(error('STORE_REFUSED', /in canary already/));
    await store.promote(at('m'), 'production');
    await expect(store.promote(at('m'), 'canary', true)).rejects.toEqual(error('STORE_REFUSED', /in production/));
    await store.addFiles('x', 'x.onnx', [{ path: 'x.onnx', source: path.join(folderOf({ x: '1' }), 'x') }]);
    await expect(store.promote(at('x'), 'canary')).rejects.toEqual(error('STORE_REFUSED'));
    await expect(store.rollback('x')).rejects.toEqual(error('STORE_REFUSED'));
  });
  it('tells names, versions and stages that there are not', async () => {
    const store = fresh();
    await store.addRun('resnet', runFolder('one'));
    expect(() => store.find(at('resnte'))).toThrow(error('STORE_UNKNOWN', /Did you mean "resnet"/) as Error);
    expect(() => store.find(at('resnet@2'))).toThrow(error('STORE_UNKNOWN', /has 1 to 1/) as Error);
    expect(() => store.find(at('resnet@production'))).toThrow(
      error('STORE_UNKNOWN', /no version in production/) as Error,
    );
    for (const text of ['resnet@0', 'resnet@x', 'resnet@1@2', '@1', 'a/b@1'])
      expect(() => at(text)).toThrow(error('USAGE') as Error);
  });
});

describe('copyTo', () => {
  it('gives the files under their names, and never over others', async () => {
    const store = fresh();
    const version = await store.addRun('m', runFolder('one'));
    const out = path.join(temporary(), 'new');
    expect(store.copyTo(version, out).map((f) => path.basename(f))).toEqual([
      'model.onnx',
      'model.onnx.data',
      'run.json',
    ]);
    expect(readFileSync(path.join(out, 'model.onnx.data'), 'utf8')).toBe('data of one');
    writeFileSync(path.join(out, 'model.onnx'), 'mine');
    expect(() => store.copyTo(version, out)).toThrow(error('OUTPUT_WRITE') as Error);
    expect(readFileSync(path.join(out, 'model.onnx'), 'utf8')).toBe('mine');
  });
});

describe('differences', () => {
  it('names what two versions do not share', async () => {
    const store = fresh();
    // as the helper wrote it
    const base = JSON.parse(readFileSync(path.join(runFolder('one'), 'run.json'), 'utf8')) as RunRecord;
    const [a, b] = [
      await store.addRun(
        'm',
        runFolder('one', 'pass', { recipe: { ...base.recipe, resolved: { quantize: { format: 'qdq' } } } }),
      ),
      await store.addRun(
        'm',
        runFolder('two', 'fail', {
          recipe: { ...base.recipe, resolved: { quantize: { format: 'dynamic' } } },
          evaluation: { ...base.evaluation!, metrics: [{ ...base.evaluation!.metrics[0]!, quantized: 88 }] },
        }),
      ),
    ];
    const found = differences(a, b, store.record(a), store.record(b));
    expect(found).toContainEqual({ what: 'gate', before: 'pass', after: 'fail' });
    expect(found).toContainEqual({ what: 'top1', before: 89.5, after: 88, unit: '%' });
    expect(found).toContainEqual({ what: 'recipe.quantize.format', before: 'qdq', after: 'dynamic' });
    expect(found).toContainEqual({ what: 'file model.onnx', before: sha256('one'), after: sha256('two') });
    expect(found.map((d) => d.what)).not.toContain('latency p50');
    expect(differences(a, a, store.record(a), store.record(a))).toEqual([]);
  });
});

describe('the log', () => {
  const log = (store: Store): string => path.join(store.dir, 'log.jsonl');
  it('ignores a torn last line, and the next change cuts it off', async () => {
    const store = fresh();
    await store.addRun('m', runFolder('one'));
    const whole = readFileSync(log(store), 'utf8');
    appendFileSync(log(store), whole.slice(0, 50));
    expect(store.list()[0]!.versions).toHaveLength(1);
    expect(store.verify()).toMatchObject({ problems: [], torn: 50 });
    await store.addRun('m', runFolder('two'));
    expect(store.verify()).toMatchObject({ problems: [], torn: 0, versions: 2 });
    expect(readFileSync(log(store), 'utf8').startsWith(whole)).toBe(true);
  });
  it.each<[string, (lines: string[]) => string[]]>([
    ['changed', (l) => [l[0]!.replace('"version":1', '"version":7'), ...l.slice(1)]],
    ['dropped', (l) => l.slice(1)],
    ['swapped', (l) => [l[1]!, l[0]!, l[2]!]],
    ['doubled', (l) => [l[0]!, l[0]!, ...l.slice(1)]],
    ['not JSON', (l) => [...l, 'garbage']],
    ['empty', (l) => [...l, '']],
    ['cut inside', (l) => [l[0]!.slice(0, 80), ...l.slice(1)]],
  ])('tells a line that was %s, and changes nothing then', async (_, spoil) => {
    const store = fresh();
    for (const content of ['one', 'two', 'three']) await store.addRun('m', runFolder(content));
    const text = `${spoil(readFileSync(log(store), 'utf8').trimEnd().split('\n')).join('\n')}\n`;
    writeFileSync(log(store), text);
    expect(() => store.list()).toThrow(error('STORE_DAMAGED', /^line \d of/) as Error);
    await expect(store.addRun('m', runFolder('four'))).rejects.toEqual(error('STORE_DAMAGED'));
    expect(readFileSync(log(store), 'utf8')).toBe(text);
  });
});

describe('the lock', () => {
  const lock = (store: Store): string => path.join(store.dir, 'lock');
  const holder = (more: object): string =>
    JSON.stringify({
      token: '00000000-0000-4000-8000-000000000000',
      host: 'elsewhere',
      pid: 1,
      started: '',
      since: '2026-01-01T00:00:00Z',
      ...more,
    });
  it('of another machine or an unknown hand is waited for, then told', async () => {
    const store = fresh();
    await store.addRun('m', runFolder('one'));
    writeFileSync(lock(store), holder({}));
    await expect(store.addRun('m', runFolder('two'))).rejects.toEqual(
      error('STORE_LOCKED', /process 1 of another machine since 2026/),
    );
    writeFileSync(lock(store), 'garbage');
    await expect(store.rollback('m')).rejects.toEqual(error('STORE_LOCKED'));
    rmSync(lock(store));
    expect((await store.addRun('m', runFolder('two'))).version).toBe(2);
    expect(readdirSync(store.dir).sort()).toEqual(['log.jsonl', 'objects', 'tmp']);
  });
  it('many at once in one process lose nothing', async () => {
    const store = openStore(path.join(temporary(), 'store'));
    const folders = Array.from({ length: 6 }, (_, i) => runFolder(`version ${i}`));
    await Promise.all(Array.from({ length: 18 }, (_, i) => store.addRun('m', folders[i % 6]!)));
    expect(store.list()[0]!.versions.map((v) => v.version)).toEqual(Array.from({ length: 18 }, (_, i) => i + 1));
    expect(store.verify().problems).toEqual([]);
  });
});
