/** ONNX bytes to an ir Model. */
import { fail, type Where } from '../base/errors.js';
import type { Attr } from '../ir/graph.js';
import type { FunctionDef, Model } from '../ir/model.js';
import { Graph, Node, Value } from '../ir/graph.js';
import { allGraphs } from '../ir/model.js';
import { decodeAttributes, decodeBody, decodeGraph, Scope, type Decoding } from './decode-graph.js';
import { refuseInflation } from './footprint.js';
import type { FunctionMessage, OpsetMessage } from './messages.js';
import { withNodeParts } from './node-parts.js';
import { onnx } from './proto.js';
import { describeFormat } from './sniff.js';
import { describeValue } from './types.js';
import { decodeMessage, keep, toBigInt } from './wire.js';

export interface DecodeOptions {
  /** Directory that external data may lie in; without it, a model with external data is refused. */
  readonly dir?: string;
  /** Name of the file, for messages. */
  readonly file?: string;
  /**
   * Whether an initializer that a graph holds twice is taken once: onnxruntime writes such graphs of models with
   * branches. Default: refused.
   */
  readonly repeatedInitializers?: boolean;
}

/**
 * The model that `bytes` hold. Raw tensor data are views of `bytes`, so they must not change afterwards.
 * Nodes may come in any order; names are resolved by scope. Throws MODEL_FORMAT, MODEL_EMPTY, MODEL_LIMIT,
 * MODEL_TENSOR, MODEL_EXTERNAL_DATA, MODEL_UNSUPPORTED, GRAPH_INVALID and GRAPH_CYCLE.
 */
export function decodeModel(bytes: Uint8Array, options: DecodeOptions = {}): Model {
  const where: Where = options.file === undefined ? {} : { file: options.file };
  if (bytes.length === 0)
    fail(
      'MODEL_FORMAT',
      'not an ONNX model: the file is empty (0 bytes)',
      { ...where, offset: 0 },
      'download or export it again',
    );
  refuseInflation(bytes, where);
  const proto = withNodeParts(() => decodeMessage(onnx.ModelProto, bytes, 'an ONNX model', where));
  if (!proto.graph) {
    const seen = describeFormat(bytes);
    if (seen) fail('MODEL_FORMAT', `not an ONNX model: the file is ${seen.what}`, { ...where, offset: 0 }, seen.hint);
    if (proto.opsetImport.length === 0)
      fail(
        'MODEL_FORMAT',
        'not an ONNX model: it has neither a graph nor opset imports',
        { ...where, offset: 0 },
        'the file is damaged, or of another format',
      );
    return fail('MODEL_EMPTY', 'the model has no graph', where);
  }
  const decoding: Decoding = { origin: options, where, repeats: options.repeatedInitializers === true };
  const graph = decodeGraph(proto.graph, new Scope(undefined), decoding);
  if (graph.nodes.size === 0) fail('MODEL_EMPTY', 'the graph of the model has no nodes', where);
  if (graph.outputs.length === 0) fail('MODEL_EMPTY', 'the graph of the model has no outputs', where);
  const irVersion = Number(toBigInt(proto.irVersion));
  const opsets = decodeOpsets(proto.opsetImport);
  if (opsets.size === 0) {
    if (irVersion >= 3)
      fail(
        'MODEL_FORMAT',
        `the model (IR version ${irVersion}) imports no opset`,
        where,
        'opset_import is required since IR version 3',
      );
    opsets.set('', 1); // the meaning of the IR versions before opsets existed
  }
  const functions = proto.functions.map((f) => decodeFunction(f, decoding));
  checkFunctions(functions, where);
  // throws GRAPH_CYCLE
  for (const g of [graph, ...functions.map((f) => f.graph)]) for (const inner of allGraphs(g)) inner.topological();
  return {
    graph,
    irVersion,
    opsets,
    functions,
    metadata: new Map(proto.metadataProps.map((p) => [p.key, p.value])),
    producerName: proto.producerName,
    producerVersion: proto.producerVersion,
    domain: proto.domain,
    modelVersion: toBigInt(proto.modelVersion),
    doc: proto.docString,
    extra: keep(proto, ['trainingInfo', 'configuration']),
  };
}

function decodeOpsets(imports: readonly OpsetMessage[]): Map<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain, version } of imports) opsets.set(domain === 'ai.onnx' ? '' : domain, Number(toBigInt(version)));
  return opsets;
}

function decodeFunction(proto: FunctionMessage, decoding: Decoding): FunctionDef {
  const scope = new Scope(undefined);
  const graph = new Graph();
  graph.name = proto.name;
  const where: Where = { ...decoding.where, node: `function ${proto.domain}.${proto.name}` };
  for (const name of proto.input) {
    if (scope.own(name)) fail('GRAPH_INVALID', `function '${proto.name}' has two inputs named '${name}'`, where);
    graph.addInput(scope.define(new Value(name)));
  }
  decodeBody(graph, proto.node, proto.output, scope, decoding);
  for (const info of proto.valueInfo) {
    const v = scope.own(info.name);
    if (v) describeValue(v, info, where);
  }
  return {
    name: proto.name,
    domain: proto.domain === 'ai.onnx' ? '' : proto.domain,
    overload: proto.overload,
    graph,
    attributes: [...proto.attribute],
    defaults: defaultsOf(proto, scope, decoding),
    opsets: decodeOpsets(proto.opsetImport),
    doc: proto.docString,
    extra: keep(proto, ['metadataProps']),
  };
}

function defaultsOf(proto: FunctionMessage, scope: Scope, decoding: Decoding): ReadonlyMap<string, Attr> {
  const holder = new Node('', [], []);
  decodeAttributes(holder, proto.attributeProto, scope, decoding);
  return holder.attrs;
}

/** Function names are unique and no function calls itself, however indirectly. */
function checkFunctions(functions: readonly FunctionDef[], where: Where): void {
  const key = (f: { domain: string; overload: string }, name: string): string => `${f.domain}::${name}::${f.overload}`;
  const byKey = new Map<string, FunctionDef>();
  for (const f of functions) {
    if (byKey.has(key(f, f.name))) fail('GRAPH_INVALID', `function '${f.domain}.${f.name}' is defined twice`, where);
    byKey.set(key(f, f.name), f);
  }
  const state = new Map<FunctionDef, 'open' | 'done'>();
  const visit = (f: FunctionDef, path: readonly string[]): void => {
    if (state.get(f) === 'done') return;
    if (state.get(f) === 'open')
      fail('GRAPH_CYCLE', `functions call each other in a circle: ${[...path, f.name].join(' → ')}`, {
        ...where,
        node: f.name,
      });
    if (path.length > 1000) fail('MODEL_LIMIT', `functions call each other more than 1000 deep at '${f.name}'`, where);
    state.set(f, 'open');
    for (const g of allGraphs(f.graph))
      for (const n of g.nodes) {
        const called = byKey.get(key(n, n.op));
        if (called) visit(called, [...path, f.name]);
      }
    state.set(f, 'done');
  };
  for (const f of functions) visit(f, []);
}
