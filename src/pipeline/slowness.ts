/** Whether quantization made the model slower, and what would help. */
import type { Diagnostic } from '../base/errors.js';
import type { Recipe } from '../recipe/schema.js';
import type { LatencyFacts } from '../record/index.js';

/** The whole interval of the speed-up below this is told of; a few per cent are not worth a warning. */
const CLEARLY_SLOWER = 0.95;

/** A warning for a model that is slower than float beyond the noise of the measurement. */
export function slowness(
  { speedup, speedupInterval }: Pick<LatencyFacts, 'speedup' | 'speedupInterval'>,
  { format, accuracyLevel }: Pick<Recipe['quantize'], 'format' | 'accuracyLevel'>,
): Diagnostic | undefined {
  if ((speedupInterval?.[1] ?? Infinity) >= CLEARLY_SLOWER) return undefined;
  const hint =
    format === 'weight-only' && accuracyLevel !== 4
      ? 'quantize.accuracyLevel: 4 multiplies in integers; format: coded gives a small file at the speed of float'
      : 'the report shows which layers; types and granularities that the runtime has kernels for are faster, and ' +
        'format: coded is as fast as float';
  return {
    severity: 'warning',
    code: 'SLOWER_THAN_FLOAT',
    message: `the quantized model takes ${(1 / speedup).toFixed(2)} × the time of the float model`,
    hint,
  };
}
