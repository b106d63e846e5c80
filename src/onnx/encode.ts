/** An ir Model to ONNX bytes: the same model gives the same bytes. */
import type { Attr, Graph, Node } from '../ir/graph.js';
import type { FunctionDef, Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import type { ExternalPlace } from './external.js';
import type { Pieces } from './piece-writer.js';
import { onnx } from './proto.js';
import { bytesOf, sparseMessage, tensorMessage } from './tensor.js';
import { valueInfo } from './types.js';
import { encodeMessage, encodePieces, fromBigInt, kept } from './wire.js';

export interface EncodeOptions {
  /** Where a tensor's bytes lie outside the model; tensors without a place stay inside. */
  readonly places?: ReadonlyMap<Tensor, ExternalPlace>;
}

/** The serialized model. Nodes are written in topological order; tensor data are copied once. */
export const encodeModel = (model: Model, options: EncodeOptions = {}): Uint8Array =>
  encodeMessage(onnx.ModelProto, modelMessage(model, options));

/** As {@link encodeModel}, in pieces for a file: large tensor data are not copied. */
export const encodeModelPieces = (model: Model, options: EncodeOptions = {}): Pieces =>
  encodePieces(onnx.ModelProto, modelMessage(model, options));

function modelMessage(model: Model, options: EncodeOptions): onnx.ModelProto.$Properties {
  const places = options.places ?? new Map<Tensor, ExternalPlace>();
  const message: onnx.ModelProto.$Properties = {
    ...kept(model.extra),
    irVersion: fromBigInt(BigInt(model.irVersion)),
    opsetImport: opsetMessages(model.opsets),
    graph: graphMessage(model.graph, places),
    functions: model.functions.map((f) => functionMessage(f, places)),
    metadataProps: [...model.metadata].map(([key, value]) => ({ key, value })),
  };
  if (model.producerName) message.producerName = model.producerName;
  if (model.producerVersion) message.producerVersion = model.producerVersion;
  if (model.domain) message.domain = model.domain;
  if (model.modelVersion !== 0n) message.modelVersion = fromBigInt(model.modelVersion);
  if (model.doc) message.docString = model.doc;
  return message;
}

type Places = ReadonlyMap<Tensor, ExternalPlace>;

const opsetMessages = (opsets: ReadonlyMap<string, number>): onnx.OperatorSetIdProto.$Properties[] =>
  [...opsets].map(([domain, version]) => ({ domain, version: fromBigInt(BigInt(version)) }));

function graphMessage(graph: Graph, places: Places): onnx.GraphProto.$Properties {
  const nodes = graph.topological();
  const dense: onnx.TensorProto.$Properties[] = [];
  const sparse: onnx.SparseTensorProto.$Properties[] = [];
  for (const value of graph.initializers) {
    if (!value.data) continue; // verify() reports it; the value may still be an input
    const asSparse = sparseMessage(value.data, value.name);
    if (asSparse) sparse.push(asSparse);
    else dense.push(tensorMessage(value.data, value.name, places.get(value.data)));
  }
  const declared = new Set(graph.outputs);
  const message: onnx.GraphProto.$Properties = {
    ...kept(graph.extra),
    name: graph.name,
    node: nodes.map((n) => nodeMessage(n, places)),
    input: graph.inputs.map((v) => valueInfo(v) ?? { name: v.name }),
    output: graph.outputs.map((v) => valueInfo(v) ?? { name: v.name }),
    valueInfo: nodes
      .flatMap((n) => n.outputs)
      .filter((v) => v.name && !declared.has(v))
      .flatMap((v) => valueInfo(v) ?? []),
    initializer: dense,
    sparseInitializer: sparse,
  };
  if (graph.doc) message.docString = graph.doc;
  return message;
}

function nodeMessage(node: Node, places: Places): onnx.NodeProto.$Properties {
  const message: onnx.NodeProto.$Properties = {
    ...kept(node.extra),
    input: node.inputs.map((v) => v?.name ?? ''),
    output: node.outputs.map((v) => v.name),
    opType: node.op,
    attribute: attributeMessages(node.attrs, places),
  };
  if (node.name) message.name = node.name;
  if (node.domain) message.domain = node.domain;
  if (node.overload) message.overload = node.overload;
  if (node.doc) message.docString = node.doc;
  return message;
}

const attributeMessages = (attrs: ReadonlyMap<string, Attr>, places: Places): onnx.AttributeProto.$Properties[] =>
  [...attrs].map(([name, attr]) => ({
    ...kept(attr.extra),
    name,
    ...(attr.doc ? { docString: attr.doc } : {}),
    ...attributeFields(attr, places),
  }));

function attributeFields(attr: Attr, places: Places): onnx.AttributeProto.$Properties {
  const tensor = (t: Tensor): onnx.TensorProto.$Properties => tensorMessage(t, t.name, places.get(t));
  switch (attr.type) {
    case 'float':
      return { type: 1, f: attr.value };
    case 'int':
      return { type: 2, i: fromBigInt(attr.value) };
    case 'string':
      return { type: 3, s: bytesOf(attr.value) };
    case 'tensor':
      return { type: 4, t: tensor(attr.value) };
    case 'graph':
      return { type: 5, g: graphMessage(attr.value, places) };
    case 'floats':
      return { type: 6, floats: [...attr.value] };
    case 'ints':
      return { type: 7, ints: attr.value.map(fromBigInt) };
    case 'strings':
      return { type: 8, strings: attr.value.map(bytesOf) };
    case 'tensors':
      return { type: 9, tensors: attr.value.map(tensor) };
    case 'graphs':
      return { type: 10, graphs: attr.value.map((g) => graphMessage(g, places)) };
    case 'ref':
      return { type: attr.attrType, refAttrName: attr.value };
    case 'opaque':
      return { ...kept(attr.value), type: attr.attrType };
    default:
      return attr satisfies never;
  }
}

function functionMessage(f: FunctionDef, places: Places): onnx.FunctionProto.$Properties {
  const nodes = f.graph.topological();
  const values = new Set([...f.graph.inputs, ...nodes.flatMap((n) => n.outputs)]);
  const message: onnx.FunctionProto.$Properties = {
    ...kept(f.extra),
    name: f.name,
    domain: f.domain,
    input: f.graph.inputs.map((v) => v.name),
    output: f.graph.outputs.map((v) => v.name),
    attribute: [...f.attributes],
    attributeProto: attributeMessages(f.defaults, places),
    node: nodes.map((n) => nodeMessage(n, places)),
    opsetImport: opsetMessages(f.opsets),
    valueInfo: [...values].filter((v) => v.name).flatMap((v) => valueInfo(v) ?? []),
  };
  if (f.overload) message.overload = f.overload;
  if (f.doc) message.docString = f.doc;
  return message;
}
