import { fail } from '../base/errors.js';
import { shortName } from '../base/shorten.js';
import { cloneGraph } from './clone.js';
import { label, Node, type Graph, type Value } from './graph.js';
import { allGraphs, nameMaker, type FunctionDef, type Model } from './model.js';

/**
 * Replaces every call of a model-local function by its body, nested calls included, and drops the functions; returns
 * the number of calls. Attribute references take the call's attribute, else the function's default, else vanish. Names
 * in the body are made unique; the outputs keep the caller's names.
 * Throws GRAPH_CYCLE where functions call each other in a circle, MODEL_UNSUPPORTED where a called function imports
 * another version of an opset than the model, GRAPH_INVALID for a call of more inputs or outputs than the function has,
 * MODEL_LIMIT where functions that call each other become too many nodes. Source:
 * https://github.com/onnx/onnx/blob/main/docs/IR.md#functions
 */
export function inlineFunctions(model: Model): number {
  const functions = new Map(model.functions.map((f) => [keyOf(f.domain, f.name, f.overload), f]));
  refuseExplosion(model, functions);
  const unique = nameMaker(model.graph);
  let calls = 0;
  const expand = (graph: Graph, nodes: readonly Node[], path: readonly FunctionDef[]): void => {
    for (const node of nodes) {
      for (const [, inner] of node.subgraphs()) expand(inner, [...inner.nodes], path);
      const f = functions.get(keyOf(node.domain, node.op, node.overload));
      if (!f) continue;
      if (path.includes(f))
        fail('GRAPH_CYCLE', `functions call each other in a circle: ${[...path, f].map((p) => p.name).join(' → ')}`, {
          node: f.name,
        });
      checkCall(node, f);
      adoptOpsets(model, f);
      calls++;
      expand(graph, inlineCall(graph, node, f, unique), [...path, f]);
    }
  };
  expand(model.graph, [...model.graph.nodes], []);
  model.functions.length = 0;
  return calls;
}

/** Most nodes that calls may become: these, and so many times what the model itself holds. No exporter comes near. */
const MOST_INLINED = 10_000;
const TIMES = 20;

/** Counts before anything is copied: each function of a chain that calls the next one twice doubles the nodes. */
function refuseExplosion(model: Model, functions: ReadonlyMap<string, FunctionDef>): void {
  const sizes = new Map<FunctionDef, number>();
  const sizeOf = (graph: Graph, path: readonly FunctionDef[]): number => {
    let nodes = 0;
    for (const g of allGraphs(graph)) {
      for (const n of g.nodes) {
        const f = functions.get(keyOf(n.domain, n.op, n.overload));
        nodes += f ? inlined(f, path) : 1;
      }
    }
    return nodes;
  };
  const inlined = (f: FunctionDef, path: readonly FunctionDef[]): number => {
    if (path.includes(f)) {
      fail('GRAPH_CYCLE', `functions call each other in a circle: ${[...path, f].map((p) => p.name).join(' → ')}`, {
        node: f.name,
      });
    }
    const known = sizes.get(f) ?? 1 + sizeOf(f.graph, [...path, f]);
    sizes.set(f, known);
    return known;
  };
  const total = sizeOf(model.graph, []);
  let own = 0;
  for (const root of [model.graph, ...model.functions.map((f) => f.graph)])
    for (const g of allGraphs(root)) own += g.nodes.size;
  const most = MOST_INLINED + TIMES * own;
  if (total > most) {
    fail(
      'MODEL_LIMIT',
      `the functions of the model call each other so often that it would have ${total} nodes`,
      {},
      `its ${own} nodes and functions may become ${most}`,
    );
  }
}

/** Omitted trailing inputs and outputs are fine; ones that the function does not have would be left dangling. */
function checkCall(call: Node, f: FunctionDef): void {
  const place = { node: label(call) };
  const [inputs, outputs] = [f.graph.inputs.length, f.graph.outputs.length];
  if (call.inputs.length > inputs) {
    fail(
      'GRAPH_INVALID',
      `'${label(call)}' gives ${call.inputs.length} inputs to function '${f.name}', which has ${inputs}`,
      place,
    );
  }
  if (call.outputs.length > outputs) {
    fail(
      'GRAPH_INVALID',
      `'${label(call)}' takes ${call.outputs.length} outputs of function '${f.name}', which has ${outputs}`,
      place,
    );
  }
}

const keyOf = (domain: string, name: string, overload: string): string => `${domain}::${name}::${overload}`;

function adoptOpsets(model: Model, f: FunctionDef): void {
  for (const [domain, version] of f.opsets) {
    const ours = model.opsets.get(domain);
    if (ours === undefined) model.opsets.set(domain, version);
    else if (ours !== version)
      fail(
        'MODEL_UNSUPPORTED',
        `function '${f.name}' uses opset ${version} of domain '${domain}', but the model opset ${ours}`,
        { node: f.name },
        'convert the model to one opset first',
      );
  }
}

/** Puts the body of `f` in place of `call` and returns the new nodes. */
function inlineCall(graph: Graph, call: Node, f: FunctionDef, unique: (base: string) => string): Node[] {
  const values = new Map<Value, Value>();
  f.graph.inputs.forEach((formal, i) => {
    const actual = call.inputs[i];
    if (actual) values.set(formal, actual);
  });
  const body = cloneGraph(f.graph, values);
  const prefix = shortName(label(call)); // names of nested calls add up
  const own = [...allGraphs(body)];
  own.forEach((g, depth) => {
    for (const v of depth === 0 ? [] : [...new Set([...g.inputs, ...g.initializers])])
      v.name = unique(`${prefix}/${v.name}`);
    for (const n of g.nodes) {
      resolveReferences(n, call, f);
      if (n.name) n.name = unique(`${prefix}/${n.name}`);
      for (const o of n.outputs) if (o.name) o.name = unique(`${prefix}/${o.name}`);
    }
  });
  // A formal input that the call omits was copied as a value that nobody defines: its uses are omitted inputs too.
  body.inputs.forEach((v, i) => {
    if (!call.inputs[i]) for (const use of [...v.uses]) use.node.setInput(use.index, null);
  });

  const results = [...body.outputs];
  const nodes = [...body.nodes];
  while (body.outputs.length) body.removeOutput(body.outputs.length - 1);
  for (const n of nodes) {
    n.graph = undefined;
    graph.add(n);
  }
  const taken = new Set<Value>();
  const replaced = call.outputs.map((output, i) => {
    const result = results[i];
    if (!result || !output.name) return undefined;
    // An output that is an input of the function, or given twice, needs a value of its own to carry the caller's name.
    const needsCopy = !result.producer || !nodes.includes(result.producer) || taken.has(result);
    const value = needsCopy ? identity(graph, result, nodes) : result;
    taken.add(result);
    value.dtype ??= output.dtype;
    value.shape ??= output.shape;
    graph.replaceUses(output, value);
    return { value, name: output.name };
  });
  graph.remove(call);
  for (const r of replaced) if (r) r.value.name = r.name;
  return nodes;
}

function identity(graph: Graph, source: Value, nodes: Node[]): Value {
  const copy = graph.add(new Node('Identity', [source], ['copy']));
  nodes.push(copy);
  return copy.outputs[0]!; // made with one output
}

function resolveReferences(node: Node, call: Node, f: FunctionDef): void {
  for (const [name, attr] of [...node.attrs]) {
    if (attr.type !== 'ref') continue;
    const given = call.attrs.get(attr.value) ?? f.defaults.get(attr.value);
    if (given) node.attrs.set(name, given);
    else node.attrs.delete(name);
  }
}
