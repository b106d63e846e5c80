/**
 * Patterns are written as a small graph in text, one op a line, the root last:
 *
 *     c = Conv(x, W, B?)
 *     y = BatchNormalization(c, gamma, beta, mean, var)
 *
 * `B?` may be omitted, `k!` must be a constant, `_` matches anything, `a|b` before `(` lists alternative ops,
 * `com.microsoft::Op` names a domain. An inner output (here c) must have no use outside of the match. Add and Mul match
 * with their operands either way round. The language stays this small: rules that need repetition or arbitrary depth
 * are passes with a `run` of their own.
 */
import { invariant } from '../base/errors.js';
import { label, type Node, type Value } from '../ir/graph.js';

interface PatternInput {
  readonly name: string;
  readonly optional: boolean;
  readonly constant: boolean;
}
interface PatternNode {
  readonly ops: readonly { op: string; domain: string }[];
  readonly inputs: readonly PatternInput[];
  readonly outputs: readonly string[];
}
export interface Pattern {
  readonly nodes: readonly PatternNode[];
  readonly root: PatternNode;
  readonly text: string;
  /** Inner outputs that several inputs name: their uses are counted once the whole match is known. */
  readonly repeated: ReadonlySet<string>;
  /** Which node gives an inner output. */
  readonly producers: ReadonlyMap<string, PatternNode>;
}

const LINE = /^([\w, ]+?)\s*=\s*([\w.:|]+)\s*\(([^)]*)\)$/;

/** Parses a pattern. Throws INTERNAL on bad syntax: patterns are code. */
export function parsePattern(text: string): Pattern {
  const nodes = text
    .split('\n')
    .map((l) => l.trim())
    .filter(Boolean)
    .map((line): PatternNode => {
      const m = LINE.exec(line);
      invariant(m, `pattern line '${line}'`);
      return {
        outputs: m[1]!.split(',').map((s) => s.trim()),
        ops: m[2]!.split('|').map((s) => {
          const [domain, op] = s.includes('::') ? (s.split('::') as [string, string]) : ['', s];
          return { op, domain };
        }), // split on '::' gives two parts
        inputs: m[3]!
          .split(',')
          .map((s) => s.trim())
          .filter(Boolean)
          .map((s) => ({ name: s.replace(/[?!]/g, ''), optional: s.includes('?'), constant: s.includes('!') })),
      };
    });
  const root = nodes[nodes.length - 1];
  invariant(root, 'a pattern needs a line');
  const named = nodes.flatMap((n) => n.inputs.map((i) => i.name));
  const repeated = new Set(nodes.flatMap((n) => n.outputs).filter((o) => named.filter((i) => i === o).length > 1));
  const producers = new Map(nodes.flatMap((n) => n.outputs.map((o) => [o, n] as const)));
  return { nodes, root, text, repeated, producers };
}

/** What a pattern bound: look captured values and nodes up by the names in the pattern. */
export class Match {
  readonly #values: ReadonlyMap<string, Value | null>;
  readonly #nodes: ReadonlyMap<string, Node>;
  constructor(values: ReadonlyMap<string, Value | null>, nodes: ReadonlyMap<string, Node>) {
    this.#values = values;
    this.#nodes = nodes;
  }
  /** A captured value that is present. */
  value(name: string): Value {
    const v = this.#values.get(name);
    invariant(v, `pattern name '${name}' is not bound`);
    return v;
  }
  /** A captured value, or null where an optional input is omitted. */
  optional(name: string): Value | null {
    invariant(this.#values.has(name), `pattern name '${name}' is not bound`);
    return this.#values.get(name) ?? null;
  }
  /** Whether the pattern that matched has this name: spellings of one rule may differ. */
  has(name: string): boolean {
    return this.#values.has(name);
  }
  /** The node that produces the output called `name` in the pattern. */
  node(name: string): Node {
    const n = this.#nodes.get(name);
    invariant(n, `pattern has no node with output '${name}'`);
    return n;
  }
  /** Every initializer that the pattern bound. */
  get constants(): readonly Value[] {
    return [...this.#values.values()].filter((v) => v?.isInitializer === true) as Value[];
  } // the filter leaves no null
  get nodes(): readonly Node[] {
    return [...new Set(this.#nodes.values())];
  }
  /** True when every named value that is present is a constant, else which is not. */
  constant(...names: string[]): true | string {
    for (const name of names) {
      const v = this.optional(name);
      if (v && !v.isInitializer) return `'${v.name}' is not a constant`;
    }
    return true;
  }
}

const COMMUTATIVE = new Set(['Add', 'Mul']);
const EITHER_WAY = [
  [0, 1],
  [1, 0],
] as const;

/** Whether a node has one of the ops of a line of a pattern. */
export const isOneOf = (p: PatternNode, n: Node): boolean => {
  for (const { op, domain } of p.ops) if (op === n.op && domain === n.domain) return true;
  return false;
};

/** Matches a pattern whose root is `node`: the match, or the reason why not ('' when the op itself differs). */
export function matchAt(pattern: Pattern, node: Node): Match | string {
  // most nodes: before anything is set up
  if (!isOneOf(pattern.root, node)) return '';
  const { producers } = pattern;
  let reason = '';
  const attempt = (p: PatternNode, n: Node, values: Map<string, Value | null>, nodes: Map<string, Node>): boolean => {
    if (!isOneOf(p, n)) return false;
    const orders = COMMUTATIVE.has(n.op) && n.inputs.length === 2 ? EITHER_WAY : [n.inputs.map((_, i) => i)];
    for (const order of orders) {
      if (differsAtOnce(p, n, order, values)) continue;
      const v = new Map(values);
      const k = new Map(nodes);
      p.outputs.forEach((o, i) => {
        v.set(o, n.outputs[i] ?? null);
        k.set(o, n);
      });
      if (order.length > p.inputs.length && n.inputs.slice(p.inputs.length).some(Boolean)) {
        reason = `'${label(n)}' has more inputs than the pattern`;
        continue;
      }
      if (p.inputs.every((input, i) => bind(input, n.inputs[order[i] ?? i] ?? null, v, k))) {
        for (const [name, value] of v) values.set(name, value);
        for (const [name, value] of k) nodes.set(name, value);
        return true;
      }
    }
    return false;
  };
  /** Whether an input comes from another op than the line says, and none before it gives a reason: the usual case. */
  const differsAtOnce = (
    p: PatternNode,
    n: Node,
    order: readonly number[],
    values: ReadonlyMap<string, Value | null>,
  ): boolean => {
    if (order.length > p.inputs.length) return false;
    for (let i = 0; i < p.inputs.length; i++) {
      const input = p.inputs[i]!; // within the length
      const value = n.inputs[order[i] ?? i] ?? null;
      if (input.name === '_' || (!value && input.optional)) continue;
      if (!value || values.has(input.name) || (input.constant && !value.isInitializer)) return false;
      const inner = producers.get(input.name);
      if (inner) return !value.producer || value.producer.graph !== node.graph || !isOneOf(inner, value.producer);
    }
    return false;
  };
  const bind = (
    input: PatternInput,
    value: Value | null,
    values: Map<string, Value | null>,
    nodes: Map<string, Node>,
  ): boolean => {
    if (input.name === '_') return true;
    if (!value) {
      if (!input.optional) reason = `an input is omitted that '${input.name}' needs`;
      else values.set(input.name, null);
      return input.optional;
    }
    if (values.has(input.name)) return values.get(input.name) === value;
    if (input.constant && !value.isInitializer) {
      if (pattern.nodes.length > 1) reason = `'${value.name}' is not a constant`;
      return false;
    }
    const inner = producers.get(input.name);
    if (!inner) {
      values.set(input.name, value);
      return true;
    }
    if (!value.producer || value.producer.graph !== node.graph) return false;
    if (!attempt(inner, value.producer, values, nodes)) return false;
    if ((value.uses.size !== 1 && !pattern.repeated.has(input.name)) || value.isGraphOutput) {
      reason = `'${value.name}' has other uses`;
      return false;
    }
    return true;
  };
  const values = new Map<string, Value | null>();
  const nodes = new Map<string, Node>();
  if (!attempt(pattern.root, node, values, nodes)) return reason;
  const matched = new Set(nodes.values());
  for (const name of pattern.repeated) {
    const v = values.get(name);
    if (v && [...v.uses].some((u) => !matched.has(u.node))) return `'${v.name}' has other uses`;
  }
  return new Match(values, nodes);
}
