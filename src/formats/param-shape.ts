/** How the scales of quantizing nodes lie. */
import type { QuantParams, QuantScheme } from '../scheme/types.js';

/** Scalars per tensor, vectors per axis. */
export const paramDims = (p: QuantParams): readonly number[] =>
  p.scheme.granularity.kind === 'tensor'
    ? []
    : p.scheme.granularity.kind === 'axis'
      ? [p.scale.length]
      : (p.dims ?? [p.scale.length]);

/** The attributes that say where a quantizer's scales lie. */
export function axisAttrs(s: QuantScheme): Record<string, number> {
  switch (s.granularity.kind) {
    case 'tensor':
      return {};
    case 'axis':
      return { axis: s.granularity.axis };
    case 'block':
      return { axis: s.granularity.axis, block_size: s.granularity.size };
  }
}
