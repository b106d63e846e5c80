// @ts-check
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { exitCodeOfVerdict, loadRecipe, runRecipe } from 'quantbench';

const here = import.meta.dirname;

/** Runs the recipe, in which each plug-in is named. @param {string} outDir */
export async function main(outDir) {
  const recipe = await loadRecipe(path.join(here, 'recipe.yaml'));
  const { record } = await runRecipe({ recipe, outDir });
  return record;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { recipe, gate } = await main('reports/examples/own-plugins');
  for (const plugin of recipe.plugins ?? []) console.log(`${plugin.file}: ${plugin.adds.join(', ')}`);
  for (const rule of gate?.rules ?? []) console.log(`${rule.verdict}  ${rule.name}  ${rule.text}`);
  process.exitCode = gate ? exitCodeOfVerdict(gate.verdict) : 0;
}
