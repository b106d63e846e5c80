import { awq } from './awq.js';
import { equalise } from './equalise.js';
import type { Adjustment } from './types.js';

/** Every change of the float model before quantization, by name in recipes. */
export const adjustments: readonly Adjustment<unknown>[] = [equalise, awq];
