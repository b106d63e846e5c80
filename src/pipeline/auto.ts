/**
 * Finds the recipe: rounds of candidates on the search part of the evaluation samples, then one look at the held-out part.
 * Rounds are successive halving (https://arxiv.org/abs/1502.07943): all on few samples, the best on the whole search part.
 */
import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fail } from '../base/errors.js';
import { derive, type ResolvedRecipe } from '../recipe/load.js';
import type { Work } from './candidates.js';
import { confirm } from './confirm.js';
import { runRecipe } from './run.js';
import { Search, type AutoOptions, type AutoResult } from './search.js';
import { stagingDir } from './staging.js';
import { createStages } from './stages.js';

/** Share of the samples that choose, unless the recipe gives one. */
const SEARCH_SHARE = 0.4;

/**
 * Writes into `outDir` the model that is best by the objective among those that keep the limit, with recipe.yaml, which
 * makes the same file again. Where none keeps it on the held-out part, the closest goes to `outDir`/best-found instead.
 * Throws DATA_MISSING without evaluation data, USAGE for a limit that does not fit the metric, and the signal's reason.
 */
export async function findRecipe(o: AutoOptions): Promise<AutoResult> {
  const { base, signal } = o;
  const { evaluation, calibration } = base.recipe;
  if (!evaluation.data) fail('DATA_MISSING', 'a search compares recipes on evaluation data, and the recipe names none', {}, 'set evaluation.data or pass --evaluation-data');
  const started = performance.now();
  const spent = (): number => performance.now() - started;
  const onEvent = o.onEvent ?? ((): void => undefined);
  const { stage } = createStages(onEvent, signal);
  const share = evaluation.searchShare || SEARCH_SHARE;
  const staging = stagingDir(o.outDir);
  try {
    onEvent({ type: 'start', title: `auto · ${path.basename(base.recipe.model ?? '')} · smallest ${o.objective} with a drop of at most ${String(o.maxAccuracyDrop)}` });
    const work = await stage('look', async () => { const w = await workOf(base, calibration.data !== undefined, staging, signal); return [w, `${(100 * w.convolutions).toFixed(0)} % of the work is convolutions, ${(100 * w.products).toFixed(0)} % matrix products`]; });
    const search = new Search(o, share, staging, stage, spent);
    await search.explore(work);
    return await confirm(o, search, share, staging, spent, stage);
  } finally {
    rmSync(staging, { recursive: true, force: true });
    if (!readdirSync(o.outDir).length) rmdirSync(o.outDir);
  }
}

/** What does the work, by a plan alone. */
async function workOf(base: ResolvedRecipe, hasData: boolean, outDir: string, signal: AbortSignal | undefined): Promise<Work> {
  // Format coded plans every model that has a weight, whatever its operators.
  const plain = await derive(base, { adjust: [], quantize: { format: 'coded' } }, { baseDir: base.baseDir });
  const { record } = await runRecipe({ recipe: plain, outDir, dryRun: true, ...(signal ? { signal } : {}) });
  const sum = (test: (op: string) => boolean): number => record.nodes.filter((n) => test(n.op)).reduce((n, x) => n + x.macs, 0);
  const all = sum(() => true) || 1;
  const convolutions = sum((op) => op.startsWith('Conv')) / all;
  return { convolutions, products: sum((op) => op === 'MatMul' || op === 'Gemm') / all, hasData };
}
