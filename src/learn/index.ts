import { adaquant } from './adaquant.js';
import { adaround } from './adaround.js';
import type { WeightMethod } from '../codes/types.js';
import { brecq } from './brecq.js';

/** Ways to choose codes of weights that learn, by name in recipes. */
export const learnedMethods: readonly WeightMethod<unknown>[] = [adaround, adaquant, brecq];
