import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { createRng } from '../../../src/base/rng.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { onnx } from '../../../src/onnx/proto.js';
import { decodeTensorFile, encodeTensor } from '../../../src/onnx/tensor.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { openModel } from '../../../src/runtime/open.js';

type Graph = onnx.GraphProto.$Properties;
const RELU: onnx.NodeProto.$Properties = { opType: 'Relu', input: ['x'], output: ['y'], name: 'relu' };
const GRAPH: Graph = { name: 'g', node: [RELU], input: [{ name: 'x' }], output: [{ name: 'y' }] };
const model = (graph: Graph, more: onnx.ModelProto.$Properties = {}): Uint8Array =>
  onnx.ModelProto.encode({
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: { ...GRAPH, ...graph },
    ...more,
  }).finish();
const w = (tensor: onnx.TensorProto.$Properties): Uint8Array =>
  model({ initializer: [{ name: 'w', dataType: 1, dims: [2], rawData: new Uint8Array(8), ...tensor }] });
const ascii = (s: string): Uint8Array => new TextEncoder().encode(s);
const good = model({});

function refusal(bytes: Uint8Array): QuantError {
  try {
    decodeModel(bytes, { file: 'm.onnx' });
  } catch (error) {
    expect(error).toBeInstanceOf(QuantError);
    return error as QuantError; // asserted above
  }
  throw new Error('was accepted');
}

/** `If` nodes nested n deep. */
function nested(n: number): Graph {
  let graph: Graph = GRAPH;
  for (let i = 0; i < n; i++)
    graph = {
      name: `g${i}`,
      node: [{ opType: 'If', input: ['x'], output: ['y'], attribute: [{ name: 'then_branch', type: 5, g: graph }] }],
      input: [{ name: 'x' }],
      output: [{ name: 'y' }],
    };
  return graph;
}

describe('files that are not ONNX models', () => {
  it.each([
    ['an empty file', new Uint8Array(0), /empty/],
    [
      'a git-LFS pointer',
      ascii('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n'),
      /git-LFS pointer/,
    ],
    ['a web page', ascii('\n<!DOCTYPE html><html><body>Not found</body></html>'), /HTML/],
    ['a zip archive', Uint8Array.of(0x50, 0x4b, 3, 4, 20, 0, 0, 0, 8, 0), /zip/],
    ['JSON', ascii('{"error": "not found"}'), /JSON/],
    ['gzip', Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0), /gzip/],
    ['zero bytes', new Uint8Array(64), /zero bytes/],
    ['a tensor file', encodeTensor(Tensor.f32([1, 2])), /neither a graph nor/],
    ['a cut-off model', good.subarray(0, good.length - 7), /cut off|not a valid/],
    ['a model cut at half', good.subarray(0, good.length >> 1), /cut off/],
    ['a model with garbage behind it', Uint8Array.of(...good, 0, 0, 0, 0), /4 bytes that do not belong/],
  ])('names %s', (_what, bytes, message) => {
    const error = refusal(bytes);
    expect([error.code, error.where.file]).toEqual(['MODEL_FORMAT', 'm.onnx']);
    expect(error.where.offset).toBeTypeOf('number');
    expect(error.message).toMatch(message);
  });

  it('answers every cut and 3000 random damages with a QuantError or a model, never a crash', () => {
    const text = `<ir_version: 8, opset_import: ["" : 17]> g (float[2,2] x) => (float[2,2] y) <float[2,2] w = {1,2,3,4}, int64[1] a = {1}> {
      s = MatMul(x, w)  c = ReduceSum(s, a)  b = Cast<to = 9>(c)
      y = If (b) <then_branch = t () => (float p) { p = Relu(s) }, else_branch = e () => (float q) { q = Neg(s) }> }`;
    const bytes = encodeModel(parseModel(text));
    const attempt = (damaged: Uint8Array): void => {
      try {
        encodeModel(decodeModel(damaged));
      } catch (error) {
        if (!(error instanceof QuantError) || error.code === 'INTERNAL') throw error;
      }
    };
    for (let n = 0; n < bytes.length; n++) attempt(bytes.slice(0, n));
    const rng = createRng(11, 'damage');
    for (let i = 0; i < 3000; i++) {
      const damaged = Uint8Array.from(bytes);
      for (let k = 0; k <= rng.int(4); k++) damaged[rng.int(damaged.length)] = rng.int(256);
      attempt(damaged);
    }
  });
});

describe('models that break a rule', () => {
  const node = (more: onnx.NodeProto.$Properties): Uint8Array => model({ node: [{ ...RELU, ...more }] });
  const call = (name: string, to: string): onnx.FunctionProto.$Properties => ({
    name,
    domain: 'd',
    input: ['a'],
    output: ['b'],
    node: [{ opType: to, domain: 'd', input: ['a'], output: ['b'] }],
    opsetImport: [{ domain: 'd', version: 1 }],
  });
  it.each([
    [
      'no graph',
      onnx.ModelProto.encode({ irVersion: 8, opsetImport: [{ domain: '', version: 17 }] }).finish(),
      'MODEL_EMPTY',
      undefined,
    ],
    ['no nodes', model({ node: [], output: [{ name: 'x' }] }), 'MODEL_EMPTY', undefined],
    ['no outputs', model({ output: [] }), 'MODEL_EMPTY', undefined],
    ['no opset', model({}, { opsetImport: [] }), 'MODEL_FORMAT', undefined],
    [
      'a duplicate initializer',
      model({ initializer: [1, 2].map(() => ({ name: 'w', dataType: 1, rawData: new Uint8Array(4) })) }),
      'GRAPH_INVALID',
      'w',
    ],
    ['an initializer without a name', w({ name: '' }), 'GRAPH_INVALID', undefined],
    ['a duplicate input', model({ input: [{ name: 'x' }, { name: 'x' }] }), 'GRAPH_INVALID', 'x'],
    ['a duplicate output', model({ node: [RELU, { ...RELU, name: 'again' }] }), 'GRAPH_INVALID', 'y'],
    ['a dangling input', node({ input: ['missing'] }), 'GRAPH_INVALID', 'missing'],
    ['a dangling graph output', model({ output: [{ name: 'nowhere' }] }), 'GRAPH_INVALID', 'nowhere'],
    ['no op type', node({ opType: '' }), 'GRAPH_INVALID', undefined],
    [
      'a cycle',
      model({
        node: [
          { ...RELU, input: ['z'] },
          { opType: 'Neg', input: ['y'], output: ['z'] },
        ],
      }),
      'GRAPH_CYCLE',
      undefined,
    ],
    [
      'a duplicate attribute',
      node({
        attribute: [
          { name: 'a', type: 2, i: 1 },
          { name: 'a', type: 2, i: 1 },
        ],
      }),
      'GRAPH_INVALID',
      undefined,
    ],
    ['an unknown attribute type', node({ attribute: [{ name: 'a', type: 99 }] }), 'GRAPH_INVALID', undefined],
    ['too few raw bytes', w({ rawData: new Uint8Array(7) }), 'MODEL_TENSOR', 'w'],
    ['too many raw bytes', w({ rawData: new Uint8Array(9) }), 'MODEL_TENSOR', 'w'],
    ['too few floats', w({ rawData: null, floatData: [1] }), 'MODEL_TENSOR', 'w'],
    ['both kinds of data', w({ floatData: [1, 2] }), 'MODEL_TENSOR', 'w'],
    ['negative dims', w({ dims: [-2] }), 'MODEL_TENSOR', 'w'],
    ['overflowing dims', w({ dims: [2 ** 40, 2 ** 40] }), 'MODEL_LIMIT', 'w'],
    ['an unknown type', w({ dataType: 77 }), 'MODEL_TENSOR', 'w'],
    ['no type', w({ dataType: 0 }), 'MODEL_TENSOR', 'w'],
    ['segments', w({ segment: { begin: 0, end: 1 } }), 'MODEL_UNSUPPORTED', 'w'],
    [
      'an unknown declared type',
      model({ input: [{ name: 'x', type: { tensorType: { elemType: 99 } } }] }),
      'MODEL_TENSOR',
      'x',
    ],
    [
      'external data without a file',
      w({ rawData: null, dataLocation: 1, externalData: [{ key: 'location', value: 'w.bin' }] }),
      'MODEL_EXTERNAL_DATA',
      'w',
    ],
    [
      'functions that call each other',
      model({}, { functions: [call('f', 'g'), call('g', 'f')] }),
      'GRAPH_CYCLE',
      undefined,
    ],
    ['a function that calls itself', model({}, { functions: [call('f', 'f')] }), 'GRAPH_CYCLE', undefined],
    [
      'a function defined twice',
      model({}, { functions: [call('f', 'x'), call('f', 'x')] }),
      'GRAPH_INVALID',
      undefined,
    ],
    [
      'a sparse index out of range',
      model({
        sparseInitializer: [
          {
            dims: [2, 2],
            values: { name: 's', dims: [1], dataType: 1, floatData: [1] },
            indices: { dims: [1, 2], dataType: 7, int64Data: [0, 2] },
          },
        ],
      }),
      'MODEL_TENSOR',
      's',
    ],
    [
      'a huge sparse tensor',
      model({
        sparseInitializer: [
          {
            dims: [2 ** 40],
            values: { name: 's', dims: [1], dataType: 1, floatData: [1] },
            indices: { dims: [1], dataType: 7, int64Data: [0] },
          },
        ],
      }),
      'MODEL_LIMIT',
      's',
    ],
  ])('refuses %s', (_what, bytes, code, tensor) => {
    const error = refusal(bytes);
    expect([error.code, error.where.tensor]).toEqual([code, tensor]);
  });

  it('refuses nesting beyond the limit and accepts reasonable nesting', () => {
    expect(decodeModel(model(nested(20))).graph.nodes.size).toBe(1);
    // Our own encoder has the same limit, so the deep message is put together by hand, inside out.
    const field = (tag: number[], body: Uint8Array): Uint8Array => {
      const length: number[] = [];
      for (let n = body.length; ; n >>>= 7) {
        length.push(n > 127 ? (n & 127) | 128 : n);
        if (n <= 127) break;
      }
      return Uint8Array.of(...tag, ...length, ...body);
    };
    let graph = onnx.GraphProto.encode(GRAPH).finish();
    for (let i = 0; i < 200; i++) graph = field([0x0a], field([0x2a], field([0x32], graph)));
    expect(refusal(field([0x3a], graph)).code).toBe('MODEL_LIMIT');
  });
});

describe('models that are unusual but right', () => {
  it('takes nodes in any order and sorts them', () => {
    const m = decodeModel(
      model({
        node: [
          { opType: 'Neg', input: ['m'], output: ['y'] },
          { opType: 'Relu', input: ['x'], output: ['m'] },
        ],
      }),
    );
    expect(m.graph.topological().map((n) => n.op)).toEqual(['Relu', 'Neg']);
    expect(
      decodeModel(encodeModel(m))
        .graph.topological()
        .map((n) => n.op),
    ).toEqual(['Relu', 'Neg']);
  });

  it('shares one Value between an input and its initializer, and an outer Value with a subgraph', () => {
    const m = decodeModel(
      model({
        initializer: [{ name: 'x', dataType: 1, floatData: [3] }],
        node: [
          {
            opType: 'If',
            input: ['x'],
            output: ['y'],
            attribute: [
              {
                name: 'then_branch',
                g: { name: 't', node: [{ opType: 'Neg', input: ['x'], output: ['a'] }], output: [{ name: 'a' }] },
              },
            ],
          },
        ],
      }),
    );
    const x = m.graph.inputs[0]!;
    expect(m.graph.initializers.has(x)).toBe(true);
    expect([...x.data!.f32()]).toEqual([3]);
    expect(x.uses.size).toBe(2);
  });

  it.each([
    ['float16', 10, { int32Data: [0x3c00, 0xbc00] }, [1, -1]],
    ['int8', 3, { int32Data: [-128, 127] }, [-128, 127]],
    ['uint16', 4, { int32Data: [65535, 1] }, [65535, 1]],
    ['bool', 9, { int32Data: [1, 0] }, [1, 0]],
    ['int64', 7, { int64Data: [-5, 2 ** 40] }, [-5, 2 ** 40]],
    ['uint32', 12, { uint64Data: [4294967295, 0] }, [4294967295, 0]],
    ['float64', 11, { doubleData: [0.1, -2] }, [0.1, -2]],
    ['int4', 22, { int32Data: [0x7f] }, [-1, 7]],
    ['float32', 1, { floatData: [NaN, -Infinity] }, [NaN, -Infinity]],
  ])('reads %s from its typed field', (dtype, dataType, data, expected) => {
    const tensor = [
      ...decodeModel(model({ initializer: [{ name: 'w', dims: [2], dataType, ...data }] })).graph.initializers,
    ][0]!.data!;
    expect([tensor.dtype, [...tensor.f64()]]).toEqual([dtype, expected]);
    expect([...decodeTensorFile(encodeTensor(tensor)).f64()]).toEqual(expected);
  });

  it('reads sparse initializers as dense and writes them sparse again', () => {
    const sparse = {
      dims: [2, 3],
      values: { name: 's', dims: [2], dataType: 1, floatData: [5, 7] },
      indices: { dims: [2, 2], dataType: 7, int64Data: [0, 1, 1, 2] },
    };
    const m = decodeModel(model({ sparseInitializer: [sparse] }));
    expect([...[...m.graph.initializers][0]!.data!.f32()]).toEqual([0, 5, 0, 0, 0, 7]);
    const again = onnx.ModelProto.decode(encodeModel(m)).graph!;
    expect([
      again.initializer?.length ?? 0,
      again.sparseInitializer!.length,
      again.sparseInitializer![0]!.values!.name,
    ]).toEqual([0, 1, 's']);
  });

  it.each<[string, onnx.TensorProto.$Properties | undefined]>([
    ['linear indices', { dims: [0], dataType: 7 }],
    ['indices by axis', { dims: [0, 2], dataType: 7, rawData: new Uint8Array(0) }],
    ['no indices', undefined],
  ])('reads sparse initializers without values as zeros: %s', async (_, indices) => {
    const bytes = model({
      node: [{ opType: 'Add', input: ['x', 's'], output: ['y'] }],
      input: [{ name: 'x', type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 3 }] } } } }],
      sparseInitializer: [{ dims: [2, 3], values: { name: 's', dims: [0], dataType: 1 }, ...(indices && { indices }) }],
    });
    const m = decodeModel(bytes);
    expect([...[...m.graph.initializers][0]!.data!.f32()]).toEqual([0, 0, 0, 0, 0, 0]);
    const session = await openModel(m);
    const { y } = await session.run({ x: { dtype: 'float32', dims: [3], data: Float32Array.of(1, 2, 3) } });
    await session.close();
    expect([...(y!.data as Float32Array)]).toEqual([1, 2, 3, 1, 2, 3]);
    expect(encodeModel(decodeModel(encodeModel(m)))).toEqual(encodeModel(m));
  });
  it('refuses sparse initializers with values and no indices', () => {
    const values = { name: 's', dims: [1], dataType: 1, floatData: [5] };
    expect(refusal(model({ sparseInitializer: [{ dims: [2, 3], values }] })).code).toBe('MODEL_TENSOR');
  });

  it('keeps strings that are not UTF-8 as bytes', () => {
    const bytes = Uint8Array.of(0xff, 0xfe, 0x41);
    const m = decodeModel(model({ node: [{ ...RELU, attribute: [{ name: 's', type: 3, s: bytes }] }] }));
    const again = onnx.ModelProto.decode(encodeModel(m)).graph!.node![0]!.attribute![0]!.s!;
    expect([...again]).toEqual([...bytes]);
  });

  it('raw data are views of the file', () => {
    const bytes = w({});
    expect([...decodeModel(bytes).graph.initializers][0]!.data!.bytes().buffer).toBe(bytes.buffer);
  });

  it('keeps unknown fields, annotations, training info, metadata and denotations', () => {
    const unknown = Uint8Array.of(0xf2, 0x3f, 3, 1, 2, 3); // field 1022, three bytes
    const $unknowns = [unknown];
    const type = {
      tensorType: {
        elemType: 1,
        shape: { dim: [{ dimValue: 2, denotation: 'DATA_BATCH', $unknowns }], $unknowns },
        $unknowns,
      },
      denotation: 'TENSOR',
      $unknowns,
    };
    const pairs = [{ key: 'k', value: 'v' }];
    const rich = model(
      {
        $unknowns,
        metadataProps: pairs,
        quantizationAnnotation: [{ tensorName: 'x', quantParameterTensorNames: pairs }],
        node: [
          {
            ...RELU,
            $unknowns,
            metadataProps: pairs,
            deviceConfigurations: [{ configurationId: 'c' }],
            attribute: [{ name: 'a', type: 2, i: 1, $unknowns }],
          },
        ],
        initializer: [{ name: 'w', dataType: 1, floatData: [1], $unknowns, metadataProps: pairs, docString: 'doc' }],
        input: [{ name: 'x', type, $unknowns, metadataProps: pairs }],
      },
      { $unknowns, trainingInfo: [{ initializationBinding: pairs }], configuration: [{ name: 'c', numDevices: 2 }] },
    );
    const count = (bytes: Uint8Array): number =>
      Buffer.from(bytes).toString('latin1').split(Buffer.from(unknown).toString('latin1')).length - 1;
    const saved = encodeModel(decodeModel(rich));
    expect(count(rich)).toBe(10);
    expect(count(saved)).toBe(10);
    const again = onnx.ModelProto.decode(saved);
    expect([
      again.trainingInfo.length,
      again.configuration[0]!.numDevices,
      again.graph!.quantizationAnnotation!.length,
      again.graph!.node![0]!.deviceConfigurations!.length,
    ]).toEqual([1, 2, 1, 1]);
    expect(again.graph!.input![0]!.type!.tensorType!.shape!.dim![0]!.denotation).toBe('DATA_BATCH');
    expect(Buffer.compare(encodeModel(decodeModel(saved)), saved)).toBe(0);
  });
});
