/** The float and the quantized model on the same samples: metrics, agreement and output error in one pass. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import type { Batch } from '../data/batch.js';
import type { Feed, Sample, ValueInfo } from '../ir/feed.js';
import type { Session } from '../runtime/session.js';
import { AgreementMeter, classOutput, type Agreement } from './agreement.js';
import { pearson, spearman } from './metrics/correlation.js';
import { top1, top5 } from './metrics/top-k.js';
import { OutputErrorMeter, type OutputErrors } from './output-error.js';
import { bootstrapInterval, pairedMeanInterval, pairedShareInterval } from './statistics.js';
import { sliceRows } from './tensors.js';
import type { Accumulator, ChosenMetric } from './types.js';

export interface CompareOptions {
  readonly float: Session;
  readonly quantized: Session;
  /** A fresh pass over the batches. */
  readonly batches: () => AsyncIterable<Batch>;
  /** Default: chosen by {@link defaultMetrics} on the first sample. */
  readonly metrics?: readonly ChosenMetric[] | undefined;
  /** For progress only. */
  readonly totalSamples?: number | undefined;
  /** Gets `progress` of stage `evaluate` after each batch, and diagnostics. */
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MetricComparison {
  readonly name: string;
  readonly unit: string;
  readonly float: number;
  readonly quantized: number;
  /** quantized − float, in the metric's unit. */
  readonly change: number;
  /** 95 % interval of the change: Bonett–Price for shares, normal for means, percentile bootstrap for the rest. */
  readonly interval?: readonly [number, number];
  readonly higherIsBetter: boolean;
}
export interface Comparison {
  readonly samples: number;
  readonly metrics: readonly MetricComparison[];
  readonly agreement?: Agreement;
  readonly outputs: readonly OutputErrors[];
}

/**
 * Runs both models on every batch and compares them sample by sample; memory does not grow with the data, but for a score
 * per sample and metric. Metrics that need labels are left out, with a diagnostic, where the first sample has none.
 * Throws MODEL_UNSUPPORTED where the models' outputs differ, DATA_MISSING where there is no sample, what a metric throws
 * (DATA_LABEL, DATA_SHAPE, RECIPE_UNKNOWN_NAME), MODEL_RUNTIME, and the signal's reason.
 */
export async function compareModels(options: CompareOptions): Promise<Comparison> {
  const { float, quantized, signal, onEvent } = options;
  const outputs = float.outputs;
  const missing = outputs.find((o) => !quantized.outputs.some((q) => q.name === o.name));
  if (missing) fail('MODEL_UNSUPPORTED', `the quantized model has no output '${missing.name}'`, { tensor: missing.name }, `its outputs: ${quantized.outputs.map((o) => o.name).join(', ')}`);
  const say = (diagnostic: Diagnostic): void => onEvent?.({ type: 'diagnostic', diagnostic });
  const errors = new Map(outputs.map((o) => [o.name, new OutputErrorMeter(o.name)]));
  const classes = classOutput(outputs);
  const agreement = classes && new AgreementMeter(classes.name);
  let scored: readonly Scored[] | undefined;
  let samples = 0;
  for await (const batch of options.batches()) {
    signal?.throwIfAborted();
    if (!batch.samples.length) continue;
    scored ??= startMetrics(options.metrics ?? defaultMetrics(batch.samples[0]!, outputs), batch.samples[0]!, outputs, say);
    const ofFloat: Feed[] = [];
    const ofQuantized: Feed[] = [];
    for (const feed of batch.feeds) {
      ofFloat.push(await float.run(feed));
      ofQuantized.push(await quantized.run(feed));
    }
    addErrors(errors, batch, ofFloat, ofQuantized);
    for (const row of batch.rows) {
      const f = ofFloat.map((out, k) => rowsOfSample(out, batch, k, row.start[k]!, row.length[k]!)); // rows have an entry per feed
      const q = ofQuantized.map((out, k) => rowsOfSample(out, batch, k, row.start[k]!, row.length[k]!)); // as above
      for (const s of scored) { s.float.add(row.sample, f); s.quantized.add(row.sample, q); }
      // Two feeds make a pair of embeddings, whose largest element means nothing.
      if (agreement && f.length === 1) agreement.add(row.sample, f[0]!, q[0]!); // both have one entry per feed
    }
    samples += batch.samples.length;
    onEvent?.({ type: 'progress', stage: 'evaluate', done: samples, total: options.totalSamples });
    await nextTurn(); // runs block the thread: signals and drawing get their turn here
  }
  if (!samples) fail('DATA_MISSING', 'evaluation saw no sample, so the models cannot be compared', {}, 'check evaluation.data and evaluation.samples');
  const facts = [...errors.values()].map((m) => m.facts()).filter((f) => f !== undefined);
  for (const f of facts) sayNonFinite(f, say);
  const found = agreement?.facts();
  return { samples, metrics: (scored ?? []).flatMap((s) => resultOf(s, say)), ...(found ? { agreement: found } : {}), outputs: facts };
}

/** What to measure unless the recipe says: correlations for labelled pairs, top1 (and top5 from 100 classes on) for class labels, else nothing. */
export function defaultMetrics(sample: Sample, outputs: readonly ValueInfo[]): readonly ChosenMetric[] {
  if (sample.label === undefined) return [];
  if (sample.feeds.length === 2) return [spearman, pearson].map((metric) => ({ metric, options: metric.options.parse({}) }));
  const found = classOutput(outputs);
  if (!found || sample.feeds.length !== 1 || !Number.isInteger(sample.label) || sample.label < 0) return [];
  const classes = found.shape?.[1];
  const chosen: ChosenMetric[] = [{ metric: top1, options: top1.options.parse({ output: found.name }) }];
  if (typeof classes === 'number' && classes >= 100) chosen.push({ metric: top5, options: top5.options.parse({ output: found.name }) });
  return chosen;
}

interface Scored { readonly chosen: ChosenMetric; readonly float: Accumulator; readonly quantized: Accumulator }

function startMetrics(chosen: readonly ChosenMetric[], first: Sample, outputs: readonly ValueInfo[], say: (d: Diagnostic) => void): Scored[] {
  return chosen.flatMap((c) => {
    const scored = { chosen: c, float: c.metric.start(c.options, outputs), quantized: c.metric.start(c.options, outputs) };
    if (!c.metric.needsLabels || first.label !== undefined) return [scored];
    say({ severity: 'warning', code: 'EVALUATION_NO_LABELS', message: `metric ${c.metric.name} needs labels, but the evaluation data have none; agreement and output error are measured instead`, where: { sample: first.id }, hint: 'give evaluation.data with labels' });
    return [];
  });
}

function resultOf({ chosen: { metric }, float, quantized }: Scored, say: (d: Diagnostic) => void): MetricComparison[] {
  const before = float.value();
  const after = quantized.value();
  if (before === undefined || after === undefined) {
    say({ severity: 'warning', code: 'EVALUATION_NO_VALUE', message: `metric ${metric.name} has no value for the ${after === undefined ? 'quantized' : 'float'} model: too few labelled samples, or no variation`, hint: 'give more labelled samples' });
    return [];
  }
  const interval = intervalOf(float, quantized);
  return [{ name: metric.name, unit: metric.unit, float: before, quantized: after, change: after - before, ...(interval ? { interval } : {}), higherIsBetter: metric.higherIsBetter }];
}

function intervalOf(float: Accumulator, quantized: Accumulator): readonly [number, number] | undefined {
  if (float.correct && quantized.correct) {
    const n = float.correct.length;
    const worse = float.correct.reduce((sum, right, i) => sum + (right && !quantized.correct![i] ? 1 : 0), 0); // both sides were checked above
    const better = float.correct.reduce((sum, right, i) => sum + (!right && quantized.correct![i] ? 1 : 0), 0); // as above
    const [low, high] = pairedShareInterval(worse, better, n);
    return [100 * low, 100 * high];
  }
  if (float.scores && quantized.scores) return pairedMeanInterval(float.scores, quantized.scores);
  if (float.resampled && quantized.resampled && float.count !== undefined) return bootstrapInterval(float.count, (i) => float.resampled?.(i), (i) => quantized.resampled?.(i));
  return undefined;
}

/** The sample's rows of every output; an output whose axis 0 is not the batch stays whole. */
function rowsOfSample(outputs: Feed, batch: Batch, k: number, start: number, length: number): Feed {
  const total = totalRows(batch, k);
  return Object.fromEntries(Object.entries(outputs).map(([name, t]) => [name, t.dims[0] === total ? sliceRows(t, start, length) : t]));
}

/** Rows that only fill up a fixed batch are left out. */
function addErrors(errors: ReadonlyMap<string, OutputErrorMeter>, batch: Batch, float: readonly Feed[], quantized: readonly Feed[]): void {
  float.forEach((out, k) => {
    const total = totalRows(batch, k);
    const real = batch.realRows[k] ?? total;
    for (const [name, f] of Object.entries(out)) {
      const q = quantized[k]?.[name];
      if (!q) continue;
      const cut = f.dims[0] === total && q.dims[0] === total && real < total;
      errors.get(name)?.add(cut ? sliceRows(f, 0, real) : f, cut ? sliceRows(q, 0, real) : q);
    }
  });
}

const totalRows = (batch: Batch, k: number): number => Object.values(batch.feeds[k] ?? {})[0]?.dims[0] ?? 1;

function sayNonFinite(f: OutputErrors, say: (d: Diagnostic) => void): void {
  if (!f.nonFinite) return;
  const { float, quantized } = f.nonFinite;
  say({ severity: quantized > float ? 'error' : 'warning', code: 'EVALUATION_NON_FINITE', message: `output '${f.name}' held ${quantized} NaN or infinite values in the quantized model, ${float} in the float model`, where: { tensor: f.name } });
}
