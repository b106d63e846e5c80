import { filled, named } from '../base/lists.js';
import { dataOf } from '../ir/known.js';
import { createRng, type Rng } from '../base/rng.js';
import { dtypeBits } from '../ir/dtype.js';
import { encodeTensor } from '../ir/encode.js';
import type { Graph, Node, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnused, removeUnusedInitializers, replaceOutputs } from '../rewrite/pass.js';
import { quantize } from '../scheme/arithmetic.js';
import type { QuantParams, QuantScheme } from '../scheme/types.js';
import { blockedCodes, type MatrixLayout } from './blocked.js';
import { laterBlocks } from './later.js';
import { NarrowCodes } from './narrow-codes.js';
import { scaleTypeOf, storedScales } from './scales.js';
import type { Format, FormatInput, TensorPlace } from './types.js';
import type { WeightOnlyForm } from '../scheme/quantized.js';

export const MAT_MUL_N_BITS = 'com.microsoft:MatMulNBits';
export const GATHER_BLOCK_QUANTIZED = 'com.microsoft:GatherBlockQuantized';

/**
 * Weights as codes of 8, 4 or 2 bits, everything else in float: MatMulNBits and GatherBlockQuantized where the target
 * has them, else DequantizeLinear before the float operator (a convolution always).
 */
export const weightOnly = {
  name: 'weight-only',
  doc:
    'Weights in 8, 4 or 2 bits with a scale for each block, activations in float: MatMulNBits for products and ' +
    'GatherBlockQuantized for embedding tables (DequantizeLinear with standardOps and for convolutions). The ' +
    'smallest files; calibration data only for methods that look at inputs.',
  plan: 'weight-only',
  minOpset: () => 7, // planning asks weightOnlyOpset, which knows the operators
  rewrite(input) {
    const writer = new Writer(input);
    const graphs = [...allGraphs(input.model.graph)];
    for (const graph of graphs)
      for (const n of graph.topological()) if (input.planned.weightOnlyNodes.has(n)) writer.rewrite(n, graph);
    for (const [w, table] of input.planned.tied ?? []) writer.shareFloats(w, table);
    for (const graph of graphs) removeUnused(graph, graph.topological().toReversed());
    removeUnusedInitializers(input.model.graph);
    return { changes: input.planned.weightOnlyNodes.size, tensors: writer.tensors };
  },
} satisfies Format;

/**
 * Whether a node's weight is written for MatMulNBits or GatherBlockQuantized. source: both kernels of onnxruntime 1.30
 * take blocks of a power of two from 16 on, MatMulNBits up to 256, of codes of 2, 4 or 8 bits, packed; tables are
 * matrices of whole bytes a row.
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
 */
export function blockedForm(n: Node, scheme: QuantScheme, form: WeightOnlyForm): 'product' | 'table' | undefined {
  const g = scheme.granularity;
  const bits = dtypeBits(scheme.dtype);
  const dims = n.inputs[n.op === 'Gather' ? 0 : 1]?.data?.dims;
  if (g.kind !== 'block' || dims?.length !== 2 || bits > 8 || g.size < 16 || (g.size & (g.size - 1)) !== 0)
    return undefined;
  if (n.op === 'Gather')
    return form.gatherBlockQuantized && g.axis === 1 && (dims[1]! * bits) % 8 === 0 ? 'table' : undefined; // two axes
  if (!form.matMulNBits || g.size > 256) return undefined;
  if (n.op === 'MatMul') return g.axis === 0 ? 'product' : undefined;
  const plain = n.op === 'Gemm' && n.int('transA', 0) === 0 && n.float('alpha', 1) === 1 && n.float('beta', 1) === 1;
  return plain && g.axis === (n.int('transB', 0) ? 1 : 0) ? 'product' : undefined;
}

class Writer {
  readonly #in: FormatInput;
  readonly #form: WeightOnlyForm;
  /** Of the graph that is written to: that of the node, or that which holds its weight. */
  #b: GraphBuilder;
  readonly #builders = new Map<Graph, { readonly b: GraphBuilder; readonly narrow: NarrowCodes }>();
  readonly #owner = new Map<Value, Graph>();
  readonly #rng: Rng;
  /** Weights that several nodes share are stored once for each way to store them. */
  readonly #stored = new Map<QuantParams, Map<string, readonly Value[]>>();
  readonly tensors = new Map<string, TensorPlace>();

  constructor(input: FormatInput) {
    this.#in = input;
    this.#form = input.planned.weightOnly ?? { matMulNBits: false, gatherBlockQuantized: false, accuracyLevel: 0 };
    this.#b = new GraphBuilder(input.model);
    const main = input.model.graph;
    this.#builders.set(main, { b: this.#b, narrow: new NarrowCodes(this.#b) });
    for (const g of allGraphs(main)) for (const v of g.initializers) this.#owner.set(v, g);
    this.#rng = createRng(input.seed, 'rounding');
  }

  /** Writes to a graph from here on; gives the one before. */
  #writeTo(graph: Graph): Graph {
    const before = this.#b.graph;
    let known = this.#builders.get(graph);
    if (!known) {
      const b = new GraphBuilder(this.#in.model, graph, this.#b.freeName);
      known = { b, narrow: new NarrowCodes(b) };
      this.#builders.set(graph, known);
    }
    this.#b = known.b;
    return before;
  }
  get #narrow(): NarrowCodes {
    return named(this.#builders, this.#b.graph).narrow;
  }

  rewrite(n: Node, graph: Graph): void {
    this.#writeTo(graph);
    const index = n.op === 'Gather' ? 0 : 1;
    // one of both is planned
    const params = this.#in.params.get(n.use(index)!) ?? this.#in.params.get(n.inputs[index]!)!;
    switch (blockedForm(n, params.scheme, this.#form)) {
      case 'product':
        this.#product(n, params);
        break;
      case 'table':
        this.#table(n, params);
        break;
      case undefined: {
        const w = filled(n.inputs, index);
        n.setInput(index, this.#dequantized(w, params));
        if (this.#in.lowRank?.has(w)) this.#replace(n, this.#corrected(n, w, this.#again(n)));
      }
    }
  }

  #storedProduct(n: Node, params: QuantParams): readonly Value[] {
    const w = filled(n.inputs, 1);
    const { rows, columns, turned } = matrixOf(n);
    const layout = { rows, columns, rowStride: turned ? columns : 1, columnStride: turned ? 1 : rows };
    return this.#once(w, params, 'product', () => this.#blocked(w, params, layout, true));
  }

  #product(n: Node, params: QuantParams): void {
    const b = this.#b;
    const w = filled(n.inputs, 1);
    const { rows, columns } = matrixOf(n);
    const size = blockSize(params);
    const stored = this.#storedProduct(n, params);
    const level = this.#form.accuracyLevel;
    const bias = n.op === 'Gemm' ? (n.inputs[2] ?? null) : null;
    let y = b.op('MatMulNBits', [n.inputs[0]!, ...stored], {
      // planning chose nodes with both inputs
      domain: 'com.microsoft',
      name: n.name || n.op,
      attrs: {
        K: columns,
        N: rows,
        bits: dtypeBits(params.scheme.dtype),
        block_size: size,
        ...(level ? { accuracy_level: level } : {}),
      },
    });
    if (bias) y = b.op('Add', [y, bias], { name: `${n.name || n.op}_bias` });
    this.#replace(n, this.#corrected(n, w, y));
  }

  /** The same node without a name that others know it by. */
  #again(n: Node): Value {
    return this.#b.op(n.op, [...n.inputs], {
      domain: n.domain,
      attrs: Object.fromEntries(n.attrs),
      name: n.name || n.op,
    });
  }

  /** With what makes up for the error of the codes, where that is wanted. */
  #corrected(n: Node, w: Value, y: Value): Value {
    const term = this.#in.lowRank?.get(w);
    if (!term) return y;
    const { rank, rows, columns } = term;
    const [narrow, wide] = this.#once(w, named(this.#in.params, w), 'lowRank', () => [
      this.#b.constant(encodeTensor(scaleTypeOf(w.dtype), [columns, rank], term.narrow), `${w.name}_narrow`),
      this.#b.constant(encodeTensor(scaleTypeOf(w.dtype), [rank, rows], term.wide), `${w.name}_wide`),
    ]);
    const name = `${n.name || n.op}_low_rank`;
    const inner = this.#b.op('MatMul', [filled(n.inputs, 0), narrow ?? null], { name });
    return this.#b.op('Add', [y, this.#b.op('MatMul', [inner, wide ?? null], { name })], { name });
  }

  /** A product and a table of the same float numbers: the product reads those of the table. */
  shareFloats(w: Value, table: Value): void {
    if (w === table || this.#in.params.has(w) || this.#in.params.has(table)) return;
    for (const { node, index } of [...w.uses]) {
      const turned = node.op === 'MatMul' || node.int('transB', 0) === 0;
      const name = `${table.name}_Transpose`;
      node.setInput(index, turned ? this.#b.op('Transpose', [table], { attrs: { perm: [1, 0] }, name }) : table);
    }
  }

  /** Codes, scales and zero points of the product that a table shares its numbers with, in the table's shape. */
  #shared(table: Value, rows: number, columns: number): readonly Value[] | undefined {
    const [w] = [...(this.#in.planned.tied ?? [])].find(([, t]) => t === table) ?? [];
    const head = w && [...w.uses].find((u) => blockedForm(u.node, named(this.#in.params, w).scheme, this.#form));
    if (!w || !head || columns % blockSize(named(this.#in.params, w)) !== 0) return undefined;
    const params = named(this.#in.params, w);
    const [codes, ...rest] = this.#storedProduct(head.node, params);
    const bytes = (columns * dtypeBits(params.scheme.dtype)) / 8;
    const shape = this.#b.constant(Tensor.i64([rows, bytes]), `${table.name}_shape`);
    return [this.#b.op('Reshape', [codes ?? null, shape], { name: `${table.name}_Reshape` }), ...rest];
  }

  #table(n: Node, params: QuantParams): void {
    const w = n.inputs[0]!; // planned
    const [rows, columns] = w.data!.dims as readonly [number, number]; // a constant matrix, as blockedForm says
    const layout = { rows, columns, rowStride: columns, columnStride: 1 };
    const make = (): readonly Value[] => this.#shared(w, rows, columns) ?? this.#blocked(w, params, layout, false);
    const stored = this.#once(w, params, 'table', make);
    const [codes, ...rest] = stored;
    this.#replace(
      n,
      this.#b.op('GatherBlockQuantized', [codes!, n.inputs[1]!, ...rest], {
        // #blocked gives at least codes; Gather has indices
        domain: 'com.microsoft',
        name: n.name || n.op,
        attrs: {
          gather_axis: 0,
          quantize_axis: 1,
          block_size: blockSize(params),
          bits: dtypeBits(params.scheme.dtype),
        },
      }),
    );
  }

  /**
   * Codes, scales and, unless they are the middle of the codes, zero points. A product's codes are filled up to whole
   * blocks.
   */
  #blocked(w: Value, given: QuantParams, layout: MatrixLayout, padded: boolean): readonly Value[] {
    const { name } = w;
    const scaleType = scaleTypeOf(w.dtype);
    if (given.later) {
      const made = laterBlocks({ ...layout, tensor: w.data! }, given, { padded, scaleType, name }); // it is constant
      return [
        this.#b.constant(made.codes, `${name}_quantized`),
        this.#b.constant(made.scale, `${name}_scale`),
        ...(made.zeroPoint ? [this.#b.constant(made.zeroPoint, `${name}_zero_point`)] : []),
      ];
    }
    const params = storedScales(given, scaleType);
    const c = blockedCodes(this.#codes(w, params), params, layout);
    const bits = dtypeBits(params.scheme.dtype);
    const perBlock = (blockSize(params) * bits) / 8;
    const codes = padded
      ? new Tensor('uint8', [c.rows, c.blocks, perBlock], c.padded())
      : new Tensor('uint8', [c.rows, (c.columns * bits) / 8], c.exact());
    const used = params.scheme.bits ?? bits;
    // Signed codes were moved up by half of the type's range: the narrower ones begin higher up.
    const base = params.scheme.dtype.startsWith('u') ? 0 : 2 ** (bits - 1) - 2 ** (used - 1);
    return [
      used < bits
        ? this.#narrow.fields({
            bytes: codes.bytes(),
            dims: codes.dims,
            width: bits,
            bits: used,
            base,
            name: `${name}_quantized`,
          })
        : this.#b.constant(codes, `${name}_quantized`),
      this.#b.constant(encodeTensor(scaleType, [c.rows, c.blocks], c.scale), `${name}_scale`),
      ...(c.zeroPoint
        ? [
            this.#b.constant(
              new Tensor('uint8', [c.rows, c.zeroPoint.length / c.rows], c.zeroPoint),
              `${name}_zero_point`,
            ),
          ]
        : []),
    ];
  }

  /** The weight as DequantizeLinear gives it. */
  #dequantized(w: Value, given: QuantParams): Value {
    const [float] = this.#once(w, given, 'dequantized', () => {
      const scaleType = scaleTypeOf(w.dtype);
      const params = storedScales(given, scaleType);
      const { granularity: g, dtype } = params.scheme;
      const dims = w.data!.dims; // planned weights are constant
      // onnxruntime 1.30 fuses a product with a DequantizeLinear of 2-bit codes and then finds no kernel: a Reshape
      // keeps them apart.
      const apart = /2$/.test(dtype) ? 1 : 0;
      const lead = apart ? [1] : [];
      const paramDims =
        // blocks have dims
        g.kind === 'tensor' ? [] : g.kind === 'axis' ? [params.scale.length] : [...lead, ...params.dims!];
      const codes = this.#narrow.codes(
        this.#codes(w, params).reshaped([...lead, ...dims]),
        params.scheme,
        `${w.name}_quantized`,
      );
      const zero = params.zeroPoint.some((z) => z !== 0)
        ? [this.#b.constant(Tensor.codes(dtype, params.zeroPoint, paramDims), `${w.name}_zero_point`)]
        : [];
      const attrs =
        g.kind === 'tensor'
          ? {}
          : {
              axis: (g.axis < 0 ? g.axis + dims.length : g.axis) + apart,
              ...(g.kind === 'block' ? { block_size: g.size } : {}),
            };
      const made = this.#b.op(
        'DequantizeLinear',
        [codes, this.#b.constant(encodeTensor(scaleType, paramDims, params.scale), `${w.name}_scale`), ...zero],
        { attrs, name: `${w.name}_DequantizeLinear` },
      );
      return [
        apart
          ? this.#b.op('Reshape', [made, this.#b.constant(Tensor.i64(dims), `${w.name}_shape`)], {
              name: `${w.name}_Reshape`,
            })
          : made,
      ];
    });
    return float!; // made just above
  }

  #codes(w: Value, params: QuantParams): Tensor {
    return quantize(w.data!.f32(), w.data!.dims, params, this.#rng); // planned weights are constant
  }
  /** Lies in the graph that holds the weight, so that all bodies within it share what is stored. */
  #once(w: Value, params: QuantParams, form: string, make: () => readonly Value[]): readonly Value[] {
    const byForm = this.#stored.get(params) ?? new Map<string, readonly Value[]>();
    this.#stored.set(params, byForm);
    const known = byForm.get(form);
    if (known) return known;
    const before = this.#writeTo(this.#owner.get(w) ?? this.#b.graph);
    const made = make();
    this.#writeTo(before);
    byForm.set(form, made);
    return made;
  }
  #replace(n: Node, made: Value): void {
    // they have one output
    if (this.#b.graph === this.#in.model.graph) this.tensors.set(n.outputs[0]!.name, { value: made });
    replaceOutputs(this.#b.graph, n, [made]);
  }
}

/** The weight of a product as [rows, columns], one output a row: a constant matrix, as blockedForm says. */
function matrixOf(n: Node): { readonly rows: number; readonly columns: number; readonly turned: boolean } {
  const turned = n.op === 'Gemm' && n.int('transB', 0) !== 0;
  const [a = 0, b = 0] = dataOf(filled(n.inputs, 1)).dims;
  return turned ? { rows: a, columns: b, turned } : { rows: b, columns: a, turned };
}

const blockSize = ({ scheme: { granularity } }: QuantParams): number =>
  granularity.kind === 'block' ? granularity.size : 0;
