/** What each node of a model costs: folds the cost facet of every operator over the graph. Runs nothing. */
import { byteLength, type DType } from '../ir/dtype.js';
import { cloneModel } from '../ir/clone.js';
import type { Graph, Node, Shape, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { uniqueLabels } from '../ir/labels.js';
import type { Tensor } from '../ir/tensor.js';
import { forgetInferred, inferShapes } from '../ops/infer.js';
import { specOf } from '../ops/index.js';
import { control, isBatchNormalization, isWorkless, tripsOf } from '../ops/kinds.js';
import { sizeOf, type Known } from '../ops/spec.js';
import { constantBehind, constantOf } from './constants.js';

export interface NodeCost {
  /** Nodes of subgraphs come after the path of the node that holds them: `outer/then_branch/inner`. */
  readonly name: string;
  readonly op: string;
  /** Multiply-accumulates, for one run of the model. */
  readonly macs: number;
  /**
   * 2 for each multiply-accumulate and 1 for each other operation (one per element for element-wise ops, whatever they
   * compute).
   */
  readonly flops: number;
  /** Elements of the constants that it reads and no node before it did. */
  readonly parameters: number;
  /** Bytes of every input, constants included, and of every output. Ops that only reinterpret shapes move none. */
  readonly readBytes: number;
  readonly writeBytes: number;
  /** Runs of a Loop or Scan body that contains it. */
  readonly times: number;
  /** Whether a size that the cost needs is not known and was counted as 1. */
  readonly guessed: boolean;
}
export interface ModelCost {
  readonly nodes: readonly NodeCost[];
  readonly macs: number;
  readonly flops: number;
  /**
   * Elements of weights: constants of float and quantized types. Running statistics of BatchNormalization are no
   * parameters, nor are shapes and indices.
   */
  readonly parameters: number;
  readonly parameterBytes: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  /** Operators that are not known: their work counts as 0, their bytes count. */
  readonly unknownOps: readonly string[];
  /** The shapes that the costs are of. */
  readonly inputShapes: Readonly<Record<string, Shape>>;
}

/** A copy of the model with every shape that can be known, for inputs of the shapes given. */
export function sized(model: Model, inputShapes: ReadonlyMap<string, Shape>): Model {
  const { model: copy } = cloneModel(model);
  if (inputShapes.size) {
    forgetInferred(copy);
    for (const o of copy.graph.outputs) o.shape = undefined;
  }
  inferShapes(copy, inputShapes);
  return copy;
}

/** Costs of a model whose shapes were inferred: see {@link sized}. */
export function modelCost(model: Model): ModelCost {
  const nodes: NodeCost[] = [];
  const unknownOps = new Set<string>();
  visit(model.graph, '', 1, { nodes, counted: new Set(), statistics: new Set(), unknownOps });
  const sum = (of: (n: NodeCost) => number): number => nodes.reduce((total, n) => total + of(n) * n.times, 0);
  let parameters = 0;
  let parameterBytes = 0;
  for (const data of weightsOf(model.graph)) {
    parameters += data.size;
    parameterBytes += data.byteLength;
  }
  return {
    nodes,
    macs: sum((n) => n.macs),
    flops: sum((n) => n.flops),
    parameters,
    parameterBytes,
    readBytes: sum((n) => n.readBytes),
    writeBytes: sum((n) => n.writeBytes),
    unknownOps: [...unknownOps].sort(),
    inputShapes: Object.fromEntries(model.graph.inputs.filter((v) => !v.data).map((v) => [v.name, v.shape ?? []])),
  };
}

interface Found {
  readonly nodes: NodeCost[];
  readonly counted: Set<Tensor>;
  /** Constants that were looked at and are no weights: one that all nodes read is looked at once. */
  readonly statistics: Set<Value>;
  readonly unknownOps: Set<string>;
}

function visit(graph: Graph, path: string, times: number, found: Found): void {
  for (const [node, label] of uniqueLabels(graph.topological())) {
    const name = `${path}${label}`;
    const branches = node.subgraphs();
    if (branches.length) {
      // Of an If the dearer branch counts; a body runs as often as can be known.
      const runs = times * tripsOf(node);
      const costs = branches.map(([attribute, g]) => {
        const own: Found = { ...found, nodes: [] };
        visit(g, `${name}/${attribute}/`, runs, own);
        return own.nodes;
      });
      const work = (list: readonly NodeCost[]): number => list.reduce((n, c) => n + c.flops, 0);
      const taken = control(node) === 'branches' ? [costs.reduce((a, b) => (work(b) > work(a) ? b : a))] : costs;
      for (const list of taken) found.nodes.push(...list);
      continue;
    }
    found.nodes.push(costOf(node, name, times, found));
  }
}

function costOf(node: Node, name: string, times: number, { counted, statistics, unknownOps }: Found): NodeCost {
  const spec = specOf(node);
  if (!spec) unknownOps.add(node.domain ? `${node.domain}.${node.op}` : node.op);
  const cost =
    spec && spec.cost !== 'free'
      ? spec.cost(
          node.inputs.map(known),
          node.outputs.map((o) => known(o)!),
          node,
        )
      : { macs: 0, otherOps: 0 }; // outputs are values
  const values = [...node.inputs.filter((v) => v !== null), ...node.outputs];
  const guessed =
    values.some((v) => !v.shape || v.shape.some((d) => typeof d !== 'number')) && (cost.macs > 0 || cost.otherOps > 0);
  let parameters = 0;
  const view = isWorkless(node);
  // A view of a constant is made when the model is loaded: the node that computes with it reads it first.
  for (const v of view ? [] : node.inputs) {
    const data = constantBehind(v);
    if (!v || !data || counted.has(data) || statistics.has(v)) continue;
    if (isWeight(v, data)) {
      counted.add(data);
      parameters += data.size;
    } else statistics.add(v);
  }
  const bytes = (list: readonly (Value | null)[]): number =>
    view ? 0 : list.reduce((n, v) => n + (v ? bytesOf(v) : 0), 0);
  return {
    name,
    op: node.domain ? `${node.domain}.${node.op}` : node.op,
    macs: cost.macs,
    flops: 2 * cost.macs + cost.otherOps,
    parameters,
    readBytes: bytes([...new Set(node.inputs)]),
    writeBytes: bytes(node.outputs),
    times,
    guessed,
  };
}

const known = (v: Value | null): Known | undefined => (v ? { dtype: v.dtype, shape: v.shape } : undefined);

/** Bytes of a value; axes that are not known count as 1, types as float32. An output left out has no name, and none. */
export const bytesOf = (v: Value): number =>
  v.data ? v.data.byteLength : v.dtype === 'string' || !v.name ? 0 : byteLength(v.dtype ?? 'float32', sizeOf(v.shape));

function* weightsOf(graph: Graph): Generator<Tensor> {
  for (const v of graph.initializers) if (v.data && isWeight(v, v.data)) yield v.data;
  for (const n of graph.nodes) {
    const data = constantOf(n);
    const v = n.outputs[0];
    if (data && v && isWeight(v, data)) yield data;
    for (const [, g] of n.subgraphs()) yield* weightsOf(g);
  }
}

const NO_WEIGHTS: ReadonlySet<DType> = new Set(['int64', 'int32', 'bool', 'string', 'uint64', 'uint32']);
/** Of a type that holds weights, and not only the running mean or variance of BatchNormalization. */
function isWeight(v: Value, data: Tensor): boolean {
  if (NO_WEIGHTS.has(data.dtype)) return false;
  for (const { node, index } of v.uses) if (!isBatchNormalization(node) || index < 3) return true;
  return v.uses.size === 0;
}
