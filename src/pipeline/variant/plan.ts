/** Asked → planned. */
import { cachesOf } from '../../formats/kv-cache.js';
import { cloneModel } from '../../ir/clone.js';
import { allGraphs, type Model } from '../../ir/model.js';
import { specOf } from '../../ops/index.js';
import type { Planned } from '../../scheme/quantized.js';
import { bodyFacts, graphFacts, nodeFacts, pointFacts } from '../../facts/model.js';
import { planModel } from '../prepare.js';
import type { PlannedVariant, Variant } from './types.js';

/** Plans on a copy of the cleaned model. Throws QUANTIZE_NOTHING, MODEL_UNSUPPORTED for a cache that it has not. */
export function planVariant(
  v: Variant,
  cleaned: Model,
  macsOf: (model: Model) => ReadonlyMap<string, number>,
): PlannedVariant {
  const { model } = cloneModel(cleaned);
  const prepared = planModel(model, v.recipe.recipe, v.report, v.recipe.plugins);
  const macs = macsOf(model);
  if (v.recipe.recipe.quantize.kvCache) cachesOf(model); // before the work
  return {
    ...v,
    model,
    prepared,
    macs,
    ...plannedFacts(model, prepared.planned, macs),
    points: pointFacts(prepared.planned, new Map(), undefined),
  };
}

/** What records say of a plan. */
export const plannedFacts = (
  model: Model,
  planned: Planned,
  macs: ReadonlyMap<string, number>,
): Pick<PlannedVariant, 'nodes' | 'inBodies' | 'graph'> => ({
  nodes: nodeFacts(model, planned, macs),
  inBodies: bodyFacts(model, planned),
  graph: graphFacts(model, planned),
});

/** One line, such as `15 of 16 Conv, Gemm in integers (99.2 % of MACs)`. */
export function planText({ nodes, model, prepared }: PlannedVariant): string {
  const compute = nodes.filter((n) => n.macs > 0);
  const sum = (list: typeof compute): number => list.reduce((n, x) => n + x.macs, 0);
  const integer = compute.filter((n) => n.planned === 'integer');
  const share = sum(compute) ? ` (${((100 * sum(integer)) / sum(compute)).toFixed(1)} % of MACs)` : '';
  const bodies = bodiesText(model, prepared.planned);
  if (!compute.length && bodies) return bodies;
  const ops = [...new Set(compute.map((n) => n.op))].slice(0, 4).join(', ');
  return `${integer.length} of ${compute.length} ${ops} in integers${share}${bodies ? `; ${bodies}` : ''}`;
}

/** Of products and convolutions in branches of If and bodies of Loop and Scan, which node facts do not cover. */
function bodiesText(model: Model, { integerNodes, weightOnlyNodes }: Planned): string {
  const nodes = [...allGraphs(model.graph)]
    .slice(1)
    .flatMap((g) => [...g.nodes])
    .filter((n) => specOf(n)?.quant.role === 'compute');
  if (!nodes.length) return '';
  const integer = nodes.filter((n) => integerNodes.has(n) || weightOnlyNodes.has(n)).length;
  const ops = [...new Set(nodes.map((n) => n.op))].slice(0, 4).join(', ');
  return `${integer} of ${nodes.length} ${ops} in integers in branches and bodies`;
}
