import { coded } from './coded.js';
import { dynamic } from './dynamic.js';
import { float } from './float.js';
import { float16 } from './float16.js';
import { qdq } from './qdq.js';
import { qoperator } from './qoperator.js';
import { weightOnly } from './weight-only.js';
import type { Format } from './types.js';

/** Every way to write a quantized model, by name in recipes. */
export const formats: readonly Format[] = [qdq, qoperator, dynamic, coded, weightOnly, float16, float];
