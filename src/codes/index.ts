import { best } from './best.js';
import { clip } from './clip.js';
import { gptq } from './gptq.js';
import { hqq } from './hqq.js';
import { kQuant } from './k-quant.js';
import { round } from './round.js';
import type { WeightMethod } from './types.js';

/** Every way to choose the codes of weights, by name in recipes. */
export const weightMethods: readonly WeightMethod<unknown>[] = [round, clip, hqq, kQuant, gptq, best];
