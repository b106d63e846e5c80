import { createRng, type Rng } from '../base/rng.js';
import { dtypeCode } from '../ir/dtype.js';
import { allGraphs, type Graph, type Model, type Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { codings } from '../scheme/codings/index.js';
import { matrixOf, paddedWidth, unpackTable } from '../scheme/codings/matrix.js';
import type { Coded, Matrix } from '../scheme/codings/types.js';
import type { Format } from './types.js';

/**
 * Weights as codes that the model itself turns back into float32: a Cast or a look-up, a product with the scales, a Reshape.
 * Runtimes compute that once, when they load the model, for all of it is constant.
 */
export const coded = {
  name: 'coded',
  doc: 'Weights stored in a number format of choice (float16, float8, block floats, shared values, powers of two, ternary …) and turned back into float32 when the model is loaded: smaller files at the speed of float32. No calibration data needed.',
  plan: 'coded',
  minOpset: () => 13, // planning asks the coding
  rewrite({ model, planned, seed }) {
    const writer = new Writer(model, createRng(seed, 'rounding'));
    let changes = 0;
    for (const [point, spec] of planned.plan) {
      if (spec.kind !== 'coded' || !('uses' in point) || !point.data) continue;
      const coding = codings.find((c) => c.name === spec.coding)!; // the schema allows names of the list only
      const matrix = matrixOf(point.data.f32(), point.data.dims, spec.axis);
      const made = coding.encode(matrix, spec.options, writer.rng);
      if (typeof made === 'string') continue; // planning has told why
      writer.replace(point, made, matrix);
      changes++;
    }
    return { changes, tensors: new Map() };
  },
} satisfies Format;

class Writer {
  readonly rng: Rng;
  readonly #model: Model;
  readonly #owner = new Map<Value, Graph>();
  readonly #freeName: (base: string) => string;
  /** Tables that unpack bytes, by graph, contents and digits. */
  readonly #tables = new Map<Graph, Map<string, Value>>();

  constructor(model: Model, rng: Rng) {
    this.#model = model;
    this.rng = rng;
    this.#freeName = new GraphBuilder(model).freeName;
    for (const g of allGraphs(model.graph)) for (const v of g.initializers) this.#owner.set(v, g);
  }

  replace(weight: Value, c: Coded, { rows, columns, rowStride }: Matrix): void {
    const graph = this.#owner.get(weight)!; // planning chose initializers
    const b = new GraphBuilder(this.#model, graph, this.#freeName);
    const { dims } = weight.data!; // as above
    const { name } = weight;
    weight.name = this.#freeName(`${name}_float`);
    const ints = (v: readonly number[]): Value => b.constant(Tensor.i64(v), `${name}_shape`);
    const cast = (v: Value, to: 'float32' | 'int32'): Value => b.op('Cast', [v], { attrs: { to: dtypeCode(to) }, name: `${name}_decoded` });
    const size = c.block ?? columns;
    const width = paddedWidth(columns, size);
    const codes = b.constant(c.codes, `${name}_codes`);
    let v = this.#values(b, graph, c, codes, rows, width, name, ints, cast);
    if (c.scale) {
      const stored = b.constant(c.scale.reshaped([rows, width / size, 1]), `${name}_scale`);
      const scale = c.scale.dtype === 'float32' ? stored : cast(stored, 'float32');
      v = b.op('Mul', [b.op('Reshape', [v, ints([rows, width / size, size])], { name: `${name}_blocks` }), scale], { name: `${name}_scaled` });
    }
    if (c.factor !== undefined) v = b.op('Mul', [v, b.constant(c.factor, `${name}_factor`)], { name: `${name}_scaled` });
    if (width !== columns) v = b.op('Slice', [b.op('Reshape', [v, ints([rows, width])], { name: `${name}_rows` }), ints([0]), ints([columns]), ints([1])], { name: `${name}_rows` });
    const turned = rowStride === 1 && rows > 1 && columns > 1;
    if (turned) v = b.op('Transpose', [b.op('Reshape', [v, ints([rows, columns])], { name: `${name}_rows` })], { attrs: { perm: [1, 0] }, name: `${name}_turned` });
    const node = b.node('Reshape', [v, ints(dims)], 1, { name, outputs: [name] });
    graph.replaceUses(weight, node.outputs[0]!); // one output was asked for
    graph.initializers.delete(weight);
  }

  /** What the codes mean, before scales, in any shape of row-major order. */
  #values(b: GraphBuilder, graph: Graph, c: Coded, codes: Value, rows: number, width: number, name: string, ints: (v: readonly number[]) => Value, cast: (v: Value, to: 'float32' | 'int32') => Value): Value {
    if (!c.levels) return cast(codes, 'float32');
    const perRow = c.levels.dims.length === 2;
    const count = c.levels.dims[c.levels.dims.length - 1]!; // levels have an axis
    let index = cast(codes, 'int32');
    if (c.perByte !== undefined) {
      // Without tables of its own for each row, a byte is looked up as the values of its codes at once.
      const digits = perRow ? Float32Array.from({ length: count }, (_, i) => i) : c.levels.f32();
      const looked = b.op('Gather', [this.#table(b, graph, digits, c.perByte), index], { name: `${name}_unpacked` });
      const flat = b.op('Slice', [b.op('Reshape', [looked, ints([-1])], { name: `${name}_unpacked` }), ints([0]), ints([rows * width]), ints([0])], { name: `${name}_unpacked` });
      if (!perRow) return flat;
      index = cast(b.op('Reshape', [flat, ints([rows, width])], { name: `${name}_unpacked` }), 'int32');
    }
    const table = b.constant(c.levels, `${name}_levels`);
    return perRow ? b.op('GatherElements', [table, index], { attrs: { axis: 1 }, name: `${name}_looked_up` }) : b.op('Gather', [table, index], { name: `${name}_looked_up` });
  }

  #table(b: GraphBuilder, graph: Graph, levels: Float32Array, perByte: number): Value {
    const own = this.#tables.get(graph) ?? new Map<string, Value>();
    this.#tables.set(graph, own);
    const key = `${perByte} ${levels.join(' ')}`;
    const known = own.get(key);
    if (known) return known;
    const made = b.constant(unpackTable(levels, perByte), 'unpacked_codes');
    own.set(key, made);
    return made;
  }
}
