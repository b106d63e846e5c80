/**
 * What a recipe asks of its data, tried before any stage: that they open, that the first samples fit the inputs of the
 * model and have the labels that its metrics read, and that the others seem to by what costs little to look at. What is
 * wrong is told at its place in the recipe.
 */
import { QuantError } from '../base/errors.js';
import { batches } from '../data/batch.js';
import type { DataSpec } from '../data/spec.js';
import type { Sample, ValueInfo } from '../ir/feed.js';
import { misfit } from '../gate/units.js';
import { metricHint } from '../recipe/complaints.js';
import { complaintAt } from '../recipe/files.js';
import type { ResolvedRecipe } from '../recipe/load.js';
import type { Path } from '../recipe/text.js';
import { openData } from './calibration.js';
import { scoreCount, type Scores } from './classes.js';
import { has, type Asks } from './stages.js';

/** Labels of sources that cost little to read are looked at up to so many. */
const LABELS = 10_000;
/** Time that looking at the others may take: on a slow disk the last of many are told of when they are read. */
const LOOK_MS = 3000;

/** Throws DATA_* and RECIPE_* with line and column. `asks` are of all recipes that share the data. */
export async function lookAhead(
  r: ResolvedRecipe,
  inputs: readonly ValueInfo[],
  scores: Omit<Scores, 'report'>,
  asks: readonly Asks[],
  signal: AbortSignal | undefined,
): Promise<void> {
  checkGate(r, scores);
  const { calibration: c, evaluation: e, train } = r.recipe;
  // Calibration data that no stage reads need not be there.
  const stages = [
    ...(train?.data ? [] : (['train', 'distill', 'qat'] as const)),
    'calibrate',
    'budget',
    'sensitivity',
    'weights',
    'layers',
  ] as const;
  const read = e.profile !== false || asks.some((a) => a.adjust.length > 0 || stages.some((name) => has(a, name)));
  if (c.data && (read || !e.data)) await lookAt(c.data, 'calibration', r, inputs, e.data ? undefined : scores, signal);
  if (e.data) await lookAt(e.data, 'evaluation', r, inputs, scores, signal);
  if (train?.data) await lookAt(train.data, 'train', r, inputs, undefined, signal);
}

/** Limits on metrics that are measured, of the user's own too, and on times that are. */
function checkGate(r: ResolvedRecipe, { metrics }: Omit<Scores, 'report'>): void {
  const { gate, evaluation: e } = r.recipe;
  if (!gate) return;
  const odd =
    metrics &&
    misfit(
      gate,
      metrics.map((m) => m.metric),
    );
  if (odd) {
    const code = odd.key === 'metric' ? 'RECIPE_UNKNOWN_NAME' : 'RECIPE_INVALID';
    const hint =
      odd.key === 'metric'
        ? metricHint(
            gate[odd.rule]?.metric,
            metrics.map((m) => m.metric),
          )
        : undefined;
    throw complaintAt(r, code, odd.message, ['gate', odd.rule, odd.key], hint);
  }
  const untimed = (['latencyRatio', 'memoryRatio'] as const).find(
    (rule) => gate[rule] && (e.latency === false || (rule === 'memoryRatio' && !e.latency.memory)),
  );
  if (untimed)
    throw complaintAt(
      r,
      'RECIPE_INVALID',
      `gate.${untimed} limits what is not measured: evaluation.latency${e.latency === false ? '' : '.memory'} is false`,
      ['gate', untimed],
      'measure it, or take the limit away',
    );
}

async function lookAt(
  spec: DataSpec,
  section: 'calibration' | 'evaluation' | 'train',
  r: ResolvedRecipe,
  inputs: readonly ValueInfo[],
  scores: Omit<Scores, 'report'> | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  // No file holds such numbers; what becomes of the model is said by its plan.
  if (inputs.some((i) => i.dtype === 'bfloat16')) return;
  try {
    // what it has to say is said when it is read for its purpose
    const dataset = await openData(spec, inputs, r, () => undefined);
    const known = scores && scoreCount(scores);
    const some = scores !== undefined && (spec.npy !== undefined || spec.npz !== undefined);
    const wanted = Math.min(
      some ? LABELS : 1,
      (section === 'evaluation' ? r.recipe.evaluation.samples : undefined) ?? LABELS,
    );
    const limited = { limit: wanted, ...(signal ? { signal } : {}) };
    let first = true;
    for await (const b of batches(dataset.samples(limited), { size: 1, inputs, padding: dataset.padding })) {
      for (const sample of b.samples) {
        checkLabel(sample, known);
        if (scores && first) checkLimits(sample, r, scores);
        first = false;
      }
    }
    const { calibration: c, evaluation: e, train } = r.recipe;
    const used = section === 'train' ? train?.samples : section === 'calibration' && !scores ? c.samples : e.samples;
    await dataset.lookThrough({
      ...(used === undefined ? {} : { limit: used }),
      ms: LOOK_MS,
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (!(error instanceof QuantError) || signal?.aborted || !/^DATA_/.test(error.code)) throw error;
    throw placed(error, r, [section, 'data', ...keyOf(error, spec)]);
  }
}

/** Throws DATA_LABEL for a label that is no class of the scores. */
function checkLabel({ label, id }: Sample, known: ReturnType<typeof scoreCount>): void {
  if (label === undefined || !known || (Number.isInteger(label) && label >= 0 && label < known.count)) return;
  throw new QuantError(
    'DATA_LABEL',
    `label ${label} is no class of output '${known.output}', which has ${known.count}`,
    {
      where: { sample: id, tensor: known.output },
      hint: `labels are integers from 0 to ${known.count - 1}`,
    },
  );
}

/** The key of the data that a complaint is about, where it is about one file of several. */
function keyOf({ where, code }: QuantError, spec: DataSpec): Path {
  const named = Object.entries(spec).find(
    ([, value]) =>
      typeof value === 'string' && where.file !== undefined && where.file.endsWith(value.replace(/^\.\//, '')),
  );
  const labels = code === 'DATA_LABEL' && 'labels' in spec && spec.labels !== undefined ? ['labels'] : [];
  return named ? [named[0]] : labels;
}

/** The same complaint at a place of the recipe; what it says of sample and tensor stays. */
function placed(error: QuantError, r: ResolvedRecipe, at: Path): QuantError {
  const { file, line, column: _column, ...rest } = error.where;
  const of =
    file === undefined || error.message.includes(file) ? '' : ` (${file}${line === undefined ? '' : `:${line}`})`;
  const told = complaintAt(r, error.code, `${error.message}${of}`, at, error.hint);
  if (told.where.line === undefined) return error;
  return new QuantError(error.code, told.message, {
    where: { ...rest, ...told.where },
    hint: told.hint,
    excerpt: told.excerpt,
    cause: error,
  });
}

/** Throws RECIPE_INVALID for a limit on a metric that needs labels, where the data have none. */
function checkLimits({ label, target }: Sample, r: ResolvedRecipe, { metrics }: Omit<Scores, 'report'>): void {
  const { gate } = r.recipe;
  if (!gate || !metrics?.length || label !== undefined || target !== undefined) return;
  for (const rule of ['accuracyDrop', 'minAccuracy', 'classDrop'] as const) {
    const named = gate[rule]?.metric;
    const judged = named === undefined ? metrics[0] : metrics.find((m) => m.metric.name === named);
    if (!gate[rule] || !judged?.metric.needsLabels) continue;
    throw complaintAt(
      r,
      'RECIPE_INVALID',
      `gate.${rule} limits ${judged.metric.name}, which needs labels, and the evaluation data have none`,
      ['gate', rule],
      'name the labels in evaluation.data, or limit what is measured without them: agreement, outputError',
    );
  }
}

/** Throws where a metric names an output that the model lacks, at its place in the recipe. */
export function startMetrics(r: ResolvedRecipe, { metrics, outputs }: Pick<Scores, 'metrics' | 'outputs'>): void {
  for (const [i, { metric, options }] of (metrics ?? []).entries()) {
    try {
      metric.start(options, outputs);
    } catch (error) {
      if (!(error instanceof QuantError)) throw error;
      throw complaintAt(r, error.code, error.message, ['evaluation', 'metrics', i], error.hint);
    }
  }
}
