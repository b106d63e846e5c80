/** From what training found to what formats write. */
import { withWeightParams, type Assigned } from '../quantize/assign.js';
import type { Planned } from '../scheme/quantized.js';
import type { Trained } from './types.js';

/**
 * Puts trained weights and biases into the planned model, in place, and gives the parameters that follow: those of
 * biases, and codes that cannot saturate where the target may.
 */
export function takeTrained(
  planned: Pick<Planned, 'plan' | 'packings'>,
  assigned: Assigned,
  { weights, params }: Trained,
): Assigned {
  for (const [value, data] of weights) value.data = data;
  return withWeightParams(planned, assigned, params);
}
