/** Ops whose inputs and outputs have one scale, where a target's kernels want it so. */
import type { Node, Value } from '../ir/graph.js';
import { dataInputs, specOf } from '../ops/index.js';
import type { TargetProfile } from '../scheme/profile.js';
import type { QuantPlan, QuantPoint, QuantSpec } from '../scheme/types.js';
import { resultsOf } from './settle.js';

/** Why an op that shares scales stays float behind kernels that fix theirs. */
export const FIXED_SCALES = 'its inputs have one scale there, and the kernel before it fixes another';

const dataOf = (n: Node): Value[] => dataInputs(n).flatMap((i) => n.inputs[i] ?? []);

/**
 * Takes out of `integer` what cannot have one scale: several inputs, one of which comes from a kernel
 * that fixes its own.
 */
export function dropFixedScales(
  order: readonly Node[],
  integer: Set<Node>,
  { sameScale = [], fixedOutputs = {} }: TargetProfile,
  why: Map<Node, string>,
): void {
  const fixed = (v: Value): boolean => {
    for (let p = v.producer; p && integer.has(p); p = p.inputs[0]?.producer) {
      if (p.op in fixedOutputs) return true;
      if (specOf(p)?.quant.role !== 'passthrough') return false;
    }
    return false;
  };
  for (const n of order) {
    if (!integer.has(n) || !sameScale.includes(n.op)) continue;
    const data = dataOf(n);
    if (new Set(data).size < 2 || !data.some(fixed)) continue;
    integer.delete(n);
    why.set(n, FIXED_SCALES);
  }
}

/** The point that a point takes its parameters from. */
export function rootOf(plan: QuantPlan, point: QuantPoint): QuantPoint {
  let at = point;
  let spec = plan.get(at);
  for (let steps = 0; spec?.kind === 'shared' && steps < plan.size; steps++) {
    at = spec.with;
    spec = plan.get(at);
  }
  return at;
}

/** One root for all that a node of such an op reads and makes, in place: its range covers those of the others. */
export function shareScales(
  plan: Map<QuantPoint, QuantSpec>,
  order: readonly Node[],
  integer: ReadonlySet<Node>,
  fused: ReadonlyMap<Node, Node>,
  { sameScale = [] }: TargetProfile,
): void {
  if (!sameScale.length) return;
  for (const n of order) {
    if (!integer.has(n) || !sameScale.includes(n.op)) continue;
    const points = [...dataOf(n), ...resultsOf(n, fused)].filter((v) => plan.has(v));
    const roots = [...new Set(points.map((p) => rootOf(plan, p)))];
    // What a kernel fixes holds for all; else the range of an activation grows by those of the others.
    const root =
      roots.find((r) => plan.get(r)?.kind === 'fixed') ?? roots.find((r) => 'uses' in r && !r.data) ?? roots[0];
    const spec = root && plan.get(root);
    if (!root || !spec) continue;
    const others = roots.filter((r) => r !== root);
    const seen = others.flatMap((other) => {
      const own = plan.get(other);
      return own?.kind === 'observed' ? [own] : [];
    });
    for (const other of others) plan.set(other, { kind: 'shared', with: root });
    if (spec.kind !== 'observed' || !others.length) continue;
    plan.set(root, {
      ...spec,
      covers: [...(spec.covers ?? []), ...others, ...seen.flatMap((s) => s.covers ?? [])],
      holds: [...(spec.holds ?? []), ...seen.flatMap((s) => s.holds ?? [])],
    });
  }
}
