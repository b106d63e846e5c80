/** How large the values of a constant are, looked at piece by piece and once. */
import { floatPieces } from '../ir/converted.js';
import type { ByteSource, Tensor } from '../ir/tensor.js';
import { kernels } from './kernels.js';

export interface Largest {
  /** Largest magnitude: infinite where any value is. NaN counts for nothing. */
  readonly all: number;
  /** Largest magnitude of the finite ones. */
  readonly finite: number;
}

const known = new WeakMap<ByteSource, Largest>();

/** Of a float tensor; 0 where it has no values. */
export function largestOf(given: Tensor): Largest {
  const t = given.source.turned ?? given;
  const before = known.get(t.source);
  if (before) return before;
  let [all, finite] = [0, 0];
  for (const values of floatPieces(t)) {
    if (!values.length) continue;
    const extent = kernels().extent(values, 0, values.length);
    if (extent.finite) {
      finite = Math.max(finite, Math.abs(extent.min), Math.abs(extent.max));
      continue;
    }
    for (let i = 0; i < values.length; i++) {
      const x = Math.abs(values[i]!);
      if (x === Infinity) all = x;
      else if (x > finite) finite = x;
    }
  }
  const found = { all: Math.max(all, finite), finite };
  known.set(t.source, found);
  return found;
}
