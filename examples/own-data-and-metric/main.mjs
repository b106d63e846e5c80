// @ts-check
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadRecipe, runRecipe } from 'quantbench';

/** Calibrates and evaluates on samples of its own. @param {string} outDir */
export async function main(outDir) {
  const recipe = await loadRecipe(path.join(import.meta.dirname, 'recipe.yaml'));
  const { record } = await runRecipe({ recipe, outDir });
  return record;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { evaluation } = await main('reports/examples/own-data-and-metric');
  for (const m of evaluation?.metrics ?? []) {
    console.log(`${m.name}  float ${m.float?.toFixed(3)} ${m.unit}  quantized ${m.quantized?.toFixed(3)} ${m.unit}`);
  }
}
