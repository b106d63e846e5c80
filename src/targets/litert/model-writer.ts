/** Operators and tensors as they come, and edges of layers as the tensors that hold their codes or their numbers. */
import { fail } from '../../base/errors.js';
import { item } from '../../base/lists.js';
import { encodeTensor } from '../../ir/encode.js';
import { Tensor } from '../../ir/tensor.js';
import { permuteTensor, type Permutation } from '../../ops/permutation.js';
import { quantize } from '../../scheme/arithmetic.js';
import type { QuantParams } from '../../scheme/types.js';
import type { CodedConstant, Edge } from '../shared/layers.js';
import type { Precision } from '../types.js';
import { TENSOR_TYPES, type Operator, type OptionsOf, type TensorType } from './schema.js';
import { sameQuant, type LiteModel, type LiteOperator, type LiteQuant, type LiteTensor } from './tensors.js';

/** Smaller constants stay float32 in float16 files: the node that turns them back costs more than they take. */
const LEAST_HALF = 32;
const HALF_MAX = 65504;

export const isTensorType = (dtype: string): dtype is TensorType => dtype in TENSOR_TYPES;

/** Kind of tensor that an operator makes. */
export interface Kind {
  readonly type: TensorType;
  readonly quant?: LiteQuant | undefined;
}
export const FLOAT: Kind = { type: 'float32' };

export class ModelWriter {
  readonly #operators: LiteOperator[] = [];
  readonly #values = new Map<Edge, { codes?: LiteTensor; real?: LiteTensor }>();
  readonly #constants = new Map<Tensor, Map<string, LiteTensor>>();
  readonly #numbers = new Map<string, LiteTensor>();
  readonly #rescaled = new Map<LiteTensor, LiteTensor[]>();
  readonly #names = new Set<string>();
  readonly #precision: Precision;
  constructor(precision: Precision) {
    this.#precision = precision;
  }

  /** Adds an operator of one output, and gives that. */
  op<O extends Operator>(
    op: O,
    inputs: readonly (LiteTensor | undefined)[],
    kind: Kind,
    shape: readonly number[],
    options: OptionsOf<O>,
    name: string,
  ): LiteTensor {
    return item(this.ops(op, inputs, [{ kind, shape }], options, name), 0);
  }
  /** Adds an operator of several outputs. */
  ops<O extends Operator>(
    op: O,
    inputs: readonly (LiteTensor | undefined)[],
    outputs: readonly { readonly kind: Kind; readonly shape: readonly number[] }[],
    options: OptionsOf<O>,
    name: string,
  ): LiteTensor[] {
    const made = outputs.map(({ kind, shape }) => this.tensor(kind, shape, name));
    this.#operators.push({ op, inputs, outputs: made, options });
    return made;
  }

  tensor({ type, quant }: Kind, shape: readonly number[], name: string, data?: Uint8Array): LiteTensor {
    return { name: this.#freeName(name), type, shape, ...(quant ? { quant } : {}), ...(data ? { data } : {}) };
  }
  #freeName(base: string): string {
    let name = base;
    for (let i = 1; this.#names.has(name); i++) name = `${base}_${i}`;
    this.#names.add(name);
    return name;
  }

  /** int32 numbers, such as sizes or axes. */
  ints(values: readonly number[], shape: readonly number[] = [values.length]): LiteTensor {
    const key = `${values.join()} ${shape.join()}`;
    const known = this.#numbers.get(key);
    if (known) return known;
    const made = this.tensor({ type: 'int32' }, shape, 'sizes', Tensor.i32(values).bytes());
    this.#numbers.set(key, made);
    return made;
  }
  /** float32 numbers. */
  floats(values: ArrayLike<number>, shape: readonly number[] = [values.length], name = 'numbers'): LiteTensor {
    return this.tensor(FLOAT, shape, name, Tensor.f32(Float32Array.from(values)).bytes());
  }
  /** Codes of numbers, by the scale of `like`. */
  codesOf(values: ArrayLike<number>, shape: readonly number[], quant: LiteQuant, name: string): LiteTensor {
    const params: QuantParams = {
      scheme: { dtype: 'int8', symmetric: false, granularity: { kind: 'tensor' } },
      scale: Float32Array.from(quant.scale),
      zeroPoint: Int32Array.from(quant.zeroPoint),
    };
    return this.tensor(
      { type: 'int8', quant },
      shape,
      name,
      quantize(Float32Array.from(values), shape, params).bytes(),
    );
  }

  /** A constant of the model as it is, in other axes where `perm` says so. */
  constant(data: Tensor, name: string, perm?: Permutation): LiteTensor {
    return this.#once(data, `real ${perm?.join() ?? ''}`, () => {
      const { dtype } = data;
      if (!isTensorType(dtype))
        return fail('EXPORT_UNSUPPORTED', `'${name}' is ${dtype}, which LiteRT does not take`, { tensor: name });
      const laid = perm ? permuteTensor(data, perm) : data;
      if (dtype === 'float32' && this.#precision === 'float16' && laid.size >= LEAST_HALF && fitsHalf(laid)) {
        const bits = encodeTensor('float16', laid.dims, laid.f32()).bytes();
        const half = this.tensor({ type: 'float16' }, laid.dims, `${name}_half`, bits);
        return this.op('DEQUANTIZE', [half], FLOAT, laid.dims, {}, name);
      }
      return this.tensor({ type: dtype }, laid.dims, name, laid.bytes());
    });
  }
  /** A constant in codes, in other axes where `perm` says so. Throws EXPORT_UNSUPPORTED for codes of other types. */
  coded({ codes, params }: CodedConstant, name: string, perm?: Permutation): LiteTensor {
    return this.#once(codes, `codes ${perm?.join() ?? ''}`, () => {
      const quant = constantQuant(params, name, perm);
      const wide = codes.dtype === 'int8' || codes.dtype === 'int32' ? codes : widened(codes);
      const laid = perm ? permuteTensor(wide, perm) : wide;
      return this.tensor({ type: codes.dtype === 'int32' ? 'int32' : 'int8', quant }, laid.dims, name, laid.bytes());
    });
  }
  #once(data: Tensor, form: string, make: () => LiteTensor): LiteTensor {
    const forms = this.#constants.get(data) ?? new Map<string, LiteTensor>();
    this.#constants.set(data, forms);
    const made = forms.get(form) ?? make();
    forms.set(form, made);
    return made;
  }

  /** Numbers of an edge, dequantized where only codes of it are made. */
  real(edge: Edge): LiteTensor {
    if (edge.data) return this.constant(edge.data, edge.name);
    const value = this.#value(edge);
    if (value.real) return value.real;
    if (!value.codes) return fail('INTERNAL', `'${edge.name}' is read before it is made`);
    return (value.real = this.dequantized(value.codes, edge.name));
  }
  /** Codes of an edge by its own params. */
  codes(edge: Edge): LiteTensor {
    const value = this.#value(edge);
    if (value.codes) return value.codes;
    const quant = quantOf(edge);
    if (!value.real || !quant) return fail('INTERNAL', `'${edge.name}' has no codes`);
    return (value.codes = this.rescaled(value.real, quant, edge.name));
  }
  hasCodes(edge: Edge): boolean {
    return this.#values.get(edge)?.codes !== undefined;
  }
  /** Makes a tensor the value of an edge. */
  give(edge: Edge, t: LiteTensor): void {
    const value = this.#value(edge);
    if (t.type === 'int8' && quantOf(edge)) value.codes = t;
    else value.real = t;
  }
  #value(edge: Edge): { codes?: LiteTensor; real?: LiteTensor } {
    const known = this.#values.get(edge) ?? {};
    this.#values.set(edge, known);
    return known;
  }

  dequantized(t: LiteTensor, name: string): LiteTensor {
    return this.op('DEQUANTIZE', [t], FLOAT, t.shape, {}, `${name}_real`);
  }
  /** The numbers of a tensor by another scale. */
  rescaled(t: LiteTensor, quant: LiteQuant, name: string): LiteTensor {
    if (t.type === 'int8' && sameQuant(t.quant, quant)) return t;
    const known = this.#rescaled.get(t) ?? [];
    this.#rescaled.set(t, known);
    const found = known.find((k) => sameQuant(k.quant, quant));
    if (found) return found;
    const made = this.op('QUANTIZE', [t], { type: 'int8', quant }, t.shape, {}, `${name}_codes`);
    known.push(made);
    return made;
  }

  /** The model between its inputs and outputs, which are numbers and called as in the ONNX model. */
  finish(name: string, inputs: readonly Edge[], outputs: readonly Edge[]): LiteModel {
    const given = inputs.map((e) => this.real(e));
    const taken = new Set<LiteTensor>(given);
    const results = outputs.map((e) => {
      const t = this.real(e);
      const own = taken.has(t) || t.data ? this.op('RESHAPE', [t, this.ints(t.shape)], t, t.shape, {}, e.name) : t;
      taken.add(own);
      return own;
    });
    const wanted = new Map<LiteTensor, string>([
      ...given.map((t, i): [LiteTensor, string] => [t, item(inputs, i).name]),
      ...results.map((t, i): [LiteTensor, string] => [t, item(outputs, i).name]),
    ]);
    const names = new Set(wanted.values());
    for (const o of this.#operators)
      for (const t of [...o.inputs, ...o.outputs]) if (t && names.has(t.name)) t.name = this.#freeName(t.name);
    for (const [t, own] of wanted) t.name = own;
    return { name, inputs: given, outputs: results, operators: this.#operators };
  }
}

/** The one scale of an edge; undefined where it has none. Throws EXPORT_UNSUPPORTED for codes that no kernel takes. */
export function quantOf({ params, name }: Edge): LiteQuant | undefined {
  if (!params) return undefined;
  if (params.scheme.dtype !== 'int8' || params.scale.length !== 1)
    fail(
      'EXPORT_UNSUPPORTED',
      `'${name}' has ${params.scheme.dtype} codes with ${params.scale.length} scales`,
      { tensor: name },
      'LiteRT takes int8 activations with one scale for each tensor: leave quantize.activations to the target',
    );
  return { scale: params.scale, zeroPoint: params.zeroPoint, axis: 0 };
}

function constantQuant(params: QuantParams, name: string, perm?: Permutation): LiteQuant {
  const { scheme, scale, zeroPoint } = params;
  const { granularity } = scheme;
  if (granularity.kind === 'block' || !/^int(4|8|32)$/.test(scheme.dtype))
    fail(
      'EXPORT_UNSUPPORTED',
      `'${name}' has ${scheme.dtype} codes with a scale for each ${granularity.kind}`,
      { tensor: name },
      'LiteRT takes int8 weights with one scale for each tensor or channel',
    );
  const axis = granularity.kind === 'axis' ? granularity.axis : 0;
  return { scale, zeroPoint, axis: perm && granularity.kind === 'axis' ? perm.indexOf(axis) : axis };
}

const widened = (codes: Tensor): Tensor => Tensor.codes('int8', Int8Array.from(codes.numbers()), codes.dims);

function fitsHalf(t: Tensor): boolean {
  return t.f32().every((x) => Math.abs(x) <= HALF_MAX);
}
