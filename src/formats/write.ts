/** Writing a quantized graph as an ONNX model, on a copy: what was decided stays what it was. */
import type { Diagnostic } from '../base/errors.js';
import { cloneModel } from '../ir/clone.js';
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { Planned, QuantizedGraph } from '../scheme/quantized.js';
import type { QuantPoint, QuantSpec } from '../scheme/types.js';
import type { Format, FormatInput, Rewritten } from './types.js';

export interface Written extends Rewritten {
  readonly model: Model;
  /** Where a node of the graph is in the model, if it is still there. */
  readonly nodeOf: (n: Node) => Node;
}

/** The model in this format. Throws what the format throws where it cannot express the plan. */
export function writeModel(
  format: Format,
  graph: QuantizedGraph,
  target: FormatInput['target'],
  report?: (d: Diagnostic) => void,
): Written {
  const copy = cloneModel(graph.model);
  const to = new Copy(copy.values, copy.nodes);
  const rewritten = format.rewrite({
    model: copy.model,
    planned: to.planned(graph.planned),
    params: new Map([...graph.params].map(([p, params]) => [to.point(p), params])),
    target,
    ...(graph.coded ? { coded: new Map([...graph.coded].map(([p, c]) => [to.point(p), c])) } : {}),
    ...(graph.lowRank ? { lowRank: new Map([...graph.lowRank].map(([p, t]) => [to.point(p), t])) } : {}),
    ...(graph.stats ? { stats: new Map([...graph.stats].map(([v, s]) => [to.value(v), s])) } : {}),
    ...(report ? { report } : {}),
    seed: graph.seed,
  });
  return { ...rewritten, model: copy.model, nodeOf: to.node };
}

/** Where the things of a model are in its copy; what is in neither, such as a scale of its own, stays. */
class Copy {
  readonly #values: ReadonlyMap<Value, Value>;
  readonly #nodes: ReadonlyMap<Node, Node>;
  constructor(values: ReadonlyMap<Value, Value>, nodes: ReadonlyMap<Node, Node>) {
    this.#values = values;
    this.#nodes = nodes;
  }
  value = (v: Value): Value => this.#values.get(v) ?? v;
  node = (n: Node): Node => this.#nodes.get(n) ?? n;
  point = (p: QuantPoint): QuantPoint => ('node' in p ? (this.node(p.node).use(p.index) ?? p) : this.value(p));
  #spec = (s: QuantSpec): QuantSpec =>
    s.kind === 'shared'
      ? { ...s, with: this.point(s.with) }
      : s.kind === 'derived'
        ? { ...s, from: [this.point(s.from[0]), this.point(s.from[1])] }
        : s;

  planned(p: Planned): FormatInput['planned'] {
    const nodes = (list: ReadonlySet<Node>): Set<Node> => new Set([...list].map(this.node));
    return {
      plan: new Map([...p.plan].map(([point, spec]) => [this.point(point), this.#spec(spec)])),
      integerNodes: nodes(p.integerNodes),
      weightOnlyNodes: nodes(p.weightOnlyNodes),
      fusedClamps: new Map([...p.fusedClamps].map(([a, b]) => [this.node(a), this.node(b)])),
      ...(p.weightOnly ? { weightOnly: p.weightOnly } : {}),
      ...(p.rowWise ? { rowWise: nodes(p.rowWise) } : {}),
      ...(p.tied ? { tied: new Map([...p.tied].map(([w, table]) => [this.value(w), this.value(table)])) } : {}),
      ...(p.nearZero ? { nearZero: new Map([...p.nearZero].map(([v, n]) => [this.value(v), nodes(n)])) } : {}),
    };
  }
}
