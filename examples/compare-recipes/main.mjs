// @ts-check
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { compareRuns, gateSpec, loadRecipes, renderCompareHtml } from 'quantbench';

/** Runs every recipe of the sweep and ranks them. @param {string} outDir */
export async function main(outDir) {
  const recipes = await loadRecipes(path.join(import.meta.dirname, 'recipe.yaml'));
  const items = recipes.map((recipe, i) => ({ recipe, outDir: path.join(outDir, `run-${i + 1}`) }));
  const limits = gateSpec.parse({ accuracyDrop: { max: '5 points' }, sizeRatio: { max: 0.5 } });
  const { record } = await compareRuns({ name: 'observers and granularities', items, outDir, limits });
  writeFileSync(path.join(outDir, 'compare.html'), renderCompareHtml(record));
  return record;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { runs } = await main('reports/examples/compare-recipes');
  for (const { label, metric, sizeRatio, gate } of runs) {
    console.log(
      [label, `${metric?.quantized} ${metric?.unit}`, `${sizeRatio?.toFixed(3)} ×`, gate?.verdict].join('  '),
    );
  }
}
