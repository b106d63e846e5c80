/** The float model and candidates on the same samples: metrics, agreement and output error in one pass. */
import { item } from '../base/lists.js';
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fail, type Diagnostic } from '../base/errors.js';
import type { OnEvent } from '../base/events.js';
import { createRng } from '../base/rng.js';
import type { Batch } from '../data/batch.js';
import type { Vocabulary } from '../data/source.js';
import type { Feed, Sample, Target, ValueInfo } from '../ir/feed.js';
import type { Agreement, MetricFacts, OutputFacts } from '../record/index.js';
import type { Runnable } from '../runtime/session.js';
import { AgreementMeter, classOutput } from './agreement.js';
import { choices } from './metrics/choices.js';
import { pearson, spearman } from './metrics/correlation.js';
import { top1, top5 } from './metrics/top-k.js';
import { OutputErrorMeter } from './output-error.js';
import { Scored } from './scoring.js';
import { sliceRows } from './tensors.js';
import { isTranscribed, transcribed } from './transcribe.js';
import type { ChosenMetric } from './types.js';

export interface EvaluateOptions {
  readonly float: Runnable;
  /** Models to compare with it, on the same samples; none to score the float model alone. */
  readonly candidates: readonly Runnable[];
  /** A fresh pass over the batches. */
  readonly batches: () => AsyncIterable<Batch>;
  /** Default: chosen by {@link defaultMetrics} on the first sample. */
  readonly metrics?: readonly ChosenMetric[] | undefined;
  /** Share of the samples, 0…1, that only choose between candidates; which ones, their ids say. Default: 0. */
  readonly searchShare?: number | undefined;
  /** Of the labels, for the record. */
  readonly classNames?: readonly string[] | undefined;
  /**
   * Whether labels are positions among these names only because nothing else tells: then there must be a score for
   * each.
   */
  readonly guessedClasses?: boolean | undefined;
  /** Of the data, for metrics that read what encoder–decoder pairs write. */
  readonly vocabulary?: Vocabulary | undefined;
  /** For progress only. */
  readonly totalSamples?: number | undefined;
  /** Gets `progress` of stage `evaluate` after each batch, and diagnostics unless they are taken below. */
  readonly onEvent?: OnEvent | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Findings, with the place of the candidate that they are about. */
  readonly onDiagnostic?: ((d: Diagnostic, candidate?: number) => void) | undefined;
}

export interface Comparison {
  readonly samples: number;
  readonly sampleSet: string;
  readonly metrics: readonly MetricFacts[];
  readonly agreement?: Agreement;
  readonly outputs: readonly OutputFacts[];
  readonly search?: { readonly samples: number; readonly metrics: readonly MetricFacts[] };
}

export interface Evaluated {
  /** The float model's own scores; the search part left out. */
  readonly float: readonly Scored[];
  readonly samples: number;
  /** One for each candidate, in their order. */
  readonly candidates: readonly Comparison[];
}

/** One candidate: see {@link evaluateModels}. */
export async function compareModels({
  quantized,
  ...o
}: Omit<EvaluateOptions, 'candidates'> & { readonly quantized: Runnable }): Promise<Comparison> {
  return item((await evaluateModels({ ...o, candidates: [quantized] })).candidates, 0); // one for each
}

/**
 * Runs all models on every batch and compares each candidate with the float model sample by sample, which runs once for
 * all. Memory does not grow with the data, but for a score per sample and metric. Metrics that need labels are left
 * out, with a diagnostic, where the first sample has none. Throws MODEL_UNSUPPORTED where the models' outputs differ,
 * DATA_MISSING where there is no sample, what a metric throws (DATA_LABEL, DATA_SHAPE, RECIPE_UNKNOWN_NAME),
 * MODEL_RUNTIME, and the signal's reason.
 */
export async function evaluateModels(options: EvaluateOptions): Promise<Evaluated> {
  const { float, candidates, signal, onEvent, searchShare = 0 } = options;
  // Codes of a quantized cache are not the values that they stand for; what is made of them is compared.
  const codesOf = (name: string): boolean =>
    candidates.some((c) => /^u?int/.test(c.outputs.find((q) => q.name === name)?.dtype ?? ''));
  const outputs = float.outputs.filter((o) => !/^float/.test(o.dtype ?? '') || !codesOf(o.name));
  for (const c of candidates) {
    const missing = outputs.find((o) => !c.outputs.some((q) => q.name === o.name));
    if (missing)
      fail(
        'MODEL_UNSUPPORTED',
        `the quantized model has no output '${missing.name}'`,
        { tensor: missing.name },
        `its outputs: ${c.outputs.map((o) => o.name).join(', ')}`,
      );
  }
  const say = options.onDiagnostic ?? ((diagnostic: Diagnostic): void => onEvent?.({ type: 'diagnostic', diagnostic }));
  for (const o of outputs.filter((x) => !x.dtype)) {
    const message = `output '${
      o.name
    }' is a sequence or a map, which cannot be read here: it is carried over, and not compared`;
    say({
      severity: 'note',
      code: 'OUTPUT_NOT_COMPARED',
      message,
      where: { tensor: o.name },
      hint: 'export it as a tensor to have it measured, such as with zipmap=False',
    });
  }
  const meters = candidates.map(() => startMeters(outputs));
  let judged: readonly Scored[] | undefined;
  let searched: readonly Scored[] = [];
  let readsText = false;
  const count = { judged: 0, searched: 0 };
  const set = createHash('sha256');
  for await (const batch of options.batches()) {
    signal?.throwIfAborted();
    if (!batch.samples.length) continue;
    if (!judged) {
      const chosen = usable(
        options.metrics ?? defaultMetrics(item(batch.samples, 0), outputs),
        item(batch.samples, 0),
        say,
      );
      const start = (): Scored[] => chosen.map((c) => new Scored(c, outputs, candidates.length));
      judged = start();
      readsText = chosen.some((c) => c.metric.readsText === true);
      if (searchShare > 0) searched = start();
    }
    const ofFloat: Feed[] = [];
    const ofCandidates: Feed[][] = candidates.map(() => []);
    for (const feed of batch.feeds) {
      ofFloat.push(await float.run(feed));
      for (const [i, c] of candidates.entries()) item(ofCandidates, i).push(await c.run(feed)); // one list each
    }
    if (options.guessedClasses && !count.judged && !count.searched)
      assertScoreEach(options.classNames, outputs, ofFloat[0]);
    ofCandidates.forEach((out, i) => addErrors(item(meters, i).errors, batch, ofFloat, out)); // one each
    for (const row of batch.rows) {
      const cut = (all: readonly Feed[]): Feed[] =>
        all.map((out, k) => rowsOfSample(out, batch, k, row.start[k]!, row.length[k]!)); // rows have an entry per feed
      const written = options.vocabulary && readsText && isTranscribed(row.sample) ? options.vocabulary : undefined;
      const withText = async (model: Runnable, own: Feed[]): Promise<Feed[]> =>
        written ? [{ ...own[0], ...(await transcribed(model, row.sample, written)) }] : own;
      const f = await withText(float, cut(ofFloat));
      const q: Feed[][] = [];
      for (const [i, out] of ofCandidates.entries()) q.push(await withText(item(candidates, i), cut(out)));
      const search = inSearchPart(row.sample.id, searchShare);
      for (const s of search ? searched : judged) s.add(row.sample, f, q);
      count[search ? 'searched' : 'judged']++;
      set.update(`${row.sample.id}\0${row.sample.hash}\0${search ? 1 : 0}\n`);
      // Two feeds make a pair of embeddings, whose largest element means nothing.
      // all have one entry per feed
      if (f.length === 1 && !search)
        q.forEach((out, i) => item(meters, i).agreement?.add(row.sample, item(f, 0), item(out, 0)));
    }
    onEvent?.({
      type: 'progress',
      stage: 'evaluate',
      done: count.judged + count.searched,
      total: options.totalSamples,
    });
    await nextTurn(); // runs block the thread: signals and drawing get their turn here
  }
  if (!count.judged)
    fail(
      'DATA_MISSING',
      count.searched
        ? `all ${count.searched} evaluation samples fell into the search part`
        : 'evaluation saw no sample, so the models cannot be compared',
      {},
      'check evaluation.data and evaluation.samples',
    );
  const sampleSet = set.digest('hex');
  return {
    float: judged ?? [],
    samples: count.judged,
    candidates: await Promise.all(
      meters.map(async ({ errors, agreement }, i) => {
        const own = (d: Diagnostic): void => say(d, i);
        const facts = [...errors.values()].map((m) => m.facts()).filter((f) => f !== undefined);
        for (const f of facts) sayNonFinite(f, own);
        const found = await agreement?.facts();
        return {
          samples: count.judged,
          sampleSet,
          metrics: (judged ?? []).flatMap((s) => s.facts(i, own, options.classNames)),
          ...(found ? { agreement: found } : {}),
          outputs: facts,
          ...(searchShare > 0
            ? { search: { samples: count.searched, metrics: searched.flatMap((s) => s.facts(i, own)) } }
            : {}),
        };
      }),
    ),
  };
}

/** For outputs whose size only running tells. Throws DATA_LABEL. */
function assertScoreEach(
  names: readonly string[] | undefined,
  outputs: readonly ValueInfo[],
  first: Feed | undefined,
): void {
  const output = classOutput(outputs);
  const [, scores = 0, ...rest] = (output && first?.[output.name]?.dims) ?? [];
  if (!names || !output || scores < 2 || scores === names.length || rest.some((d) => d !== 1)) return;
  fail(
    'DATA_LABEL',
    `the data have ${names.length} class folders (${names.slice(0, 12).join(', ')}), but output ` +
      `'${output.name}' gives ${scores} scores: which folder is which score cannot be told`,
    { tensor: output.name },
    `list all ${scores} names as classes in the data block, in the order of the scores`,
  );
}

/** Whether a sample belongs to the part that may choose between candidates. */
export const inSearchPart = (id: string, searchShare: number): boolean =>
  searchShare > 0 && createRng(0, `search part ${id}`).next() < searchShare;

function startMeters(outputs: readonly ValueInfo[]): {
  errors: ReadonlyMap<string, OutputErrorMeter>;
  agreement: AgreementMeter | undefined;
} {
  const classes = classOutput(outputs);
  return {
    errors: new Map(outputs.map((o) => [o.name, new OutputErrorMeter(o.name)])),
    agreement: classes && new AgreementMeter(classes.name),
  };
}

/**
 * What to measure unless the recipe says: correlations for labelled pairs, top1 (and top5 from 100 classes on) for
 * class labels, else nothing.
 */
export function defaultMetrics(sample: Sample, outputs: readonly ValueInfo[]): readonly ChosenMetric[] {
  if (sample.target?.starts) return [{ metric: choices, options: choices.options.parse({}) }];
  if (sample.label === undefined) return [];
  if (sample.feeds.length === 2)
    return [spearman, pearson].map((metric) => ({ metric, options: metric.options.parse({}) }));
  const found = classOutput(outputs);
  if (!found || sample.feeds.length !== 1 || !Number.isInteger(sample.label) || sample.label < 0) return [];
  const classes = found.shape?.[1];
  const chosen: ChosenMetric[] = [{ metric: top1, options: top1.options.parse({ output: found.name }) }];
  if (typeof classes === 'number' && classes >= 100)
    chosen.push({ metric: top5, options: top5.options.parse({ output: found.name }) });
  return chosen;
}

/** What recipes are compared by where none names a metric: that metric, else agreement, else the cosine of outputs. */
export function comparedByDefault(
  sample: Sample,
  outputs: readonly ValueInfo[],
): { readonly name: string; readonly unit: string } {
  const [first] = defaultMetrics(sample, outputs);
  if (first) return first.metric;
  return classOutput(outputs) ? { name: 'same answer', unit: '%' } : { name: 'cosine', unit: 'cosine' };
}

const TARGET_HINTS: Readonly<Record<keyof Target, string>> = {
  boxes: 'give evaluation.data with annotations',
  size: 'give evaluation.data with annotations',
  text: 'give evaluation.data with target, the column of the expected text',
  tensors: 'give evaluation.data with targets',
  starts: 'give evaluation.data with choices',
  prompt: 'give evaluation.data with encoder',
};

/** The metrics that can score these samples. */
function usable(chosen: readonly ChosenMetric[], first: Sample, say: (d: Diagnostic) => void): ChosenMetric[] {
  return chosen.filter(({ metric }) => {
    const { needsTarget } = metric;
    if (needsTarget !== undefined && first.target?.[needsTarget] === undefined) {
      say({
        severity: 'warning',
        code: 'EVALUATION_NO_TARGET',
        message:
          `metric ${metric.name} needs ${needsTarget} as targets, but the evaluation data have none; agreement ` +
          'and output error are measured instead',
        where: { sample: first.id },
        hint: TARGET_HINTS[needsTarget],
      });
      return false;
    }
    if (!metric.needsLabels || first.label !== undefined) return true;
    say({
      severity: 'warning',
      code: 'EVALUATION_NO_LABELS',
      message:
        `metric ${metric.name} needs labels, but the evaluation data have none; agreement and output error are ` +
        'measured instead',
      where: { sample: first.id },
      hint: 'give evaluation.data with labels',
    });
    return false;
  });
}

/** The sample's rows of every output; an output whose axis 0 is not the batch stays whole. */
function rowsOfSample(outputs: Feed, batch: Batch, k: number, start: number, length: number): Feed {
  const total = totalRows(batch, k);
  return Object.fromEntries(
    Object.entries(outputs).map(([name, t]) => [name, t.dims[0] === total ? sliceRows(t, start, length) : t]),
  );
}

/** Rows that only fill up a fixed batch are left out. */
function addErrors(
  errors: ReadonlyMap<string, OutputErrorMeter>,
  batch: Batch,
  float: readonly Feed[],
  quantized: readonly Feed[],
): void {
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

function sayNonFinite(f: OutputFacts, say: (d: Diagnostic) => void): void {
  if (!f.nonFinite) return;
  const { float, quantized } = f.nonFinite;
  say({
    severity: quantized > float ? 'error' : 'warning',
    code: 'EVALUATION_NON_FINITE',
    message:
      `output '${f.name}' held ${quantized} NaN or infinite values in the quantized model, ${float} in the float ` +
      'model',
    where: { tensor: f.name },
  });
}
