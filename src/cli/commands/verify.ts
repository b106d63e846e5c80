/** `quantize verify`: what was written for a runtime, run there. */
import path from 'node:path';
import { parse } from 'yaml';
import { fail } from '../../base/errors.js';
import { writeFileAtomic } from '../../base/files.js';
import { asksOf, exitCodeOfVerdict, judgeRun } from '../../gate/index.js';
import { loadRecipe, resolveRecipe, type ResolvedRecipe } from '../../recipe/load.js';
import type { RecipeInput } from '../../recipe/schema.js';
import type { RunRecord, VerifiedFacts } from '../../record/index.js';
import { readRun } from '../../record/read.js';
import type { CommandContext } from '../context.js';
import { openProgress } from '../progress.js';
import { wantRun } from '../targets.js';

export interface VerifyFlags {
  readonly recipe?: string;
  readonly evaluationData?: string;
  readonly python?: string;
  readonly environments?: string;
  readonly samples?: string;
  readonly threads: string;
  readonly rounds: string;
  readonly json?: true;
  readonly quiet?: true;
}

/** Throws QuantError; gives exit code 0, or that of the verdict where the recipe sets limits. */
export async function verify(
  folder: string,
  flags: VerifyFlags,
  { terminal, signal }: CommandContext,
): Promise<number> {
  wantRun(folder, 'verify');
  const whole = (key: 'samples' | 'threads' | 'rounds', least: number): number => {
    const n = Number(flags[key]);
    return Number.isInteger(n) && n >= least ? n : fail('USAGE', `--${key} is "${flags[key]}"`, {}, `from ${least} on`);
  };
  const record = readRun(folder);
  const recipe = await recipeOf(folder, record, flags);
  const [{ verifyRun, withVerified }, { renderHtml, renderMarkdown }] = await Promise.all([
    import('../../standalone/verify.js'),
    import('../../report/index.js'),
  ]);
  const rounds = whole('rounds', 0);
  const progress = flags.quiet ? undefined : await openProgress(terminal);
  try {
    const verified = await verifyRun({
      folder,
      record,
      recipe,
      python: flags.python,
      environments: flags.environments ?? process.env.QUANTBENCH_RUNTIMES,
      samples: flags.samples === undefined ? undefined : whole('samples', 1),
      threads: whole('threads', 1),
      latency: rounds > 0 && { rounds, runs: 5, warmup: 10 },
      signal,
      onEvent: progress?.onEvent,
      report: (diagnostic) => progress?.onEvent({ type: 'diagnostic', diagnostic }),
    });
    progress?.close();
    const { gate } = recipe.recipe;
    const { target } = record;
    const seen = target ? withVerified(record, target, verified) : record; // without one, it has thrown
    const asked = gate && asksOf(seen, gate, recipe.plugins.gates);
    const judged = asked ? { ...seen, gate: judgeRun(seen, gate, undefined, recipe.plugins.gates) } : seen;
    const texts = {
      'run.json': `${JSON.stringify(judged, null, 1)}\n`,
      'report.md': renderMarkdown(judged),
      'report.html': renderHtml(judged),
    };
    for (const [name, text] of Object.entries(texts)) writeFileAtomic(path.join(folder, name), text);
    terminal.data(flags.json ? `${JSON.stringify(verified, null, 1)}\n` : `${linesOf(verified).join('\n')}\n`);
    return judged.gate ? exitCodeOfVerdict(judged.gate.verdict) : 0;
  } finally {
    progress?.close();
  }
}

/** The recipe of a run: given, or as its record holds it, from where it was. */
async function recipeOf(folder: string, record: RunRecord, flags: VerifyFlags): Promise<ResolvedRecipe> {
  const evaluationData = flags.evaluationData;
  const overrides = evaluationData === undefined ? {} : { evaluationData };
  if (flags.recipe !== undefined) return loadRecipe(flags.recipe, overrides);
  const baseDir = path.resolve(folder, record.target?.recipeFolder ?? '.');
  const { yaml, name } = record.recipe;
  return resolveRecipe(parse(yaml) as RecipeInput, { baseDir, name, ...overrides }); // the schema checks it
}

function linesOf(v: VerifiedFacts): string[] {
  const metrics = (v.evaluation?.metrics ?? []).map((m) => {
    const digits = m.unit === '%' ? 2 : 4;
    const [low, high] = m.interval ?? [NaN, NaN];
    const interval = m.interval
      ? ` (95 % interval of the change ${low.toFixed(digits)} … ${high.toFixed(digits)})`
      : '';
    return `${m.name} ${m.quantized.toFixed(digits)}, float ${m.float?.toFixed(digits) ?? '–'}${interval}`;
  });
  const outputs = (v.evaluation?.outputs ?? []).map(
    (o) => `output ${o.name}: ${o.sqnrDb?.toFixed(1) ?? '∞'} dB to float`,
  );
  const all = v.integerLayers.length + v.floatLayers.length;
  const share = v.integerMacsShare === undefined ? '' : `, ${(100 * v.integerMacsShare).toFixed(1)} % of the work`;
  const { latency: l } = v;
  return [
    `verified in ${v.runtime}`,
    ...metrics,
    ...outputs,
    `${v.integerLayers.length} of ${all} layers in integers${share}, by ${v.evidence}`,
    ...v.floatLayers.slice(0, 5).map((f) => `  float: ${f}`),
    ...(l
      ? [
          `float ${l.floatMs.p50.toFixed(3)} ms, quantized ${l.quantizedMs.p50.toFixed(3)} ms: ${l.speedup.toFixed(2)} ×`,
        ]
      : []),
  ];
}
