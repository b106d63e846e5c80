/** Every bad model that the project knows of, through the whole job: one row each. */
import { linkSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/base/errors.js';
import { onnx } from '../../src/onnx/proto.js';
import { check, initializer, textModel, tiny, withValues, type Row } from './bad-inputs.js';

const ascii = (s: string): Uint8Array => new TextEncoder().encode(s);
const good = tiny();
const join = (...parts: (Uint8Array | number[])[]): Uint8Array => Uint8Array.from(parts.flatMap((p) => [...p]));
/** A length-delimited protobuf field. */
const field = (number: number, body: Uint8Array): Uint8Array =>
  join(varint((number << 3) | 2), varint(body.length), body);
function varint(n: number): number[] {
  const out: number[] = [];
  for (; n > 127; n = Math.floor(n / 128)) out.push((n & 127) | 128);
  return [...out, n];
}
const at = (folder: string, name: string): string => path.join(folder, name);
const badFile = (name: string, model: Uint8Array, says: RegExp): Row => ({
  name,
  model,
  fails: { code: 'MODEL_FORMAT', says },
});

/** `If` nodes nested n deep, encoded inside out because our encoder has the limit too. */
function nestedIf(n: number): Uint8Array {
  let graph = onnx.GraphProto.encode({
    name: 'g',
    node: [{ opType: 'Relu', input: ['x'], output: ['y'] }],
    input: [{ name: 'x' }],
    output: [{ name: 'y' }],
  }).finish();
  for (let i = 0; i < n; i++)
    graph = field(
      1,
      join(
        field(1, ascii('x')),
        field(2, ascii('y')),
        field(4, ascii('If')),
        field(5, join(field(1, ascii('then_branch')), field(6, graph))),
      ),
    );
  return join([8, 8], field(8, join([16, 17])), field(7, graph));
}

describe('files that are not models', () => {
  it.each<Row>([
    badFile('empty', new Uint8Array(0), /empty/),
    badFile(
      'garbage',
      Uint8Array.from({ length: 300 }, (_, i) => (i * 97 + 13) & 255),
      /not a valid|neither|cut off/,
    ),
    badFile('a web page', ascii('<!DOCTYPE html><html><body>404</body></html>'), /HTML/),
    badFile(
      'a git-LFS pointer',
      ascii('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'),
      /git-LFS/,
    ),
    badFile('cut at half', good.subarray(0, good.length >> 1), /cut off/),
    badFile('cut by one byte', good.subarray(0, good.length - 1), /cut off|not a valid/),
    badFile('trailing bytes', join(good, [0, 0, 0, 0]), /4 bytes that do not belong/),
    badFile('a length beyond 4 GiB', join([0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f], [1, 2, 3]), /./),
    badFile('an overlong varint', join([0x08], Array<number>(12).fill(0xff), [1]), /./),
    badFile('a wrong wire type', join([0x3d, 1, 2, 3, 4]), /./),
    badFile('a group that never ends', join([0x3b, 0x0b, 0x13]), /./),
    { name: 'nesting of 200 If', model: nestedIf(200), fails: { code: 'MODEL_LIMIT' } },
    { name: 'nesting of 50 If', model: nestedIf(50), fails: { code: 'MODEL_LIMIT' } },
    {
      name: 'a folder instead of a file',
      prepare: (f) => mkdirSync(at(f, 'd.onnx')),
      argv: ['--set', 'model=d.onnx'],
      fails: { code: 'MODEL_MISSING', says: /directory/ },
    },
    { name: 'no file', argv: ['--set', 'model=none.onnx'], fails: { code: 'MODEL_MISSING', says: /does not exist/ } },
    {
      name: 'beyond 2 GiB (a sparse file)',
      prepare: (f) => {
        writeFileSync(at(f, 'big.onnx'), '');
        truncateSync(at(f, 'big.onnx'), 2 ** 31);
      },
      argv: ['--set', 'model=big.onnx'],
      fails: { code: 'MODEL_LIMIT', says: /2 GiB/ },
    },
  ])('$name', check);
});

const w = (change: onnx.TensorProto.$Properties): Uint8Array =>
  tiny((_, g) => {
    Object.assign(initializer(g, 'w'), change);
  });
const tensorRow = (name: string, change: onnx.TensorProto.$Properties, code: ErrorCode = 'MODEL_TENSOR'): Row => ({
  name,
  model: w(change),
  fails: { code, where: { tensor: 'w' } },
});

describe('models that break a rule', () => {
  it.each<Row>([
    tensorRow('raw data too short', { rawData: new Uint8Array(71) }),
    tensorRow('raw data too long', { rawData: new Uint8Array(73) }),
    tensorRow('no data', { rawData: new Uint8Array(0) }),
    tensorRow('negative dims', { dims: [-2, 1, 3, 3] }),
    tensorRow('a count that overflows', { dims: [2 ** 40, 2 ** 40] }, 'MODEL_LIMIT'),
    tensorRow('an element type of the future', { dataType: 99 }),
    tensorRow('raw and typed data', { floatData: [1] }),
    {
      name: 'a cycle',
      model: tiny((_, g) => {
        g.node![0]!.input![0] = 'f';
      }),
      fails: { code: 'GRAPH_CYCLE' },
    },
    {
      name: 'a duplicate output',
      model: tiny((_, g) => {
        g.node![1]!.output = ['c'];
      }),
      fails: { code: 'GRAPH_INVALID', where: { tensor: 'c' } },
    },
    {
      name: 'a dangling input',
      model: tiny((_, g) => {
        g.node![0]!.input![0] = 'missing';
      }),
      fails: { code: 'GRAPH_INVALID', where: { tensor: 'missing', node: 'conv' } },
    },
    {
      name: 'an unknown op',
      model: tiny((_, g) => {
        g.node![1]!.opType = 'Reluu';
      }),
      fails: { code: 'MODEL_RUNTIME', says: /Reluu/ },
    },
    {
      name: 'an unknown domain',
      model: tiny((m, g) => {
        g.node![1]!.domain = 'org.example';
        m.opsetImport!.push({ domain: 'org.example', version: 1 });
      }),
      fails: { code: 'MODEL_RUNTIME', says: /org\.example/ },
    },
    {
      name: 'opset 999',
      model: tiny((m) => {
        m.opsetImport![0]!.version = 999;
      }),
      fails: { code: 'MODEL_RUNTIME', says: /999/ },
    },
    {
      name: 'opset 0',
      model: tiny((m) => {
        m.opsetImport![0]!.version = 0;
      }),
      fails: { code: 'MODEL_UNSUPPORTED', says: /0/ },
    },
    {
      name: 'IR version 999',
      model: tiny((m) => {
        m.irVersion = 999;
      }),
      fails: { code: 'MODEL_RUNTIME', says: /999/ },
    },
    {
      name: 'no opset',
      model: tiny((m) => {
        m.opsetImport = [];
      }),
      fails: { code: 'MODEL_FORMAT', says: /opset/ },
    },
    {
      name: 'no nodes',
      model: tiny((_, g) => {
        g.node = [];
        g.output = [{ name: 'x' }];
      }),
      fails: { code: 'MODEL_EMPTY', says: /no nodes/ },
    },
    {
      name: 'no outputs',
      model: tiny((_, g) => {
        g.output = [];
      }),
      fails: { code: 'MODEL_EMPTY', says: /no outputs/ },
    },
    {
      name: 'an initializer name twice',
      model: tiny((_, g) => {
        g.initializer!.push({ ...initializer(g, 'w') });
      }),
      fails: { code: 'GRAPH_INVALID', where: { tensor: 'w' } },
    },
    {
      name: 'functions that call each other',
      model: tiny((m) => {
        m.functions = ['f', 'g'].map((name) => ({
          name,
          domain: 'd',
          input: ['a'],
          output: ['b'],
          opsetImport: [{ domain: 'd', version: 1 }],
          node: [{ opType: name === 'f' ? 'g' : 'f', domain: 'd', input: ['a'], output: ['b'] }],
        }));
      }),
      fails: { code: 'GRAPH_CYCLE' },
    },
    ...[NaN, Infinity, -Infinity].flatMap((v): Row[] => [
      {
        name: `a convolution weight of ${v}`,
        model: withValues('w', (x) => {
          x[4] = v;
        }),
        fails: { code: 'MODEL_TENSOR', where: { tensor: 'w' }, says: new RegExp(`${v} at element 4`) },
      },
      {
        name: `a Gemm weight of ${v}`,
        model: withValues('g', (x) => {
          x[23] = v;
        }),
        fails: { code: 'MODEL_TENSOR', where: { tensor: 'g' } },
      },
      {
        name: `a bias of ${v}`,
        model: withValues('b', (x) => {
          x[1] = v;
        }),
        fails: { code: 'MODEL_TENSOR', where: { tensor: 'b' } },
      },
    ]),
    {
      name: 'NaN in a weight behind a Constant node',
      model: textModel(
        `<ir_version: 8, opset_import: ["" : 17]> g (float[batch,1,4,4] x) => (float[batch,2,2,2] y) { w = ` +
          'Constant<value = float[2,1,3,3] {1,2,3,4,5,6,7,8,nan,1,2,3,4,5,6,7,8,9}>() y = Conv(x, w) }',
      ),
      fails: { code: 'MODEL_TENSOR', where: { tensor: 'w' } },
    },
    {
      name: 'a folded BatchNormalization of negative variance',
      model: textModel(
        `<ir_version: 8, opset_import: ["" : 17]> g (float[batch,1,4,4] x) => (float[batch,2,2,2] y) ` +
          '<float[2,1,3,3] w, float[2] s = {1,1}, float[2] z = {0,0}, float[2] v = {1,-1}> { c = Conv(x, w) y = ' +
          'BatchNormalization(c, s, z, z, v) }',
      ),
      fails: { code: 'MODEL_TENSOR', says: /NaN/ },
    },
  ])('$name', check);
});

/** The tiny model with `w` in a data file. */
const external = (entries: Record<string, string> | { key: string; value: string }[]): Uint8Array =>
  w({
    rawData: new Uint8Array(0),
    dataLocation: 1,
    externalData: Array.isArray(entries) ? entries : Object.entries(entries).map(([key, value]) => ({ key, value })),
  });
const bytes72 = new Uint8Array(Float32Array.from({ length: 18 }, (_, i) => Math.sin(i)).buffer);
const outside = (name: string, location: string, prepare?: (folder: string) => void): Row => ({
  name: `external data: ${name}`,
  model: external({ location }),
  files: { 'elsewhere/secret': bytes72, 'sub/w.bin': bytes72 },
  ...(prepare ? { prepare } : {}),
  fails: { code: 'MODEL_EXTERNAL_DATA', where: { tensor: 'w' } },
});
const keyed = (name: string, entries: Parameters<typeof external>[0]): Row => ({
  name: `external data: ${name}`,
  model: external(entries),
  files: { 'w.bin': bytes72 },
  fails: { code: 'MODEL_EXTERNAL_DATA', where: { tensor: 'w' } },
});

describe('external data', () => {
  it.each<Row>([
    outside('parent', '../secret', (f) => writeFileSync(path.join(path.dirname(f), 'secret'), bytes72)),
    outside('parent behind a folder', 'sub/../../secret'),
    outside('absolute', '/etc/hostname'),
    outside('a Windows path', 'C:\\secret'),
    outside('a symbolic link', 'link', (f) => symlinkSync(at(f, 'elsewhere/secret'), at(f, 'link'))),
    outside('a linked folder', 'link/secret', (f) => symlinkSync(at(f, 'elsewhere'), at(f, 'link'))),
    outside('a hard link', 'hard', (f) => linkSync(at(f, 'elsewhere/secret'), at(f, 'hard'))),
    outside('a folder', 'sub'),
    outside('missing', 'nothing.bin'),
    outside('a NUL byte', 'w.bin\0.png'),
    keyed('an offset beyond the end', { location: 'w.bin', offset: '72' }),
    keyed('a length beyond the end', { location: 'w.bin', offset: '4', length: '72' }),
    keyed('a length of petabytes', { location: 'w.bin', length: '9007199254740993' }),
    keyed('a negative length', { location: 'w.bin', length: '-1' }),
    keyed('an unknown key', { location: 'w.bin', mode: 'rw' }),
    keyed('a dunder key', { location: 'w.bin', __proto__x: '1', ['__class__']: 'x' }),
    keyed('a prototype key', [
      { key: 'location', value: 'w.bin' },
      { key: '__proto__', value: 'x' },
    ]),
    keyed('a key given twice', [
      { key: 'location', value: 'w.bin' },
      { key: 'location', value: '../x' },
    ]),
    keyed('no location', { offset: '0' }),
    {
      name: 'external data: one file for two tensors',
      files: { 'w.bin': join(bytes72, new Uint8Array(Float32Array.of(1, 2).buffer)) },
      model: tiny((_, g) => {
        Object.assign(initializer(g, 'w'), {
          rawData: new Uint8Array(0),
          dataLocation: 1,
          externalData: [
            { key: 'location', value: 'w.bin' },
            { key: 'length', value: '72' },
          ],
        });
        Object.assign(initializer(g, 'b'), {
          rawData: new Uint8Array(0),
          dataLocation: 1,
          externalData: [
            { key: 'location', value: 'w.bin' },
            { key: 'offset', value: '72' },
          ],
        });
      }),
      holds: ({ record }) => expect(record.points.filter((p) => p.role === 'weight')).toHaveLength(2),
    },
  ])('$name', check);
});

const quantized = (scale: string): Uint8Array =>
  textModel(`<ir_version: 8, opset_import: ["" : 17]> g (float[batch,1,4,4] x) => (float[batch,2,2,2] y)
  <float[2,1,3,3] w, float s = {${
    scale
  }}, uint8 z = {128}> { q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) y = Conv(d, w) }`);

describe('models that are already quantized', () => {
  it.each<Row>(
    ['0.1', '0', '-1', 'nan', 'inf', '1e-40'].map((s) => ({
      name: `scale ${s}`,
      model: quantized(s),
      fails: { code: 'MODEL_QUANTIZED', says: /QuantizeLinear/ },
    })),
  )('$name', check);
});

const conv = (head: string, weights: string, body: string): Uint8Array =>
  textModel(`<ir_version: 10, opset_import: ["" : 21]> g ${head} <${weights}> { ${body} }`);
const again = (message: onnx.ModelProto.$Properties): Uint8Array => onnx.ModelProto.encode(message).finish();
const UNKNOWN = Uint8Array.of(0xf2, 0x3f, 3, 1, 2, 3); // field 1022, three bytes
const weightsOf = (r: { readonly points: readonly { readonly role: string }[] }): number =>
  r.points.filter((p) => p.role === 'weight').length;

describe('models that are unusual, and right', () => {
  it.each<Row>([
    {
      name: 'nodes in reverse order',
      model: tiny((_, g) => {
        g.node!.reverse();
      }),
      holds: ({ model }) =>
        expect(model.graph.topological().filter((n) => n.op === 'QuantizeLinear').length).toBeGreaterThan(0),
    },
    {
      name: 'unknown fields',
      model: tiny((m, g) => {
        m.$unknowns = [UNKNOWN];
        g.node![0]!.$unknowns = [UNKNOWN];
        initializer(g, 'h').$unknowns = [UNKNOWN];
      }),
      holds: ({ folder }) =>
        expect(readFileSync(at(folder, 'out/model.onnx')).toString('latin1')).toContain(
          Buffer.from(UNKNOWN).toString('latin1'),
        ),
    },
    {
      name: 'a scalar field given twice: the last counts',
      model: join([8, 3], good),
      holds: ({ model }) => expect(model.irVersion).toBeGreaterThan(3),
    },
    {
      name: 'the graph given twice: merged, as protobuf says and onnxruntime does',
      model: join(
        good,
        field(
          7,
          onnx.GraphProto.encode({
            name: 'other',
            node: [{ opType: 'Relu', input: ['x'], output: ['other'] }],
          }).finish(),
        ),
      ),
      holds: ({ record }) => expect(record.model.float.nodes).toBe(5),
    },
    {
      name: 'typed data instead of raw',
      model: tiny((_, g) => {
        const t = initializer(g, 'b');
        delete t.rawData;
        t.floatData = [0.5, -0.25];
      }),
      holds: ({ record }) => expect(weightsOf(record)).toBe(2),
    },
    {
      name: 'packed fields written one by one',
      model: unpacked(),
      holds: ({ record }) => expect(weightsOf(record)).toBe(2),
    },
    {
      name: 'a sparse weight',
      model: tiny((_, g) => {
        g.initializer = g.initializer!.filter((t) => t.name !== 'w');
        g.sparseInitializer = [
          {
            dims: [2, 1, 3, 3],
            values: { name: 'w', dims: [2], dataType: 1, floatData: [1, -2] },
            indices: { dims: [2], dataType: 7, int64Data: [4, 13] },
          },
        ];
      }),
      holds: ({ record }) => expect(record.outcome).toBe('ok'),
    },
    {
      name: 'a subgraph that captures outer values',
      model:
        textModel(`<ir_version: 8, opset_import: ["" : 17]> g (float[batch,1,4,4] x) => (float[batch,2,2,2] y) <float[2,1,3,3] w> {
        c = Conv(x, w)  s = ReduceMax<keepdims = 0>(x)  z = Constant<value_float = 0.0>()  b = Greater(s, z)
        y = If (b) <then_branch = t () => (float[batch,2,2,2] p) { p = Relu(c) }, else_branch = e () => (float[batch,2,2,2] q) { v = Conv(x, w)  q = Neg(v) }> }`),
      holds: ({ record }) => expect(record.nodes.some((n) => n.op === 'Conv' && n.planned === 'integer')).toBe(true),
    },
    {
      name: 'a branch that never runs',
      model:
        textModel(`<ir_version: 8, opset_import: ["" : 17]> g (float[batch,1,4,4] x) => (float[batch,2,2,2] y) <float[2,1,3,3] w, bool b = {1}> {
        c = Conv(x, w)  y = If (b) <then_branch = t () => (float[batch,2,2,2] p) { p = Relu(c) }, else_branch = e () => (float[batch,2,2,2] q) { q = Conv(x, w) }> }`),
      holds: ({ record }) => expect(weightsOf(record)).toBe(1),
    },
    ...[7, 9, 11, 12].map((opset): Row => ({
      name: `opset ${opset}`,
      model: tiny((m) => {
        m.opsetImport![0]!.version = opset;
        m.irVersion = 4;
      }),
      holds: ({ model, codes }) => {
        expect(model.opsets.get('')).toBeGreaterThanOrEqual(13);
        expect(codes()).toContain('OPSET_RAISED');
      },
    })),
    ...[1, 6].map((opset): Row => ({
      name: `opset ${opset}`,
      model: tiny((m) => {
        m.opsetImport![0]!.version = opset;
        m.irVersion = 3;
      }),
      fails: { code: 'MODEL_UNSUPPORTED', says: /opset/ },
    })),
    ...(['float16', 'double'] as const).map((dtype): Row => ({
      name: `${dtype} weights`,
      model: conv(
        `(${dtype}[batch,1,4,4] x) => (${dtype}[batch,2,2,2] y)`,
        `${dtype}[2,1,3,3] w = {${Array.from({ length: 18 }, (_, i) => `${i}.5`).join(',')}}`,
        '[conv] y = Conv(x, w)',
      ),
      fails: { code: 'QUANTIZE_NOTHING', says: new RegExp(`'conv': .*${dtype === 'double' ? 'float64' : dtype}`) },
    })),
    {
      name: 'bfloat16 weights, inputs and outputs',
      model: conv(
        '(bfloat16[batch,1,4,4] x) => (bfloat16[batch,2,2,2] y)',
        `bfloat16[2,1,3,3] w = {${Array.from({ length: 18 }, (_, i) => 0x3f80 + i).join(',')}}`,
        '[conv] y = Conv(x, w)',
      ),
      holds: ({ record, model, codes }) => {
        expect(codes()).toContain('BFLOAT16_WIDENED');
        expect(record.nodes.filter((n) => n.op === 'Conv').map((n) => n.planned)).toEqual(['integer']);
        expect([...model.graph.inputs, ...model.graph.outputs].map((v) => v.dtype)).toEqual(['float32', 'float32']);
        expect(record.evaluation?.outputs[0]?.cosine).toBeGreaterThan(0.999);
      },
    },
    {
      name: 'float16 weights, half of the model in float32',
      model: conv(
        '(float[batch,1,4,4] x) => (float[batch,2,2,2] y)',
        'float16[2,1,1,1] v = {1.0,-2.0}, float[1,1,3,3] w',
        '[one] c = Conv(x, w) [down] h = Cast<to = 10>(c) [half] d = Conv(h, v) [up] y = Cast<to = 1>(d)',
      ),
      holds: ({ record }) =>
        expect(record.nodes.filter((n) => n.op === 'Conv').map((n) => [n.name, n.planned])).toEqual([
          ['one', 'integer'],
          ['half', 'float'],
        ]),
    },
    {
      name: 'int4 weights that are dequantized',
      model: conv(
        '(float[batch,1,4,4] x) => (float[batch,1,4,4] y)',
        'int4[4,4] w = {1,2,3,4,5,6,7,-8,1,2,3,4,5,6,7,-1}, float s = {0.1}',
        'd = DequantizeLinear(w, s) y = MatMul(x, d)',
      ),
      fails: { code: 'MODEL_QUANTIZED' },
    },
    {
      name: 'every axis dynamic',
      model: tiny((_, g) => {
        for (const d of g.input![0]!.type!.tensorType!.shape!.dim!) {
          delete d.dimValue;
          delete d.dimParam;
        }
      }),
      holds: ({ record }) => expect(weightsOf(record)).toBe(2),
    },
    {
      name: 'an input without a shape',
      model: tiny((_, g) => {
        delete g.input![0]!.type!.tensorType!.shape;
      }),
      holds: ({ record }) => expect(weightsOf(record)).toBe(2),
    },
    {
      name: 'an input without a type',
      model: tiny((_, g) => {
        delete g.input![0]!.type;
      }),
      fails: { code: 'MODEL_RUNTIME' },
    },
    {
      name: 'a declared output shape that is wrong',
      model: tiny((_, g) => {
        g.output![0]!.type!.tensorType!.shape!.dim![1] = { dimValue: 7 };
      }),
      holds: ({ model }) => expect(model.graph.outputs[0]!.shape).toEqual(['batch', 3]),
    },
    {
      name: 'a weight of zero output channels',
      model: tiny((_, g) => {
        Object.assign(initializer(g, 'g'), { dims: [0, 8], rawData: new Uint8Array(0) });
        Object.assign(initializer(g, 'h'), { dims: [0], rawData: new Uint8Array(0) });
        g.output![0]!.type!.tensorType!.shape!.dim![1] = { dimValue: 0 };
      }),
      holds: ({ record }) => expect(record.outcome).toBe('ok'),
    },
    {
      name: 'an initializer of zero elements that nothing uses',
      model: tiny((_, g) => {
        g.initializer!.push({ name: 'none', dims: [0], dataType: 1 });
      }),
      holds: ({ record }) => expect(weightsOf(record)).toBe(2),
    },
    {
      name: 'a Concat with an empty tensor',
      model: textModel(
        `<ir_version: 8, opset_import: ["" : 17]> g (float[batch,1,4,4] x) => (float[batch,2,2,2] y) ` +
          '<float[2,1,3,3] w, float[0,2,2,2] e> { c = Conv(x, w) d = Relu(c) y = Concat<axis = 0>(d, e) }',
      ),
      holds: ({ record }) => expect(weightsOf(record)).toBe(1),
    },
    {
      name: 'a weight that two convolutions share',
      model: textModel(
        `<ir_version: 8, opset_import: ["" : 17]> g (float[batch,1,4,4] x) => (float[batch,1,4,4] y) ` +
          '<float[1,1,3,3] w> { c = Conv<pads = [1,1,1,1]>(x, w) y = Conv<pads = [1,1,1,1]>(c, w) }',
      ),
      holds: ({ model }) =>
        expect([...model.graph.initializers].filter((v) => v.data?.dtype === 'int8' && v.data.size === 9)).toHaveLength(
          1,
        ),
    },
    {
      name: 'a bias beyond int32 at a tiny scale',
      model: withValues('b', (v) => {
        v[0] = 1e9;
      }),
      holds: ({ model, codes }) => {
        expect(codes()).toContain('BIAS_OVERFLOW');
        expect(
          Math.max(
            ...[...model.graph.initializers]
              .filter((v) => v.data?.dtype === 'int32' && v.data.size === 2)
              .flatMap((v) => v.data!.numbers().map(Math.abs)),
          ),
        ).toBeLessThan(2 ** 31);
      },
    },
  ])('$name', check);
});

/** The tiny model with the dims of its tensors as one varint each, as proto2 writers do. */
function unpacked(): Uint8Array {
  const message = onnx.ModelProto.decode(good);
  const graph = message.graph!; // the tiny model has one
  const tensors = graph.initializer!;
  graph.initializer = [];
  const body = join(
    onnx.GraphProto.encode(graph).finish(),
    ...tensors.map((t) => {
      const dims = t.dims!.map(Number);
      return field(
        5,
        join(onnx.TensorProto.encode({ ...t, dims: [] }).finish(), ...dims.map((d) => join(varint(8), varint(d)))),
      );
    }),
  );
  return join(again({ ...message, graph: null }), field(7, body));
}

describe('names from strangers', () => {
  it.each<Row>(
    [
      '<script>alert(1)</script>',
      '../../etc/passwd',
      '\u202egnp.elif',
      '\x1b[2J\x07',
      '__proto__',
      'constructor',
      'a'.repeat(10_000),
      'line\nbreak',
      '\ufeff',
      '"],"x":["',
    ].map((name) => ({
      name: `a node, a weight and an activation called ${JSON.stringify(name.slice(0, 30))}`,
      model: tiny((_, g) => {
        g.name = name;
        g.node![0]!.name = name;
        initializer(g, 'w').name = `${name}w`;
        g.node![0]!.input![1] = `${name}w`;
        g.node![0]!.output = [name];
        g.node![1]!.input = [name];
      }),
      holds: ({ record, folder, model }) => {
        expect([...model.graph.nodes].some((n) => n.name === name)).toBe(true);
        expect(record.nodes.some((n) => n.name === name)).toBe(true);
        expect(readFileSync(at(folder, 'out/report.html'), 'utf8')).not.toContain('<script>alert');
        expect(readFileSync(at(folder, 'out/report.md'), 'utf8')).not.toMatch(/[\x00-\x08\x0b-\x1f\u202e]/);
      },
    })),
  )('$name', check);
  it('a name that is not UTF-8', () =>
    check({
      name: 'not UTF-8',
      model: renamedBytes(),
      holds: ({ record }) => expect(record.nodes.some((n) => n.op === 'Conv')).toBe(true),
    }));
});

/** The tiny model with bytes that are not UTF-8 as the name of its first node. */
function renamedBytes(): Uint8Array {
  const bytes = good.slice();
  const start = Buffer.from(bytes).indexOf('\x1a\x04conv', 0, 'latin1');
  bytes.set([0xff, 0xfe, 0xc0, 0x80], start + 2);
  return bytes;
}
