/**
 * `quantize explain`: the stages of a recipe in order, what each does and why, and the plan where the model is there.
 */
import { existsSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { loadRecipes, type ResolvedRecipe } from '../../recipe/load.js';
import type { RunRecord } from '../../record/index.js';
import type { CommandContext } from '../context.js';
import { table } from '../layout.js';
import { paint } from '../terminal.js';

export interface ExplainFlags {
  readonly model?: string;
  readonly set?: readonly string[];
  readonly json?: true;
}

/** Throws QuantError; gives exit code 0. */
export async function explain(
  file: string,
  flags: ExplainFlags,
  { terminal, signal }: CommandContext,
): Promise<number> {
  const recipes = await loadRecipes(file, {
    set: flags.set ?? [],
    ...(flags.model === undefined ? {} : { model: flags.model }),
  });
  const { explainRecipe } = await import('../../pipeline/explain.js');
  const p = paint({ colour: terminal.colour });
  const all = [];
  for (const recipe of recipes) {
    const stages = explainRecipe(recipe);
    const planned = await planOf(recipe, signal);
    all.push({
      recipe: recipe.name,
      model: recipe.recipe.model,
      target: recipe.recipe.target,
      stages,
      ...(planned ? { plan: summaryOf(planned) } : {}),
    });
    if (flags.json) continue;
    terminal.data(`${recipe.name}: ${recipe.recipe.model ?? ''} → ${recipe.recipe.target}\n\n`);
    for (const [i, s] of stages.entries()) {
      terminal.data(`${String(i + 1).padStart(2)}  ${p.bold(s.name)}  ${s.does}\n    why: ${s.why}\n`);
      const said = s.settings.filter((x) => x.said);
      const rest = s.settings.filter((x) => !x.said);
      for (const line of table(
        said.map((x) => ['     ', x.key, short(x.value), 'the recipe says so']),
        [],
        { columns: terminal.dataColumns },
      ))
        terminal.data(`${line.trimEnd()}\n`);
      if (rest.length) terminal.data(`      defaults: ${rest.map((x) => `${x.key} ${short(x.value)}`).join(', ')}\n`);
      if (s.name === 'plan' && planned) for (const line of planText(planned)) terminal.data(`      ${line}\n`);
    }
    terminal.data(planned ? '\n' : '\nThe model is not there, so that nothing was planned.\n\n');
  }
  if (flags.json) terminal.data(`${JSON.stringify(all.length === 1 ? all[0] : all, null, 1)}\n`);
  return 0;
}

const short = (value: unknown): string => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
};

/** A dry run; undefined where the model file is absent. */
async function planOf(recipe: ResolvedRecipe, signal: AbortSignal): Promise<RunRecord | undefined> {
  const { model } = recipe.recipe;
  if (model === undefined || !existsSync(path.resolve(recipe.baseDir, model))) return undefined;
  const { runRecipe } = await import('../../pipeline/run.js');
  return (await runRecipe({ recipe, outDir: os.tmpdir(), dryRun: true, signal })).record; // a dry run writes nothing
}

function summaryOf({ nodes, diagnostics }: RunRecord): {
  readonly nodes: number;
  readonly integer: number;
  readonly integerMacsShare: number;
  readonly float: Readonly<Record<string, number>>;
  readonly notes: readonly string[];
} {
  const total = nodes.reduce((n, x) => n + x.macs, 0);
  const integer = nodes.filter((n) => n.planned === 'integer');
  const float: Record<string, number> = {};
  for (const n of nodes)
    if (n.planned === 'float') {
      const why = n.because ?? 'not planned';
      float[why] = (float[why] ?? 0) + 1;
    }
  return {
    nodes: nodes.length,
    integer: integer.length,
    integerMacsShare: total ? integer.reduce((n, x) => n + x.macs, 0) / total : 0,
    float,
    notes: diagnostics.map((d) => d.message),
  };
}

function planText(record: RunRecord): string[] {
  const s = summaryOf(record);
  return [
    `plan: ${s.integer} of ${s.nodes} nodes in integers, ${(100 * s.integerMacsShare).toFixed(1)} % of ` +
      'multiply-accumulates',
    ...Object.entries(s.float)
      .sort((a, b) => b[1] - a[1])
      .slice(0, 5)
      .map(([why, n]) => `float: ${n} × ${why}`),
    ...s.notes.map((n) => `note: ${n}`),
  ];
}
