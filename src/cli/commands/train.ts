/** `quantize train`: a trained float model, or a student of it. */
import path from 'node:path';
import { fail } from '../../base/errors.js';
import { loadRecipe, resolveRecipe } from '../../recipe/load.js';
import type { CommandContext } from '../context.js';
import { folderName } from '../folder-name.js';
import { openProgress } from '../progress.js';

export interface TrainFlags {
  readonly recipe?: string;
  readonly data?: string;
  readonly evaluationData?: string;
  readonly loss?: string;
  readonly optimiser?: string;
  readonly epochs?: string;
  readonly steps?: string;
  readonly batch?: string;
  readonly rate?: string;
  readonly seed?: string;
  readonly start?: string;
  readonly out?: string;
  readonly set?: readonly string[];
  readonly json?: true;
  readonly quiet?: true;
}

/** Keys of the section `train` that flags set. */
const KEYS = ['loss', 'optimiser', 'epochs', 'steps', 'batch', 'rate', 'seed', 'start'] as const;

export async function train(
  model: string | undefined,
  flags: TrainFlags,
  { terminal, signal }: CommandContext,
): Promise<number> {
  if (model === undefined && flags.recipe === undefined)
    fail(
      'USAGE',
      'no model was given to train',
      {},
      'quantize train MODEL --data FOLDER, or quantize train --recipe FILE',
    );
  const set = [
    ...KEYS.flatMap((key) => (flags[key] === undefined ? [] : [`train.${key}=${flags[key]}`])),
    ...(flags.set ?? []),
  ];
  const overrides = {
    set,
    ...(model === undefined ? {} : { model }),
    ...(flags.data === undefined ? {} : { calibrationData: flags.data }),
    ...(flags.evaluationData === undefined ? {} : { evaluationData: flags.evaluationData }),
  };
  const name = model === undefined ? 'train' : path.basename(model).replace(/\.onnx$/i, '');
  const recipe =
    flags.recipe === undefined
      ? await resolveRecipe({ version: 1, train: {} }, { ...overrides, name: `train-${name}` })
      : await loadRecipe(flags.recipe, overrides);
  if (flags.recipe !== undefined && flags.data !== undefined && recipe.recipe.train?.data)
    fail(
      'USAGE',
      '--data is not used: the recipe has train.data',
      {},
      'change it by --set train.data.…, or in the recipe',
    );
  const outDir = flags.out ?? path.join('reports', folderName(recipe.name));
  const [{ trainFile }, { renderTraining }] = await Promise.all([
    import('../../standalone/train.js'),
    import('../../report/training.js'),
  ]);
  const progress = flags.quiet ? undefined : await openProgress(terminal);
  const stage = recipe.recipe.distill ? 'distill' : 'train';
  try {
    progress?.onEvent({ type: 'start', title: `${recipe.name} · ${path.basename(recipe.recipe.model ?? name)}` });
    progress?.onEvent({ type: 'stage-start', stage });
    const startedAt = performance.now();
    const { facts, files } = await trainFile({
      recipe,
      outDir,
      signal,
      report: (diagnostic) => progress?.onEvent({ type: 'diagnostic', diagnostic }),
      ...(progress ? { onEvent: progress.onEvent } : {}),
      render: (f, r) => ({ 'training.md': renderTraining(f, r.name) }),
    });
    const last = facts.fitted.at(-1);
    const summary = last ? `${last.steps} steps, loss ${(last.curve.at(-1)?.loss ?? NaN).toPrecision(3)}` : '';
    progress?.onEvent({ type: 'stage-end', stage, ms: performance.now() - startedAt, summary });
    progress?.close();
    if (!flags.quiet)
      for (const { name: of, metrics } of facts.scores)
        terminal.say(
          `  ${of.padEnd(8)} ${metrics.map((m) => `${m.name} ${m.value.toFixed(2)} ${m.unit}`).join(' · ')}`,
        );
    if (flags.json) terminal.data(`${JSON.stringify(facts, null, 1)}\n`);
    else terminal.data(files.map((f) => `${f}\n`).join(''));
    return 0;
  } finally {
    progress?.close();
  }
}
