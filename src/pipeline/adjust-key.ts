/** When two recipes adjust a model alike. */
import { adjustments } from '../adjust/index.js';
import type { Recipe } from '../recipe/schema.js';

/** What the adjusted model depends on besides the model and the data. */
export function adjustKey({ adjust, quantize, target }: Recipe): string {
  if (!adjust.some((named) => adjustments.some((a) => a.name === named.name && a.readsSchemes)))
    return JSON.stringify(adjust);
  const {
    activations: { observer: _range, ...activations },
    weights: { dtype, bits, saturation, reduceRange, symmetric, narrow, granularity },
    format,
    include,
    exclude,
    layers,
    weightOnly,
    dynamicConv,
  } = quantize;
  return JSON.stringify([
    adjust,
    target,
    format,
    activations,
    { dtype, bits, saturation, reduceRange, symmetric, narrow, granularity },
    include,
    exclude,
    layers,
    weightOnly,
    dynamicConv,
  ]);
}
