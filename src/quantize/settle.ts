/** Which candidates stay in integers once the rest has left. */
import { filled, item, named } from '../base/lists.js';
import { Agenda } from '../base/agenda.js';
import type { Node, Value } from '../ir/graph.js';
import { dataInputs, specOf } from '../ops/index.js';

/** Where a node's result leaves it: after its fused clamp, if it has one. */
export const resultsOf = (n: Node, fused: ReadonlyMap<Node, Node>): readonly Value[] =>
  fused.get(n)?.outputs ?? n.outputs;

/**
 * Drops candidates until what is left hangs together: arithmetic runs in integers only in the middle of a chain (all
 * inputs come in integers, somebody needs the result in integers), but for sums within the kernel of a product, whose
 * other operand may be quantized on its way (`summed`); passthrough ops follow their input. Rounds go over
 * the nodes in order, each over those alone that what was dropped since can have changed.
 */
export function settle(
  order: readonly Node[],
  integer: Set<Node>,
  fused: Map<Node, Node>,
  why: Map<Node, string>,
  inputs: ReadonlySet<Value>,
  summed: (before: Node, sum: Node) => boolean = () => false,
): void {
  const roles = new Map(order.map((n) => [n, specOf(n)?.quant] as const));
  const position = new Map(order.map((n, i) => [n, i]));
  const ownerOf = new Map([...fused].map(([n, clamp]) => [clamp, n]));
  const passesOn = (n: Node): boolean => {
    const role = roles.get(n)?.role;
    return role === 'passthrough' || (role === 'clamp' && !ownerOf.has(n));
  };
  const fromInteger = (v: Value): boolean => v.producer !== undefined && integer.has(v.producer);
  const dataOf = (n: Node): Value[] =>
    dataInputs(n)
      .map((i) => n.inputs[i])
      .filter((v) => v !== null && v !== undefined);

  // A value is wanted where an integer compute or arithmetic node uses it, directly or behind ops that pass codes on.
  const askers = new Map<Value, number>();
  const asking = new Set<Node>();
  const wanted = (v: Value): boolean => (askers.get(v) ?? 0) > 0;
  for (const n of order.toReversed()) {
    if (!integer.has(n) || (passesOn(n) && !n.outputs.some(wanted))) continue;
    asking.add(n);
    for (const v of dataOf(n)) askers.set(v, (askers.get(v) ?? 0) + 1);
  }

  let now = new Agenda();
  let later = new Agenda();
  let at = -1;
  const look = (n: Node): void => {
    const i = position.get(n);
    if (i !== undefined) (i > at ? now : later).add(i);
  };
  /** Takes back what nodes ask for that no longer do, and what those asked for that only passed that on. */
  const stopAsking = (first: Node): void => {
    for (const stack = [first]; stack.length;) {
      const n = stack.pop()!; // not empty
      if (!asking.has(n) || (integer.has(n) && (!passesOn(n) || n.outputs.some(wanted)))) continue;
      asking.delete(n);
      for (const v of dataOf(n)) {
        askers.set(v, named(askers, v) - 1); // it was counted when it began to ask
        const p = v.producer;
        if (wanted(v) || !p) continue;
        look(p);
        const owner = ownerOf.get(p);
        if (owner) look(owner);
        stack.push(p);
      }
    }
  };
  const drop = (n: Node, reason?: string): void => {
    integer.delete(n);
    if (reason !== undefined) {
      why.set(n, reason);
      const clamp = fused.get(n);
      if (clamp) {
        fused.delete(n);
        ownerOf.delete(clamp);
        look(clamp);
        stopAsking(clamp);
      }
    }
    stopAsking(n);
    for (const y of n.outputs) for (const u of y.uses) look(u.node);
  };
  for (let i = 0; i < order.length; i++) now.add(i);
  for (; now.size; [now, later, at] = [later, now, -1]) {
    for (let next = now.take(); next !== undefined; next = now.take()) {
      at = next;
      const n = item(order, at); // positions are of the order
      if (!integer.has(n)) continue;
      const role = roles.get(n);
      const data = dataOf(n);
      if (role?.role === 'arithmetic') {
        const within = data.some((v) => v.producer && integer.has(v.producer) && summed(v.producer, n));
        const taken = (v: Value): boolean => within || fromInteger(v) || inputs.has(v) || v.isInitializer;
        if (!data.every(taken) || !data.some(fromInteger)) drop(n, 'an input comes in float');
        else if (!resultsOf(n, fused).some(wanted)) drop(n, 'nothing after it runs in integers');
      } else if (passesOn(n)) {
        const v = data[0];
        if (!v || !(fromInteger(v) || (inputs.has(v) && n.outputs.some(wanted)))) drop(n);
      } else if (role?.role === 'clamp' && !integer.has(filled(n.inputs, 0).producer!)) {
        drop(n);
      } else if (
        role?.role === 'compute' &&
        !n.inputs[role.weight]?.isInitializer &&
        !data.every((v) => fromInteger(v) || wanted(v))
      )
        drop(n, 'its inputs come in float');
    }
  }
}
