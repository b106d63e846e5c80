import type { Gate } from '../types.js';
import { accuracyDrop } from './accuracy-drop.js';
import { agreement } from './agreement.js';
import { classDrop } from './class-drop.js';
import { integerMacs } from './integer-macs.js';
import { latencyRatio } from './latency-ratio.js';
import { memoryRatio } from './memory-ratio.js';
import { minAccuracy } from './min-accuracy.js';
import { outputError } from './output-error.js';
import { sizeRatio } from './size-ratio.js';
import { transportRatio } from './transport-ratio.js';

/** Every gate that a recipe can name, in the order of judgement. */
export const gates = [
  accuracyDrop,
  classDrop,
  minAccuracy,
  agreement,
  latencyRatio,
  sizeRatio,
  transportRatio,
  memoryRatio,
  integerMacs,
  outputError,
] as const satisfies readonly Gate[];
