import type { Value } from '../ir/graph.js';

/**
 * The number that a constant of one float32 element holds, undefined for anything else. Beside `x`, it must not have
 * more axes than x, for then it would change the shape of what it is combined with.
 */
export function scalarOf(v: Value | null, x?: Value): number | undefined {
  const data = v?.data;
  if (!v?.isInitializer || data?.dtype !== 'float32' || data.size !== 1) return undefined;
  if (data.dims.length && x && data.dims.length > (x.shape?.length ?? 0)) return undefined;
  return data.f32()[0];
}

/** Whether a number is `target` as float32 arithmetic writes it: within 1e-6 of it, relatively. */
export const isNear = (v: number | undefined, target: number): boolean => v !== undefined && Math.abs(v - target) <= 1e-6 * Math.abs(target);
