import { filled } from '../base/lists.js';
import { createRng, type Rng } from '../base/rng.js';
import type { Graph, Node, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { dtypeCode } from '../ir/dtype.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnused, removeUnusedInitializers, replaceOutputs } from '../rewrite/pass.js';
import { weightCodes } from '../scheme/arithmetic.js';
import type { QuantParams } from '../scheme/types.js';
import { isNarrow, NARROW_CODES_OPSET, NarrowCodes } from './narrow-codes.js';
import type { Format, FormatInput, TensorPlace } from './types.js';

/**
 * Weights stored in int8, activations quantized while the model runs (DynamicQuantizeLinear), products in integers
 * (MatMulInteger, ConvInteger, DynamicQuantizeLSTM). Needs no calibration. Embedding tables keep one scale a row and
 * are looked up as codes. Bodies of If, Loop and Scan are written too.
 */
export const dynamic = {
  name: 'dynamic',
  doc: 'int8 weights; activations quantized at run time. No calibration data needed; best for transformers and LSTMs.',
  plan: 'dynamic',
  minOpset: (schemes) => (schemes.some(isNarrow) ? NARROW_CODES_OPSET : 13),
  rewrite(input) {
    const store = new WeightStore(input);
    const graphs = [...allGraphs(input.model.graph)];
    const [main] = graphs.map((graph) => {
      const rewriter = new DynamicRewriter(input, graph, store);
      for (const n of graph.topological()) {
        if (input.planned.integerNodes.has(n)) rewriter.rewrite(n);
        else if (input.planned.weightOnlyNodes.has(n)) rewriter.dequantizeWeight(n);
      }
      return rewriter;
    });
    for (const graph of graphs) removeUnused(graph, graph.topological().toReversed());
    removeUnusedInitializers(input.model.graph);
    // there is a main graph, and it comes first
    return { changes: input.planned.integerNodes.size + input.planned.weightOnlyNodes.size, tensors: main!.tensors };
  },
} satisfies Format;

const FLOAT = dtypeCode('float32');
/** Of rows of zeros, which no smaller number can divide. */
const LEAST_SCALE = 2 ** -126;

/** Another order of a weight's codes. */
type Change = (codes: Tensor) => Tensor;
interface StoredWeight {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value | null;
}

/** Weights as constants of the graph that held them in float, so that bodies share what lies around them. */
class WeightStore {
  readonly freeName: (base: string) => string;
  readonly #in: FormatInput;
  readonly #rng: Rng;
  readonly #owner = new Map<Value, Graph>();
  /** By parameters, and by how the codes lie. */
  readonly #stored = new Map<QuantParams, Map<Change | undefined, StoredWeight>>();

  constructor(input: FormatInput) {
    this.#in = input;
    this.#rng = createRng(input.seed, 'rounding');
    this.freeName = new GraphBuilder(input.model).freeName;
    for (const g of allGraphs(input.model.graph)) for (const v of g.initializers) this.#owner.set(v, g);
  }

  /** An edge that needs its own parameters comes before what the other users share. */
  paramsOf(n: Node, index: number): QuantParams {
    return this.#in.params.get(n.use(index)!) ?? this.#in.params.get(n.inputs[index]!)!; // one of both is planned
  }

  /** The codes of an input of a node, changed where asked: stored once for all nodes that want them so. */
  get(n: Node, index: number, change?: Change, paramDims?: readonly number[]): StoredWeight {
    const v = n.inputs[index]!; // planning chose constant weights
    const p = this.paramsOf(n, index);
    const forms = this.#stored.get(p) ?? new Map<Change | undefined, StoredWeight>();
    this.#stored.set(p, forms);
    const known = forms.get(change);
    if (known) return known;
    const data = v.data!; // as above
    const codes = weightCodes(data, p, this.#rng);
    const b = new GraphBuilder(this.#in.model, this.#owner.get(v), this.freeName);
    const dims = paramDims ?? (p.scale.length === 1 ? [] : [p.scale.length]);
    const spread = <T extends Float32Array | Int32Array>(x: T, like: (n: number) => T): T =>
      paramDims && x.length === 1 ? like(dims.reduce((a, d) => a * d, 1)) : x;
    const made = {
      // The kernel of an LSTM wants constants.
      codes: paramDims
        ? b.constant(change!(codes), `${v.name}_quantized`)
        : this.#narrowOf(b).codes(change?.(codes) ?? codes, p.scheme, `${v.name}_quantized`),
      scale: b.constant(
        Tensor.f32(
          spread(p.scale, (k) => new Float32Array(k).fill(p.scale[0]!)),
          dims,
        ),
        `${v.name}_scale`,
      ),
      zeroPoint:
        paramDims || p.zeroPoint.some((z) => z !== 0)
          ? b.constant(
              Tensor.codes(
                p.scheme.dtype,
                spread(p.zeroPoint, (k) => new Int32Array(k).fill(p.zeroPoint[0]!)),
                dims,
              ),
              `${v.name}_zero_point`,
            )
          : null,
    };
    forms.set(change, made);
    return made;
  }

  readonly #narrow = new Map<Graph, NarrowCodes>();
  #narrowOf(b: GraphBuilder): NarrowCodes {
    const known = this.#narrow.get(b.graph) ?? new NarrowCodes(b);
    this.#narrow.set(b.graph, known);
    return known;
  }
}

class DynamicRewriter {
  readonly #store: WeightStore;
  readonly #b: GraphBuilder;
  readonly #in: FormatInput;
  readonly #activations = new Map<Value, Activation>();
  readonly #byRow = new Map<Value, Activation>();
  readonly tensors = new Map<string, TensorPlace>();
  constructor(input: FormatInput, graph: Graph, store: WeightStore) {
    this.#in = input;
    this.#b = new GraphBuilder(input.model, graph, store.freeName);
    this.#store = store;
  }

  rewrite(n: Node): void {
    if (n.op === 'Gather') this.#lookup(n);
    else if (n.op === 'LSTM') this.#lstm(n);
    else if (n.op === 'Conv') this.#conv(n);
    else this.#product(n);
  }

  /** The weight is stored as codes and dequantized before the float product. */
  dequantizeWeight(n: Node): void {
    const w = this.#store.get(n, 1);
    const g = this.#store.paramsOf(n, 1).scheme.granularity;
    n.setInput(
      1,
      this.#b.op('DequantizeLinear', [w.codes, w.scale, ...(w.zeroPoint ? [w.zeroPoint] : [])], {
        attrs: g.kind === 'axis' ? { axis: g.axis } : {},
        name: `${n.name}_weight`,
      }),
    );
  }

  #product(n: Node): void {
    const b = this.#b;
    const data = filled(n.inputs, 0);
    const byRow = this.#in.planned.rowWise?.has(n) === true;
    const x = byRow ? this.#rows(data) : this.#activation(data);
    const w = this.#store.get(n, 1, n.op === 'Gemm' && n.int('transB', 0) === 1 ? transpose : undefined);
    const product = b.op('MatMulInteger', [x.codes, w.codes, x.zeroPoint, ...(w.zeroPoint ? [w.zeroPoint] : [])], {
      name: `${n.name}_quant`,
    });
    // onnxruntime 1.30 takes a product of both scales before a bias for one number, whatever its shape, and fuses it
    const first = byRow ? w.scale : b.op('Mul', [x.scale, w.scale], { name: `${n.name}_scales` });
    const sums = b.op('Cast', [product], { attrs: { to: FLOAT }, name: `${n.name}_cast` });
    let y = b.op('Mul', [sums, first], { name: `${n.name}_scaled` });
    if (byRow) y = b.op('Mul', [y, x.scale], { name: `${n.name}_scaled_rows` });
    const bias = n.op === 'Gemm' ? n.inputs[2] : null;
    if (bias) y = b.op('Add', [y, bias], { name: `${n.name}_bias` });
    this.#replace(n, y);
  }

  #conv(n: Node): void {
    const b = this.#b;
    const x = this.#activation(n.inputs[0]!); // planning chose nodes with both inputs
    const w = this.#store.get(n, 1);
    const attrs = Object.fromEntries(n.attrs);
    const zero = w.zeroPoint && oneOf(w.zeroPoint, b);
    const product = b.op('ConvInteger', [x.codes, w.codes, x.zeroPoint, ...(zero ? [zero] : [])], {
      attrs,
      name: `${n.name}_quant`,
    });
    const rank = n.inputs[1]!.data!.dims.length; // a constant weight, by planning
    const scaleShape = (v: Value): Value =>
      v.data && v.data.size > 1
        ? b.constant(v.data.reshaped([v.data.size, ...Array<number>(rank - 2).fill(1)]), `${n.name}_scale`)
        : v;
    const scales = b.op('Mul', [x.scale, scaleShape(w.scale)], { name: `${n.name}_scales` });
    let y = b.op('Mul', [b.op('Cast', [product], { attrs: { to: FLOAT }, name: `${n.name}_cast` }), scales], {
      name: `${n.name}_scaled`,
    });
    const bias = n.inputs[2]?.data;
    if (bias)
      y = b.op(
        'Add',
        [y, b.constant(bias.reshaped([bias.size, ...Array<number>(rank - 2).fill(1)]), `${n.name}_bias`)],
        { name: `${n.name}_bias_add` },
      );
    this.#replace(n, y);
  }

  /** Rows of codes and their scales are looked up separately and multiplied. */
  #lookup(n: Node): void {
    const b = this.#b;
    const w = this.#store.get(n, 0);
    const indices = n.inputs[1]!; // Gather has indices
    const codes = b.op('Cast', [b.op('Gather', [w.codes, indices], { attrs: { axis: 0 }, name: `${n.name}_codes` })], {
      attrs: { to: FLOAT },
      name: `${n.name}_cast`,
    });
    const perRow = w.scale.data!.size > 1; // made by #weight from a tensor
    const rank = n.inputs[0]!.data!.dims.length; // a constant table, by planning
    const scale = perRow
      ? b.op(
          'Gather',
          [
            b.constant(
              w.scale.data!.reshaped([w.scale.data!.size, ...Array<number>(rank - 1).fill(1)]),
              `${n.name}_row_scale`,
            ),
            indices,
          ],
          { attrs: { axis: 0 }, name: `${n.name}_scales` },
        )
      : w.scale;
    this.#replace(n, b.op('Mul', [codes, scale], { name: `${n.name}_scaled` }));
  }

  /**
   * The kernel wants both weights as [directions, inputs, 4 · hidden], with scales and zero points [directions] or
   * [directions, 4 · hidden].
   * source:
   * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.DynamicQuantizeLSTM
   */
  #lstm(n: Node): void {
    const stored = [1, 2].map((i) => {
      const { dims } = n.inputs[i]!.data!; // planning chose constant weights
      const perRow = this.#store.paramsOf(n, i).scheme.granularity.kind === 'block';
      return this.#store.get(n, i, transposeGates, dims.slice(0, perRow ? 2 : 1));
    });
    const [w, r] = stored as [StoredWeight, StoredWeight]; // two were asked for
    // 0 by planning, and the kernel has no such attribute
    const { layout: _layout, ...attrs } = Object.fromEntries(n.attrs);
    const rest = Array.from({ length: 5 }, (_, i) => n.inputs[3 + i] ?? null); // bias, lengths, states, peepholes
    const made = this.#b.node(
      'DynamicQuantizeLSTM',
      [n.inputs[0]!, w.codes, r.codes, ...rest, w.scale, w.zeroPoint, r.scale, r.zeroPoint],
      n.outputs.length,
      { domain: 'com.microsoft', attrs, name: n.name || n.op },
    ); // planned with an input
    n.outputs.forEach((y, i) => {
      const to = made.outputs[i]!; // as many
      to.dtype = y.dtype;
      to.shape = y.shape;
      if (y.name === '') to.name = '';
      else this.tensors.set(y.name, { value: to });
    });
    replaceOutputs(this.#b.graph, n, made.outputs);
  }

  #replace(n: Node, made: Value): void {
    this.tensors.set(n.outputs[0]!.name, { value: made }); // products and lookups have one output
    replaceOutputs(this.#b.graph, n, [made]);
  }

  /**
   * Codes around 128 with a scale for each row, max|x| ÷ 127: a row with huge values costs the others nothing.
   * Operators of the standard, for DynamicQuantizeLinear has one scale for the whole tensor.
   */
  #rows(v: Value): Activation {
    const known = this.#byRow.get(v);
    if (known) return known;
    const b = this.#b;
    const [name, axes] = [`${v.name}_rows`, [-1]];
    const size = b.op('Abs', [v], { name });
    const most =
      (this.#in.model.opsets.get('') ?? 0) >= 18
        ? b.op('ReduceMax', [size, b.constant(Tensor.i64(axes), 'axes')], { attrs: { keepdims: 1 }, name })
        : b.op('ReduceMax', [size], { attrs: { axes, keepdims: 1 }, name });
    const float = (x: number): Value => b.constant(Tensor.f32(Float32Array.of(x), []), name);
    const scale = b.op('Max', [b.op('Mul', [most, float(1 / 127)], { name }), float(LEAST_SCALE)], { name });
    const zeroPoint = b.constant(Tensor.codes('uint8', [128], []), `${name}_zero_point`);
    const codes = b.op('QuantizeLinear', [b.op('Div', [v, scale], { name }), float(1), zeroPoint], { name });
    const made = { codes, scale, zeroPoint };
    this.#byRow.set(v, made);
    return made;
  }

  /** One DynamicQuantizeLinear for all users of an activation. */
  #activation(v: Value): Activation {
    const known = this.#activations.get(v);
    if (known) return known;
    const node = this.#b.node('DynamicQuantizeLinear', [v], 3, { name: `${v.name}_DynamicQuantizeLinear` });
    const [codes, scale, zeroPoint] = node.outputs as readonly [Value, Value, Value]; // three were asked for
    const made = { codes, scale, zeroPoint };
    this.#activations.set(v, made);
    return made;
  }
}

interface Activation {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** The zero point that all channels share, by planning, as the scalar that ConvInteger takes. */
const oneOf = (v: Value, b: GraphBuilder): Value =>
  // made from a tensor
  v.data!.size > 1 ? b.constant(Tensor.codes('uint8', [v.data!.numbersOrUndefined()![0]!], []), v.name) : v;

/** The same for weights of recurrent cells, which other parameters go with. */
const transposeGates: Change = (t) => transpose(t);

/** One-byte codes with their last two axes exchanged. */
function transpose(t: Tensor): Tensor {
  const [rows, columns] = t.dims.slice(-2) as [number, number]; // weights have at least two axes
  const from = t.bytes();
  const to = new Uint8Array(from.length);
  for (let base = 0; base < from.length; base += rows * columns)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) to[base + c * rows + r] = from[base + r * columns + c]!;
  return new Tensor(t.dtype, [...t.dims.slice(0, -2), columns, rows], to);
}
