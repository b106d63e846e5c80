/** Planned → assigned → refined. */
import type { TensorStats } from '../../calibrate/types.js';
import type { Layerwise } from '../../codes/types.js';
import { cloneModel } from '../../ir/clone.js';
import type { Value } from '../../ir/graph.js';
import { assignParams, withAnyPairs, withWeightParams } from '../../quantize/assign.js';
import type { ResolvedRecipe } from '../../recipe/load.js';
import { afterCalibration } from '../after-calibration.js';
import { laterOf } from '../large.js';
import { has } from '../stages.js';
import { plannedFacts } from './plan.js';
import type { AssignedVariant, PlannedVariant, RefinedVariant } from './types.js';

/**
 * Chooses the parameters, and leaves in float what calibration shows to be better there. Without `stats`, nothing was
 * calibrated. Throws QUANTIZE_NOTHING where nothing is left.
 */
export function assignVariant(v: PlannedVariant, stats: ReadonlyMap<Value, TensorStats> | undefined): AssignedVariant {
  const { quantize } = v.recipe.recipe;
  const seen = stats ?? new Map<Value, TensorStats>();
  const { planned, told } = afterCalibration(v.prepared, seen);
  told.forEach(v.report);
  const settled =
    planned === v.prepared.planned
      ? v
      : { ...v, prepared: { ...v.prepared, planned }, ...plannedFacts(v.model, planned, v.macs) };
  const assigned = assignParams(
    planned,
    seen,
    (point, observer) =>
      observerOptions(quantize, 'uses' in point && !point.data ? 'activations' : 'weights', observer),
    v.recipe.plugins.observers,
    laterOf(settled, (observer) => observerOptions(quantize, 'weights', observer)),
  );
  assigned.diagnostics.forEach(v.report);
  return { ...settled, stats: seen, assigned, observer: stats && quantize.activations.observer.name };
}

/** Options of the observer that a point uses: the recipe gives one observer for activations and one for weights. */
function observerOptions(
  q: ResolvedRecipe['recipe']['quantize'],
  role: 'activations' | 'weights',
  observer: string,
): unknown {
  const { name, ...options } = q[role].observer;
  return name === observer ? options : {};
}

/**
 * Where nothing chooses codes of weights: they are rounded when they are written, but for those that saturation keeps
 * to 7 bits. What chooses codes later finds these as they were planned.
 */
export function asRounded(v: AssignedVariant): RefinedVariant {
  const later = has(v.asks, 'qat') || has(v.asks, 'transport');
  return { ...v, float: v.model, assigned: later ? v.assigned : withAnyPairs(v.prepared.planned, v.assigned) };
}

/**
 * Chooses the codes of weights layer after layer, and corrects what they cost: the weights and biases of the model
 * become what their codes mean. Gives a line about it too.
 */
export async function refineVariant(
  v: AssignedVariant,
  choose: (v: AssignedVariant, reference: ReturnType<typeof cloneModel>) => Promise<Layerwise>,
): Promise<{ readonly refined: RefinedVariant; readonly line: string }> {
  const reference = cloneModel(v.model);
  const { params, layers, biases } = await choose(v, reference);
  const assigned = withWeightParams(v.prepared.planned, v.assigned, params);
  assigned.diagnostics.forEach(v.report);
  return {
    refined: { ...v, assigned, float: reference.model },
    line: `${layers} layers${biases ? ` · ${biases} biases corrected` : ''}`,
  };
}
