import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { onnx } from '../../../src/onnx/proto.js';
import { outline } from './outline.js';

let dir: string;
beforeEach(() => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'onnx-external-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  fs.rmSync(dir, { recursive: true, force: true });
});
const at = (...names: string[]): string => path.join(dir, ...names);

const TEXT =
  '<ir_version: 8, opset_import: ["" : 17]> g (float[4,40] x) => (float[4,30] y) <float[40,30] w, float[30] b, ' +
  'float[2] small> { m = MatMul(x, w)  y = Add(m, b) }';
const fixture = () => parseModel(TEXT, { randomInitializers: 5 });

function refusal(step: () => unknown): QuantError {
  try {
    step();
  } catch (error) {
    expect(error).toBeInstanceOf(QuantError);
    return error as QuantError;
  } // asserted above
  throw new Error('was accepted');
}

/** Writes m/model.onnx whose initializer w (two floats) has the given external entries. */
function write(entries: Record<string, string> | [string, string][]): string {
  const externalData = (Array.isArray(entries) ? entries : Object.entries(entries)).map(([key, value]) => ({
    key,
    value,
  }));
  fs.mkdirSync(at('m'), { recursive: true });
  const graph = {
    name: 'g',
    node: [{ opType: 'Relu', input: ['w'], output: ['y'] }],
    output: [{ name: 'y' }],
    initializer: [{ name: 'w', dataType: 1, dims: [2], dataLocation: 1, externalData }],
  };
  fs.writeFileSync(
    at('m', 'model.onnx'),
    onnx.ModelProto.encode({ irVersion: 8, opsetImport: [{ domain: '', version: 17 }], graph }).finish(),
  );
  return at('m', 'model.onnx');
}
const floats = (file: string): void => fs.writeFileSync(file, new Uint8Array(Float32Array.of(0, 1, 2, 3).buffer));

describe('reading external data', () => {
  it('reads the range beside the model, also in a subdirectory', () => {
    const file = write({ location: 'sub/w.bin', offset: '8', length: '8', checksum: 'abc' });
    fs.mkdirSync(at('m', 'sub'));
    floats(at('m', 'sub', 'w.bin'));
    const { data } = [...loadModel(file).graph.initializers][0]!;
    expect([...data!.f32()]).toEqual([2, 3]);
  });

  const cases: [string, Record<string, string> | [string, string][], (() => void) | undefined, RegExp][] = [
    ['an absolute path', { location: '/etc/hostname' }, undefined, /absolute/],
    ['a Windows path', { location: 'C:\\w.bin' }, undefined, /absolute/],
    ['a path that leaves', { location: '../w.bin' }, () => floats(at('w.bin')), /leaves/],
    ['a path that leaves and returns', { location: 'sub/../w.bin' }, undefined, /leaves/],
    ['a backslash path that leaves', { location: '..\\w.bin' }, undefined, /leaves/],
    ['a missing file', { location: 'w.bin' }, undefined, /does not exist/],
    ['no location', { offset: '0' }, undefined, /no location/],
    ['an empty location', { location: '' }, undefined, /not a file name/],
    ['the directory itself', { location: '.' }, undefined, /not a file inside/],
    ['a directory', { location: 'sub' }, () => fs.mkdirSync(at('m', 'sub')), /not a regular file/],
    [
      'a symbolic link',
      { location: 'w.bin' },
      () => {
        floats(at('w.bin'));
        fs.symlinkSync(at('w.bin'), at('m', 'w.bin'));
      },
      /symbolic link/,
    ],
    [
      'a link inside the directory',
      { location: 'l.bin' },
      () => {
        floats(at('m', 'w.bin'));
        fs.symlinkSync('w.bin', at('m', 'l.bin'));
      },
      /symbolic link/,
    ],
    [
      'a linked directory',
      { location: 'sub/w.bin' },
      () => {
        fs.mkdirSync(at('out'));
        floats(at('out', 'w.bin'));
        fs.symlinkSync(at('out'), at('m', 'sub'));
      },
      /symbolic link/,
    ],
    [
      'a hard link',
      { location: 'w.bin' },
      () => {
        floats(at('w.bin'));
        fs.linkSync(at('w.bin'), at('m', 'w.bin'));
      },
      /hard links/,
    ],
    ['an unknown key', { location: 'w.bin', mode: 'x' }, undefined, /unknown key 'mode'/],
    [
      'a duplicate key',
      [
        ['location', 'w.bin'],
        ['location', 'v.bin'],
      ],
      undefined,
      /twice/,
    ],
    ['a range past the end', { location: 'w.bin', offset: '12' }, () => floats(at('m', 'w.bin')), /beyond the end/],
    ['a negative offset', { location: 'w.bin', offset: '-4' }, () => floats(at('m', 'w.bin')), /not a whole number/],
    [
      'an overflowing offset',
      { location: 'w.bin', offset: '9999999999999999' },
      () => floats(at('m', 'w.bin')),
      /whole number|beyond/,
    ],
    ['a length against dims', { location: 'w.bin', length: '4' }, () => floats(at('m', 'w.bin')), /need 8 bytes/],
    ['a name through a file', { location: 'w.bin/x' }, () => floats(at('m', 'w.bin')), /cannot be read|does not exist/],
    ['an endless name', { location: 'x'.repeat(5000) }, undefined, /too long/],
  ];
  it.each(cases)('refuses %s', (_what, entries, prepare, message) => {
    const file = write(entries);
    prepare?.();
    const error = refusal(() => loadModel(file));
    expect([error.code, error.where.tensor, error.where.file]).toEqual(['MODEL_EXTERNAL_DATA', 'w', file]);
    expect(error.message).toMatch(message);
  });

  it('notices that the file changed, or became a link, after loading', () => {
    const file = write({ location: 'w.bin' });
    floats(at('m', 'w.bin'));
    const load = () => [...loadModel(file).graph.initializers][0]!.data!;
    const first = load();
    fs.appendFileSync(at('m', 'w.bin'), 'more');
    expect(refusal(() => first.bytes()).message).toMatch(/changed/);
    const second = load();
    fs.renameSync(at('m', 'w.bin'), at('m', 'v.bin'));
    fs.symlinkSync('v.bin', at('m', 'w.bin'));
    expect(refusal(() => second.bytes()).code).toBe('MODEL_EXTERNAL_DATA');
  });
});

describe('saving', () => {
  it('goes external only where one file cannot hold the model, and loads back equal', () => {
    const model = fixture();
    expect(saveModel(model, at('a.onnx')).files).toHaveLength(1);
    const { files } = saveModel(model, at('b.onnx'), { limitBytes: 4000, externalThresholdBytes: 100 });
    expect(files.map((f) => path.basename(f.path))).toEqual([
      'b.onnx',
      expect.stringMatching(/^b\.onnx\.[0-9a-f]{16}\.data$/),
    ]);
    expect(files.map((f) => f.bytes)).toEqual(files.map((f) => fs.statSync(f.path).size));
    const back = loadModel(at('b.onnx'));
    expect(outline(back)).toEqual(outline(model));
    expect(Buffer.compare(encodeModel(back), encodeModel(model))).toBe(0);
    // 'small' stays inside; w and b lie at aligned offsets.
    const places = [...back.graph.initializers].map((v) => v.data!.source.file?.offset);
    expect(places).toEqual([0, 4800, undefined]);
    expect(
      saveModel(back, at('c', '..', 'b.onnx'), { externalData: 'always', externalThresholdBytes: 100 }).files[1],
    ).toEqual(files[1]);
  });

  it('puts tensors of 1 MiB and more at pages', () => {
    const model = parseModel(
      '<ir_version: 8, opset_import: ["" : 17]> g (float x) => (y) <float[500] a, uint8[1048576] b> { y = ' +
        'Foo(x, a, b) }',
      { randomInitializers: 1 },
    );
    saveModel(model, at('m.onnx'), { externalData: 'always' });
    const back = loadModel(at('m.onnx'));
    expect([...back.graph.initializers].map((v) => v.data!.source.file?.offset)).toEqual([0, 4096]);
    expect(
      [...back.graph.initializers].map((v) =>
        Buffer.compare(v.data!.bytes(), [...model.graph.initializers].find((u) => u.name === v.name)!.data!.bytes()),
      ),
    ).toEqual([0, 0]);
  });

  it('refuses what one file cannot hold when external data are not allowed', () => {
    expect(refusal(() => saveModel(fixture(), at('m.onnx'), { externalData: 'never', limitBytes: 1000 })).code).toBe(
      'MODEL_LIMIT',
    );
    expect(fs.readdirSync(dir)).toEqual([]);
  });

  it.each(['openSync', 'writeSync', 'fsyncSync', 'closeSync', 'renameSync'] as const)(
    'leaves a whole model, old or new, when any %s fails',
    (call) => {
      const save = () => saveModel(fixture(), at('m.onnx'), { externalData: 'always', externalThresholdBytes: 100 });
      let failures = 0;
      for (let failing = 1, calls = Infinity; failing <= calls; failing++) {
        for (const f of fs.readdirSync(dir)) fs.rmSync(at(f));
        saveModel(fixture(), at('m.onnx'));
        const before = fs.readFileSync(at('m.onnx'));
        const real = fs[call] as (...args: unknown[]) => unknown; // arguments pass through untouched
        let n = 0;
        vi.spyOn(fs, call).mockImplementation(((...args: unknown[]) => {
          if (++n === failing) throw Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'write' });
          return real(...args);
        }) as never);
        let error: unknown;
        try {
          save();
        } catch (e) {
          error = e;
        } finally {
          vi.restoreAllMocks();
        }
        if (calls === Infinity) calls = 6; // at most: two files and two directories, with room to spare
        expect(fs.readdirSync(dir).filter((f) => f.endsWith('.tmp'))).toEqual([]);
        expect(loadModel(at('m.onnx')).graph.nodes.size).toBe(2);
        if (error === undefined) continue; // a directory that cannot be synced is no failure
        failures++;
        expect(error).toMatchObject({ code: 'OUTPUT_WRITE', where: { file: expect.stringContaining('m.onnx') } });
        expect((error as QuantError).message).toMatch(/no space left/); // asserted above
        expect(Buffer.compare(fs.readFileSync(at('m.onnx')), before)).toBe(0);
      }
      expect(failures).toBeGreaterThanOrEqual(2);
    },
  );

  it('names the path that cannot be written', () => {
    fs.mkdirSync(at('d'));
    for (const [file, message] of [
      [at('d'), /is a directory/],
      [at('none', 'm.onnx'), /no such file or directory/],
    ] as const) {
      const error = refusal(() => saveModel(fixture(), file));
      expect([error.code, error.where.file]).toEqual(['OUTPUT_WRITE', file]);
      expect(error.message).toMatch(message);
    }
  });

  it('a missing model, and a directory, are MODEL_MISSING', () => {
    expect(refusal(() => loadModel(at('no.onnx'))).code).toBe('MODEL_MISSING');
    expect(refusal(() => loadModel(dir)).code).toBe('MODEL_MISSING');
  });
});

describe('links of a Hugging Face cache', () => {
  const cache = (target: string): string => {
    const snapshot = at('models--a--b', 'snapshots', 'rev');
    fs.mkdirSync(path.join(snapshot, 'onnx'), { recursive: true });
    fs.mkdirSync(at('models--a--b', 'blobs'), { recursive: true });
    fs.mkdirSync(at('models--other', 'blobs'), { recursive: true });
    for (const repository of ['models--a--b', 'models--other']) floats(at(repository, 'blobs', 'abc'));
    floats(at('secret'));
    const made = write({ location: 'model.onnx_data', offset: '4', length: '8' });
    fs.renameSync(made, at('models--a--b', 'blobs', 'def'));
    fs.symlinkSync('../../../blobs/def', path.join(snapshot, 'onnx', 'model.onnx'));
    fs.symlinkSync(target, path.join(snapshot, 'onnx', 'model.onnx_data'));
    return path.join(snapshot, 'onnx', 'model.onnx');
  };
  it('are followed to the blobs of the same repository', () => {
    const [w] = [...loadModel(cache('../../../blobs/abc')).graph.initializers];
    expect([...w!.data!.f32()]).toEqual([1, 2]);
  });
  it.each(['../../../../models--other/blobs/abc', '../../../../secret', '../../../blobs/../../secret'])(
    'are refused where they lead to %s',
    (target) => {
      const error = refusal(() => loadModel(cache(target)));
      expect([error.code, error.message]).toEqual([
        'MODEL_EXTERNAL_DATA',
        expect.stringContaining("'model.onnx_data' goes through a symbolic link"),
      ]);
    },
  );
});

describe('data files of a declared size', () => {
  it('hold whole tensors, in order, and are named after their content', () => {
    const model = fixture();
    const { files } = saveModel(model, at('m.onnx'), {
      externalData: 'always',
      externalThresholdBytes: 8,
      shardBytes: 4900,
    });
    expect(files.slice(1).map((f) => f.bytes)).toEqual([4800, 120 + 8 + 8]);
    expect(outline(loadModel(at('m.onnx')))).toEqual(outline(model));
  });
});
