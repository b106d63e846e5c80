/**
 * What calibration never reached: branches that no sample takes, loops without a trip, tensors that were always empty.
 */
import { item } from '../base/lists.js';
import type { Diagnostic } from '../base/errors.js';
import { label, type Graph, type Node, type Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import { dataInputs } from '../ops/index.js';

export const UNREACHED = 'calibration never computed what it reads or makes';

/** Values that were looked at in calibration and never computed, or always empty. */
export const neverComputed = (stats: ReadonlyMap<Value, { readonly count: number }>): Set<Value> =>
  new Set([...stats].flatMap(([v, { count }]) => (count === 0 ? v : [])));

/** Whether a node works on a value that was never computed, or lies in a body that never ran. */
export function unreachedNodes(model: Model, order: readonly Node[], never: ReadonlySet<Value>): Set<Node> {
  const bodies = new Set([...never].flatMap((v) => holderOf(v) ?? []).filter((g) => g !== model.graph));
  const values = (n: Node): (Value | null | undefined)[] => [...dataInputs(n).map((i) => n.inputs[i]), ...n.outputs];
  // planned nodes are in a graph
  const reached = (n: Node): boolean => !bodies.has(n.graph!) && !values(n).some((v) => v && never.has(v));
  return new Set(order.filter((n) => !reached(n)));
}

/** A value by which to see whether a body runs: what its first integer node makes. */
export function probeOf(order: readonly Node[], integer: ReadonlySet<Node>): readonly Value[] {
  const made = order.find((n) => integer.has(n))?.outputs ?? [];
  return made.filter((y) => y.name !== '' && y.dtype === 'float32').slice(0, 1);
}

/** The graph that computes a value, or whose input it is. */
function holderOf(v: Value): Graph | undefined {
  if (v.producer) return v.producer.graph;
  const [use] = v.uses;
  return use?.node.graph?.inputs.includes(v) ? use.node.graph : undefined;
}

/** One warning for all that stays float for this reason. */
export function unreachedWarning(never: ReadonlySet<Value>, nodes: readonly Node[]): Diagnostic {
  const [first] = never;
  const count = nodes.length === 1 ? '1 node stays' : `${nodes.length} nodes stay`;
  const such = nodes.length ? `, such as '${label(item(nodes, 0))}'` : ''; // not empty
  return {
    severity: 'warning',
    code: 'NEVER_OBSERVED',
    message: `${count} float${such}: calibration never computed what they read or make ('${first?.name ?? ''}' first)`,
    where: { tensor: first?.name ?? '' },
    hint: 'that is exact and costs only size; to quantize them, calibrate with samples that take every branch',
  };
}
