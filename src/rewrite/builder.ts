import { nameMaker, Node, Value, type Attr, type Graph, type Model } from '../ir/graph.js';
import { Tensor } from '../ir/tensor.js';
import { inferNode } from '../ops/infer.js';

export interface OpOptions {
  readonly attrs?: Readonly<Record<string, number | bigint | string | readonly number[] | Attr>>;
  readonly domain?: string;
  /** Name of the node and, with `_output_i` for further ones, of its outputs. */
  readonly name?: string;
  /** Names for the outputs; made up from the node's name where absent. */
  readonly outputs?: readonly string[];
}

/** Adds nodes and constants to a graph under names that are free in the whole model, inferring shapes as it goes. */
export class GraphBuilder {
  readonly model: Model;
  readonly graph: Graph;
  readonly freeName: (base: string) => string;
  /** What was added, under which name it was wanted. */
  readonly made = new Map<Node | Value, string>();
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
    for (const [key, value] of Object.entries(options.attrs ?? {})) node.attrs.set(key, toAttr(value));
    this.graph.add(node);
    if (options.domain && !this.model.opsets.has(options.domain)) this.model.opsets.set(options.domain, 1);
    inferNode(node, this.model);
    return node;
  }
  /** Adds an initializer. Numbers become float32 scalars, lists of numbers float32 vectors. */
  constant(data: Tensor | number | readonly number[], name = 'constant'): Value {
    const tensor = data instanceof Tensor ? data : typeof data === 'number' ? Tensor.f32([data], []) : Tensor.f32(data);
    const value = new Value(this.freeName(name));
    this.made.set(value, name);
    return this.graph.addInitializer(value, tensor);
  }
}

function toAttr(value: number | bigint | string | readonly number[] | Attr): Attr {
  if (typeof value === 'number' || typeof value === 'bigint') return { type: 'int', value: BigInt(value) };
  if (typeof value === 'string') return { type: 'string', value };
  if ('type' in value) return value;
  return { type: 'ints', value: value.map(BigInt) };
}
/** A float attribute, rounded to float32 as the file stores it. */
export const floatAttr = (value: number): Attr => ({ type: 'float', value: Math.fround(value) });
