/** `quantize evaluate`: models scored on data as they are; the others against the first. */
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { guessDataSpec } from '../../data/init.js';
import { loadRecipe, resolveRecipe, type ResolvedRecipe } from '../../recipe/load.js';
import type { CommandContext } from '../context.js';
import { openProgress } from '../progress.js';
import { table } from '../layout.js';
import { paint } from '../terminal.js';

export interface EvaluateFlags {
  readonly recipe?: string;
  readonly data?: string;
  readonly metric?: readonly string[];
  readonly samples?: string;
  readonly set?: readonly string[];
  readonly json?: true;
  readonly quiet?: true;
}

/** Throws QuantError; gives exit code 0. */
export async function evaluate(
  files: readonly string[],
  flags: EvaluateFlags,
  { terminal, signal }: CommandContext,
): Promise<number> {
  const recipe = await recipeFor(files[0] ?? '', flags);
  const [{ evaluateFiles }, { chosenMetrics }] = await Promise.all([
    import('../../standalone/standalone.js'),
    import('../../pipeline/check.js'),
  ]);
  const progress = flags.quiet ? undefined : await openProgress(terminal);
  try {
    const found = await evaluateFiles({
      files,
      recipe,
      metrics: await chosenMetrics(recipe),
      signal,
      onEvent: progress?.onEvent,
      report: (diagnostic) => progress?.onEvent({ type: 'diagnostic', diagnostic }),
    });
    progress?.close();
    if (flags.json) {
      terminal.data(`${JSON.stringify(found, null, 1)}\n`);
      return 0;
    }
    const show = (value: number | undefined, unit: string): string =>
      value === undefined ? '–' : unit === '%' ? `${value.toFixed(2)} %` : value.toFixed(4);
    const rows = found.reference.metrics.map((m) => [
      path.basename(found.reference.file),
      m.name,
      show(m.value, m.unit),
      '',
      '',
    ]);
    for (const o of found.others) {
      for (const m of o.metrics)
        rows.push([
          path.basename(o.file),
          m.name,
          show(m.quantized, m.unit),
          `${(m.change ?? 0) >= 0 ? '+' : '−'}${Math.abs(m.change ?? 0).toFixed(m.unit === '%' ? 2 : 4)}`,
          m.interval ? `95 % CI ${m.interval.map((v) => v.toFixed(m.unit === '%' ? 2 : 4)).join(' … ')}` : '',
        ]);
      if (o.agreement)
        rows.push([
          path.basename(o.file),
          'same answer',
          show(100 * o.agreement.same, '%'),
          '',
          o.agreement.mcnemarP === undefined
            ? ''
            : `${o.agreement.rightToWrong} right → wrong, ${o.agreement.wrongToRight} wrong → right, McNemar p = ` +
              `${o.agreement.mcnemarP.toPrecision(2)}`,
        ]);
      for (const e of o.outputs)
        rows.push([
          path.basename(o.file),
          `output ${e.name}`,
          `cosine ${e.cosine.toFixed(4)}`,
          '',
          e.sqnrDb === undefined ? (e.mse === 0 ? 'identical' : '') : `SQNR ${e.sqnrDb.toFixed(1)} dB`,
        ]);
    }
    const p = paint(terminal);
    const [head = '', ...body] = table(
      [['model', 'metric', 'value', found.others.length ? 'change' : '', ''], ...rows],
      [2, 3],
    );
    terminal.data(`${[`${found.samples} samples`, head, ...body].join('\n')}\n`);
    if (!rows.length)
      terminal.say(
        p.yellow('  nothing was scored: the data have no labels; give two models to see how far they agree'),
      );
    return 0;
  } finally {
    progress?.close();
  }
}

/** The recipe's evaluation section, or one made for `--data`. */
async function recipeFor(model: string, flags: EvaluateFlags): Promise<ResolvedRecipe> {
  const set = [
    ...(flags.set ?? []),
    ...(flags.samples === undefined ? [] : [`evaluation.samples=${flags.samples}`]),
    ...(flags.metric?.length ? [`evaluation.metrics=[${flags.metric.join(', ')}]`] : []),
  ];
  if (flags.recipe !== undefined)
    return loadRecipe(flags.recipe, {
      set,
      model,
      ...(flags.data === undefined ? {} : { evaluationData: flags.data }),
    });
  if (flags.data === undefined)
    return fail(
      'USAGE',
      'there are no data to evaluate on',
      {},
      'quantize evaluate MODEL --data FOLDER, or --recipe R for its evaluation data and preprocessing',
    );
  return resolveRecipe(
    { version: 1, model, quantize: { format: 'dynamic' }, evaluation: { data: await guessDataSpec(flags.data) } },
    { set, name: 'evaluate' },
  );
}
