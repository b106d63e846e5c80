/** `quantize auto`: finds the recipe that keeps a limit and is best by the objective. */
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { loadRecipe, resolveRecipe, type RecipeOverrides, type ResolvedRecipe } from '../../recipe/load.js';
import type { RecipeInput } from '../../recipe/schema.js';
import { signed } from '../../report/text.js';
import type { SearchFacts } from '../../record/index.js';
import type { CommandContext } from '../context.js';
import { openProgress } from '../progress.js';
import { summaryLines } from '../summary.js';
import { table } from '../layout.js';
import { paint, type Terminal } from '../terminal.js';
import { folderName } from '../folder-name.js';

export interface AutoFlags {
  readonly recipe?: string;
  readonly maxAccuracyDrop?: string;
  readonly maxPerplexityIncrease?: string;
  readonly calibrationData?: string;
  readonly evaluationData?: string;
  readonly target?: string;
  readonly objective: string;
  readonly timeBudget: string;
  readonly allow?: string;
  readonly proven?: true;
  readonly out?: string;
  readonly set?: readonly string[];
  readonly json?: true;
  readonly quiet?: true;
}

/**
 * Throws QuantError; gives exit code 0 where the limit is kept on the held-out part, 1 where it is missed or nothing is
 * as fast as float, 5 where it is missed but the interval holds it.
 */
export async function auto(
  model: string | undefined,
  flags: AutoFlags,
  { terminal, signal }: CommandContext,
): Promise<number> {
  const { objective } = flags;
  if (objective !== 'latency' && objective !== 'size')
    fail('USAGE', `"${objective}" is not an objective`, {}, '--objective latency, or --objective size');
  const { maxAccuracyDrop, maxPerplexityIncrease } = flags;
  if ((maxAccuracyDrop === undefined) === (maxPerplexityIncrease === undefined))
    fail(
      'USAGE',
      'a search keeps one limit',
      {},
      '--max-accuracy-drop 0.5%, or for language models --max-perplexity-increase 1%',
    );
  const timeBudgetMs = durationOf(flags.timeBudget);
  const base = await baseOf(model, flags);
  // Without a recipe there is nothing given to try, unless --set gives it.
  const tryBase = flags.recipe !== undefined || (flags.set ?? []).some((s) => /^\s*(quantize|adjust)\b/.test(s));
  const outDir = flags.out ?? path.join('reports', folderName(`${base.name}-auto`));
  const [{ findRecipe }, { increaseOf, marginSpec }, { renderFiles }] = await Promise.all([
    import('../../search/auto.js'),
    import('../../gate/limits.js'),
    import('../../report/index.js'),
  ]);
  const drop = maxPerplexityIncrease === undefined ? maxAccuracyDrop : increaseOf(maxPerplexityIncrease);
  const limit = marginSpec.safeParse(/^\s*[\d.]+\s*$/.test(drop ?? '') ? Number(drop) : drop);
  if (!limit.success) {
    const [what, hint] =
      maxPerplexityIncrease === undefined
        ? ['drop', '--max-accuracy-drop 0.5%, 1%relative, or a number for metrics that are not in %']
        : ['rise', '--max-perplexity-increase 1%, of that of float, or a number such as 0.1'];
    fail('USAGE', `"${maxPerplexityIncrease ?? maxAccuracyDrop}" is not a ${what}`, {}, hint);
  }
  const progress = flags.quiet ? undefined : await openProgress(terminal);
  try {
    const found = await findRecipe({
      base,
      tryBase,
      outDir,
      objective,
      timeBudgetMs,
      maxAccuracyDrop: limit.data,
      signal,
      ...(flags.allow === undefined ? {} : { allow: flags.allow.split(',').map((s) => s.trim()) }),
      ...(flags.proven ? { proven: true } : {}),
      ...(progress ? { onEvent: progress.onEvent } : {}),
      render: renderFiles,
    });
    progress?.close();
    if (flags.json) terminal.data(`${JSON.stringify(found.record, null, 1)}\n`);
    else {
      if (!flags.quiet) {
        for (const line of summaryLines(found.record, terminal)) terminal.say(line);
        say(
          found.search,
          found.record.evaluation?.metrics.find((m) => m.name === found.search.metric)?.higherIsBetter !== false,
          terminal,
        );
      }
      terminal.data(
        [...found.record.files.map((f) => f.path), 'recipe.yaml', 'run.json', ...Object.keys(renderFiles(found.record))]
          .map((f) => `${path.join(found.outDir, f)}\n`)
          .join(''),
      );
    }
    return exitCodeOfSearch(found.search);
  } finally {
    progress?.close();
  }
}

/**
 * 0 where the limit is kept; for what was given instead, 1 where it misses the limit, 5 where its interval still holds
 * it.
 */
export function exitCodeOfSearch({
  outcome,
  chosen,
  heldOut,
}: Pick<SearchFacts, 'outcome' | 'chosen' | 'heldOut'>): number {
  if (outcome === 'met') return 0;
  const look = heldOut.findLast((l) => l.label === chosen);
  return look?.verdict === 'fail' || look?.slower ? 1 : 5;
}

async function baseOf(model: string | undefined, flags: AutoFlags): Promise<ResolvedRecipe> {
  const overrides: RecipeOverrides = {
    set: [
      ...(flags.maxPerplexityIncrease === undefined ? [] : ['evaluation.metrics=[perplexity]']),
      ...(flags.set ?? []),
      ...(flags.target === undefined ? [] : [`target=${flags.target}`]),
    ],
    ...(model === undefined ? {} : { model }),
    ...(flags.calibrationData === undefined ? {} : { calibrationData: flags.calibrationData }),
    ...(flags.evaluationData === undefined ? {} : { evaluationData: flags.evaluationData }),
  };
  if (flags.recipe !== undefined) return loadRecipe(flags.recipe, overrides);
  if (model === undefined)
    fail(
      'USAGE',
      'neither a model nor a recipe was given',
      {},
      'quantize auto MODEL --calibration-data D --evaluation-data E, or quantize auto --recipe BASE',
    );
  // Without calibration data a base of another format would be refused; which formats are tried, the search decides.
  const input: RecipeInput = {
    version: 1,
    ...(flags.calibrationData === undefined ? { quantize: { format: 'dynamic' } } : {}),
  };
  return resolveRecipe(input, { ...overrides, name: path.basename(model).replace(/\.onnx$/i, '') });
}

const UNITS: Readonly<Record<string, number>> = { s: 1e3, m: 6e4, h: 36e5 };
/** 90s, 10m or 1.5h in milliseconds. Throws USAGE. */
export function durationOf(text: string): number {
  const [, amount, unit] = /^\s*(\d+(?:\.\d+)?)\s*(s|m|h)(?:in|r|ec)?\s*$/i.exec(text) ?? [];
  const ms = Number(amount) * (UNITS[(unit ?? '').toLowerCase()] ?? NaN);
  return ms > 0 ? ms : fail('USAGE', `"${text}" is not a time`, {}, '--time-budget 90s, 10m or 1h');
}

function say(search: SearchFacts, higherIsBetter: boolean, terminal: Terminal): void {
  const p = paint(terminal);
  const number = (x: number | undefined, digits: number, unit = ''): string =>
    x === undefined ? '–' : `${x.toFixed(digits)}${unit}`;
  const digits = search.unit === '%' ? 2 : 4;
  const change = (drop: number | undefined): string =>
    drop === undefined ? '–' : signed((higherIsBetter ? -1 : 1) * drop, digits);
  const rows = search.trials.map((t) => [
    String(t.round),
    t.label,
    String(t.samples),
    t.outcome === 'failed' ? 'failed' : change(t.drop),
    t.loss === undefined ? '' : t.loss.toPrecision(2),
    number(t.latencyRatio, 2, ' ×'),
    number(t.sizeRatio, 2, ' ×'),
    t.error ?? t.next,
  ]);
  const [head = '', ...body] = table(
    [['', 'recipe', 'samples', `change of ${search.metric}`, 'loss', 'latency', 'size', 'then'], ...rows],
    [2, 3, 4, 5, 6],
    { columns: terminal.columns, indent: 2, drop: [0, 4, 2] },
  );
  terminal.say(p.bold(head));
  body.forEach((line, i) => terminal.say(search.trials[i]?.next.startsWith('chosen') ? p.green(line) : line));
  terminal.say('');
  terminal.say(`  ${search.outcome === 'met' ? p.green(p.bold(search.sentence)) : p.red(p.bold(search.sentence))}`);
  for (const note of search.notes) terminal.say(`  ${p.dim(note)}`);
  terminal.say('');
}
