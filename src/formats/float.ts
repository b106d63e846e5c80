import type { Format } from './types.js';

/**
 * The model as the passes left it. Graphs are cleaned by `optimize`, whose higher levels fuse and merge: where that is
 * all that makes a model faster on a runtime, it is worth a file, with the same checks and measurements as any other.
 */
export const float = {
  name: 'float',
  doc:
    'Quantizes nothing: the float model as optimize and adjust leave it, measured beside the original. No ' +
    'calibration data needed.',
  plan: 'none',
  minOpset: () => 0,
  rewrite: () => ({ changes: 0, tensors: new Map() }),
} satisfies Format;
