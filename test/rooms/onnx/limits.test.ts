/** Limits before allocation: what a few bytes claim is refused by what it claims, quickly and in little memory. */
import { describe, expect, it } from 'vitest';
import { QuantError, type ErrorCode } from '../../../src/base/errors.js';
import { inlineFunctions } from '../../../src/ir/inline.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { printModel } from '../../../src/ir/text/print.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { encodeModel } from '../../../src/onnx/encode.js';
import { onnx } from '../../../src/onnx/proto.js';

type Graph = onnx.GraphProto.$Properties;
type Node = onnx.NodeProto.$Properties;
const GRAPH: Graph = {
  name: 'g',
  node: [{ opType: 'Relu', input: ['x'], output: ['y'] }],
  input: [{ name: 'x' }],
  output: [{ name: 'y' }],
};
const OPSETS: onnx.OperatorSetIdProto.$Properties[] = [
  { domain: '', version: 17 },
  { domain: 'd', version: 1 },
];
const HEAD: onnx.ModelProto.$Properties = { irVersion: 8, opsetImport: OPSETS };
const model = (graph: Graph, more: onnx.ModelProto.$Properties = {}): Uint8Array =>
  onnx.ModelProto.encode({ ...HEAD, ...more, graph: { ...GRAPH, ...graph } }).finish();

function refusal(step: () => unknown): [ErrorCode, string] {
  try {
    step();
  } catch (error) {
    if (error instanceof QuantError) return [error.code, error.message];
    throw error;
  }
  throw new Error('was accepted');
}
const varint = (n: number): number[] => (n < 128 ? [n] : [(n % 128) + 128, ...varint(Math.floor(n / 128))]);
const field = (number: number, body: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(body.length)]), body]);
const graphBytes = onnx.GraphProto.encode(GRAPH).finish();
/** A model whose graph holds `body` behind its own fields. */
const withGraph = (body: Uint8Array): Buffer =>
  Buffer.concat([onnx.ModelProto.encode(HEAD).finish(), field(7, Buffer.concat([graphBytes, body]))]);
const repeated = (number: number, count: number): Buffer =>
  Buffer.alloc(count * field(number, Buffer.alloc(0)).length, field(number, Buffer.alloc(0)));

describe('6 MB of small messages', () => {
  const N = 3_000_000;
  const inNode = (body: Uint8Array): Buffer =>
    withGraph(field(1, Buffer.concat([onnx.NodeProto.encode({ opType: 'Relu', output: ['z'] }).finish(), body])));
  it.each<[string, () => Uint8Array]>([
    ['nodes', () => withGraph(repeated(1, N))],
    ['tensors', () => withGraph(repeated(5, N))],
    ['value infos', () => withGraph(repeated(13, N))],
    ['inputs', () => withGraph(repeated(11, N))],
    ['sparse tensors', () => withGraph(repeated(15, N))],
    ['functions', () => Buffer.concat([model({}), repeated(25, 2_000_000)])],
    ['metadata', () => Buffer.concat([model({}), repeated(14, N)])],
    ['outputs of a node', () => inNode(repeated(2, N))],
    ['attributes', () => inNode(repeated(5, N))],
    [
      'strings of an attribute',
      () =>
        inNode(field(5, Buffer.concat([onnx.AttributeProto.encode({ name: 'a', type: 8 }).finish(), repeated(9, N)]))),
    ],
    [
      'nodes of a body',
      () =>
        inNode(
          field(
            5,
            Buffer.concat([onnx.AttributeProto.encode({ name: 'b', type: 5 }).finish(), field(6, repeated(1, N))]),
          ),
        ),
    ],
  ])('empty %s are MODEL_LIMIT before anything is decoded', (_what, make) => {
    const bytes = make();
    const [start, before] = [performance.now(), process.memoryUsage().rss];
    expect(refusal(() => decodeModel(bytes))).toEqual(['MODEL_LIMIT', expect.stringContaining('small messages')]);
    expect(performance.now() - start).toBeLessThan(2000);
    expect(process.memoryUsage().rss - before).toBeLessThan(100e6);
  });
  it('as ints of one attribute or tensor are read in little memory', () => {
    const ints = field(8, Buffer.alloc(2_000_000, 5));
    const a = decodeModel(
      inNode(field(5, Buffer.concat([onnx.AttributeProto.encode({ name: 'a', type: 7 }).finish(), ints]))),
    );
    const attr = [...a.graph.nodes].flatMap((n) => [...n.attrs.values()])[0];
    expect(attr?.type === 'ints' && [attr.value.length, attr.value[0], attr.value.at(-1)]).toEqual([2_000_000, 5n, 5n]);
    expect(printModel(a, { maxElements: 16 })).toContain('a: ints = [...]');
    const t = decodeModel(
      withGraph(
        field(
          5,
          Buffer.concat([
            onnx.TensorProto.encode({ name: 't', dataType: 7, dims: [1_000_000] }).finish(),
            field(7, Buffer.alloc(1_000_000, 9)),
          ]),
        ),
      ),
    );
    expect([...t.graph.initializers][0]?.data?.ints().every((v) => v === 9n)).toBe(true);
  });
  it('64-bit integers keep every bit, small or not', () => {
    const values = [
      '0',
      '-1',
      '9007199254740991',
      '-9007199254740992',
      '9007199254740993',
      '9223372036854775807',
      '-9223372036854775808',
      '4294967296',
      '-4294967297',
    ];
    const text =
      `<ir_version: 8, opset_import: ["" : 17]> g (x) => (y) <int64[9] t = {${values.join(', ')}}> { y = Op <a = ` +
      `[${values.join(', ')}]> (x, t) }`;
    const back = decodeModel(encodeModel(parseModel(text)));
    const [node] = back.graph.nodes;
    expect([...back.graph.initializers][0]?.data?.ints().map(String)).toEqual(values);
    expect(node?.attrs.get('a')).toEqual({ type: 'ints', value: values.map(BigInt) });
  });
});

describe('axes and sizes that nothing can have', () => {
  it.each<[string, Graph, ErrorCode]>([
    [
      'a tensor of 65 axes',
      { initializer: [{ name: 'w', dataType: 1, dims: Array<number>(65).fill(1), rawData: new Uint8Array(4) }] },
      'MODEL_LIMIT',
    ],
    [
      'a declaration of 65 axes',
      {
        input: [
          {
            name: 'x',
            type: { tensorType: { elemType: 1, shape: { dim: Array.from({ length: 65 }, () => ({ dimValue: 1 })) } } },
          },
        ],
      },
      'MODEL_LIMIT',
    ],
    ['an empty tensor of 2^40 rows', { initializer: [{ name: 'w', dataType: 1, dims: [2 ** 40, 0] }] }, 'MODEL_LIMIT'],
    [
      'a sparse tensor of 2 GB',
      {
        sparseInitializer: [
          {
            values: { name: 's', dataType: 1, dims: [1], rawData: new Uint8Array(4) },
            indices: { name: 'i', dataType: 7, dims: [1], rawData: new Uint8Array(8) },
            dims: [2 ** 29 - 1],
          },
        ],
      },
      'MODEL_LIMIT',
    ],
  ])('%s is %s', (_what, graph, code) => {
    expect(refusal(() => decodeModel(model(graph)))[0]).toBe(code);
  });
  it('an empty tensor of few rows is fine', () => {
    expect(
      decodeModel(model({ initializer: [{ name: 'w', dataType: 1, dims: [7, 0, 3] }] })).graph.initializers.size,
    ).toBe(1);
  });
  it('a message about 4,000,000 axes is short', () => {
    const bytes = withGraph(field(5, Buffer.concat([Buffer.from([0x10, 1]), field(1, Buffer.alloc(4_000_000, 1))])));
    const [code, message] = refusal(() => decodeModel(bytes));
    expect([code, message.length < 400]).toEqual(['MODEL_LIMIT', true]);
  });
});

describe('attributes of types and of sparse tensors', () => {
  const node = (type: number, more: onnx.AttributeProto.$Properties = {}): Graph => ({
    node: [{ opType: 'Optional', input: ['x'], output: ['y'], attribute: [{ name: 't', type, ...more }] }],
  });
  it.each([11, 13])('type %i without a value is GRAPH_INVALID', (type) => {
    expect(refusal(() => decodeModel(model(node(type))))[0]).toBe('GRAPH_INVALID');
  });
  it('lists may be empty, and types print as they were', () => {
    for (const type of [12, 14]) expect(() => printModel(decodeModel(model(node(type))))).not.toThrow();
    const tensor = { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 4 }, { dimParam: 'N' }] } } };
    const typed = decodeModel(model(node(13, { tp: tensor })));
    expect(printModel(typed)).toContain('t: type_proto = float[4,N]');
    expect(decodeModel(encodeModel(typed)).graph.nodes.size).toBe(1);
    expect(printModel(decodeModel(model(node(14, { typeProtos: [tensor, {}] }))))).toContain(
      't: type_protos = [float[4,N], ...]',
    );
  });
});

describe('functions', () => {
  const chain = (depth: number, calls: number): Uint8Array => {
    const inner = (to: string): Node[] =>
      Array.from({ length: calls }, (_, i) => ({
        opType: to,
        domain: 'd',
        input: [i ? `c${i - 1}` : 'a'],
        output: [i === calls - 1 ? 'b' : `c${i}`],
      }));
    const functions = Array.from({ length: depth }, (_, i) => ({
      name: `f${i}`,
      domain: 'd',
      input: ['a'],
      output: ['b'],
      opsetImport: OPSETS,
      node: i === depth - 1 ? [{ opType: 'Relu', input: ['a'], output: ['b'] }] : inner(`f${i + 1}`),
    }));
    return model({ node: [{ opType: 'f0', domain: 'd', input: ['x'], output: ['y'] }] }, { functions });
  };
  it.each([
    [16, 2],
    [20, 2],
    [40, 2],
    [9, 4],
    [400, 3],
  ])('%i deep, each calling the next %i times, are MODEL_LIMIT at once', (depth, calls) => {
    const m = decodeModel(chain(depth, calls));
    const start = performance.now();
    expect(refusal(() => inlineFunctions(m))).toEqual([
      'MODEL_LIMIT',
      expect.stringContaining('call each other so often'),
    ]);
    expect(performance.now() - start).toBeLessThan(500);
    expect(m.graph.nodes.size).toBe(1);
  });
  it('2^10 calls become 2^9 nodes', () => {
    const m = decodeModel(chain(10, 2));
    inlineFunctions(m);
    expect([...m.graph.nodes].map((n) => n.op).filter((op) => op === 'Relu')).toHaveLength(512);
  });
  it('a body that is large is copied for each of its many calls', () => {
    const body = Array.from({ length: 40 }, (_, i) => ({
      opType: 'Relu',
      input: [i ? `v${i - 1}` : 'a'],
      output: [i === 39 ? 'b' : `v${i}`],
    }));
    const node = Array.from({ length: 1000 }, (_, i) => ({
      opType: 'f',
      domain: 'd',
      name: 'same',
      input: [i ? `y${i - 1}` : 'x'],
      output: [i === 999 ? 'y' : `y${i}`],
    }));
    const m = decodeModel(
      model(
        { node },
        { functions: [{ name: 'f', domain: 'd', input: ['a'], output: ['b'], opsetImport: OPSETS, node: body }] },
      ),
    );
    expect(refusal(() => inlineFunctions(m))[0]).toBe('MODEL_LIMIT'); // 40,000 of 1,040: more than 10,000 + 20 times
    const fewer = decodeModel(
      model(
        { node: [...node.slice(0, 500), { opType: 'Relu', input: ['y499'], output: ['y'] }] },
        { functions: [{ name: 'f', domain: 'd', input: ['a'], output: ['b'], opsetImport: OPSETS, node: body }] },
      ),
    );
    inlineFunctions(fewer);
    expect(fewer.graph.nodes.size).toBe(20_001);
  });
  it.each<[string, Node]>([
    ['inputs', { input: ['x', 'x'], output: ['y'] }],
    ['outputs', { input: ['x'], output: ['z', 'y'] }],
  ])('a call of more %s than the function has is GRAPH_INVALID', (_what, call) => {
    const m = decodeModel(
      model(
        { node: [{ opType: 'f0', domain: 'd', ...call }] },
        {
          functions: [
            {
              name: 'f0',
              domain: 'd',
              input: ['a'],
              output: ['b'],
              opsetImport: OPSETS,
              node: [{ opType: 'Relu', input: ['a'], output: ['b'] }],
            },
          ],
        },
      ),
    );
    expect(refusal(() => inlineFunctions(m))[0]).toBe('GRAPH_INVALID');
  });
});
