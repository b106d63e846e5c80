import { byName } from '../base/lists.js';
import { createRng, type Rng } from '../base/rng.js';
import { dtypeCode } from '../ir/dtype.js';
import type { Graph, Value } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { codings } from '../scheme/codings/index.js';
import { matrixOf, paddedWidth, planeWidths, unpackTable } from '../scheme/codings/matrix.js';
import type { Coded, Matrix } from '../scheme/codings/types.js';
import type { Format } from './types.js';

/**
 * Weights as codes that the model itself turns back into float32: a Cast or a look-up, a product with the scales, a
 * Reshape. Runtimes compute that once, when they load the model, for all of it is constant.
 */
export const coded = {
  name: 'coded',
  doc:
    'Weights stored in a number format of choice (float16, float8, block floats, shared values, powers of two, ' +
    'ternary …) and turned back into float32 when the model is loaded: smaller files at the speed of float32. No ' +
    'calibration data needed.',
  plan: 'coded',
  minOpset: () => 13, // planning asks the coding
  rewrite({ model, planned, seed, coded: chosen }) {
    const writer = new Writer(model, createRng(seed, 'rounding'));
    let changes = 0;
    for (const [point, spec] of planned.plan) {
      if (spec.kind !== 'coded' || !('uses' in point) || !point.data) continue;
      const coding = byName(codings, spec.coding);
      const matrix = matrixOf(point.data.f32(), point.data.dims, spec.axis);
      writer.replace(point, chosen?.get(point) ?? coding.encode(matrix, spec.options, writer.rng), matrix);
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
  /** Shapes, shifts and tables, which weights of a graph share, by graph and contents. */
  readonly #shared = new Map<Graph, Map<string, Value>>();

  constructor(model: Model, rng: Rng) {
    this.#model = model;
    this.rng = rng;
    this.#freeName = new GraphBuilder(model).freeName;
    for (const g of allGraphs(model.graph)) for (const v of g.initializers) this.#owner.set(v, g);
  }

  replace(weight: Value, c: Coded, { rows, columns, rowStride }: Matrix): void {
    const graph = this.#owner.get(weight)!; // planning chose initializers
    const { dims } = weight.data!; // as above
    const { name } = weight;
    weight.name = this.#freeName(`${name}_float`);
    const d = new Decoder(new GraphBuilder(this.#model, graph, this.#freeName), this.#constantsOf(graph), c, name);
    const turned = rowStride === 1 && rows > 1 && columns > 1;
    const whole = turned ? [rows, columns] : dims;
    const size = c.block ?? columns;
    const width = paddedWidth(columns, size);
    const shape = c.block === undefined ? whole : [rows, width / size, size];
    let v = d.values(shape);
    if (c.scale) {
      // One for each row: the axes that rows run over, and ones.
      const leading = shape.findIndex((_, i) => shape.slice(0, i + 1).reduce((n, x) => n * x, 1) === rows) + 1;
      const stored = d.constant(
        c.scale.reshaped(c.block === undefined ? shape.map((x, i) => (i < leading ? x : 1)) : [rows, width / size, 1]),
        'scale',
      );
      v = d.op('Mul', [v, c.scale.dtype === 'float32' ? stored : d.cast(stored, 'float32')]);
    }
    if (c.factor !== undefined) v = d.op('Mul', [v, d.constant(Tensor.f32([c.factor], []), 'factor')]);
    if (width !== columns)
      v = d.op('Slice', [d.reshape(v, [rows, width]), d.ints([0]), d.ints([columns]), d.ints([1])]);
    if (c.block !== undefined) v = d.reshape(v, whole);
    if (turned) v = d.op('Transpose', [v], { perm: [1, 0] });
    if (turned && dims.length > 2) v = d.reshape(v, dims);
    v.name = name;
    graph.replaceUses(weight, v);
    graph.initializers.delete(weight);
  }

  #constantsOf(graph: Graph): Map<string, Value> {
    const known = this.#shared.get(graph) ?? new Map<string, Value>();
    this.#shared.set(graph, known);
    return known;
  }
}

/** Builds the nodes that decode one weight. They are many, and each name goes into the file three times: short ones. */
class Decoder {
  readonly #b: GraphBuilder;
  readonly #shared: Map<string, Value>;
  readonly #c: Coded;
  readonly #name: string;
  constructor(b: GraphBuilder, shared: Map<string, Value>, c: Coded, name: string) {
    this.#b = b;
    this.#shared = shared;
    this.#c = c;
    this.#name = name;
  }

  op(
    op: string,
    inputs: readonly Value[],
    attrs: Readonly<Record<string, number | string | readonly number[]>> = {},
  ): Value {
    return this.#b.op(op, inputs, { attrs, name: 'dec' });
  }
  constant(data: Tensor, role: string): Value {
    return this.#b.constant(data, `${this.#name}_${role}`);
  }
  cast(v: Value, to: 'float32' | 'int32'): Value {
    return this.op('Cast', [v], { to: dtypeCode(to) });
  }
  reshape(v: Value, shape: readonly number[]): Value {
    return this.op('Reshape', [v, this.ints(shape)]);
  }
  ints(values: readonly number[]): Value {
    return this.#once(`ints ${values.join(' ')}`, 'shape', () => Tensor.i64(values));
  }

  /** What the codes mean, before scales, as `shape`. */
  values(shape: readonly number[]): Value {
    const { levels, codes, planes, perByte, zeroPoint } = this.#c;
    const count = shape.reduce((n, x) => n * x, 1);
    if (!levels) {
      const v =
        planes === undefined
          ? this.cast(this.constant(codes.reshaped(shape), 'codes'), 'float32')
          : this.#planes('float32', shape);
      return zeroPoint === undefined
        ? v
        : this.op('Sub', [v, this.#once(`float ${zeroPoint}`, 'zero_point', () => Tensor.f32([zeroPoint], []))]);
    }
    const perRow = levels.dims.length === 2; // or for some rows together
    const tables = levels.dims[0]!; // levels have an axis
    const indexShape = perRow ? [tables, count / tables] : shape;
    let index: Value;
    if (perByte !== undefined) {
      // Without tables of its own for each row, a byte is looked up as the values of its codes at once.
      const digits = perRow ? Float32Array.from({ length: levels.dims[1]! }, (_, i) => i) : levels.f32(); // two axes
      const table = this.#once(`${perByte} ${digits.join(' ')}`, 'unpacked_codes', () => unpackTable(digits, perByte));
      const flat = this.#first(
        this.op('Gather', [table, this.cast(this.constant(codes, 'codes'), 'int32')]),
        codes.size * perByte,
        indexShape,
      );
      if (!perRow) return flat;
      index = this.cast(flat, 'int32');
    } else
      index =
        planes === undefined
          ? this.cast(this.constant(codes.reshaped(indexShape), 'codes'), 'int32')
          : this.#planes('int32', indexShape);
    if (!perRow)
      return this.op('Gather', [
        this.#once(`levels ${levels.f32().join(' ')}`, `${this.#name}_levels`, () => levels),
        index,
      ]);
    const found = this.op('GatherElements', [this.constant(levels, 'levels'), index], { axis: 1 });
    return shape.join() === indexShape.join() ? found : this.reshape(found, shape);
  }

  /** The first elements of `v`, which has `have` of them, as `shape`. */
  #first(v: Value, have: number, shape: readonly number[]): Value {
    const count = shape.reduce((n, x) => n * x, 1);
    return this.reshape(
      count === have
        ? v
        : this.op('Slice', [this.reshape(v, [-1]), this.ints([0]), this.ints([count]), this.ints([0])]),
      shape,
    );
  }

  /**
   * Codes of bit planes: each plane is shifted right by several numbers at once, cut to its width, and put in its
   * place.
   */
  #planes(to: 'float32' | 'int32', shape: readonly number[]): Value {
    const { codes, planes } = this.#c;
    const run = codes.dims[1]!; // [bits, run]
    const bytes = codes.bytes();
    let low = 0;
    let sum: Value | undefined;
    for (const w of planeWidths(planes!)) {
      // callers asked
      const halvings = 3 - Math.log2(w);
      const plane = this.constant(
        new Tensor('uint8', [...Array<number>(3 - halvings).fill(2), run], bytes.subarray(low * run, (low + w) * run)),
        'codes',
      );
      const shifts = this.#once(`shifts ${w}`, 'shifts', () =>
        Tensor.codes(
          'uint8',
          Array.from({ length: 8 / w }, (_, q) => q * w),
          [2, ...[1, 2].map((i) => (i < halvings ? 2 : 1)), 1],
        ),
      );
      const digits = this.op('Mod', [
        this.op('BitShift', [plane, shifts], { direction: 'RIGHT' }),
        this.#once(`base ${w}`, 'base', () => Tensor.codes('uint8', [2 ** w], [])),
      ]);
      const part = this.cast(digits, to);
      const place = 2 ** low;
      sum = sum
        ? this.op('Add', [
            sum,
            this.op('Mul', [
              part,
              this.#once(`${to} ${place}`, 'place', () =>
                to === 'float32' ? Tensor.f32([place], []) : Tensor.i32([place], []),
              ),
            ]),
          ])
        : part;
      low += w;
    }
    return this.#first(sum!, run * 8, shape); // there is a plane
  }

  #once(key: string, name: string, make: () => Tensor): Value {
    const known = this.#shared.get(key) ?? this.#b.constant(make(), name);
    this.#shared.set(key, known);
    return known;
  }
}
