import { createRng, type Rng } from '../base/rng.js';
import type { Node, Value } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { dtypeCode } from '../ir/dtype.js';
import { GraphBuilder } from '../rewrite/builder.js';
import { removeUnused, removeUnusedInitializers, replaceOutputs } from '../rewrite/pass.js';
import { quantize } from '../scheme/arithmetic.js';
import type { QuantParams } from '../scheme/types.js';
import type { Format, FormatInput, TensorPlace } from './types.js';

/**
 * Weights stored in int8, activations quantized while the model runs (DynamicQuantizeLinear), products in integers
 * (MatMulInteger, ConvInteger). Needs no calibration. Embedding tables keep one scale a row and are looked up as codes.
 */
export const dynamic = {
  name: 'dynamic',
  doc: 'int8 weights; activations quantized at run time. No calibration data needed; best for transformers.',
  plan: 'dynamic',
  minOpset: () => 13,
  rewrite(input) {
    const rewriter = new DynamicRewriter(input);
    for (const n of input.model.graph.topological()) {
      if (input.planned.integerNodes.has(n)) rewriter.rewrite(n);
      else if (input.planned.weightOnlyNodes.has(n)) rewriter.dequantizeWeight(n);
    }
    removeUnused(input.model.graph, input.model.graph.topological().reverse());
    removeUnusedInitializers(input.model.graph);
    return { changes: input.planned.integerNodes.size + input.planned.weightOnlyNodes.size, tensors: rewriter.tensors };
  },
} satisfies Format;

const FLOAT = dtypeCode('float32');

class DynamicRewriter {
  readonly #in: FormatInput;
  readonly #b: GraphBuilder;
  readonly #activations = new Map<Value, { codes: Value; scale: Value; zeroPoint: Value }>();
  readonly #weights = new Map<QuantParams, { codes: Value; scale: Value; zeroPoint: Value | null }>();
  readonly #rng: Rng;
  readonly tensors = new Map<string, TensorPlace>();
  constructor(input: FormatInput) {
    this.#in = input;
    this.#b = new GraphBuilder(input.model);
    this.#rng = createRng(input.seed, 'rounding');
  }

  rewrite(n: Node): void {
    if (n.op === 'Gather') this.#lookup(n);
    else if (n.op === 'Conv') this.#conv(n);
    else this.#product(n);
  }

  /** The weight is stored as codes and dequantized before the float product. */
  dequantizeWeight(n: Node): void {
    const w = this.#weight(n, false);
    const point = this.#paramsOf(n, 1);
    const g = point.scheme.granularity;
    n.setInput(1, this.#b.op('DequantizeLinear', [w.codes, w.scale, ...(w.zeroPoint ? [w.zeroPoint] : [])], { attrs: g.kind === 'axis' ? { axis: g.axis } : {}, name: `${n.name}_weight` }));
  }

  #product(n: Node): void {
    const b = this.#b;
    const x = this.#activation(n.inputs[0]!); // planning chose nodes with both inputs
    const w = this.#weight(n, n.op === 'Gemm' && n.int('transB', 0) === 1);
    const product = b.op('MatMulInteger', [x.codes, w.codes, x.zeroPoint, ...(w.zeroPoint ? [w.zeroPoint] : [])], { name: `${n.name}_quant` });
    const scales = b.op('Mul', [x.scale, w.scale], { name: `${n.name}_scales` });
    let y = b.op('Mul', [b.op('Cast', [product], { attrs: { to: FLOAT }, name: `${n.name}_cast` }), scales], { name: `${n.name}_scaled` });
    const bias = n.op === 'Gemm' ? n.inputs[2] : null;
    if (bias) y = b.op('Add', [y, bias], { name: `${n.name}_bias` });
    this.#replace(n, y);
  }

  #conv(n: Node): void {
    const b = this.#b;
    const x = this.#activation(n.inputs[0]!); // planning chose nodes with both inputs
    const w = this.#weight(n, false);
    const attrs = Object.fromEntries(n.attrs);
    const product = b.op('ConvInteger', [x.codes, w.codes, x.zeroPoint, ...(w.zeroPoint ? [w.zeroPoint] : [])], { attrs, name: `${n.name}_quant` });
    const rank = n.inputs[1]!.data!.dims.length; // a constant weight, by planning
    const scaleShape = (v: Value): Value => (v.data && v.data.size > 1 ? b.constant(v.data.reshaped([v.data.size, ...Array<number>(rank - 2).fill(1)]), `${n.name}_scale`) : v);
    const scales = b.op('Mul', [x.scale, scaleShape(w.scale)], { name: `${n.name}_scales` });
    let y = b.op('Mul', [b.op('Cast', [product], { attrs: { to: FLOAT }, name: `${n.name}_cast` }), scales], { name: `${n.name}_scaled` });
    const bias = n.inputs[2]?.data;
    if (bias) y = b.op('Add', [y, b.constant(bias.reshaped([bias.size, ...Array<number>(rank - 2).fill(1)]), `${n.name}_bias`)], { name: `${n.name}_bias_add` });
    this.#replace(n, y);
  }

  /** Rows of codes and their scales are looked up separately and multiplied. */
  #lookup(n: Node): void {
    const b = this.#b;
    const w = this.#weight(n, false);
    const indices = n.inputs[1]!; // Gather has indices
    const codes = b.op('Cast', [b.op('Gather', [w.codes, indices], { attrs: { axis: 0 }, name: `${n.name}_codes` })], { attrs: { to: FLOAT }, name: `${n.name}_cast` });
    const perRow = w.scale.data!.size > 1; // made by #weight from a tensor
    const rank = n.inputs[0]!.data!.dims.length; // a constant table, by planning
    const scale = perRow ? b.op('Gather', [b.constant(w.scale.data!.reshaped([w.scale.data!.size, ...Array<number>(rank - 1).fill(1)]), `${n.name}_row_scale`), indices], { attrs: { axis: 0 }, name: `${n.name}_scales` }) : w.scale;
    this.#replace(n, b.op('Mul', [codes, scale], { name: `${n.name}_scaled` }));
  }

  #replace(n: Node, made: Value): void {
    this.tensors.set(n.outputs[0]!.name, { value: made }); // products and lookups have one output
    replaceOutputs(this.#b.graph, n, [made]);
  }

  /** One DynamicQuantizeLinear for all users of an activation. */
  #activation(v: Value): { codes: Value; scale: Value; zeroPoint: Value } {
    const known = this.#activations.get(v);
    if (known) return known;
    const node = this.#b.node('DynamicQuantizeLinear', [v], 3, { name: `${v.name}_DynamicQuantizeLinear` });
    const [codes, scale, zeroPoint] = node.outputs as readonly [Value, Value, Value]; // three were asked for
    const made = { codes, scale, zeroPoint };
    this.#activations.set(v, made);
    return made;
  }

  /** An edge that needs its own parameters comes before what the other users share. */
  #paramsOf(n: Node, index: number): QuantParams {
    return this.#in.params.get(n.use(index)!) ?? this.#in.params.get(n.inputs[index]!)!; // one of both is planned
  }

  #weight(n: Node, transposed: boolean): { codes: Value; scale: Value; zeroPoint: Value | null } {
    const index = n.op === 'Gather' ? 0 : 1;
    const v = n.inputs[index]!; // planning chose constant weights
    const p = this.#paramsOf(n, index);
    // A transposed copy serves only products that want it so.
    const known = transposed ? undefined : this.#weights.get(p);
    if (known) return known;
    const data = v.data!; // as above
    let codes = quantize(data.f32(), data.dims, p, this.#rng);
    if (transposed) codes = transpose(codes);
    const made = {
      codes: this.#b.constant(codes, `${v.name}_quantized`),
      scale: this.#b.constant(Tensor.f32(p.scale, p.scale.length === 1 ? [] : [p.scale.length]), `${v.name}_scale`),
      zeroPoint: p.zeroPoint.some((z) => z !== 0) ? this.#b.constant(Tensor.codes(p.scheme.dtype, p.zeroPoint, p.zeroPoint.length === 1 ? [] : [p.zeroPoint.length]), `${v.name}_zero_point`) : null,
    };
    if (!transposed) this.#weights.set(p, made);
    return made;
  }
}

/** The transpose of a matrix of one-byte codes. */
function transpose(t: Tensor): Tensor {
  const [rows, columns] = t.dims as readonly [number, number]; // Gemm weights are matrices
  const from = t.bytes();
  const to = new Uint8Array(from.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c]!;
  return new Tensor(t.dtype, [columns, rows], to);
}
