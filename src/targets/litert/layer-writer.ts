/** One layer as it is written: its operands as tensors of the kind that its kernel takes, and its results. */
import { fail } from '../../base/errors.js';
import { item } from '../../base/lists.js';
import type { Node } from '../../ir/graph.js';
import type { Tensor } from '../../ir/tensor.js';
import { dataInputs } from '../../ops/index.js';
import type { Permutation } from '../../ops/permutation.js';
import { dequantize } from '../../scheme/arithmetic.js';
import { quantizeBias } from '../../scheme/bias.js';
import { fromStart, listOf } from '../../rewrite/facts.js';
import type { Edge, Layer } from '../shared/layers.js';
import { CHANNELS_LAST } from './channels-last.js';
import { FLOAT, isTensorType, quantOf, type Kind, type ModelWriter } from './model-writer.js';
import { ACTIVATION, type Operator, type OptionsOf } from './schema.js';
import { sameQuant, sameSizes, type LiteQuant, type LiteTensor } from './tensors.js';

/**
 * What an operator does with codes: it computes from them, each tensor by a scale of its own; moves them, so that its
 * data inputs and outputs have one scale; or takes numbers only.
 */
export type OnCodes = 'own' | 'same' | 'none';

/** Writes layers of one ONNX operator. */
export interface Rule {
  readonly codes: OnCodes;
  /** Why it cannot be written, from its attributes and constants alone; undefined where it can. */
  refuses?(node: Node, opset: number): string | undefined;
  write(w: LayerWriter): void;
}

export class LayerWriter {
  readonly layer: Layer;
  readonly opset: number;
  readonly model: ModelWriter;
  /** Whether it works on codes; else its inputs are numbers. */
  readonly onCodes: boolean;
  readonly #rule: Rule;
  #clamped = false;

  constructor(model: ModelWriter, layer: Layer, rule: Rule, opset: number) {
    this.model = model;
    this.layer = layer;
    this.opset = opset;
    this.#rule = rule;
    this.onCodes = this.#worksOnCodes();
  }

  /** The node with its attributes, in the layout in which it is written. */
  get node(): Node {
    return this.layer.copy;
  }
  /** Whether its first input and output have channels last. */
  get isLast(): boolean {
    return this.node.domain === CHANNELS_LAST;
  }
  get name(): string {
    return this.layer.name;
  }

  #worksOnCodes(): boolean {
    const { layer } = this;
    if (this.#rule.codes === 'none') return false;
    const outputs = layer.outputs.filter((e) => e !== undefined);
    const [x] = layer.inputs;
    if (!layer.integer)
      // a Transpose that the layout needs moves codes where there are some
      return (
        this.#rule.codes === 'same' &&
        layer.copy === layer.node &&
        x !== undefined &&
        this.model.hasCodes(x) &&
        outputs.every((e) => sameQuant(quantOf(e), quantOf(x)))
      );
    const data = new Set(dataInputs(layer.node));
    return (
      outputs.every((e) => e.params !== undefined) &&
      layer.inputs.every((e, i) => !e || !data.has(i) || e.params !== undefined || layer.coded.has(i)) &&
      this.#weightsCoded()
    );
  }
  /** Whether products have weights in codes, if their weights are constants. */
  #weightsCoded(): boolean {
    const data = new Set(dataInputs(this.layer.node));
    const [, weight] = this.layer.inputs;
    return this.#rule.codes !== 'own' || !weight?.data || data.has(1) || this.layer.coded.has(1);
  }
  /** Whether its weights are codes and its result numbers: the kernel quantizes its inputs as they come, row by row. */
  get isHybrid(): boolean {
    return this.layer.integer && !this.onCodes && this.layer.coded.has(1);
  }

  refuse(reason: string): never {
    return fail(
      'EXPORT_UNSUPPORTED',
      `'${this.name}' (${this.layer.op}) cannot be written for LiteRT: ${reason}`,
      { node: this.name },
      'leave the node out of the model, or choose a target that reads ONNX',
    );
  }

  edge(i: number): Edge {
    return this.layer.inputs[i] ?? this.refuse(`input ${i} is missing`);
  }
  out(i = 0): Edge {
    return this.layer.outputs[i] ?? this.refuse(`output ${i} is missing`);
  }
  has(i: number): boolean {
    return this.layer.inputs[i] !== undefined;
  }
  /** The constant behind an input. */
  constant(i: number): Tensor | undefined {
    return this.layer.inputs[i]?.data;
  }
  /** Whole numbers of a constant input. */
  numbers(i: number): readonly number[] {
    return this.constant(i)?.numbersOrUndefined() ?? this.refuse(`input ${i} is not constant`);
  }
  /** A list that is an attribute or a constant input; undefined where it is left out. */
  list(attribute: string, input: number): readonly number[] | undefined {
    const found = listOf(this.node, attribute, input);
    return found === undefined ? this.refuse(`'${attribute}' is not constant`) : (found ?? undefined);
  }
  axis(fallback: number, rank = this.edge(0).shape.length): number {
    return fromStart(this.node.int('axis', fallback), rank);
  }

  /** An operand: codes where the layer works on codes and the operand is data, else numbers. */
  input(i: number, perm?: Permutation): LiteTensor {
    const e = this.edge(i);
    const coded = this.layer.coded.get(i);
    if (e.data && (this.onCodes || this.isHybrid) && coded && !(this.isHybrid && i > 1))
      return this.model.coded(coded, e.name, perm);
    if (this.onCodes && e.params) return this.model.codes(e);
    return this.real(i, perm);
  }
  /** An operand by a scale that it must have. */
  inputAs(i: number, quant: LiteQuant | undefined): LiteTensor {
    if (!quant) return this.real(i);
    const e = this.edge(i);
    const coded = this.layer.coded.get(i);
    if (e.data && coded)
      return this.model.codesOf(dequantize(coded.codes, coded.params), e.data.dims, quant, `${e.name}_codes`);
    return this.model.rescaled(this.input(i), quant, e.name);
  }
  /** An operand in numbers: a constant that is stored in codes is dequantized by a node of its own. */
  real(i: number, perm?: Permutation): LiteTensor {
    const e = this.edge(i);
    const coded = this.layer.coded.get(i);
    if (!e.data) return this.model.real(e);
    if (coded && coded.codes.dtype !== 'int32')
      return this.model.dequantized(this.model.coded(coded, e.name, perm), e.name);
    return this.model.constant(e.data, e.name, perm);
  }

  /** The weight of a product under other sizes, its axes as the kernel wants them. */
  weight(i: number, dims: readonly number[], perm: Permutation): LiteTensor {
    const e = this.edge(i);
    const coded = this.layer.coded.get(i);
    if (!e.data) return this.transposed(this.reshaped(this.input(i), dims), perm);
    if (!coded) return this.model.constant(e.data.reshaped(dims), e.name, perm);
    if (coded.params.zeroPoint.some((z) => z !== 0)) this.refuse('its weight has zero points other than 0');
    const t = this.model.coded({ codes: coded.codes.reshaped(dims), params: coded.params }, e.name, perm);
    return this.onCodes || this.isHybrid ? t : this.model.dequantized(t, e.name);
  }
  /** The bias of a product with `count` outputs, zeros where there is none: int32 beside codes. */
  bias(i: number, count: number, x: LiteTensor, weight: LiteTensor): LiteTensor {
    const data = this.constant(i);
    const name = this.layer.inputs[i]?.name ?? `${this.name}_bias`;
    if (!this.onCodes)
      return data
        ? this.model.constant(data.reshaped([count]), name)
        : this.has(i)
          ? this.reshaped(this.real(i), [count])
          : this.model.floats(new Float32Array(count), [count], name);
    const step = item(x.quant?.scale ?? [], 0);
    const scale = Float32Array.from(weight.quant?.scale ?? [], (s) => s * step);
    const coded = this.layer.coded.get(i);
    if (!coded && this.has(i) && !data) this.refuse('its bias is not constant');
    const zeroPoint = new Int32Array(scale.length);
    const granularity = scale.length === 1 ? { kind: 'tensor' as const } : { kind: 'axis' as const, axis: 0 };
    const params = coded?.params ?? {
      scheme: { dtype: 'int32' as const, symmetric: true, granularity },
      scale,
      zeroPoint,
    };
    const codes = coded?.codes ?? quantizeBias(data?.f32() ?? new Float32Array(count), params);
    return this.model.coded({ codes: codes.reshaped([count]), params }, name);
  }

  /** Kind of its first result: codes by its own scale, codes as they come, or numbers. */
  get kind(): Kind {
    if (this.onCodes && this.#rule.codes === 'own') return { type: 'int8', quant: quantOf(this.out()) };
    const { dtype } = this.out();
    if (this.onCodes) return { type: 'int8', quant: this.input(item(dataInputs(this.layer.node), 0)).quant };
    return isTensorType(dtype) ? { type: dtype } : this.refuse(`it makes ${dtype}, which LiteRT does not take`);
  }
  /** Adds an operator that makes something of the kind of the layer's first result. */
  op<O extends Operator>(
    op: O,
    inputs: readonly (LiteTensor | undefined)[],
    options: OptionsOf<O>,
    shape: readonly number[] = this.out().shape,
  ): LiteTensor {
    return this.model.op(op, inputs, this.kind, shape, options, this.name);
  }
  /** Adds an operator that makes what its first input is. */
  like<O extends Operator>(
    op: O,
    inputs: readonly [LiteTensor, ...(LiteTensor | undefined)[]],
    options: OptionsOf<O>,
    shape: readonly number[] = inputs[0].shape,
  ): LiteTensor {
    return this.model.op(op, inputs, inputs[0], shape, options, `${this.name}_${op.toLowerCase()}`);
  }
  /** Adds an operator on numbers. */
  float<O extends Operator>(
    op: O,
    inputs: readonly [LiteTensor, ...(LiteTensor | undefined)[]],
    options: OptionsOf<O>,
    shape: readonly number[] = inputs[0].shape,
  ): LiteTensor {
    return this.model.op(op, inputs, FLOAT, shape, options, `${this.name}_${op.toLowerCase()}`);
  }
  number(x: number): LiteTensor {
    return this.model.floats([x], []);
  }
  ints(values: readonly number[], shape?: readonly number[]): LiteTensor {
    return this.model.ints(values, shape);
  }
  /** The same elements under other sizes. */
  reshaped(t: LiteTensor, shape: readonly number[]): LiteTensor {
    return sameSizes(t.shape, shape) ? t : this.like('RESHAPE', [t, this.ints(shape)], {}, shape);
  }
  transposed(t: LiteTensor, perm: Permutation): LiteTensor {
    return perm.every((a, i) => a === i)
      ? t
      : this.like(
          'TRANSPOSE',
          [t, this.ints(perm)],
          {},
          perm.map((a) => item(t.shape, a)),
        );
  }

  /** The fused activation that does the clamp which the layer took in; none where only other operators can. */
  activation(): number {
    const { clamp } = this.layer;
    const found = clamp && activationOf(clamp);
    if (found !== undefined) this.#clamped = true;
    return found ?? ACTIVATION.NONE;
  }

  /** Makes a tensor the result of the layer, clamped and by the scale that the edge asks for. */
  give(made: LiteTensor, i = 0): void {
    const e = this.out(i);
    const { clamp } = this.layer;
    let t = clamp && !this.#clamped ? clampedBy(this, made, clamp) : made;
    const quant = quantOf(e);
    if (quant && t.type === 'int8') t = this.model.rescaled(t, quant, e.name);
    // what an integer layer makes is rounded for everybody
    else if (quant && this.layer.integer && t.type === 'float32') t = this.model.rescaled(t, quant, e.name);
    else if (!quant && t.type === 'int8' && e.dtype === 'float32') t = this.model.dequantized(t, e.name);
    this.model.give(e, t);
  }
}

function activationOf([low, high]: readonly [number, number]): number | undefined {
  if (low === 0 && high === Infinity) return ACTIVATION.RELU;
  if (low === 0 && high === 6) return ACTIVATION.RELU6;
  return low === -1 && high === 1 ? ACTIVATION.RELU_N1_TO_1 : undefined;
}
/** The operator of its own for each fused activation. */
const CLAMPS: readonly ('RELU' | 'RELU_N1_TO_1' | 'RELU6' | undefined)[] = [undefined, 'RELU', 'RELU_N1_TO_1', 'RELU6'];

/** A tensor between two limits: nothing where its codes cannot leave them. */
export function clampedBy(w: LayerWriter, t: LiteTensor, limits: readonly [number, number]): LiteTensor {
  const [low, high] = limits;
  const { quant } = t;
  if (t.type === 'int8' && quant) {
    const [scale, zero] = [item(quant.scale, 0), item(quant.zeroPoint, 0)];
    const code = (x: number): number => Math.round(x / scale) + zero;
    const limit = (x: number): LiteTensor => w.model.codesOf([x], [], quant, `${w.name}_limit`);
    const above = code(low) > -128 ? w.like('MAXIMUM', [t, limit(low)], {}) : t;
    return code(high) < 127 ? w.like('MINIMUM', [above, limit(high)], {}) : above;
  }
  if (t.type === 'float32') {
    const known = CLAMPS[activationOf(limits) ?? ACTIVATION.NONE];
    if (known) return w.like(known, [t], {});
  }
  const bound = (x: number): LiteTensor =>
    t.type === 'float32' ? w.number(x) : w.refuse(`it clamps ${t.type}, for which LiteRT has no limits`);
  const above = low > -Infinity ? w.like('MAXIMUM', [t, bound(low)], {}) : t;
  return high < Infinity ? w.like('MINIMUM', [above, bound(high)], {}) : above;
}
