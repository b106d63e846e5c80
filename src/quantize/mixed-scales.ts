/**
 * Concats of a model's head that join numbers of different sizes: boxes of 0 to 320 and scores of 0 to 1 share no
 * scale.
 */
import type { Node, Value } from '../ir/graph.js';
import { specOf } from '../ops/index.js';
import type { QuantPlan, QuantSpec } from '../scheme/types.js';

export const MIXED_SCALES = 'it joins what differs much in size, for an output of the model';
/** With more than this between two operands, the smaller one has 4 of 8 bits left. */
const APART = 16;

interface Seen {
  readonly count: number;
  readonly min: ArrayLike<number>;
  readonly max: ArrayLike<number>;
}

/** Integer nodes that join operands and lead to an output of the model by nothing but what moves elements. */
export function headConcats(order: readonly Node[], integer: ReadonlySet<Node>): Set<Node> {
  const leads = (v: Value): boolean =>
    v.isGraphOutput ||
    [...v.uses].some((u) => {
      const role = specOf(u.node)?.quant;
      const goesOn = role?.role === 'passthrough' ? role.data === 'all' || role.data.includes(u.index) : joins(u.node);
      return goesOn && u.node.outputs.some(leads);
    });
  return new Set(order.filter((n) => integer.has(n) && joins(n) && n.outputs.some(leads)));
}

const joins = (n: Node): boolean => {
  const q = specOf(n)?.quant;
  return q?.role === 'arithmetic' && q.qlinear?.form === 'concat';
};

/** Of these Concats, those whose operands calibration saw to differ much. */
export function mixedConcats(heads: ReadonlySet<Node>, plan: QuantPlan, stats: ReadonlyMap<Value, Seen>): Set<Node> {
  const size = (v: Value | null): number | undefined => {
    if (!v) return undefined;
    let [point, spec]: [Value, QuantSpec | undefined] = [v, plan.get(v)];
    while (spec?.kind === 'shared' && 'uses' in spec.with) {
      point = spec.with;
      spec = plan.get(point);
    }
    if (spec?.kind === 'fixed') return spec.scale * 256;
    const seen = point.data ? { count: 1, min: point.data.f32(), max: point.data.f32() } : stats.get(point);
    if (!seen || seen.count === 0) return undefined;
    let most = 0;
    for (const list of [seen.min, seen.max])
      for (let i = 0; i < list.length; i++) most = Math.max(most, Math.abs(list[i]!));
    return most;
  };
  return new Set(
    [...heads].filter((n) => {
      const sizes = n.inputs.flatMap((v) => size(v) ?? []).filter((x) => x > 0);
      return sizes.length > 1 && Math.max(...sizes) >= APART * Math.min(...sizes);
    }),
  );
}
