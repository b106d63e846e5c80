import { geometricMedian } from './geometric-median.js';
import { l1, l2 } from './norms.js';
import { random } from './random.js';
import type { Importance } from './types.js';

/** Every measure of how much a channel matters, by name in recipes. */
export const importances: readonly Importance<unknown>[] = [l1, l2, geometricMedian, random];
