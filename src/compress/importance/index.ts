import { apoz } from './apoz.js';
import { batchNorm } from './batch-norm.js';
import { geometricMedian } from './geometric-median.js';
import { hessian } from './hessian.js';
import { hrank } from './hrank.js';
import { meanActivation } from './mean-activation.js';
import { l1, l2 } from './norms.js';
import { random } from './random.js';
import { taylor } from './taylor.js';
import type { Importance } from './types.js';

/** Every measure of how much a channel matters, by name in recipes. */
export const importances: readonly Importance<unknown>[] = [
  l1,
  l2,
  geometricMedian,
  batchNorm,
  taylor,
  hessian,
  apoz,
  meanActivation,
  hrank,
  random,
];
