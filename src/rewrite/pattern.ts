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
/** Input slots the other way round; in their order where there is none. */
type Order = readonly [number, number] | undefined;
const AS_IS: readonly Order[] = [undefined];
const EITHER_WAY: readonly Order[] = [undefined, [1, 0]];
const ordersOf = (n: Node): readonly Order[] => (n.inputs.length === 2 && COMMUTATIVE.has(n.op) ? EITHER_WAY : AS_IS);
const inputAt = (n: Node, i: number, order: Order): Value | null => n.inputs[order?.[i] ?? i] ?? null;

/** Whether a node has one of the ops of a line of a pattern. */
export const isOneOf = (p: PatternNode, n: Node): boolean => {
  for (const { op, domain } of p.ops) if (op === n.op && domain === n.domain) return true;
  return false;
};

/** Matches a pattern whose root is `node`: the match, or the reason why not ('' when the op itself differs). */
export function matchAt(pattern: Pattern, node: Node): Match | string {
  if (!isOneOf(pattern.root, node)) return '';
  // most nodes: before anything is set up
  let differs = true;
  for (const order of ordersOf(node)) differs &&= differsAtOnce(pattern, pattern.root, node, order, NOTHING);
  return differs ? '' : new Attempt(pattern, node).result();
}

const NOTHING: ReadonlyMap<string, Value | null> = new Map();

/** Whether an input comes from another op than the line says, and none before it gives a reason: the usual case. */
function differsAtOnce(
  { producers }: Pattern,
  p: PatternNode,
  n: Node,
  order: Order,
  bound: ReadonlyMap<string, Value | null>,
): boolean {
  if (n.inputs.length > p.inputs.length) return false;
  for (let i = 0; i < p.inputs.length; i++) {
    const input = p.inputs[i]!; // within the length
    const value = inputAt(n, i, order);
    if (input.name === '_' || (!value && input.optional)) continue;
    if (!value || bound.has(input.name) || (input.constant && !value.isInitializer)) return false;
    const inner = producers.get(input.name);
    if (inner) return !value.producer || value.producer.graph !== n.graph || !isOneOf(inner, value.producer);
  }
  return false;
}

/** One try of a pattern at a node: what it binds is taken back, last first, where a way fails. */
class Attempt {
  readonly #pattern: Pattern;
  readonly #root: Node;
  readonly #values = new Map<string, Value | null>();
  readonly #nodes = new Map<string, Node>();
  /** Names in the order in which they were bound. */
  readonly #bound: string[] = [];
  #reason = '';
  constructor(pattern: Pattern, root: Node) {
    this.#pattern = pattern;
    this.#root = root;
  }

  result(): Match | string {
    if (!this.#matches(this.#pattern.root, this.#root)) return this.#reason;
    const matched = new Set(this.#nodes.values());
    for (const name of this.#pattern.repeated) {
      const v = this.#values.get(name);
      if (v && [...v.uses].some((u) => !matched.has(u.node))) return `'${v.name}' has other uses`;
    }
    return new Match(this.#values, this.#nodes);
  }
  #matches(p: PatternNode, n: Node): boolean {
    if (!isOneOf(p, n)) return false;
    for (const order of ordersOf(n)) {
      if (differsAtOnce(this.#pattern, p, n, order, this.#values)) continue;
      const before = this.#bound.length;
      if (this.#matchesSo(p, n, order)) return true;
      while (this.#bound.length > before) {
        const name = this.#bound.pop()!; // longer than before
        this.#values.delete(name);
        this.#nodes.delete(name);
      }
    }
    return false;
  }
  #matchesSo(p: PatternNode, n: Node, order: Order): boolean {
    for (let i = 0; i < p.outputs.length; i++) {
      this.#bindTo(p.outputs[i]!, n.outputs[i] ?? null); // within the length
      this.#nodes.set(p.outputs[i]!, n);
    }
    for (let i = p.inputs.length; i < n.inputs.length; i++) {
      if (!n.inputs[i]) continue;
      this.#reason = `'${label(n)}' has more inputs than the pattern`;
      return false;
    }
    for (let i = 0; i < p.inputs.length; i++) if (!this.#binds(p.inputs[i]!, inputAt(n, i, order))) return false;
    return true;
  }
  #bindTo(name: string, value: Value | null): void {
    this.#values.set(name, value);
    this.#bound.push(name);
  }
  #binds(input: PatternInput, value: Value | null): boolean {
    if (input.name === '_') return true;
    if (!value) {
      if (!input.optional) this.#reason = `an input is omitted that '${input.name}' needs`;
      else this.#bindTo(input.name, null);
      return input.optional;
    }
    if (this.#values.has(input.name)) return this.#values.get(input.name) === value;
    if (input.constant && !value.isInitializer) {
      if (this.#pattern.nodes.length > 1) this.#reason = `'${value.name}' is not a constant`;
      return false;
    }
    const inner = this.#pattern.producers.get(input.name);
    if (!inner) {
      this.#bindTo(input.name, value);
      return true;
    }
    if (!value.producer || value.producer.graph !== this.#root.graph) return false;
    if (!this.#matches(inner, value.producer)) return false;
    if ((value.uses.size !== 1 && !this.#pattern.repeated.has(input.name)) || value.isGraphOutput) {
      this.#reason = `'${value.name}' has other uses`;
      return false;
    }
    return true;
  }
}
