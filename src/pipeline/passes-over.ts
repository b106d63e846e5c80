/** Which written models are evaluated in one pass over the samples. */
import { statSync } from 'node:fs';
import type { Diagnostic } from '../base/errors.js';
import { packs } from '../base/group.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { WrittenVariant } from './variant/types.js';

/** Models that are open at the same time have at most this many bytes together; more are taken in turns. */
export const OPEN_BYTES = 2e9;

/**
 * Variants that are evaluated in one pass, and on at most how many samples. Several runtimes that do not run here share
 * what one evaluation costs: their numbers are simulated, and are measured on all samples by `verify`.
 */
export function passesOver(
  o: {
    readonly recipe: ResolvedRecipe;
    readonly alive: <V extends WrittenVariant>(list: readonly V[]) => readonly V[];
  },
  variants: readonly WrittenVariant[],
  count: number | undefined,
): { readonly together: readonly WrittenVariant[]; readonly limit: number }[] {
  const { samples = Infinity, simulatedSamples } = o.recipe.recipe.evaluation;
  const alive = o.alive(variants);
  const simulated = severalSimulated(alive);
  const few = simulatedSamples === 'all' || !simulated.size ? Infinity : simulatedSamples;
  if (few >= Math.min(samples, count ?? Infinity)) return inPacks(alive, samples);
  for (const v of simulated) v.report(simulatedOnFew(few, v.prepared.target.name));
  const [here, there] = [alive.filter((v) => !simulated.has(v)), [...simulated]];
  return [...inPacks(here, samples), ...inPacks(there, few)];
}
/** Those whose runtimes do not run here, where there are several such runtimes: recipes for one are to be compared. */
export function severalSimulated<V extends WrittenVariant>(list: readonly V[]): ReadonlySet<V> {
  const simulated = list.filter((v) => v.prepared.target.host === 'simulated');
  const runtimes = new Set(simulated.map((v) => v.prepared.target.name));
  return new Set(runtimes.size > 1 ? simulated : []);
}
const simulatedOnFew = (few: number, target: string): Diagnostic => ({
  severity: 'note',
  code: 'SIMULATED_ON_FEW',
  message: `one of several runtimes that do not run here: ${target} was simulated on ${few} of the samples`,
  hint: '`quantize verify` measures there on all; evaluation.simulatedSamples: all simulates on all',
});
const inPacks = (list: readonly WrittenVariant[], limit: number): ReturnType<typeof passesOver> =>
  packs(list, (v) => statSync(v.folder.model).size, OPEN_BYTES).map((together) => ({ together, limit }));
