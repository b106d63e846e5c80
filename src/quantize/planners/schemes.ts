/** The schemes that a request may come to, for what opsets they need. */
import type { QuantScheme } from '../../scheme/types.js';
import { merged } from '../overrides.js';
import type { PlanRequest } from './types.js';

/** Of activations: for all, and of each entry for single layers. */
export const activationSchemes = ({ activations, layers = [] }: PlanRequest): QuantScheme[] =>
  [{}, ...layers.map((l) => l.activations ?? {})].map((change) => merged(activations, [change]));

/** Of weights; the axis of blocks does not matter. */
export const weightSchemes = ({ weights, layers = [] }: PlanRequest): QuantScheme[] =>
  [{}, ...layers.map((l) => l.weights ?? {})].map((change): QuantScheme => {
    const { granularity, ...rest } = merged(weights, [change]);
    return {
      ...rest,
      granularity:
        typeof granularity === 'object' ? { kind: 'block', axis: 0, size: granularity.block } : { kind: 'tensor' },
    };
  });
