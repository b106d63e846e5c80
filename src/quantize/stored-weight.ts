/** What formats that only store weights otherwise ask of each weight. */
import { dataOf } from '../ir/known.js';
import type { Node, Value } from '../ir/graph.js';

import { withoutWeight } from './nothing.js';

/** Smaller weights stay: codes, scales and the nodes that decode them take more bytes than they save. */
const SMALL = 512;

export interface Selection {
  readonly inputs: ReadonlySet<Value>;
  readonly included: ReadonlyMap<Node, string> | undefined;
  readonly excluded: ReadonlyMap<Node, string>;
}

/**
 * Why the weight of a node stays as it is; undefined where it need not. `halves`: whether float16 weights are taken.
 */
export function keptBecause(
  n: Node,
  w: Value,
  { inputs, included, excluded }: Selection,
  halves = false,
): string | undefined {
  if (!w.isInitializer) return withoutWeight(n, (v) => inputs.has(v));
  if (inputs.has(w)) return 'its weight is a graph input';
  const { dtype, size } = dataOf(w); // an initializer has data
  if (dtype !== 'float32' && !(halves && dtype === 'float16'))
    return `its weight is ${dtype}, not float32${halves ? ' or float16' : ''}`;
  if (excluded.has(n)) return `excluded by the recipe (${excluded.get(n)})`;
  if (included && !included.has(n)) return 'not included by the recipe';
  return size < SMALL ? `its weight has only ${size} elements` : undefined;
}
