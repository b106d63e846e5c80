/** A Paddle program while it grows: variables, operators and parameters, as plain data. */
import { fail } from '../../base/errors.js';
import { filled, item } from '../../base/lists.js';
import type { Edge } from '../shared/layers.js';

/** Types of elements by their numbers in framework.proto. */
export const TYPES = { int32: 2, int64: 3, float16: 4, float32: 5, int8: 21 } as const;
export type ElementType = keyof typeof TYPES;

/** A float attribute, which a plain number is not: that is an int. */
export interface FloatAttribute {
  readonly float: number;
}
export type Attribute = number | boolean | string | FloatAttribute | readonly number[];
export interface Variable {
  readonly name: string;
  readonly type: ElementType;
  /** −1 stands for the batch. */
  readonly dims: readonly number[];
  readonly role: 'input' | 'parameter' | 'value';
}
export interface Operator {
  readonly type: string;
  readonly inputs: Readonly<Record<string, readonly string[]>>;
  readonly outputs: Readonly<Record<string, readonly string[]>>;
  readonly attributes: Readonly<Record<string, Attribute>>;
}
export interface Parameter {
  readonly type: ElementType;
  readonly dims: readonly number[];
  readonly data: Uint8Array;
}

const QUANTIZED = { bit_length: 8, round_type: 0, is_test: true };
/** Scales are absolute maxima. */
const LARGEST_CODE = 127;

export class PaddleProgram {
  readonly variables: Variable[] = [];
  readonly operators: Operator[] = [];
  readonly parameters = new Map<string, Parameter>();
  readonly inputs: string[] = [];
  readonly outputs: string[] = [];
  readonly #names = new Set<string>();
  readonly #values = new Map<Edge, string>();

  free(name: string): string {
    const base = name.replace(/[^\w./:@-]/gu, '_') || 'value';
    let made = base;
    for (let i = 1; this.#names.has(made); i++) made = `${base}_${i}`;
    this.#names.add(made);
    return made;
  }
  /** A value with room for any batch. */
  temporary(name: string, shape: readonly number[], type: ElementType = 'float32'): string {
    const made = this.free(name);
    this.variables.push({ name: made, type, dims: anyBatch(shape), role: 'value' });
    return made;
  }
  parameter(name: string, type: ElementType, dims: readonly number[], data: ArrayBufferView): string {
    const made = this.free(name);
    this.variables.push({ name: made, type, dims, role: 'parameter' });
    this.parameters.set(made, { type, dims, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) });
    return made;
  }
  add(
    type: string,
    inputs: Readonly<Record<string, string | readonly string[]>>,
    outputs: Readonly<Record<string, string | readonly string[]>>,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): void {
    const lists = (o: Readonly<Record<string, string | readonly string[]>>): Record<string, readonly string[]> =>
      Object.fromEntries(Object.entries(o).map(([k, v]) => [k, typeof v === 'string' ? [v] : v]));
    this.operators.push({ type, inputs: lists(inputs), outputs: lists(outputs), attributes });
  }

  input(edge: Edge): void {
    const name = this.free(edge.name);
    const type = edge.dtype in TYPES ? (edge.dtype as ElementType) : undefined; // checked by this very look
    if (!type) fail('EXPORT_UNSUPPORTED', `input '${edge.name}' is ${edge.dtype}`, { tensor: edge.name });
    this.variables.push({ name, type, dims: anyBatch(edge.shape), role: 'input' });
    this.inputs.push(name);
    this.sets(edge, name);
  }
  /** Says which value an edge is, and puts quantization behind it where it has codes. */
  sets(edge: Edge, value: string): void {
    this.#values.set(edge, edge.params ? this.#rounded(edge, value, item(edge.params.scale, 0)) : value);
  }
  /** The value of an edge; constants become parameters. */
  value(edge: Edge): string {
    const known = this.#values.get(edge);
    if (known !== undefined) return known;
    const { data } = edge;
    if (!data) return filled([known], 0);
    const made =
      data.dtype === 'int64'
        ? this.parameter(edge.name, 'int64', data.dims, data.bytes())
        : this.parameter(edge.name, 'float32', data.dims, data.f32());
    this.#values.set(edge, made);
    return made;
  }
  #rounded({ name, shape }: Edge, value: string, scale: number): string {
    const largest = this.parameter(`${name}@scale`, 'float32', [1], Float32Array.of(scale * LARGEST_CODE));
    const zero = this.parameter(`${name}@zero_point`, 'int32', [1], Int32Array.of(0));
    const codes = this.temporary(`${name}.quantized`, shape);
    const back = this.temporary(`${name}.dequantized`, shape);
    const more = { ...QUANTIZED, quant_axis: -1 };
    this.add('quantize_linear', { X: value, Scale: largest, ZeroPoint: zero }, { Y: codes }, more);
    this.add('dequantize_linear', { X: codes, Scale: largest, ZeroPoint: zero }, { Y: back }, more);
    return back;
  }
  /** The float value of int8 weights with a scale for each element of `axis`. */
  weights(name: string, codes: Int8Array, dims: readonly number[], scales: Float32Array, axis: number): string {
    const stored = this.parameter(name, 'int8', dims, codes);
    const largest = this.parameter(
      `${name}@scale`,
      'float32',
      [scales.length],
      scales.map((s) => s * LARGEST_CODE),
    );
    const zero = this.parameter(`${name}@zero_point`, 'int32', [scales.length], new Int32Array(scales.length));
    const back = this.free(`${name}.dequantized`);
    this.variables.push({ name: back, type: 'float32', dims, role: 'value' });
    this.add(
      'dequantize_linear',
      { X: stored, Scale: largest, ZeroPoint: zero },
      { Y: back },
      { ...QUANTIZED, quant_axis: axis },
    );
    return back;
  }
}

const anyBatch = (shape: readonly number[]): readonly number[] => (shape[0] === 1 ? [-1, ...shape.slice(1)] : shape);
