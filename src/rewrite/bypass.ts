import type { Graph, Node, Value } from '../ir/graph.js';
import { allGraphs, type Model } from '../ir/model.js';
import { replaceOutputs, type Numerics, type Pass } from './pass.js';

/** What a bypass may ask about the node at hand. */
export interface BypassFacts {
  readonly model: Model;
  /** Opset version of the standard domain. */
  readonly opset: number;
}

/** A node whose first output equals a value that exists already. */
export interface Bypass {
  readonly name: string;
  readonly doc: string;
  readonly numerics: Numerics;
  /** Ops of the standard domain that are looked at. */
  readonly ops: readonly string[];
  /** The value that output 0 equals; a reason where it nearly does; undefined where there is nothing to say. */
  same(node: Node, facts: BypassFacts): Value | string | undefined;
}

/**
 * Makes a pass that hands the uses of a node's result to the value it equals, and removes the node. Left alone, with
 * the reason: nodes whose further outputs are used, and results that are graph outputs where the value cannot take
 * their name. Producers that nobody uses any more go too.
 */
export function bypassPass(rule: Bypass): Pass {
  const ops = new Set(rule.ops);
  return {
    name: rule.name,
    doc: rule.doc,
    numerics: rule.numerics,
    run(ctx) {
      let changes = 0;
      const facts: BypassFacts = { model: ctx.model, opset: ctx.model.opsets.get('') ?? 1 };
      for (const graph of allGraphs(ctx.model.graph)) {
        for (const node of rule.ops.some((op) => graph.hasOp(op)) ? graph.topological() : []) {
          if (node.graph !== graph || node.domain !== '' || !ops.has(node.op) || !node.outputs.length) continue;
          const found = rule.same(node, facts);
          if (found === undefined) continue;
          const verdict = typeof found === 'string' ? found : canBypass(graph, node, found);
          if (typeof found === 'string' || verdict !== true) {
            if (typeof verdict === 'string') ctx.refuse(rule.name, node, verdict);
            continue;
          }
          bypass(graph, node, found);
          changes++;
        }
      }
      return { changes };
    },
  };
}

/** True where `value` may stand for output 0 of `node`, or why not. */
export function canBypass(graph: Graph, node: Node, value: Value): true | string {
  const further = node.outputs.slice(1).find((o) => o.uses.size > 0 || o.isGraphOutput);
  if (further) return `'${further.name}', its other output, is used`;
  const y = node.outputs[0];
  if (!y?.isGraphOutput) return true;
  if (value.producer?.graph !== graph)
    return `'${y.name}' is a graph output, and what it equals, '${value.name}', is no result of a node of this graph`;
  return !value.isGraphOutput || `'${y.name}' and '${value.name}', which it equals, are both graph outputs`;
}

/** Replaces output 0 of `node` by `value` and removes the node, then producers that this leaves without a use. */
export function bypass(graph: Graph, node: Node, value: Value): void {
  const y = node.outputs[0]!; // every node that a rule looks at has a first output
  value.dtype ??= y.dtype;
  value.shape ??= y.shape;
  const inputs = [...node.inputs];
  replaceOutputs(graph, node, [value]);
  graph.remove(node);
  for (const v of inputs) {
    const p = v?.producer;
    if (p?.graph === graph && p.outputs.every((o) => o.uses.size === 0 && !o.isGraphOutput)) graph.remove(p);
  }
}

/** The producer of a value where it is one of these ops of the standard domain. */
export function producerOf(v: Value | null | undefined, ...ops: readonly string[]): Node | undefined {
  const p = v?.producer;
  return p && p.domain === '' && ops.includes(p.op) ? p : undefined;
}
