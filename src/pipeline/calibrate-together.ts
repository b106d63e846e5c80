/** Planned recipes that run together, calibrated in as few passes over the samples as their models allow. */
import { item } from '../base/lists.js';
import { groupBy } from '../base/group.js';
import type { TensorStats } from '../calibrate/types.js';
import type { Value } from '../ir/graph.js';
import { calibratePlans } from './calibration.js';
import { calibrationFindings } from './calibration-findings.js';
import type { Front } from './front.js';
import { has } from './stages.js';
import type { Together } from './together.js';
import type { SharedFacts } from './variant/record.js';
import type { PlannedVariant } from './variant/types.js';

export interface Calibrated {
  /** By index of the variant; none for those that need no statistics. */
  readonly stats: ReadonlyMap<number, ReadonlyMap<Value, TensorStats>>;
  readonly facts: SharedFacts['calibration'];
  readonly samples: readonly { readonly id: string; readonly hash: string }[];
}

export async function calibrateTogether(
  list: readonly PlannedVariant[],
  { lead, sources }: Pick<Front, 'lead' | 'sources'>,
  all: Together,
): Promise<Calibrated> {
  const statics = all.alive(list).filter((v) => has(v.asks, 'calibrate'));
  if (!statics.length) return { stats: new Map(), facts: undefined, samples: [] };
  return all.stage('calibrate', async () => {
    const stats = new Map<number, ReadonlyMap<Value, TensorStats>>();
    const passes: Awaited<ReturnType<typeof calibratePlans>>[] = [];
    // Copies of one opset have the same tensors.
    for (const same of groupBy(statics, (v) => v.model.opsets.get('')).values()) {
      const pass = await calibratePlans({
        model: item(same, 0).model, // groups are not empty
        contentSha256: () => sources.contentSha256(),
        plans: same.map((v) => ({
          planned: v.prepared.planned,
          observerOptions: v.recipe.recipe.quantize.activations.observer,
        })),
        recipe: lead,
        report: all.report,
        ...all.listen,
      });
      same.forEach((v, i) => stats.set(v.index, item(pass.stats, i))); // one for each plan
      if (!passes.length)
        for (const d of calibrationFindings(pass.stats[0] ?? new Map(), pass.facts.samples)) all.report(d);
      passes.push(pass);
    }
    const { facts } = item(passes, 0); // at least one group
    const observers = [...new Set(statics.map((v) => v.recipe.recipe.quantize.activations.observer.name))];
    const reused = facts.cache === 'hit' ? ' · reused statistics (same model, same data)' : '';
    return [
      { stats, facts: { ...facts, overlapWithEvaluation: [] }, samples: item(passes, passes.length - 1).samples },
      `${facts.samples} samples · ${facts.tensors} tensors · ${observers.join(', ')}${reused}`,
    ];
  });
}
