/** What no written model may give, whatever its metrics say. */
import { fail } from '../base/errors.js';
import { worstCosine } from '../evaluate/output-error.js';
import type { EvaluationFacts, OutputFacts } from '../record/index.js';

/**
 * Throws QUANTIZE_COLLAPSED for outputs that are not finite where float is, or further from it than the limit of the
 * recipe.
 */
export function collapseCheck(e: EvaluationFacts, limit: number | false): void {
  finiteCheck(e.outputs);
  if (limit === false) return;
  const collapsed = e.agreement ? e.agreement.same < limit : e.outputs.some((o) => worstCosine(o) < limit);
  if (!collapsed && !e.outputs.some((o) => Number.isNaN(o.cosine) || Number.isNaN(o.mse))) return;
  const seen = e.agreement
    ? `agrees with float on ${(100 * e.agreement.same).toFixed(1)} % of ${e.samples} samples`
    : `has an output cosine of ${Math.min(...e.outputs.map(worstCosine)).toFixed(3)} to float`;
  fail(
    'QUANTIZE_COLLAPSED',
    `the quantized model ${seen}; no model was written`,
    {},
    'try another observer (percentile, mse) for static formats; quantize.weights.saturation: reduce (reduceRange: true) ' +
      'where sums of products may saturate; exclude sensitive layers; evaluation.collapse: false keeps it anyway',
  );
}

/**
 * Nothing that float computes may become NaN or infinite: no limit of a recipe allows it. Throws QUANTIZE_COLLAPSED.
 */
export function finiteCheck(outputs: readonly OutputFacts[]): void {
  const lost = outputs.find((o) => o.nonFinite?.lost);
  if (!lost) return;
  const message =
    `output '${lost.name}' of the quantized model holds ${lost.nonFinite?.lost} NaN or infinite values where the ` +
    `float model's are finite; no model was written`;
  fail(
    'QUANTIZE_COLLAPSED',
    message,
    { tensor: lost.name },
    'exclude the layers that leave the range of their type (Log, Div, Exp, Pow and what feeds them), or use ' +
      'another quantize.format',
  );
}
