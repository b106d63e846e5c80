/** Families of channels of the same structure: which of them can be compared with each other. */
import type { Node, Value } from '../ir/graph.js';
import type { Model } from '../ir/model.js';
import type { Family } from './families.js';

/**
 * Families by what they are made of: equal where the same operators, in the same order and joined in the same way, hold
 * the channels along the same axes. Sizes do not count. source: Fang et al. 2024, Isomorphic Pruning,
 * https://arxiv.org/abs/2407.04616
 */
export function kindsOf(model: Model, families: readonly Family[]): number[] {
  const order = new Map(model.graph.topological().map((n, i) => [n, i]));
  const numbers = new Map<string, number>();
  return families.map((family) => {
    const key = structureOf(family, order);
    const number = numbers.get(key) ?? numbers.size;
    numbers.set(key, number);
    return number;
  });
}

/** The nodes that make, pass on or read the channels, with the axes of all that they share with them. */
function structureOf({ units }: Family, order: ReadonlyMap<Node, number>): string {
  const axes = new Map<Value, Set<string>>();
  const note = (value: Value, text: string): void => {
    axes.set(value, (axes.get(value) ?? new Set()).add(text));
  };
  for (const { places, cuts } of units) {
    for (const p of places) note(p.value, `${p.axis}`);
    for (const c of cuts) note(c.constant, `${c.axis}${c.makes ? ' makes' : ''}`);
  }
  const nodes = new Set<Node>();
  for (const v of axes.keys()) {
    if (v.producer) nodes.add(v.producer);
    for (const { node } of v.uses) nodes.add(node);
  }
  const sorted = [...nodes].sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0));
  const numbers = new Map<Value, number>();
  const told = (v: Value | null): string => {
    const own = v ? axes.get(v) : undefined;
    if (!v || !own) return '-';
    const number = numbers.get(v) ?? numbers.size;
    numbers.set(v, number);
    return `${number}:${[...own].sort().join('+')}`;
  };
  return sorted
    .map((n) => `${n.domain}.${n.op}(${n.inputs.map(told).join()})=>${n.outputs.map(told).join()}`)
    .join('; ');
}
