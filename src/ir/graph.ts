/**
 * The in-memory model. Value knows its producer and uses; Node owns its outputs; tensors are shared on clone.
 *
 * Invariants: a node belongs to at most one graph; each value has at most one producer; a value's uses are exactly the
 * input slots that hold it (only {@link Node.setInput} edits them); a subgraph may use values of the graphs around it.
 * Order is derived: see {@link Graph.topological}.
 */
import { fail, invariant } from '../base/errors.js';
import type { DType } from './dtype.js';
import { nameOf, postOrder } from './order.js';
import { SmallMap, SmallSet } from './small.js';
import type { Tensor } from './tensor.js';

/** A known size, a symbolic name, or unknown. */
export type Dim = number | string | null;
export type Shape = readonly Dim[];
/** Most axes of a tensor: runtimes and numpy stop at 64 or before. */
export const MAX_RANK = 64;
/** An edge: one input slot of one node. Compared by identity. */
export interface Use {
  readonly node: Node;
  readonly index: number;
}

/** Types that are not plain tensors keep their proto as it is. */
export interface OtherType {
  readonly kind: 'sequence' | 'optional' | 'map' | 'sparse' | 'opaque';
  readonly proto: unknown;
}

const NO_USES: ReadonlySet<Use> = new Set();
const NO_GRAPHS: ReadonlyMap<Graph, number> = new Map();
const NO_SUBGRAPHS: readonly (readonly [name: string, graph: Graph])[] = [];

export class Value {
  name: string;
  dtype: DType | undefined;
  shape: Shape | undefined;
  /** Constant data: set on initializers only. */
  data: Tensor | undefined;
  readonly producer: Node | undefined;
  doc = '';
  /** Set for sequence, optional and map values; `dtype` and `shape` are then undefined. */
  other: OtherType | undefined;
  /** Metadata and unknown fields for round trips; opaque outside onnx/. */
  extra: unknown;
  // Made when they are needed: most values are returned by no graph.
  #uses: SmallSet<Use> | undefined;
  #outputOf: Map<Graph, number> | undefined;
  constructor(name: string, producer?: Node) {
    this.name = name;
    this.producer = producer;
  }
  get uses(): ReadonlySet<Use> {
    return this.#uses ?? NO_USES;
  }
  /** Whether some graph (the main graph or a subgraph) returns this value. */
  get isGraphOutput(): boolean {
    return this.#outputOf !== undefined && this.#outputOf.size > 0;
  }
  get outputOf(): ReadonlyMap<Graph, number> {
    return this.#outputOf ?? NO_GRAPHS;
  }
  /**
   * A constant that no node computes. It may still be listed as a graph input (a default that callers can override).
   */
  get isInitializer(): boolean {
    return this.data !== undefined && this.producer === undefined;
  }
  /** @internal */ _link(u: Use): void {
    (this.#uses ??= new SmallSet<Use>())._add(u);
  }
  /** @internal */ _unlink(u: Use): void {
    this.#uses?._delete(u);
  }
  /** @internal */ _returned(g: Graph, by: 1 | -1): void {
    const outputOf = (this.#outputOf ??= new Map<Graph, number>());
    const n = (outputOf.get(g) ?? 0) + by;
    if (n > 0) outputOf.set(g, n);
    else outputOf.delete(g);
  }
}

/** An attribute, tagged so that it round-trips exactly. Strings that are not valid UTF-8 stay bytes. */
export type Attr = (
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'int'; readonly value: bigint }
  | { readonly type: 'string'; readonly value: string | Uint8Array }
  | { readonly type: 'tensor'; readonly value: Tensor }
  | { readonly type: 'graph'; readonly value: Graph }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'ints'; readonly value: readonly bigint[] }
  | { readonly type: 'strings'; readonly value: readonly (string | Uint8Array)[] }
  | { readonly type: 'tensors'; readonly value: readonly Tensor[] }
  | { readonly type: 'graphs'; readonly value: readonly Graph[] }
  /** Inside a function: refers to the function's attribute of that name; `attrType` is AttributeProto.AttributeType. */
  | { readonly type: 'ref'; readonly value: string; readonly attrType: number }
  /** Kinds without a structure here (sparse tensors, type protos): kept as the proto. */
  | { readonly type: 'opaque'; readonly value: unknown; readonly attrType: number }
) & { readonly extra?: unknown; readonly doc?: string };

export class Node {
  readonly op: string;
  /** '' is the standard ONNX domain ('ai.onnx' is normalised to ''). */
  readonly domain: string;
  readonly overload: string;
  name = '';
  doc = '';
  readonly attrs: Map<string, Attr> = new SmallMap<Attr>(this);
  readonly outputs: readonly Value[];
  readonly #outputs: Value[];
  extra: unknown;
  /** The graph that holds this node. */
  graph: Graph | undefined;
  #nests = false;
  #inputs: (Value | null)[];
  #uses: (Use | null)[];
  /** An output name of '' is an omitted optional output. */
  constructor(
    op: string,
    inputs: readonly (Value | null)[],
    outputNames: readonly string[],
    domain = '',
    overload = '',
  ) {
    this.op = op;
    this.domain = domain === 'ai.onnx' ? '' : domain;
    this.overload = overload;
    this.outputs = this.#outputs = outputNames.map((n) => new Value(n, this));
    // copies take what they hold, where a first assignment would reserve room for 17
    this.#inputs = [...inputs];
    this.#uses = inputs.map((v, i) => this.#link(v, i));
  }
  #link(value: Value | null, index: number): Use | null {
    const use: Use | null = value ? { node: this, index } : null;
    if (value && use) value._link(use);
    return use;
  }
  get inputs(): readonly (Value | null)[] {
    return this.#inputs;
  }
  /** Adds a further result, which the operator must know as optional. */
  addOutput(name: string): Value {
    const made = new Value(name, this);
    this.#outputs.push(made);
    return made;
  }
  /** Puts `value` (null: omitted) into input slot `index`, keeping use-lists right. Slots between grow as omitted. */
  setInput(index: number, value: Value | null): void {
    while (this.#inputs.length < index) {
      this.#inputs.push(null);
      this.#uses.push(null);
    }
    const old = this.#inputs[index];
    const oldUse = this.#uses[index];
    if (old && oldUse) old._unlink(oldUse);
    this.#inputs[index] = value;
    this.#uses[index] = this.#link(value, index);
    this.graph?._rewired();
  }
  /** The inputs of a node that has none yet. */
  setInputs(values: readonly (Value | null)[]): void {
    invariant(this.#inputs.length === 0, `'${label(this)}' has inputs already`);
    this.#inputs = [...values];
    this.#uses = values.map((v, i) => this.#link(v, i));
    this.graph?._rewired();
  }
  /** Drops input slots from `length` on. */
  truncateInputs(length: number): void {
    for (let i = length; i < this.#inputs.length; i++) this.setInput(i, null);
    this.#inputs.length = Math.min(this.#inputs.length, length);
    this.#uses.length = this.#inputs.length;
  }
  /** The edge at an input slot, or undefined where the input is omitted. */
  use(index: number): Use | undefined {
    return this.#uses[index] ?? undefined;
  }
  /** Subgraphs of this node's attributes, with the attribute's name. */
  subgraphs(): readonly (readonly [name: string, graph: Graph])[] {
    if (!this.#nests) return NO_SUBGRAPHS;
    const found: [string, Graph][] = [];
    for (const [name, a] of this.attrs) {
      if (a.type === 'graph') found.push([name, a.value]);
      else if (a.type === 'graphs') for (const g of a.value) found.push([name, g]);
    }
    return found;
  }
  /** Values that this node's subgraphs, at any depth, take from the graphs around them. */
  captures(): Value[] {
    const found = new Set<Value>();
    for (const [, g] of this.subgraphs()) for (const v of g.captures()) found.add(v);
    return [...found];
  }
  int(name: string, fallback?: number): number {
    const a = this.attrs.get(name);
    if (a === undefined && fallback !== undefined) return fallback;
    if (a?.type !== 'int') return this.#wrong(name, 'an int');
    return safe(a.value, this, name);
  }
  ints(name: string, fallback?: readonly number[]): readonly number[] {
    const a = this.attrs.get(name);
    if (a === undefined && fallback !== undefined) return fallback;
    if (a?.type !== 'ints') return this.#wrong(name, 'a list of ints');
    return a.value.map((v) => safe(v, this, name));
  }
  float(name: string, fallback?: number): number {
    const a = this.attrs.get(name);
    if (a === undefined && fallback !== undefined) return fallback;
    if (a?.type !== 'float') return this.#wrong(name, 'a float');
    return a.value;
  }
  string(name: string, fallback?: string): string {
    const a = this.attrs.get(name);
    if (a === undefined && fallback !== undefined) return fallback;
    if (a?.type !== 'string') return this.#wrong(name, 'a string');
    return typeof a.value === 'string' ? a.value : new TextDecoder().decode(a.value);
  }
  setInt(name: string, value: number | bigint): void {
    this.attrs.set(name, { type: 'int', value: BigInt(value) });
  }
  setInts(name: string, value: readonly (number | bigint)[]): void {
    this.attrs.set(name, { type: 'ints', value: value.map(BigInt) });
  }
  setFloat(name: string, value: number): void {
    this.attrs.set(name, { type: 'float', value: Math.fround(value) });
  }
  setString(name: string, value: string): void {
    this.attrs.set(name, { type: 'string', value });
  }
  /** @internal An attribute was set. */ _note({ type }: Attr): void {
    if (type !== 'graph' && type !== 'graphs') return;
    this.#nests = true;
    this.graph?._nests();
  }
  /** Whether an attribute holds graphs, or did. */
  get mayNest(): boolean {
    return this.#nests;
  }
  #wrong(name: string, what: string): never {
    return fail('GRAPH_INVALID', `${this.op} '${label(this)}' needs attribute '${name}' to be ${what}`, {
      node: label(this),
    });
  }
}

/** What to call a node in messages: its name, or its first output's. */
export const label: (node: Node) => string = nameOf;

function safe(v: bigint, node: Node, name: string): number {
  if (v >= 9223372036854775807n) return Number.MAX_SAFE_INTEGER; // "to the end" in Slice and friends
  if (v <= -9223372036854775807n) return Number.MIN_SAFE_INTEGER;
  if (v > BigInt(Number.MAX_SAFE_INTEGER) || v < BigInt(Number.MIN_SAFE_INTEGER))
    fail('GRAPH_INVALID', `attribute '${name}' of '${label(node)}' is beyond 2^53`, { node: label(node) });
  return Number(v);
}

export class Graph {
  name = 'main';
  doc = '';
  readonly initializers = new Set<Value>();
  extra: unknown;
  readonly #inputs: Value[] = [];
  readonly #isInput = new Set<Value>();
  readonly #outputs: Value[] = [];
  readonly #nodes = new Set<Node>();
  /** How many nodes have an op. */
  readonly #ops = new Map<string, number>();
  #nests = false;
  /** What `topological` gave, until a node or an edge changes. */
  #order: readonly Node[] | undefined;
  /** Where in the outputs a value stands; made when asked for, until outputs come or go. */
  #outputAt: Map<Value, Set<number>> | undefined;
  get inputs(): readonly Value[] {
    return this.#inputs;
  }
  get outputs(): readonly Value[] {
    return this.#outputs;
  }
  get nodes(): ReadonlySet<Node> {
    return this.#nodes;
  }
  /** Whether some node has graphs in its attributes, or had. */
  get mayNest(): boolean {
    return this.#nests;
  }
  /** Whether some node has this op, of whatever domain, without looking through all of them. */
  hasOp(op: string): boolean {
    return this.#ops.has(op);
  }

  addInput(v: Value): Value {
    this.#inputs.push(v);
    this.#isInput.add(v);
    return v;
  }
  removeInput(v: Value): void {
    this.removeInputs(new Set([v]));
  }
  removeInputs(values: ReadonlySet<Value>): void {
    const kept = this.#inputs.filter((v) => !values.has(v));
    this.#inputs.splice(0, this.#inputs.length); // the array is the one that callers may hold
    for (const v of kept) this.#inputs.push(v);
    for (const v of values) this.#isInput.delete(v);
  }
  /** Whether `inputs` holds a value, without looking through all of them. */
  isInput(v: Value): boolean {
    return this.#isInput.has(v);
  }
  addOutput(v: Value): void {
    this.#outputs.push(v);
    this.#outputAt = undefined;
    v._returned(this, 1);
  }
  setOutput(index: number, v: Value): void {
    const old = this.#outputs[index];
    invariant(old, `graph has no output ${index}`);
    old._returned(this, -1);
    this.#outputs[index] = v;
    v._returned(this, 1);
    this.#outputAt?.get(old)?.delete(index);
    if (this.#outputAt) placesOf(this.#outputAt, v).add(index);
  }
  removeOutput(index: number): void {
    const [old] = this.#outputs.splice(index, 1);
    old?._returned(this, -1);
    this.#outputAt = undefined;
  }
  /** The indices of the outputs that are `v`. */
  outputIndices(v: Value): readonly number[] {
    if (!v.outputOf.has(this)) return [];
    if (!this.#outputAt) {
      this.#outputAt = new Map();
      for (const [i, o] of this.#outputs.entries()) placesOf(this.#outputAt, o).add(i);
    }
    return [...(this.#outputAt.get(v) ?? [])];
  }
  addInitializer(v: Value, data?: Tensor): Value {
    if (data) {
      v.data = data;
      v.dtype = data.dtype;
      v.shape = data.dims;
    }
    this.initializers.add(v);
    return v;
  }
  add(node: Node): Node {
    invariant(node.graph === undefined, `node '${label(node)}' is already in a graph`);
    node.graph = this;
    this.#nodes.add(node);
    this.#ops.set(node.op, (this.#ops.get(node.op) ?? 0) + 1);
    if (node.mayNest) this._nests();
    this._rewired();
    return node;
  }
  /**
   * Removes a node whose outputs nobody uses; throws INTERNAL otherwise. Its subgraphs let go of what they captured.
   */
  remove(node: Node): void {
    for (const o of node.outputs)
      invariant(o.uses.size === 0 && !o.isGraphOutput, `removing '${label(node)}', but '${o.name}' is still used`);
    for (let i = 0; i < node.inputs.length; i++) node.setInput(i, null);
    for (const [, g] of node.subgraphs()) g.detach();
    this.#nodes.delete(node);
    const left = (this.#ops.get(node.op) ?? 0) - 1;
    if (left > 0) this.#ops.set(node.op, left);
    else this.#ops.delete(node.op);
    node.graph = undefined;
    this._rewired();
  }
  /** @internal The order of the nodes may have changed. */ _rewired(): void {
    this.#order = undefined;
  }
  /** @internal A node holds graphs. */ _nests(): void {
    this.#nests = true;
  }
  /** Drops every use that this graph's nodes and outputs make, at any depth: before a subgraph is thrown away. */
  detach(): void {
    for (const n of this.#nodes) {
      for (let i = 0; i < n.inputs.length; i++) n.setInput(i, null);
      for (const [, g] of n.subgraphs()) g.detach();
    }
    while (this.#outputs.length) this.removeOutput(this.#outputs.length - 1);
  }
  /** Every use of `from`, as a node input or as an output of any graph, becomes `to`. */
  replaceUses(from: Value, to: Value): void {
    for (const u of [...from.uses]) u.node.setInput(u.index, to);
    for (const g of [...from.outputOf.keys()]) for (const i of g.outputIndices(from)) g.setOutput(i, to);
  }
  /** Values used inside this graph, at any depth, that are defined outside of it. */
  captures(): Set<Value> {
    const found = new Set<Value>();
    const own = new Set<Value>([...this.#inputs, ...this.initializers]);
    for (const n of this.#nodes) for (const o of n.outputs) own.add(o);
    const see = (v: Value | null): void => {
      if (v && !own.has(v)) found.add(v);
    };
    for (const n of this.#nodes) {
      n.inputs.forEach(see);
      for (const [, g] of n.subgraphs()) g.captures().forEach(see);
    }
    this.#outputs.forEach(see);
    return found;
  }
  /**
   * Nodes in an order in which every value is computed before its use (captures count as inputs): a post-order walk
   * over insertion order, so an untouched model keeps its order. What it gave stays as it is when the graph changes.
   * Throws GRAPH_CYCLE.
   */
  topological(): readonly Node[] {
    let nested = false;
    if (this.#nests) for (const n of this.#nodes) if (n.subgraphs().length) nested = true;
    if (nested || !this.#order) this.#order = postOrder(this, this.#nodes);
    const order = this.#order;
    if (nested) this.#order = undefined; // edges of bodies change without this graph knowing
    return order;
  }
}

function placesOf(map: Map<Value, Set<number>>, v: Value): Set<number> {
  const found = map.get(v) ?? new Set<number>();
  map.set(v, found);
  return found;
}
