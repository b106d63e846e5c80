/** ONNX text to ir objects (https://github.com/onnx/onnx/blob/main/docs/Syntax.md). */
import { fail, nearest, type Where } from '../../base/errors.js';
import { Graph, Node, Value, type Attr } from '../graph.js';
import type { FunctionDef, Model } from '../model.js';
import { randomTensor } from './literal.js';
import {
  Syntax,
  type AttributeTree,
  type DeclarationTree,
  type FunctionTree,
  type GraphTree,
  type Header,
  type NodeTree,
  type SingleTree,
} from './syntax.js';
import { ATTRIBUTE_TYPES } from './types.js';

export interface ParseOptions {
  /** Gives `<float[8,3,3,3] w>` without data, which no node produces, seeded random data: weights for test graphs. */
  readonly randomInitializers?: number;
}

/**
 * The model that `text` spells. Nodes may come in any order. Besides the specification, names, op types and domains may
 * be quoted wherever an identifier stands, and float16 data may be given as numbers with a point.
 * Throws GRAPH_TEXT with line and column.
 */
export function parseModel(text: string, options: ParseOptions = {}): Model {
  const tree = new Syntax(text).model();
  const opsets = opsetsOf(tree.header);
  if (opsets.size === 0)
    fail(
      'GRAPH_TEXT',
      'the model imports no opset',
      { line: 1, column: 1 },
      'begin with <ir_version: 8, opset_import: ["" : 17]>',
    );
  const metadata = tree.header.get('metadata_props');
  return {
    graph: build(tree.graph, new Map(), options),
    irVersion: Number(integer(tree.header, 'ir_version') ?? 8n),
    opsets,
    functions: tree.functions.map((f) => buildFunction(f, options)),
    metadata: new Map(metadata instanceof Map ? [...metadata].map(([k, v]) => [String(k), String(v)]) : []),
    producerName: words(tree.header, 'producer_name'),
    producerVersion: words(tree.header, 'producer_version'),
    domain: words(tree.header, 'domain'),
    modelVersion: integer(tree.header, 'model_version') ?? 0n,
    doc: words(tree.header, 'doc_string'),
    extra: undefined,
  };
}

/** The graph that `text` spells; names that it does not define are taken from `outer`. Throws GRAPH_TEXT. */
export function parseGraph(text: string, outer: Iterable<Value> = [], options: ParseOptions = {}): Graph {
  const syntax = new Syntax(text);
  const tree = syntax.graph();
  syntax.end();
  return build(tree, new Map([...outer].map((v) => [v.name, v])), options);
}

const words = (header: Header, key: string): string => {
  const v = header.get(key);
  return typeof v === 'string' ? v : '';
};
const integer = (header: Header, key: string): bigint | undefined => {
  const v = header.get(key);
  return typeof v === 'bigint' ? v : undefined;
};
function opsetsOf(header: Header): Map<string, number> {
  const list = header.get('opset_import');
  return new Map(
    list instanceof Map
      ? [...list].map(([domain, version]) => [domain === 'ai.onnx' ? '' : String(domain), Number(version)])
      : [],
  );
}

type Scope = Map<string, Value>;

function build(tree: GraphTree, outer: Scope, options: ParseOptions): Graph {
  const graph = new Graph();
  graph.name = tree.name;
  const own: Scope = new Map();
  for (const d of tree.inputs) {
    const value = describe(graph.addInput(define(own, new Value(d.name), d.where)), d);
    if (d.data) graph.addInitializer(value, d.data);
  }
  for (const d of tree.infos) {
    if (!d.data) continue;
    const listed = own.get(d.name);
    const value = listed && !listed.data ? listed : define(own, new Value(d.name), d.where);
    const { shape } = value;
    graph.addInitializer(value, d.data);
    if (shape) value.shape = shape; // an input's symbolic sizes stay: callers may override the default
  }
  const produced = new Set(tree.nodes.flatMap((n) => n.outputs));
  for (const d of options.randomInitializers === undefined ? [] : tree.infos) {
    if (d.data || own.has(d.name) || produced.has(d.name)) continue;
    const shape = d.type?.shape?.map((s) =>
      typeof s === 'number'
        ? s
        : fail('GRAPH_TEXT', `'${d.name}' needs sizes that are numbers to get random data`, d.where),
    );
    if (!d.type?.dtype || !shape)
      return fail('GRAPH_TEXT', `'${d.name}' needs a tensor type with a shape to get random data`, d.where);
    graph.addInitializer(
      define(own, new Value(d.name), d.where),
      randomTensor(d.type.dtype, shape, options.randomInitializers ?? 0, d.name, d.where),
    );
  }
  buildBody(graph, tree, own, outer, options);
  return graph;
}

function buildFunction(tree: FunctionTree, options: ParseOptions): FunctionDef {
  const graph = new Graph();
  graph.name = tree.name;
  const own: Scope = new Map();
  for (const d of tree.inputs) describe(graph.addInput(define(own, new Value(d.name), d.where)), d);
  buildBody(graph, tree, own, new Map(), options);
  const defaults = new Map<string, Attr>();
  for (const a of tree.attributes) if (typeof a !== 'string') defaults.set(a.name, attribute(a, new Map(), options));
  return {
    name: tree.name,
    domain: words(tree.header, 'domain'),
    overload: words(tree.header, 'overload'),
    graph,
    attributes: tree.attributes.filter((a) => typeof a === 'string'),
    defaults,
    opsets: opsetsOf(tree.header),
    doc: words(tree.header, 'doc_string'),
    extra: undefined,
  };
}

/** Nodes, graph outputs and value types; `own` already holds inputs and initializers. */
function buildBody(graph: Graph, tree: GraphTree, own: Scope, outer: Scope, options: ParseOptions): void {
  const nodes = tree.nodes.map((n) => {
    const node = new Node(n.op, [], n.outputs, n.domain, n.overload);
    node.name = n.label;
    for (const o of node.outputs) if (o.name) define(own, o, n.where);
    return graph.add(node);
  });
  const scope: Scope = new Map([...outer, ...own]);
  const find = (name: string, where: Where): Value => {
    const value = scope.get(name);
    if (value) return value;
    const near = nearest(name, scope.keys());
    return fail(
      'GRAPH_TEXT',
      `'${name}' is not defined`,
      where,
      near === undefined ? undefined : `did you mean '${near}'?`,
    );
  };
  tree.nodes.forEach((n: NodeTree, i) => {
    const node = nodes[i]!; // one per tree
    n.inputs.forEach((name, slot) => node.setInput(slot, name === '' ? null : find(name, n.where)));
    for (const a of n.attributes) {
      if (node.attrs.has(a.name)) fail('GRAPH_TEXT', `attribute '${a.name}' is given twice`, a.where);
      node.attrs.set(a.name, attribute(a, scope, options));
    }
  });
  for (const d of tree.outputs) graph.addOutput(describe(find(d.name, d.where), d));
  for (const d of tree.infos) {
    const value = own.get(d.name);
    if (value && !d.data) describe(value, d);
  }
}

function define(scope: Scope, value: Value, where: Where): Value {
  if (scope.has(value.name)) fail('GRAPH_TEXT', `'${value.name}' is defined twice`, where);
  scope.set(value.name, value);
  return value;
}

function describe(value: Value, declaration: DeclarationTree): Value {
  const { type } = declaration;
  if (type?.other) value.other = type.other;
  if (type?.dtype) {
    value.dtype ??= type.dtype;
    value.shape ??= type.shape;
  }
  return value;
}

function attribute(tree: AttributeTree, scope: Scope, options: ParseOptions): Attr {
  const { value, declared, where } = tree;
  const mismatch = (found: string): never =>
    fail('GRAPH_TEXT', `attribute '${tree.name}' is declared ${declared}, but holds ${found}`, where);
  if (!isList(value)) {
    if (value.type === 'ref')
      return { type: 'ref', value: value.value, attrType: ATTRIBUTE_TYPES[declared ?? ''] ?? 0 };
    if (declared !== undefined && declared !== value.type) mismatch(`a ${value.type}`);
    if (value.type === 'graph') return { type: 'graph', value: build(value.value, scope, options) };
    if (value.type === 'type_proto') return { type: 'opaque', value: { tp: value.value }, attrType: 13 };
    return value;
  }
  const kinds = new Set(value.map((v) => v.type));
  // [1, 2.5] without a declared type is a list of floats.
  const kind =
    declared ??
    (kinds.size === 2 && kinds.has('int') && kinds.has('float')
      ? 'floats'
      : kinds.size === 1
        ? `${[...kinds][0]}s`
        : undefined);
  const pick = <T>(of: (v: SingleTree) => T | undefined): T[] =>
    value.map((v) => of(v) ?? mismatch(`a ${v.type} in its list`));
  switch (kind) {
    case 'ints':
      return { type: 'ints', value: pick((v) => (v.type === 'int' ? v.value : undefined)) };
    case 'floats':
      return {
        type: 'floats',
        value: pick((v) =>
          v.type === 'float' ? v.value : v.type === 'int' ? Math.fround(Number(v.value)) : undefined,
        ),
      };
    case 'strings':
      return { type: 'strings', value: pick((v) => (v.type === 'string' ? v.value : undefined)) };
    case 'tensors':
      return { type: 'tensors', value: pick((v) => (v.type === 'tensor' ? v.value : undefined)) };
    case 'graphs':
      return { type: 'graphs', value: pick((v) => (v.type === 'graph' ? build(v.value, scope, options) : undefined)) };
    case 'type_protos':
      return {
        type: 'opaque',
        value: { typeProtos: pick((v) => (v.type === 'type_proto' ? v.value : undefined)) },
        attrType: 14,
      };
    case undefined:
      return fail(
        'GRAPH_TEXT',
        `attribute '${tree.name}' ${value.length ? 'mixes types' : 'is an empty list without a type'}`,
        where,
        `write the type, as in ${tree.name}: ints = []`,
      );
    default:
      return mismatch('a list');
  }
}
const isList = (value: AttributeTree['value']): value is readonly SingleTree[] => Array.isArray(value);
