/** What is quantized and how, of all recipes that run together, and the work that their models are. */
import { macsByNode } from '../facts/model.js';
import { cloneModel } from '../ir/clone.js';
import type { Model } from '../ir/model.js';
import { inferShapes } from '../ops/infer.js';
import { exampleFeed } from './calibration.js';
import type { Front } from './front.js';
import type { Together } from './together.js';
import { planText, planVariant } from './variant/plan.js';
import type { PlannedVariant, Variant } from './variant/types.js';

export interface PlannedTogether {
  readonly planned: PlannedVariant[];
  /** Multiply-accumulates of the model of the recipe, and of the one that is quantized: it may have become smaller. */
  readonly macs: { readonly given: number; readonly planned: number };
}

export async function planTogether(
  asks: readonly Variant[],
  { lead, inputs, model, given }: Front,
  all: Together,
): Promise<PlannedTogether> {
  return all.stage('plan', async () => {
    const example = await exampleFeed(lead, inputs);
    const planned = await all.each(asks, (v) => planVariant(v, model, (m) => macsByNode(m, example)));
    const total = (m: Model): number => [...macsByNode(m, example).values()].reduce((n, x) => n + x, 0);
    const own = total(model);
    const macs = { given: given === model ? own : total(inferred(given)), planned: own };
    return [{ planned, macs }, all.about(planned.map(planText))];
  });
}

/** A copy with shapes: the model of the recipe stays as it is in the file. */
function inferred(given: Model): Model {
  const { model } = cloneModel(given);
  inferShapes(model);
  return model;
}
