import type { DType } from '../ir/dtype.js';
import { Node, Value, type Attr, type Dim, type Graph, type Shape } from '../ir/graph.js';
import { nameMaker, type Model } from '../ir/model.js';
import { Tensor } from '../ir/tensor.js';
import { inferNode } from '../ops/infer.js';

/** Numbers become what the operator declares: `alpha: 1` is a float, `axis: 1` an int. */
export type AttrValue = number | bigint | string | readonly number[] | readonly string[] | Tensor | Attr;
export interface OpOptions {
  readonly attrs?: Readonly<Record<string, AttrValue>>;
  readonly domain?: string;
  /** Name of the node and, with `_output_i` for further ones, of its outputs. */
  readonly name?: string;
  /** Names for the outputs; made up from the node's name where absent. */
  readonly outputs?: readonly string[];
}

/**
 * Adds nodes and constants to a graph under names that are free in the whole model, inferring shapes as it goes. What
 * shape arithmetic gives is remembered from node to node, so that a Reshape by a computed shape has one.
 */
export class GraphBuilder {
  readonly model: Model;
  readonly graph: Graph;
  readonly freeName: (base: string) => string;
  /** What was added, under which name it was wanted. */
  readonly made = new Map<Node | Value, string>();
  readonly #ints = new Map<Value, readonly Dim[]>();
  constructor(model: Model, graph: Graph = model.graph, freeName: (base: string) => string = nameMaker(model.graph)) {
    this.model = model;
    this.graph = graph;
    this.freeName = freeName;
  }

  /** Adds a node with one output and returns that output. */
  op(op: string, inputs: readonly (Value | null)[], options: OpOptions = {}): Value {
    return this.node(op, inputs, 1, options).outputs[0]!; // one output was asked for
  }
  /** Adds a node with `count` outputs. */
  node(op: string, inputs: readonly (Value | null)[], count: number, options: OpOptions = {}): Node {
    // nodes of older exporters have no name, and an output without one does not exist
    const name = this.freeName(options.name || op);
    // A sole output is called as its node: values and nodes are different name spaces, and long names cost bytes.
    const outputs =
      options.outputs ??
      (count === 1 ? [name] : Array.from({ length: count }, (_, i) => this.freeName(`${name}_${i}`)));
    const node = new Node(op, inputs, outputs, options.domain ?? '');
    node.name = name;
    this.made.set(node, options.name || op);
    for (const [key, value] of Object.entries(options.attrs ?? {})) node.attrs.set(key, toAttr(key, value));
    this.graph.add(node);
    if (options.domain && !this.model.opsets.has(options.domain)) this.model.opsets.set(options.domain, 1);
    inferNode(node, this.model, this.#ints);
    return node;
  }
  /** Opset of the standard domain. */
  get opset(): number {
    return this.model.opsets.get('') ?? 1;
  }
  /** An op over axes of its first input, which are an input or an attribute, as the model's opset has it. */
  overAxes(op: string, x: Value, axes: readonly number[] | undefined, options: OpOptions = {}): Value {
    if (!axes) return this.op(op, [x], options);
    if (this.opset < (AXES_AS_INPUT[op] ?? 18))
      return this.op(op, [x], { ...options, attrs: { ...options.attrs, axes } });
    return this.op(op, [x, this.constant(Tensor.i64(axes), `${options.name ?? op}_axes`)], options);
  }
  /** Adds an input of the graph, of exactly this name. */
  input(name: string, dtype: DType, shape: Shape | undefined): Value {
    const value = new Value(name);
    value.dtype = dtype;
    value.shape = shape;
    return this.graph.addInput(value);
  }
  /** Adds an initializer. Numbers become float32 scalars, lists of numbers float32 vectors. */
  constant(data: Tensor | number | readonly number[], name = 'constant'): Value {
    const tensor = data instanceof Tensor ? data : typeof data === 'number' ? Tensor.f32([data], []) : Tensor.f32(data);
    const value = new Value(this.freeName(name));
    this.made.set(value, name);
    return this.graph.addInitializer(value, tensor);
  }
}

/** The opset from which on axes are an input; 18 for the reductions. */
const AXES_AS_INPUT: Readonly<Record<string, number>> = { ReduceSum: 13, Squeeze: 13, Unsqueeze: 13 };

/**
 * Attributes of the standard operators that are floats, whatever number they are given. source:
 * https://github.com/onnx/onnx/blob/main/docs/Operators.md, those of type float and list of floats
 */
const FLOATS: ReadonlySet<string> = new Set(
  (
    'alpha beta gamma epsilon momentum bias lambd clip cubic_coeff_a extrapolation_value spatial_scale scale mean ' +
    'high low value_float threshold ratio softcap norm_coefficient min max score_threshold iou_threshold scales ' +
    'value_floats activation_alpha activation_beta'
  ).split(' '),
);

function toAttr(name: string, value: AttrValue): Attr {
  if (value instanceof Tensor) return { type: 'tensor', value };
  if (typeof value === 'bigint') return { type: 'int', value };
  if (typeof value === 'string') return { type: 'string', value };
  if (typeof value === 'number') {
    return FLOATS.has(name) || !Number.isSafeInteger(value) ? floatAttr(value) : { type: 'int', value: BigInt(value) };
  }
  if ('type' in value) return value;
  if (isTexts(value)) return { type: 'strings', value };
  return FLOATS.has(name) || !value.every(Number.isSafeInteger)
    ? { type: 'floats', value: value.map(Math.fround) }
    : { type: 'ints', value: value.map(BigInt) };
}
const isTexts = (list: readonly number[] | readonly string[]): list is readonly string[] => typeof list[0] === 'string';
/** A float attribute, rounded to float32 as the file stores it. */
export const floatAttr = (value: number): Attr => ({ type: 'float', value: Math.fround(value) });
