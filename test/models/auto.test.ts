/**
 * `quantize auto` on real models: a budget of half a point, kept on held-out samples; the recipe that it writes makes
 * the same file again; mixed precision and size.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { findRecipe } from '../../src/search/auto.js';
import { runRecipe } from '../../src/pipeline/run.js';
import type { AutoResult } from '../../src/search/types.js';
import { loadRecipe } from '../../src/recipe/load.js';
import type { MetricFacts } from '../../src/record/index.js';

const root = path.join(import.meta.dirname, '..', '..');
const shared = path.join(root, '..', 'shared');
const out = mkdtempSync(path.join(os.tmpdir(), 'quantbench-auto-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));
const MINUTES = 60_000;

async function auto(
  label: string,
  recipe: string,
  objective: 'latency' | 'size',
  more: { readonly set?: readonly string[]; readonly calibrationData?: string } = {},
): Promise<AutoResult & { readonly all: MetricFacts }> {
  const base = await loadRecipe(path.join(root, 'recipes', recipe), {
    ...more,
    set: ['calibration.cache=false', 'evaluation.latency.memory=false', ...(more.set ?? [])],
  });
  const folder = path.join(out, label);
  const found = await findRecipe({
    base,
    outDir: folder,
    maxAccuracyDrop: '0.5%',
    objective,
    timeBudgetMs: 10 * MINUTES,
  });
  expect(found.search.sentence).toContain('keeps the limit');
  expect(found.search.outcome).toBe('met');
  expect(found.search.heldOut.at(-1)!.drop).toBeLessThanOrEqual(found.search.limit);
  expect(found.search.ms).toBeLessThanOrEqual(10 * MINUTES);
  const again = await loadRecipe(path.join(folder, 'recipe.yaml'), {
    set: [
      'evaluation.searchShare=0',
      'evaluation.latency=false',
      'evaluation.layers=false',
      'evaluation.profile=false',
    ],
  });
  const { record } = await runRecipe({ recipe: again, outDir: path.join(out, `${label}-again`) });
  expect(
    readFileSync(path.join(out, `${label}-again`, 'model.onnx')).equals(readFileSync(path.join(folder, 'model.onnx'))),
  ).toBe(true);
  const all = record.evaluation!.metrics[0]!; // the recipes name a metric
  const heldOut = found.record.evaluation!.metrics[0]!; // as above
  console.info(
    `${label}: ${Math.round(found.search.ms / 1000)} s, ${found.search.trials.length} trials, chose ` +
      `${found.search.chosen}; held out ${heldOut.float} → ${heldOut.quantized} ` +
      `(${found.search.heldOutSamples}), all ${all.float} → ${all.quantized} (${record.evaluation!.samples}); ` +
      `${found.record.latency?.speedup.toFixed(2)} × as fast, ` +
      `${(found.record.model.quantized!.bytes / found.record.model.float.bytes).toFixed(3)} × the size`,
  ); // it was evaluated and has a file
  return { ...found, all };
}

describe.skipIf(!existsSync(shared))(
  'quantize auto on the shared models, half a point (skipped where ../shared is absent)',
  () => {
    it(
      'ResNet-20',
      async () => {
        const { record } = await auto('resnet20', 'cifar10/int8-kl.yaml', 'latency');
        expect(record.runtime!.integerMacsShare).toBe(1);
      },
      20 * MINUTES,
    );
    it(
      'ResNet-8 of MLPerf Tiny',
      async () => {
        await auto('resnet8', 'cifar10/int8-kl-mlperf-tiny.yaml', 'latency');
      },
      20 * MINUTES,
    );
    it(
      'ResNet-20 with unequal channels, from a recipe that does not equalise: finds equalisation',
      async () => {
        const { record, search, all } = await auto('unequalised', 'cifar10/int8-equalised.yaml', 'latency', {
          set: ['adjust=[]'],
        });
        expect(search.chosen).toContain('equalise');
        expect(all).toMatchObject({ name: 'top1', unit: '%' });
        expect(all.quantized).toBeGreaterThanOrEqual(80.2); // of 80.45 in float, on all 2,000 images
        expect(record.runtime!.integerMacsShare).toBe(1);
        expect(Math.max(...search.trials.filter((t) => t.label === 'int8 minmax').map((t) => t.drop!))).toBeGreaterThan(
          30,
        ); // plain int8 fails
      },
      20 * MINUTES,
    );
    it(
      'MiniLM',
      async () => {
        await auto('minilm', 'sts/int8-dynamic.yaml', 'latency', {
          calibrationData: path.join(shared, 'data', 'sts', 'calibration.tsv'),
        });
      },
      20 * MINUTES,
    );
    it(
      'ResNet-20, the smallest: below a quarter of the size',
      async () => {
        const { record } = await auto('small', 'cifar10/int8-kl.yaml', 'size');
        expect(record.model.quantized!.bytes / record.model.float.bytes).toBeLessThan(0.25);
      },
      20 * MINUTES,
    );
  },
);

describe.skipIf(!existsSync(shared))('mixed precision (skipped where ../shared is absent)', () => {
  it(
    'ResNet-20 in a fifth of the size: top-1 at least 80.0 of 80.45',
    async () => {
      const recipe = await loadRecipe(path.join(root, 'recipes', 'cifar10', 'mixed-int8-int4.yaml'), {
        set: ['calibration.cache=false', 'evaluation.latency=false'],
      });
      const { record } = await runRecipe({ recipe, outDir: path.join(out, 'mixed') });
      expect(record.evaluation!.metrics[0]!.quantized).toBeGreaterThanOrEqual(80); // measured 80.50
      expect(record.model.quantized!.bytes / record.model.float.bytes).toBeLessThanOrEqual(0.2);
    },
    10 * MINUTES,
  );
});
