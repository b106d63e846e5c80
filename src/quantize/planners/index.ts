import { codings } from '../../scheme/codings/index.js';
import { fail } from '../../base/errors.js';
import { allGraphs, type Model } from '../../ir/model.js';
import { specOf } from '../../ops/index.js';
import type { Planned } from '../../scheme/quantized.js';
import { overridesCodings, planCoded } from './coded.js';
import { planDynamic } from './dynamic.js';
import { planHalf } from './half.js';
import { activationSchemes, weightSchemes } from './schemes.js';
import { planQuantization } from './static.js';
import type { Planner, PlanRequest } from './types.js';
import { planWeightOnly, weightOnlyOpset, type WeightOnlyOptions } from './weight-only.js';

/** What a format says of all schemes that a request may come to. */
const byAllSchemes: Planner['minOpset'] = (_model, r, ofSchemes) =>
  ofSchemes([...activationSchemes(r), ...weightSchemes(r)]);

const statically: Planner = {
  kind: 'static',
  integerProducts: true,
  minOpset: byAllSchemes,
  plan: (model, r, kept) =>
    planQuantization(model, { ...r, ...kept, bodies: r.format === 'qdq', embeddings: r.embeddings !== false }),
};

const dynamically: Planner = {
  kind: 'dynamic',
  integerProducts: true,
  minOpset: (_model, r, ofSchemes) => ofSchemes(weightSchemes(r)),
  plan: (model, r) =>
    planDynamic(model, { ...r, conv: r.dynamicConv, rows: r.dynamicRows, embeddings: r.embeddings !== false }),
};

const coded: Planner = {
  kind: 'coded',
  integerProducts: false,
  minOpset: (_model, r) => Math.max(...overridesCodings(r).map(codingOpset)),
  plan: (model, { include, exclude, layers = [], coding }) =>
    planCoded(model, { coding: coding.name, options: coding.options, include, exclude, layers }),
};

const weightOnlyOptions = (r: PlanRequest): WeightOnlyOptions => ({
  ...r,
  weights: { ...r.weights, granularity: r.granularity ?? { block: 32 } },
});
const weightOnly: Planner = {
  kind: 'weight-only',
  integerProducts: false,
  minOpset: (model, r) => weightOnlyOpset(planWeightOnly(model, weightOnlyOptions(r))),
  plan: (model, r) => planWeightOnly(model, weightOnlyOptions(r)),
};

const half: Planner = {
  kind: 'half',
  integerProducts: false,
  minOpset: byAllSchemes,
  plan: planHalf,
};

const none: Planner = {
  kind: 'none',
  integerProducts: false,
  minOpset: byAllSchemes,
  plan: planNothing,
};

/** Every kind of plan. */
export const planners: readonly Planner[] = [statically, dynamically, coded, weightOnly, half, none];

/** The planner of a kind, which formats name. */
export const plannerOf = (kind: string): Planner =>
  planners.find((p) => p.kind === kind) ?? fail('INTERNAL', `bug in quantbench: there is no planner '${kind}'`);

/** Lowest opset that a coding can be written with. */
export const codingOpset = ({ name, options }: PlanRequest['coding']): number =>
  (codings.find((c) => c.name === name) ?? fail('INTERNAL', `bug in quantbench: no coding '${name}'`)).minOpset(
    options,
  );

/** Every node stays as it is. */
function planNothing(model: Model): Planned {
  const compute = [...allGraphs(model.graph)]
    .flatMap((g) => g.topological())
    .filter((n) => specOf(n)?.quant.role === 'compute');
  const floatNodes = new Map(compute.map((n) => [n, 'the format quantizes nothing']));
  return { plan: new Map(), integerNodes: new Set(), weightOnlyNodes: new Set(), fusedClamps: new Map(), floatNodes };
}
