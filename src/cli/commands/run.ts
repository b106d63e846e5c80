/** `quantize`: recipe in, verified model and reports out. */
import { item } from '../../base/lists.js';
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { checkFiles } from '../../recipe/files.js';
import { loadRecipes } from '../../recipe/load.js';
import { isForRuntime } from '../../pipeline/target-of.js';
import type { CommandContext } from '../context.js';
import { folderName } from '../folder-name.js';
import { planLines } from '../plan.js';
import { openProgress } from '../progress.js';
import { summaryLines } from '../summary.js';

export interface RunFlags {
  readonly recipe?: string;
  readonly model?: string;
  readonly calibrationData?: string;
  readonly evaluationData?: string;
  readonly out?: string;
  readonly target?: string;
  readonly targets?: string;
  readonly set?: readonly string[];
  readonly dryRun?: true;
  readonly json?: true;
  readonly quiet?: true;
}

/** `target` as the flags give it: one, or a list that makes a folder of each. Throws USAGE. */
function targetSettings({ target, targets }: Pick<RunFlags, 'target' | 'targets'>): string[] {
  if (target !== undefined && targets !== undefined) fail('USAGE', 'give --target or --targets, not both');
  const names = targets?.split(',').map((n) => n.trim());
  if (names?.some((n) => n === ''))
    fail('USAGE', `--targets is "${targets}"`, {}, 'names of runtimes with commas between: onnxruntime-cpu,litert');
  return [
    ...(target === undefined ? [] : [`target=${target}`]),
    ...(names ? [`target=[${names.map((n) => JSON.stringify(n)).join(', ')}]`] : []),
  ];
}

/** Throws QuantError; gives exit code 0, or that of the verdict where the recipe has a gate. */
export async function run(flags: RunFlags, { terminal, signal }: CommandContext): Promise<number> {
  if (flags.recipe === undefined && flags.model !== undefined)
    fail(
      'USAGE',
      'no recipe was given to quantize the model by',
      {},
      `quantize init ${flags.model} --data FOLDER --out recipe.yaml writes a first recipe`,
    );
  if (flags.recipe === undefined)
    fail(
      'USAGE',
      'no recipe was given',
      {},
      'quantize --recipe FILE; `quantize init MODEL` writes a first recipe, `quantize --help` tells the rest',
    );
  const { recipe: file, model, calibrationData, evaluationData } = flags;
  const recipes = await loadRecipes(file, {
    set: [...(flags.set ?? []), ...targetSettings(flags)],
    ...(model === undefined ? {} : { model }),
    ...(calibrationData === undefined ? {} : { calibrationData }),
    ...(evaluationData === undefined ? {} : { evaluationData }),
  });
  const recipe = item(recipes, 0); // a recipe stands for at least one
  if (recipes.length > 1) {
    if (flags.dryRun)
      fail(
        'USAGE',
        `a sweep of ${recipes.length} recipes cannot be planned only`,
        {},
        'give one value instead of each list for --dry-run',
      );
    return (await import('./compare.js')).compareLoaded(recipes, recipe.sweep?.name ?? recipe.name, flags, {
      terminal,
      signal,
    });
  }
  const folder = flags.out ?? path.join('reports', folderName(recipe.sweep?.name ?? recipe.name));
  const outDir = isForRuntime(recipe) ? path.join(folder, folderName(recipe.recipe.target)) : folder;
  // Loaded now, so that a mistake in the recipe is told at once.
  const [{ runRecipe }, { renderFiles }, { exitCodeOfVerdict }] = await Promise.all([
    import('../../pipeline/run.js'),
    import('../../report/index.js'),
    import('../../gate/index.js'),
  ]);
  if (flags.dryRun) checkFiles(recipe); // a run does so itself
  const progress = flags.quiet ? undefined : await openProgress(terminal);
  try {
    const { record } = await runRecipe({
      recipe,
      outDir,
      signal,
      dryRun: flags.dryRun === true,
      ...(progress ? { onEvent: progress.onEvent } : {}),
      render: renderFiles,
    });
    progress?.close();
    if (flags.json) terminal.data(`${JSON.stringify(record, null, 1)}\n`);
    if (flags.dryRun) {
      if (!flags.json) terminal.data(`${planLines(record, terminal.dataColumns).join('\n')}\n`);
      return 0;
    }
    if (!flags.quiet) for (const line of summaryLines(record, terminal)) terminal.say(line);
    if (!flags.json)
      terminal.data(
        [...record.files.map((f) => f.path), 'run.json', ...Object.keys(renderFiles(record))]
          .map((f) => `${path.join(outDir, f)}\n`)
          .join(''),
      );
    return record.gate ? exitCodeOfVerdict(record.gate.verdict) : 0;
  } finally {
    progress?.close();
  }
}
