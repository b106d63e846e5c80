// @ts-check
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { exitCodeOfVerdict, loadRecipe, renderJunit, runRecipe } from 'quantbench';

/**
 * Quantizes, judges by the limits of the recipe, and writes the verdict for the CI.
 * @param {string} outDir
 * @param {readonly string[]} [set] changes of the recipe, as with --set
 */
export async function main(outDir, set = []) {
  const recipe = await loadRecipe(path.join(import.meta.dirname, 'recipe.yaml'), { set });
  const { record } = await runRecipe({ recipe, outDir });
  if (!record.gate) throw new Error('the recipe has no gate');
  writeFileSync(path.join(outDir, 'junit.xml'), renderJunit(record, record.gate));
  return { gate: record.gate, exitCode: exitCodeOfVerdict(record.gate.verdict) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { gate, exitCode } = await main('reports/examples/gate-in-ci', process.argv.slice(2));
  for (const rule of gate.rules) console.log(`${rule.verdict}  ${rule.name}  ${rule.text}`);
  process.exitCode = exitCode; // 0 pass, 1 fail, 5 undecided
}
