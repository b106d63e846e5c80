/** Settings of single layers, over those that a recipe gives for all. */
import type { Graph, Node } from '../ir/graph.js';
import type { QuantScheme } from '../scheme/types.js';
import { selectNodes, type NodeFilter } from './filter.js';

export interface ActivationSettings extends QuantScheme {
  readonly observer: string;
  /** Instead of those that the caller gives for this observer. */ readonly observerOptions?: unknown;
  readonly perChannel: boolean;
}
export interface WeightSettings extends Omit<QuantScheme, 'granularity'> {
  readonly granularity: 'tensor' | 'channel' | { readonly block: number };
  readonly observer: string;
  readonly observerOptions?: unknown;
}
export interface NamedOptions {
  readonly name: string;
  readonly options: unknown;
}

/** What `match` selects gets these settings; what is left out stays as it is for all. */
export interface LayerOverride {
  readonly match: NodeFilter;
  readonly activations?: Partial<ActivationSettings>;
  readonly weights?: Partial<WeightSettings>;
  readonly coding?: NamedOptions;
  readonly method?: NamedOptions;
}

/**
 * For each node the entries that select it, by their place in the list. Throws RECIPE_UNKNOWN_NAME for one that selects
 * none.
 */
export function overridesOf(
  graph: Pick<Graph, 'topological'>,
  layers: readonly LayerOverride[],
  compute: readonly Node[],
): ReadonlyMap<Node, readonly number[]> {
  const found = new Map<Node, number[]>();
  layers.forEach(({ match }, i) => {
    for (const n of selectNodes(graph, [match], compute).keys()) found.set(n, [...(found.get(n) ?? []), i]);
  });
  return found;
}

/**
 * The settings after each change in turn: later ones win. A new type of code drops the number of bits of the old one.
 */
export function merged<T extends { readonly dtype: string; readonly bits?: number }>(
  base: T,
  changes: readonly (Partial<T> | undefined)[],
): T {
  let now = base;
  for (const c of changes) {
    if (!c) continue;
    const { bits: _bits, ...rest } = now;
    now = { ...(c.dtype === undefined || c.dtype === now.dtype ? now : (rest as T)), ...c }; // bits is optional
  }
  return now;
}
