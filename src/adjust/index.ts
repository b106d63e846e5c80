import { absorbBias } from './absorb-bias.js';
import { awq } from './awq.js';
import { equalise } from './equalise.js';
import { rotate } from './rotate.js';
import { smooth } from './smooth.js';
import { splitOutliers } from './split-outliers.js';
import type { Adjustment } from './types.js';

/** Every change of the float model before quantization, by name in recipes. */
export const adjustments: readonly Adjustment<unknown>[] = [rotate, equalise, absorbBias, smooth, awq, splitOutliers];
