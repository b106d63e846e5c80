import { decodeFloats } from '../ir/convert.js';
import type { Node, Value } from '../ir/graph.js';
import { bypassPass } from '../rewrite/bypass.js';

/** The element that changes nothing, and on which side it may stand. */
const NEUTRAL: Readonly<Record<string, { readonly value: number; readonly left: boolean }>> = {
  Add: { value: 0, left: true },
  Sub: { value: 0, left: false },
  Mul: { value: 1, left: true },
  Div: { value: 1, left: false },
  Pow: { value: 1, left: false },
};

/**
 * x + 0, x − 0, x · 1, x / 1, x¹ = x, where the constant does not broadcast x to a larger shape. −0 + 0 is 0: the sign
 * of a zero may change. Refuses where the shape of x is not known well enough to see that it stays.
 */
export const eliminateNeutral = bypassPass({
  name: 'eliminate-neutral',
  doc: 'Removes additions of 0 and multiplications by 1.',
  numerics: 'close',
  ops: Object.keys(NEUTRAL),
  same(n) {
    const rule = NEUTRAL[n.op];
    if (!rule) return undefined;
    for (const side of rule.left ? [1, 0] : [1]) {
      const [c, x] = [n.inputs[side], n.inputs[1 - side]];
      if (c && x && isFilledWith(c, rule.value))
        return keepsShape(n, x, c) ? x : `the constant may broadcast '${x.name}' to a larger shape`;
    }
    return undefined;
  },
});

/** Larger constants are weights; reading them to find only ones is not worth it. */
const MAX_ELEMENTS = 1 << 16;

function isFilledWith(c: Value, value: number): boolean {
  const t = c.isInitializer ? c.data : undefined;
  if (!t || t.size === 0 || t.size > MAX_ELEMENTS || !/^(float|bfloat|u?int)/.test(t.dtype)) return false;
  // nearly always the first element tells, also of a large constant that thousands of nodes read
  if (decodeFloats(t.dtype, t.bytes(), 1, Float64Array)[0] !== value) return false;
  return t.f64().every((v) => v === value);
}

function keepsShape(n: Node, x: Value, c: Value): boolean {
  const dims = c.data?.dims ?? [];
  const shape = x.shape;
  // Pow may have a constant of another type; the result has that of the base.
  if (n.op !== 'Pow' && x.dtype !== undefined && x.dtype !== c.data?.dtype) return false;
  return (
    dims.length === 0 ||
    (shape !== undefined &&
      dims.length <= shape.length &&
      dims.every((d, i) => d === 1 || d === shape[shape.length - dims.length + i]))
  );
}
