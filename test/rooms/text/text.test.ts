import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { createRng } from '../../../src/base/rng.js';
import { DTYPES } from '../../../src/ir/dtype.js';
import { Graph, Node, Value } from '../../../src/ir/graph.js';
import { createModel } from '../../../src/ir/model.js';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseGraph, parseModel } from '../../../src/ir/text/parse.js';
import { printFloat } from '../../../src/ir/text/literal.js';
import { printModel, printNode } from '../../../src/ir/text/print.js';
import { assertValid } from '../../../src/ir/verify.js';
import { decodeModel } from '../../../src/onnx/decode.js';
import { encodeModel } from '../../../src/onnx/encode.js';

const HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n';
const KITCHEN_SINK = `<ir_version: 10, opset_import: ["" : 20, "local" : 1], producer_name: "p \\"q\\" \\\\", model_version: 3, doc_string: "two
lines", metadata_props: ["k": "v", "": ""]>
"main graph" (float[N, 3, "a b", ?] x, float[] anyRank, float scalar, seq(float[2]) s, optional(int64) o, map(int64, string[]) m, float[2] d = {1.5, -0.0})
  => (float[N] y, int64[] z)
<float[2,2] w = {1, 2.5, inf, nan}, float16[2] h = {15360, 0.5}, string[2] t = {"a\\"b", ""}, int4[3] q = {-8, 7, 0}, bool b = {1}, float[2] mid>
{
  [first] mid = Add <alpha = 1, beta: float = 2, list: ints = [], names = ["a", "b"], mix = [1, 2.5]> (x, d)
  y, , z = com.example.Odd:over (mid, , w, "")
  c = Constant <value = int64[2] named {1, -2}> ()
  i = If (b) <then_branch = yes () => (float a) { a = Relu(later) }, else_branch: graph = "no" () => (a2) { a2 = local.f<k = 3>(mid) }>
  later = Neg(x)
  e = Optional <type = seq(float[1])> ()
}
<domain: "local", opset_import: ["" : 20]>
f <k, gain: float = 0.5> (a) => (r) { m = LeakyRelu<alpha: float = @gain>(a)  r = Neg(m) }
`;

describe('the ONNX text syntax', () => {
  it('reads every construct into the right objects', () => {
    const model = parseModel(KITCHEN_SINK);
    assertValid(model);
    const g = model.graph;
    expect([model.irVersion, model.producerName, model.modelVersion, model.doc]).toEqual([
      10,
      'p "q" \\',
      3n,
      'two\nlines',
    ]);
    expect([...model.opsets]).toEqual([
      ['', 20],
      ['local', 1],
    ]);
    expect(g.inputs.map((v) => [v.name, v.dtype, v.shape, v.other?.kind])).toEqual([
      ['x', 'float32', ['N', 3, 'a b', null], undefined],
      ['anyRank', 'float32', undefined, undefined],
      ['scalar', 'float32', [], undefined],
      ['s', undefined, undefined, 'sequence'],
      ['o', undefined, undefined, 'optional'],
      ['m', undefined, undefined, 'map'],
      ['d', 'float32', [2], undefined],
    ]);
    const named = (name: string): Tensor => [...g.initializers].find((v) => v.name === name)!.data!;
    expect([...named('w').f32()]).toEqual([1, 2.5, Infinity, NaN]);
    expect([...named('h').f32()]).toEqual([1, 0.5]);
    expect(named('t').strings()).toEqual(['a"b', '']);
    expect(named('q').numbers()).toEqual([-8, 7, 0]);
    expect(Object.is(named('d').f32()[1], -0)).toBe(true);
    const [first, odd, constant, branch] = [...g.nodes];
    expect([
      first!.name,
      first!.int('alpha'),
      first!.float('beta'),
      first!.ints('list'),
      first!.attrs.get('mix'),
    ]).toEqual(['first', 1, 2, [], { type: 'floats', value: [1, 2.5] }]);
    expect([odd!.domain, odd!.op, odd!.overload]).toEqual(['com.example', 'Odd', 'over']);
    expect(odd!.inputs.map((v) => v?.name ?? null)).toEqual(['mid', null, 'w', null]);
    expect(odd!.outputs.map((v) => v.name)).toEqual(['y', '', 'z']);
    const value = constant!.attrs.get('value');
    expect(value?.type === 'tensor' && [value.value.name, value.value.ints()]).toEqual(['named', [1n, -2n]]);
    // The subgraph uses the outer value itself, although the outer graph defines it later.
    expect(
      branch!
        .captures()
        .map((v) => v.name)
        .sort(),
    ).toEqual(['later', 'mid']);
    expect(g.topological().indexOf(branch!)).toBe(4);
    expect(model.functions[0]!.attributes).toEqual(['k']);
    expect([...model.functions[0]!.graph.nodes][0]!.attrs.get('alpha')).toEqual({
      type: 'ref',
      value: 'gain',
      attrType: 1,
    });
  });

  it('prints text that parses to the same model, and to the same bytes', () => {
    const model = parseModel(KITCHEN_SINK);
    const text = printModel(model);
    expect(printModel(parseModel(text))).toBe(text);
    expect(Buffer.compare(encodeModel(parseModel(text)), encodeModel(model))).toBe(0);
    // Through the wire, types that are kept as protos come back as protobufjs objects and must still print.
    expect(printModel(decodeModel(encodeModel(model)))).toBe(text);
  });

  it('round-trips random tensors of every type', () => {
    const rng = createRng(7, 'tensors');
    for (const dtype of DTYPES) {
      const n = 9;
      const tensor =
        dtype === 'string'
          ? new Tensor(
              dtype,
              [n],
              Array.from({ length: n }, () => String.fromCharCode(32 + rng.int(90), 10, 0x4e00 + rng.int(99))),
            )
          : Tensor.codes(
              'uint8',
              Array.from({ length: 16 * n }, () => (dtype === 'bool' ? rng.int(2) : rng.int(256))),
            ); // arbitrary bits
      const size = dtype === 'string' ? 0 : new Tensor('uint8', [16 * n], tensor.bytes()).size;
      const bits: Record<string, number> = { int4: 4, uint4: 4, float4e2m1: 4, int2: 2, uint2: 2 };
      const count = dtype === 'string' ? n : Math.floor((size * 8) / (bits[dtype] ?? 8 * widths(dtype)));
      const data = dtype === 'string' ? tensor : new Tensor(dtype, [count], tensor.bytes());
      const graph = new Graph();
      const w = graph.addInitializer(new Value('w'), data);
      graph.addOutput(graph.add(new Node('Identity', [w], ['y'])).outputs[0]!);
      const again = [...parseModel(printModel(createModel(graph, 25))).graph.initializers][0]!.data!;
      if (dtype === 'string') expect(again.strings()).toEqual(data.strings());
      else if (/float(32|64)|complex/.test(dtype))
        expect(again.dtype.startsWith('c') ? [] : [...again.f64()]).toEqual(
          again.dtype.startsWith('c') ? [] : [...data.f64()],
        );
      else expect(Buffer.compare(again.bytes(), data.bytes()), dtype).toBe(0);
    }
  });

  it('prints the shortest float32', () => {
    expect(
      [Math.fround(0.1), 1, -0, 1e-8, 16777217, NaN, -Infinity, Math.fround(3.4028234e38)].map(printFloat),
    ).toEqual(['0.1', '1.0', '-0.0', '1e-8', '16777217.0', 'nan', '-inf', '3.4028235e+38']);
    const rng = createRng(3, 'floats');
    for (let i = 0; i < 2000; i++) {
      const x = Math.fround(rng.normal() * 10 ** (rng.int(60) - 30));
      expect(Math.fround(Number(printFloat(x)))).toBe(x);
    }
  });

  it('elides large tensors on request, and such text says so when parsed', () => {
    const text = printModel(parseModel(`${HEADER}g (float x) => (y) <float[3] w = {1,2,3}> { y = Add(x, w) }`), {
      maxElements: 2,
    });
    expect(text).toContain('float[3] w = {...}');
    expect(() => parseModel(text)).toThrowError(/left out when this text was printed/);
  });

  it('gives random data to declared values that no node produces, by name and seed', () => {
    const text =
      `${HEADER}g (float[2] x) => (y) <float[2,2] w, int8[20] q, float[2] mid> { mid = MatMul(x, w) y = Foo(mid, ` +
      'q) }';
    const data = (seed: number): number[][] =>
      [...parseModel(text, { randomInitializers: seed }).graph.initializers].map((v) => [...v.data!.f64()]);
    expect(data(1)).toEqual(data(1));
    expect(data(1)[0]).not.toEqual(data(2)[0]);
    expect(Math.max(...data(1)[1]!.map(Math.abs))).toBeLessThanOrEqual(3);
    expect(() => parseModel(text)).toThrowError(/'w' is not defined/);
  });

  it('parseGraph takes undefined names from the values around it', () => {
    const outer = new Value('outer');
    const graph = parseGraph('g () => (y) { y = Relu(outer) }', [outer]);
    expect([...graph.captures()]).toEqual([outer]);
    expect(printNode([...graph.nodes][0]!)).toBe('y = Relu (outer)');
  });

  it.each([
    ['a missing arrow', `${HEADER}g (float x) (y) { y = Relu(x) }`, 2, 13],
    ['an open string', `${HEADER}g (float x) => (y) { y = Relu("x) }`, 2, 31],
    ['a strange character', `${HEADER}g (float x) => (y) { y = Relu(x) ; }`, 2, 34],
    ['an undefined name', `${HEADER}g (float x) => (y) {\n  y = Relu(z)\n}`, 3, 3],
    ['a double definition', `${HEADER}g (float x) => (y) {\n  y = Relu(x)\n  y = Neg(x) }`, 4, 3],
    ['a duplicate attribute', `${HEADER}g (float x) => (y) { y = Elu<a = 1,\n a = 2>(x) }`, 3, 2],
    ['an unknown attribute type', `${HEADER}g (float x) => (y) { y = Elu<a: flout = 1>(x) }`, 2, 33],
    ['a wrong element count', `${HEADER}g (float[2] x = {1}) => (y) { y = Elu(x) }`, 2, 4],
    ['a value out of range', `${HEADER}g (int8[1] x = {200}) => (y) { y = Elu(x) }`, 2, 17],
    ['an unknown header key', '<ir_verson: 8> g () => () {}', 1, 2],
    ['no opset', 'g (float x) => (y) { y = Relu(x) }', 1, 1],
    ['a text that ends early', `${HEADER}g (float x) => (y) {`, 2, 21],
    ['endless nesting', `${HEADER}${'g () => () { y = If(x)<b = '.repeat(500)}`, 2, undefined],
    ['endless types', `${HEADER}g (${'seq('.repeat(5000)}`, 2, undefined],
    ['an unsafe size', `${HEADER}g (float[-1] x) => (y) { y = Relu(x) }`, 2, 10],
  ])('reports %s with its line and column', (_what, text, line, column) => {
    const error = (() => {
      try {
        parseModel(text);
      } catch (e) {
        return e;
      }
      return undefined;
    })();
    expect(error).toBeInstanceOf(QuantError);
    const { code, where } = error as QuantError; // asserted above
    expect([code, where.line, column === undefined ? undefined : where.column]).toEqual(['GRAPH_TEXT', line, column]);
  });
});

function widths(dtype: string): number {
  const m = /(\d+)$/.exec(dtype.replace(/float8.*|bool/, 'x8').replace('bfloat16', 'x16'));
  return Number(m?.[1] ?? 8) / 8;
}
