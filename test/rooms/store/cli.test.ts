/** `quantize store`, from a model with data beside it to a rollback. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { runFolder, sha256, temporary } from './helpers.js';
import { runCli } from '../cli/run-cli.js';

afterEach(() => vi.restoreAllMocks());
const dir = path.join(temporary(), 'models');

const run = (...argv: string[]): ReturnType<typeof runCli> => runCli('store', ...argv);
const store = (command: string, ...argv: string[]): ReturnType<typeof run> => run(command, ...argv, '--store', dir);

describe('quantize store', () => {
  it('add, promote, rollback, list, show, diff, get, verify', async () => {
    expect(await store('add', runFolder('one'), '--name', 'digits')).toEqual({ code: 0, out: 'digits@1\n', err: '' });
    expect((await store('add', runFolder('two', 'none'), '--name', 'digits')).err).toContain('has no gate');
    expect((await store('promote', 'digits@1', '--to', 'canary')).out).toBe('digits@1 is in canary\n');
    expect((await store('promote', 'digits@1', '--to', 'production')).code).toBe(0);
    expect(await store('promote', 'digits@2', '--to', 'canary')).toMatchObject({
      code: 3,
      out: '',
      err: expect.stringMatching(/STORE_REFUSED {2}digits@2 is not promoted to canary: its run has no gate/) as string,
    });
    expect((await store('promote', 'digits@2', '--to', 'canary', '--force')).code).toBe(0);
    expect((await store('promote', 'digits@canary', '--to', 'production', '--force')).code).toBe(0);
    expect((await store('rollback', 'digits')).out).toBe('digits@1 is in production again\n');
    const list = (await store('list')).out.trimEnd().split('\n');
    expect(list.map((l) => l.split(/ {2,}/).slice(0, 3))).toEqual([
      ['version', 'stage', 'gate'],
      ['digits@2', 'retired', 'no gate'],
      ['digits@1', 'production', 'pass'],
    ]);
    expect(JSON.parse((await store('list', '--json')).out)).toMatchObject([
      { name: 'digits', production: 1, versions: [{ version: 1 }, { version: 2 }] },
    ]);
    expect((await store('show', 'digits')).out).toMatch(
      /^version +digits@1\nstage +production[^]*top1 +89.5 %, float 90[^]*gate pass, against float[^]*model\.onnx +3 B +[0-9a-f]{64}/,
    );
    expect(JSON.parse((await store('show', 'digits@2', '--json')).out)).toMatchObject({
      version: 2,
      files: [{ path: 'model.onnx', stored: expect.stringContaining(sha256('two').slice(2)) as string }, {}, {}],
    });
    expect((await store('diff', 'digits@1', 'digits@2')).out).toMatch(
      /gate +pass +–\nfile model\.onnx +[0-9a-f]{12} +[0-9a-f]{12}\n/,
    );
    expect((await store('diff', 'digits@1', 'digits@1')).out).toBe('digits@1 and digits@1 do not differ\n');
    const out = path.join(temporary(), 'got');
    expect((await store('get', 'digits', '--out', out)).out).toBe(
      ['model.onnx', 'model.onnx.data', 'run.json'].map((f) => `${path.join(out, f)}\n`).join(''),
    );
    expect((await store('get', 'digits', '--out', out)).code).toBe(3);
    expect((await store('verify')).out).toMatch(/^whole: 2 versions of 6 files/);
  });
  it('stores a model without a run, with the data files that it names', async () => {
    const folder = temporary();
    const model = parseModel(
      '<ir_version: 8, opset_import: ["" : 17]>\nbig (float[1,64] x) => (float[1,64] y)\n<float[64,64] w> {\n' +
        '[mm] y = MatMul(x, w)\n}',
      { randomInitializers: 1 },
    );
    saveModel(model, path.join(folder, 'm.onnx'), { externalData: 'always' });
    const data = readdirSync(folder).filter((f) => f !== 'm.onnx');
    expect(data).toHaveLength(1);
    writeFileSync(path.join(folder, 'other.bin'), 'not of the model');
    expect((await store('add', path.join(folder, 'm.onnx'), '--name', 'big')).code).toBe(0);
    const out = path.join(temporary(), 'got');
    await store('get', 'big', '--out', out);
    expect(readdirSync(out).sort()).toEqual(['m.onnx', ...data].sort());
    expect(loadModel(path.join(out, 'm.onnx')).graph.nodes.size).toBe(1);
    expect(readFileSync(path.join(out, data[0]!))).toEqual(readFileSync(path.join(folder, data[0]!)));
  });
  it('verify ends with 3 where a file is damaged', async () => {
    const own = path.join(temporary(), 's');
    await run('add', runFolder('x'), '--name', 'm', '--store', own);
    const object = path.join(own, 'objects/sha256', sha256('x').slice(0, 2), sha256('x').slice(2));
    rmSync(object);
    mkdirSync(object); // even a folder in its place
    expect(await run('verify', '--store', own)).toMatchObject({
      code: 3,
      out: expect.stringMatching(/file 'model\.onnx' of m@1 is damaged[^]*1 problems/) as string,
    });
  });
  it.each<[string[], number, RegExp]>([
    [[], 2, /USAGE {2}quantize store needs a command: add, list, show, get, promote, rollback, diff or verify/],
    [['adopt'], 2, /USAGE {2}unknown command 'adopt'/],
    [['add', 'x'], 2, /--name/],
    [['add', 'nowhere', '--name', 'm'], 3, /MODEL_MISSING/],
    [['add', 'nowhere', '--name', '../m'], 2, /cannot be the name/],
    [['promote', 'm', '--to', 'moon'], 2, /canary, then production/],
    [['promote', 'm'], 2, /--to/],
    [['show', 'a@b@c', '--store', 'none'], 2, /NAME@3/],
    [['list', '--store', 'none'], 3, /STORE_UNKNOWN/],
  ])('refuses %j', async (argv, code, words) => {
    const r = await run(...argv);
    expect([r.code, r.out]).toEqual([code, '']);
    expect(r.err).toMatch(words);
  });
  it('prints help', async () => {
    expect((await run('--help')).out).toContain('rollback');
    expect((await run('promote', '--help')).out).toContain('--force');
  });
});
