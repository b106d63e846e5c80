import type { Diagnostic } from '../base/errors.js';
import { label, Node, type Dim, type Graph, type Value } from '../ir/graph.js';
import { allGraphs, nameMaker, type Model } from '../ir/model.js';
import type { Tensor } from '../ir/tensor.js';
import { GraphBuilder } from './builder.js';
import { matchAt, parsePattern, type Match, type Pattern } from './pattern.js';

/** exact: same bits; close: same function up to rounding of constants; lossy: changes results on purpose. */
export type Numerics = 'exact' | 'close' | 'lossy';

/** Runs a model's constant part: given by whoever owns a runtime, so that passes stay free of it. */
export type Evaluate = (model: Model) => Promise<ReadonlyMap<string, Tensor>>;

export interface PassContext {
  readonly model: Model;
  readonly evaluate: Evaluate;
  /** Why something nearly matched but was left alone. */
  refuse(rule: string, node: Node, reason: string): void;
  report(d: Diagnostic): void;
}
export interface PassResult {
  readonly changes: number;
}
export interface Pass {
  readonly name: string;
  readonly doc: string;
  readonly numerics: Numerics;
  /** Version of the standard opset that has what the pass builds, where older ones lack it: it refuses below. */
  readonly opset?: number;
  /** The operator beyond the standard, as `domain:op`, that the pass builds: it runs only for a target that has it. */
  readonly needs?: string;
  /** Set where it only adds to what is known of values: no change of the model, in traces or for another round. */
  readonly annotates?: true;
  run(ctx: PassContext): PassResult | Promise<PassResult>;
  /** Whether `run` would change something if only the model's opset were high enough. Changes nothing. */
  wouldApply?(ctx: PassContext): boolean;
}

/** A local rewrite: the values that a pattern's root computes are replaced by what `rewrite` builds. */
export interface RewriteRule {
  readonly name: string;
  readonly doc: string;
  readonly numerics: Numerics;
  /** As {@link Pass.opset}. */
  readonly opset?: number;
  /** As {@link Pass.needs}. */
  readonly needs?: string;
  /** One pattern, or several spellings of the same: the first that matches and passes the check is taken. */
  readonly pattern: string | readonly string[];
  /** True, or the reason why this match is left alone. */
  check?(m: Match): true | string;
  /** Builds the replacement of the root's outputs, in order. */
  rewrite(m: Match, b: GraphBuilder): Value | readonly Value[];
}

/** Makes a pass of a rule: tries it at every node, outer graphs before inner. */
export function rulePass(rule: RewriteRule): Pass {
  const patterns = (typeof rule.pattern === 'string' ? [rule.pattern] : rule.pattern).map(parsePattern);
  // Nodes of other ops, most of any graph, are not looked at by any pattern.
  const byOp = new Map<string, Pattern[]>();
  for (const pattern of patterns)
    for (const { op } of pattern.root.ops) byOp.set(op, [...(byOp.get(op) ?? []), pattern]);
  const ops = [...byOp.keys()];
  return {
    name: rule.name,
    doc: rule.doc,
    numerics: rule.numerics,
    ...(rule.opset === undefined ? {} : { opset: rule.opset }),
    ...(rule.needs === undefined ? {} : { needs: rule.needs }),
    run(ctx) {
      let names: ((base: string) => string) | undefined; // collecting all names is dear, and most rules change nothing
      const freeName = (base: string): string => (names ??= nameMaker(ctx.model.graph))(base);
      const old = (ctx.model.opsets.get('') ?? 1) < (rule.opset ?? 1);
      let changes = 0;
      for (const graph of allGraphs(ctx.model.graph)) {
        if (!ops.some((op) => graph.hasOp(op))) continue;
        for (const node of graph.topological()) {
          const near = byOp.get(node.op);
          if (!near || node.graph !== graph) continue;
          const match = findMatch(rule, near, node, ctx);
          if (typeof match === 'string') {
            if (match) ctx.refuse(rule.name, node, match);
            continue;
          }
          if (old) {
            ctx.refuse(rule.name, node, `it needs opset ${rule.opset}, the model has ${ctx.model.opsets.get('') ?? 1}`);
            continue;
          }
          applyRule(rule, match, node, graph, ctx, freeName);
          changes++;
        }
      }
      return { changes };
    },
    wouldApply(ctx) {
      for (const graph of allGraphs(ctx.model.graph)) {
        if (!ops.some((op) => graph.hasOp(op))) continue;
        for (const node of graph.nodes) {
          const near = byOp.get(node.op);
          if (near && typeof findMatch(rule, near, node, ctx) !== 'string') return true;
        }
      }
      return false;
    },
  };
}

/** The match to rewrite at `node`, or the reason why there is none ('' where no pattern came near). */
function findMatch(rule: RewriteRule, patterns: readonly Pattern[], node: Node, ctx: PassContext): Match | string {
  if (!node.outputs.length) return ''; // it computes nothing
  let reason = '';
  for (const pattern of patterns) {
    const match = matchAt(pattern, node);
    if (typeof match === 'string') {
      reason ||= match;
      continue;
    }
    const given = match.constants.find((v) => ctx.model.graph.isInput(v));
    const verdict = given
      ? `'${given.name}' is an input with a default: callers may give another value`
      : (rule.check?.(match) ?? true);
    if (verdict === true) return match;
    reason = verdict;
  }
  return reason;
}

function applyRule(
  rule: RewriteRule,
  match: Match,
  node: Node,
  graph: Graph,
  ctx: PassContext,
  freeName: (base: string) => string,
): void {
  const builder = new GraphBuilder(ctx.model, graph, freeName);
  const old = {
    nodes: [...match.nodes],
    outputs: node.outputs.map((o) => o.name),
    constants: [...match.nodes].flatMap((n) => n.inputs.filter((v) => v?.isInitializer)),
  };
  const made = rule.rewrite(match, builder);
  // Array.isArray does not narrow readonly arrays
  const values = Array.isArray(made) ? (made as readonly Value[]) : [made as Value];
  replaceOutputs(graph, node, values);
  removeUnused(graph, match.nodes);
  takeOverNames(graph, node, values, old, builder);
}

/** What replaces something is called like it, so that names in a recipe are those that the user sees in the model. */
function takeOverNames(
  graph: Graph,
  root: Node,
  values: readonly Value[],
  old: {
    readonly nodes: readonly Node[];
    readonly outputs: readonly string[];
    readonly constants: readonly (Value | null)[];
  },
  { made }: GraphBuilder,
): void {
  if (!root.graph) {
    values.forEach((v, i) => {
      if (v.producer && made.has(v.producer) && !v.isGraphOutput && old.outputs[i]) v.name = old.outputs[i];
    });
  }
  const gone = new Set(old.nodes.filter((n) => !n.graph).map((n) => n.name));
  for (const [thing, wanted] of made) {
    if (thing.name === wanted) continue;
    if (thing instanceof Node) {
      if (gone.delete(wanted)) thing.name = wanted;
      continue;
    }
    const before = old.constants.find((v) => v?.name === wanted);
    if (
      !before ||
      before.uses.size ||
      before.isGraphOutput ||
      graph.isInput(before) ||
      !graph.initializers.delete(before)
    )
      continue;
    thing.name = wanted;
  }
}

/**
 * Gives the uses of a node's outputs to other values. A graph output keeps its name: the new value takes it over where
 * a node made it, else an Identity stands in.
 */
export function replaceOutputs(graph: Graph, node: Node, values: readonly Value[]): void {
  node.outputs.forEach((old, i) => {
    const made = values[i];
    if (!made || made === old) return;
    if (old.isGraphOutput) {
      const renamable =
        made.producer !== undefined && made.producer.graph === graph && !made.isGraphOutput && made.producer !== node;
      const name = old.name;
      const shape = old.shape;
      if (renamable) {
        old.name = `${name}__replaced`;
        made.name = name;
        made.shape = shape ?? made.shape;
        graph.replaceUses(old, made);
        return;
      }
      for (const u of [...old.uses]) u.node.setInput(u.index, made); // the node stays as the producer of the output
      return;
    }
    if (made.dtype === undefined) made.dtype = old.dtype;
    if (made.shape === undefined) made.shape = old.shape;
    graph.replaceUses(old, made);
  });
}

/** Removes those of `nodes` that nobody uses any more, users before producers. */
export function removeUnused(graph: Graph, nodes: Iterable<Node>): number {
  const waiting = new Set(nodes);
  let removed = 0;
  for (const first of waiting) {
    // a producer that came earlier in the list is looked at again once its last user is gone
    for (let next: Node[] = [first]; next.length;) {
      const n = next.pop()!; // not empty
      if (n.graph !== graph || n.outputs.some((o) => o.uses.size > 0 || o.isGraphOutput)) continue;
      const read = [...n.inputs, ...(n.attrs.size ? n.captures() : [])];
      graph.remove(n);
      removed++;
      for (const v of read) if (v?.producer && waiting.has(v.producer)) next.push(v.producer);
    }
  }
  return removed;
}

/** Drops initializers that nobody uses, in subgraphs too; inputs with defaults stay. */
export function removeUnusedInitializers(root: Graph): number {
  let removed = 0;
  for (const graph of allGraphs(root)) {
    for (const v of graph.initializers) {
      if (v.uses.size || v.isGraphOutput || graph.isInput(v)) continue;
      graph.initializers.delete(v);
      removed++;
    }
  }
  return removed;
}

/** One line of what a pass did, for reports and `--explain`. */
export interface PassTrace {
  readonly pass: string;
  readonly changes: number;
  /** Nodes in all graphs, Constants not counted. */
  readonly nodesBefore: number;
  readonly nodesAfter: number;
  /** Nodes that went and came, as `Op name`. A node that only got other inputs is in neither. */
  readonly removed: readonly string[];
  readonly added: readonly string[];
  /** What nearly matched in the graph as it is in the end: only in traces after the last change. */
  readonly refusals: readonly { readonly node: string; readonly reason: string }[];
}

/** Every node with its op and name, read before a pass renames or removes it. */
function describeNodes(model: Model): Map<Node, string> {
  const found = new Map<Node, string>();
  for (const g of allGraphs(model.graph))
    for (const n of g.nodes) found.set(n, n.name || n.outputs[0]?.name ? `${n.op} ${label(n)}` : n.op);
  return found;
}

const countNodes = (nodes: ReadonlyMap<Node, string>): number => {
  let count = 0;
  for (const n of nodes.keys()) if (n.op !== 'Constant') count++;
  return count;
};

/** Values of all graphs whose shapes are not those of constants. */
function* variables(model: Model): Generator<Value> {
  for (const g of allGraphs(model.graph)) {
    yield* g.inputs;
    for (const n of g.nodes) yield* n.outputs;
  }
}

/**
 * Runs passes in order, again and again until a whole round changes nothing (at most `rounds` times). Gives a trace for
 * each run that changed something, then one for each pass that refused something in its last run. Sizes that passes
 * named for themselves lose their names again: in a file they would look like what the exporter knew.
 */
export async function runPasses(
  model: Model,
  passes: readonly Pass[],
  options: { evaluate: Evaluate; rounds?: number; report?: (d: Diagnostic) => void; after?: (pass: Pass) => void },
): Promise<PassTrace[]> {
  const traces: PassTrace[] = [];
  const refused = new Map<Pass, PassTrace['refusals']>();
  let nodes = describeNodes(model);
  const known = new Set<Dim>();
  for (const v of variables(model)) for (const d of v.shape ?? []) known.add(d);
  for (let round = 0; round < (options.rounds ?? 10); round++) {
    let changes = 0;
    for (const pass of passes) {
      const refusals: { node: string; reason: string }[] = [];
      const before = nodes;
      const result = await pass.run({
        model,
        evaluate: options.evaluate,
        refuse: (_rule, node, reason) => refusals.push({ node: label(node), reason }),
        report: options.report ?? (() => undefined),
      });
      options.after?.(pass);
      if (pass.annotates) continue;
      changes += result.changes;
      refused.set(pass, refusals);
      if (!result.changes) continue;
      const after = (nodes = describeNodes(model));
      traces.push({
        pass: pass.name,
        changes: result.changes,
        nodesBefore: countNodes(before),
        nodesAfter: countNodes(after),
        refusals: [],
        removed: [...before].filter(([n]) => !after.has(n)).map(([, text]) => text),
        added: [...after].filter(([n]) => !before.has(n)).map(([, text]) => text),
      });
    }
    if (!changes) break;
  }
  const left = countNodes(nodes);
  for (const [pass, refusals] of refused)
    if (refusals.length)
      traces.push({
        pass: pass.name,
        changes: 0,
        nodesBefore: left,
        nodesAfter: left,
        refusals,
        removed: [],
        added: [],
      });
  for (const v of variables(model))
    if (v.shape?.some((d) => typeof d === 'string' && !known.has(d)))
      v.shape = v.shape.map((d) => (typeof d === 'string' && !known.has(d) ? null : d));
  return traces;
}
