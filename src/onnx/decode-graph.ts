/** GraphProto, NodeProto and AttributeProto to ir objects, with names resolved by scope. */
import { item } from '../base/lists.js';
import { fail, nearest, type Where } from '../base/errors.js';
import type { Attr } from '../ir/graph.js';
import { Graph, label, Node, Value } from '../ir/graph.js';
import type { AttributeMessage, GraphMessage, NodeMessage, TensorMessage } from './messages.js';
import { opened } from './node-parts.js';
import { decodeSparse, decodeTensor, utf8OrBytes, type Origin } from './tensor.js';
import { describeValue } from './types.js';
import { has, keep, toBigInt } from './wire.js';

export interface Decoding {
  readonly origin: Origin;
  readonly where: Where;
  readonly repeats?: boolean;
}

/** Values by name in one graph, and in the graphs around it. */
export class Scope {
  readonly #values = new Map<string, Value>();
  constructor(readonly outer: Scope | undefined) {}
  own(name: string): Value | undefined {
    return this.#values.get(name);
  }
  find(name: string): Value | undefined {
    return this.#values.get(name) ?? this.outer?.find(name);
  }
  define(value: Value): Value {
    this.#values.set(value.name, value);
    return value;
  }
  *names(): Generator<string> {
    yield* this.#values.keys();
    if (this.outer) yield* this.outer.names();
  }
}

/** The graph of a message; `scope` is the one around it. Throws GRAPH_INVALID, MODEL_TENSOR and what tensors throw. */
export function decodeGraph(proto: GraphMessage, outer: Scope, decoding: Decoding): Graph {
  const scope = new Scope(outer);
  const graph = new Graph();
  graph.name = proto.name;
  graph.doc = proto.docString;
  graph.extra = keep(proto, ['quantizationAnnotation', 'metadataProps']);
  for (const info of proto.input) {
    if (info.name === '') fail('GRAPH_INVALID', `graph '${proto.name}' has an input without a name`, decoding.where);
    if (scope.own(info.name))
      fail('GRAPH_INVALID', `graph '${proto.name}' has two inputs named '${info.name}'`, {
        ...decoding.where,
        tensor: info.name,
      });
    const value = graph.addInput(scope.define(new Value(info.name)));
    describeValue(value, info, decoding.where);
  }
  decodeInitializers(graph, proto, scope, decoding);
  decodeBody(
    graph,
    proto.node,
    proto.output.map((o) => o.name),
    scope,
    decoding,
  );
  // Outputs first: where an exporter declares a value twice, the graph's interface is what callers see.
  for (const info of [...proto.output, ...proto.valueInfo]) {
    const value = scope.own(info.name);
    if (value) describeValue(value, info, decoding.where);
  }
  return graph;
}

function decodeInitializers(graph: Graph, proto: GraphMessage, scope: Scope, decoding: Decoding): void {
  const add = (name: string, tensor: ReturnType<typeof decodeTensor>): void => {
    const where = { ...decoding.where, tensor: name };
    if (name === '') fail('GRAPH_INVALID', `graph '${proto.name}' has an initializer without a name`, decoding.where);
    const listed = scope.own(name);
    if (listed?.data && decoding.repeats) return;
    if (listed?.data) fail('GRAPH_INVALID', `initializer '${name}' is defined twice`, where);
    if (listed?.dtype && listed.dtype !== tensor.dtype)
      fail(
        'MODEL_TENSOR',
        `input '${name}' is declared ${listed.dtype}, but its initializer is ${tensor.dtype}`,
        where,
      );
    const value = listed ?? scope.define(new Value(name));
    graph.addInitializer(value);
    value.data = tensor;
    value.dtype = tensor.dtype;
    if (!listed?.shape) value.shape = tensor.dims; // a listed input keeps its symbolic sizes: callers may override it
  };
  for (const message of proto.initializer) add(message.name, decodeTensor(message, message.name, decoding.origin));
  for (const message of proto.sparseInitializer) {
    const { name, tensor } = decodeSparse(message, decoding.origin);
    add(name, tensor);
  }
}

/** Adds nodes, links them by name in any order, and sets the graph's outputs. */
export function decodeBody(
  graph: Graph,
  protos: readonly NodeMessage[],
  outputs: readonly string[],
  scope: Scope,
  decoding: Decoding,
): void {
  const nodes = protos.map((message, index) => {
    const proto = opened(message);
    const node = new Node(shared(proto.opType), [], proto.output, shared(proto.domain), shared(proto.overload));
    node.name = proto.name;
    node.doc = proto.docString;
    node.extra = keep(proto, ['metadataProps', 'deviceConfigurations']);
    if (!proto.opType)
      fail('GRAPH_INVALID', `node ${index} ('${label(node)}') has no op type`, {
        ...decoding.where,
        node: label(node),
      });
    for (const value of node.outputs) {
      if (value.name === '') continue;
      if (scope.own(value.name))
        fail('GRAPH_INVALID', `'${value.name}' is defined twice: '${label(node)}' (${node.op}) outputs it again`, {
          ...decoding.where,
          node: label(node),
          tensor: value.name,
        });
      scope.define(value);
    }
    return graph.add(node);
  });
  nodes.forEach((node, i) => {
    const proto = opened(item(protos, i)); // nodes were made from protos
    node.setInputs(
      proto.input.map((name, slot) =>
        name === '' ? null : (scope.find(name) ?? undefinedName(name, { node, slot }, scope, decoding)),
      ),
    );
    decodeAttributes(node, proto.attribute, scope, decoding);
  });
  for (const name of outputs) graph.addOutput(scope.find(name) ?? undefinedName(name, { graph }, scope, decoding));
}

/** The one copy of a string that occurs in many nodes: less memory, and compared by address. */
const shared = (text: string): string => Object.keys({ [text]: 0 })[0]!; // names of properties are kept once

type Reader = { readonly node: Node; readonly slot: number } | { readonly graph: Graph };
function undefinedName(name: string, by: Reader, scope: Scope, decoding: Decoding): never {
  const node = 'node' in by ? by.node : undefined;
  const what =
    'node' in by
      ? `input ${by.slot} of node '${label(by.node)}' (${by.node.op})`
      : `an output of graph '${by.graph.name}'`;
  const near = nearest(name, scope.names());
  return fail(
    'GRAPH_INVALID',
    `${what}, '${name}', is not defined`,
    { ...decoding.where, ...(node ? { node: label(node) } : {}), tensor: name },
    near === undefined ? undefined : `did you mean '${near}'?`,
  );
}

/** Decodes attributes into `node.attrs`. Throws GRAPH_INVALID for duplicates and for unknown attribute types. */
export function decodeAttributes(
  node: Node,
  protos: readonly AttributeMessage[],
  scope: Scope,
  decoding: Decoding,
): void {
  for (const proto of protos) {
    const where = { ...decoding.where, node: label(node) };
    if (!proto.name) fail('GRAPH_INVALID', `'${label(node)}' (${node.op}) has an attribute without a name`, where);
    if (node.attrs.has(proto.name))
      fail('GRAPH_INVALID', `'${label(node)}' (${node.op}) has attribute '${proto.name}' twice`, where);
    node.attrs.set(shared(proto.name), withNotes(decodeAttribute(proto, node, scope, decoding), proto));
  }
}

function withNotes(attr: Attr, proto: AttributeMessage): Attr {
  const extra = keep(proto, []);
  if (!extra && !proto.docString) return attr;
  return { ...attr, ...(extra ? { extra } : {}), ...(proto.docString ? { doc: proto.docString } : {}) };
}

function decodeAttribute(proto: AttributeMessage, node: Node, scope: Scope, decoding: Decoding): Attr {
  const type = proto.type || inferType(proto);
  if (proto.refAttrName) return { type: 'ref', value: proto.refAttrName, attrType: type };
  const where = { ...decoding.where, node: label(node) };
  const what = `attribute '${proto.name}' of '${label(node)}'`;
  const tensor = (message: TensorMessage): ReturnType<typeof decodeTensor> =>
    decodeTensor(message, message.name || what, decoding.origin);
  switch (type) {
    case 1:
      return { type: 'float', value: proto.f };
    case 2:
      return { type: 'int', value: toBigInt(proto.i) };
    case 3:
      return { type: 'string', value: utf8OrBytes(proto.s) };
    case 4:
      return { type: 'tensor', value: tensor(proto.t ?? fail('GRAPH_INVALID', `${what} has no tensor`, where)) };
    case 5:
      return {
        type: 'graph',
        value: decodeGraph(proto.g ?? fail('GRAPH_INVALID', `${what} has no graph`, where), scope, decoding),
      };
    case 6:
      return { type: 'floats', value: proto.floats };
    case 7:
      return { type: 'ints', value: proto.ints.map(toBigInt) };
    case 8:
      return { type: 'strings', value: proto.strings.map(utf8OrBytes) };
    case 9:
      return { type: 'tensors', value: proto.tensors.map(tensor) };
    case 10:
      return { type: 'graphs', value: proto.graphs.map((g) => decodeGraph(g, scope, decoding)) };
    case 11:
    case 12:
    case 13:
    case 14:
      if ((type === 11 && !proto.sparseTensor) || (type === 13 && !proto.tp)) {
        fail('GRAPH_INVALID', `${what} has no ${type === 11 ? 'sparse tensor' : 'type'}`, where);
      }
      return {
        type: 'opaque',
        value: keep(proto, ['sparseTensor', 'sparseTensors', 'tp', 'typeProtos']),
        attrType: type,
      };
    default:
      return fail(
        'GRAPH_INVALID',
        `${what} has ${type === 0 ? 'no value' : `unknown type ${type}`}`,
        where,
        'attribute types are 1 to 14',
      );
  }
}

/** The type of an attribute from before IR version 2, which had no type field. */
function inferType(proto: AttributeMessage): number {
  if (has(proto, 'f')) return 1;
  if (has(proto, 'i')) return 2;
  if (has(proto, 's')) return 3;
  if (proto.t) return 4;
  if (proto.g) return 5;
  if (proto.floats.length) return 6;
  if (proto.ints.length) return 7;
  if (proto.strings.length) return 8;
  if (proto.tensors.length) return 9;
  if (proto.graphs.length) return 10;
  return 0;
}
