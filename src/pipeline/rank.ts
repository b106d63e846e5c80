/**
 * Which of several runs to ship: the front of those that nothing beats, and the fastest one that is proven to be good
 * enough.
 */
import type { QuantError } from '../base/errors.js';
import { judgeRun, type GateSettings } from '../gate/index.js';
import { SATURATION_ADVICE } from './saturation.js';
import type { CompareRecord, CompareRun, GateFacts, MetricFacts, RunRecord } from '../record/index.js';

export interface Finished {
  readonly label: string;
  readonly folder: string;
  readonly record?: RunRecord;
  readonly error?: QuantError;
}
export interface Ranked {
  readonly runs: readonly Omit<CompareRun, 'folder'>[];
  readonly chosen?: CompareRecord['chosen'];
  readonly chosenOn: string;
  readonly notes: readonly string[];
}

/**
 * Judges each run by its own gate, or by `limits`, and chooses the fastest that passes; of those that are not certainly
 * slower than it, the most accurate, for a few hundredths of a speed-up are noise. Where the runs kept a search part
 * apart, that part alone chooses, and the chosen one is judged on the rest.
 */
export function rank(finished: readonly Finished[], limits: GateSettings): Ranked {
  const rows = finished.map((f) => row(f, limits));
  const points = rows.map((r) => objectives(r.run));
  const runs = rows.map((r, i): Omit<CompareRun, 'folder'> => ({
    ...r.run,
    front:
      r.run.outcome === 'ok' &&
      !points.some((other, j) => j !== i && rows[j]!.run.outcome === 'ok' && dominates(other, points[i]!)),
  })); // one for each
  const searched = rows.filter((r) => r.search);
  const split = searched.length > 0 && searched.length === rows.filter((r) => r.run.outcome === 'ok').length;
  const fast = (list: readonly Row[]): Row[] =>
    [...list].sort(
      (a, b) => (b.run.speedup ?? 0) - (a.run.speedup ?? 0) || (a.run.bytes ?? Infinity) - (b.run.bytes ?? Infinity),
    );
  const ok = rows.filter((r) => r.run.outcome === 'ok');
  const notes: string[] = [];
  const chosenOn = split ? 'the search part of the samples; the figures are of the rest' : 'all samples';
  if (!split && ok.length > 1)
    notes.push(
      'The runs are ranked and judged on the same samples, so the best of many looks a little better than it ' +
        'is; evaluation.searchShare keeps a part of the samples apart for choosing.',
    );
  const onVnni = ok.filter((r) => r.dependsOnVnni);
  if (onVnni.length)
    notes.push(
      `${onVnni.map((r) => r.run.label).join(', ')} cannot be chosen: the accuracy depends on VNNI, which the ` +
        `target does not promise. ${SATURATION_ADVICE[0]!.toUpperCase()}${SATURATION_ADVICE.slice(1)}.`,
    ); // a text
  const candidates = fast(
    ok.filter((r) => !r.dependsOnVnni).filter((r) => (split ? within(r.search!) : r.run.gate?.verdict === 'pass')),
  ); // split: all have one
  const fastest = candidates[0]?.run;
  const tied = candidates.filter(
    (r) =>
      (r.run.speedupInterval?.[1] ?? r.run.speedup ?? 0) >= (fastest?.speedupInterval?.[0] ?? fastest?.speedup ?? 0),
  );
  const best = [...tied].sort(
    (a, b) => accuracyOf(b.run) - accuracyOf(a.run) || (a.run.bytes ?? Infinity) - (b.run.bytes ?? Infinity),
  )[0]; // stable: the faster first
  if (best && (!split || best.run.gate?.verdict === 'pass')) {
    return {
      runs,
      chosenOn,
      notes,
      chosen: {
        label: best.run.label,
        sentence:
          `${best.run.label} ` +
          `${ok.length === 1 ? 'keeps its limits' : tied.length > 1 ? `is the most accurate of the ${tied.length} fastest runs that keep their limits` : 'is the fastest run that keeps its limits'}: ` +
          `${reasons(best.run.gate)}.`,
      },
    };
  }
  if (best)
    notes.unshift(
      `${best.run.label} was chosen on the search part, but is not proven on the rest: ${reasons(best.run.gate)}.`,
    );
  else notes.unshift(`No run is proven to keep its limits${closest(fast(ok))}.`);
  return { runs, chosenOn, notes };
}

interface Row {
  /** Whether its accuracy is another on CPUs that the target may have. */ readonly dependsOnVnni: boolean;
  readonly run: Omit<CompareRun, 'folder'>;
  /** The gate on the search part. */ readonly search: GateFacts | undefined;
}

function row({ label, record, error }: Finished, limits: GateSettings): Row {
  if (!record)
    return {
      run: {
        label,
        outcome: 'failed',
        error: error ? `${error.code} ${error.message}` : 'failed',
        summary: '',
        metrics: [],
        front: false,
        durationMs: 0,
      },
      dependsOnVnni: false,
      search: undefined,
    };
  const { evaluation, latency, model, runtime } = record;
  const plain = ({ paired: _p, classes: _c, ...m }: MetricFacts): CompareRun['metrics'][number] => m;
  const agreement = evaluation?.agreement && (({ flips: _f, ...a }) => a)(evaluation.agreement);
  const metric = evaluation && compared(record);
  const gate = record.gate ?? judgeRun(record, limits);
  const after = model.quantized;
  return {
    run: {
      label,
      outcome: record.outcome,
      summary: summaryOf(record),
      metrics: (evaluation?.metrics ?? []).map(plain),
      durationMs: record.durationMs,
      front: false,
      gate,
      ...(metric ? { metric: plain(metric) } : {}),
      ...(agreement ? { agreement } : {}),
      ...(latency
        ? {
            latencyMs: latency.quantizedMs.p50,
            ...(latency.quantizedMs.p50Interval ? { latencyInterval: latency.quantizedMs.p50Interval } : {}),
            speedup: latency.speedup,
            ...(latency.speedupInterval ? { speedupInterval: latency.speedupInterval } : {}),
          }
        : {}),
      ...(after ? { bytes: after.bytes, sizeRatio: after.bytes / model.float.bytes } : {}),
      ...(latency?.process ? { peakBytes: latency.process.quantized.peakBytes } : {}),
      ...(runtime ? { integerMacsShare: runtime.integerMacsShare } : {}),
    },
    dependsOnVnni:
      runtime?.saturation !== undefined && runtime.saturation.risk !== 'none' && !runtime.saturation.promised,
    search: evaluation?.search && judgeRun({ ...record, evaluation: { ...evaluation, ...evaluation.search } }, limits),
  };
}

/** The first metric; without labels, agreement or the cosine of the outputs as one. */
export function compared({ evaluation }: Pick<RunRecord, 'evaluation'>): MetricFacts | undefined {
  const [first] = evaluation?.metrics ?? [];
  if (first || !evaluation) return first;
  const as = (name: string, unit: string, float: number, quantized: number): MetricFacts => ({
    name,
    unit,
    higherIsBetter: true,
    float,
    quantized,
    change: quantized - float,
  });
  if (evaluation.agreement) return as('same answer', '%', 100, 100 * evaluation.agreement.same);
  return evaluation.outputs.length
    ? as('cosine', 'cosine', 1, Math.min(...evaluation.outputs.map((o) => o.cosine)))
    : undefined;
}

const accuracyOf = ({ metric }: Omit<CompareRun, 'folder'>): number =>
  metric ? (metric.higherIsBetter ? 1 : -1) * metric.quantized : -Infinity;

/** Larger is better in each; what was not measured is worst. */
function objectives(r: Omit<CompareRun, 'folder'>): number[] {
  return [
    accuracyOf(r),
    r.speedup,
    r.bytes === undefined ? undefined : -r.bytes,
    r.peakBytes === undefined ? undefined : -r.peakBytes,
  ].map((v) => (v === undefined || !Number.isFinite(v) ? -Infinity : v));
}
const dominates = (a: readonly number[], b: readonly number[]): boolean =>
  a.every((v, i) => v >= b[i]!) && a.some((v, i) => v > b[i]!); // equal lengths

/** Nothing speaks against a run: no rule fails, and each undecided one is kept by what was observed. */
const within = (g: GateFacts): boolean =>
  g.rules.every(
    (r) =>
      r.verdict === 'pass' ||
      (r.verdict === 'undecided' &&
        r.observed !== undefined &&
        r.limit !== undefined &&
        (r.bound === 'min' ? r.observed >= r.limit : r.observed <= r.limit)),
  );

const reasons = (g: GateFacts | undefined): string => (g?.rules ?? []).map((r) => r.text).join('; ');
function closest(ok: readonly Row[]): string {
  const open = ok.find((r) => r.run.gate?.verdict === 'undecided') ?? ok[0];
  if (!open) return '';
  const why = open.run.gate?.rules
    .filter((r) => r.verdict !== 'pass')
    .map((r) => r.text)
    .join('; ');
  return `; ${open.run.label} comes closest${why ? `: ${why}` : ''}`;
}

/** Such as `qdq · uint8 kl · weights int8 per channel`. */
function summaryOf({ recipe, points }: RunRecord): string {
  // looked at with care: the record may be of another version
  const resolved = recipe.resolved as { quantize?: { format?: unknown } } | null | undefined;
  const format = resolved?.quantize?.format;
  const activation = points.find((p) => p.role === 'activation' && p.kind === 'observed');
  const weight = points.find((p) => p.role === 'weight' && p.dtype !== undefined);
  return [
    ...(typeof format === 'string' ? [format] : []),
    ...(activation ? [`${activation.dtype ?? ''} ${activation.observer ?? ''}`.trim()] : []),
    ...(weight ? [`weights ${weight.dtype ?? ''} per ${(weight.granularity ?? 'tensor').replace(/ \(.*/, '')}`] : []),
  ].join(' · ');
}
