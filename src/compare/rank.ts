/**
 * Which of several runs to ship: the front of those that nothing beats, and the fastest one that is proven to be good
 * enough.
 */
import type { QuantError } from '../base/errors.js';
import { judgeRun, type GateSettings } from '../gate/index.js';
import { SATURATION_ADVICE } from '../pipeline/saturation.js';
import type { CompareRecord, CompareRun, GateFacts, MetricFacts, Objective, RunRecord } from '../record/index.js';
import { beats, comparedMetric, frontOfRuns, leadsOf } from './noise.js';

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
  const measured = finished.map((f) => (f.record?.outcome === 'ok' ? f.record : undefined));
  const [front, leads] = [frontOfRuns(measured), leadsOf(measured)];
  const runs = rows.map((r, i): Omit<CompareRun, 'folder'> => ({
    ...r.run,
    front: front[i] === true,
    ...(leads[i]?.length ? { leads: leads[i] } : {}),
  }));
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
  const accurate = tied.filter((r) => !tied.some((x) => x !== r && certainly('accuracy', x, r)));
  // Where the noise does not tell, the smaller; where that does not either, what was measured.
  const best = accurate
    .filter((r) => !accurate.some((x) => x !== r && certainly('size', x, r)))
    .sort((a, b) => accuracyOf(b.run) - accuracyOf(a.run))[0]; // stable: the faster first
  if (best && (!split || best.run.gate?.verdict === 'pass')) {
    return {
      runs,
      chosenOn,
      notes,
      chosen: {
        label: best.run.label,
        sentence:
          `${best.run.label} ` +
          `${ok.length === 1 ? 'keeps its limits' : why(best, tied, accurate)}: ${reasons(best.run.gate)}.`,
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

/** Why a run is the one to ship: alone the fastest, or what sets it apart from those that are as fast. */
function why(best: Row, tied: readonly Row[], accurate: readonly Row[]): string {
  const timed = tied.some((r) => r.run.speedup !== undefined);
  if (tied.length < 2) return `is the ${timed ? 'fastest' : 'only'} run that keeps its limits`;
  const first = `of the ${tied.length} ${timed ? 'fastest ' : ''}runs that keep their limits`;
  if (accurate.length < 2) return `is the most accurate ${first}`;
  const as = `${
    accurate.length === tied.length ? 'all' : accurate.length
  } of which are as accurate by what was measured`;
  const smaller = accurate.some((r) => certainly('size', best, r));
  const more = accurate.some((r) => accuracyOf(r.run) < accuracyOf(best.run));
  return `is ${smaller ? 'the smallest' : more ? 'the most accurate' : 'one'} ${first}, ${as}`;
}

interface Row {
  readonly record: RunRecord | undefined;
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
      record: undefined,
    };
  const { evaluation, latency, model, runtime } = record;
  const plain = ({ paired: _p, classes: _c, ...m }: MetricFacts): CompareRun['metrics'][number] => m;
  const agreement = evaluation?.agreement && (({ flips: _f, ...a }) => a)(evaluation.agreement);
  const metric = comparedMetric(record);
  const gate = record.gate ?? judgeRun(record, limits);
  const after = model.quantized;
  return {
    record,
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
      ...(after?.macs === undefined ? {} : { macs: after.macs }),
      ...(record.transport ? { brotliBytes: record.transport.quantized.brotli } : {}),
      ...(latency?.process ? { peakBytes: latency.process.quantized.peakBytes } : {}),
      ...(runtime ? { integerMacsShare: runtime.integerMacsShare } : {}),
    },
    dependsOnVnni:
      runtime?.saturation !== undefined && runtime.saturation.risk !== 'none' && !runtime.saturation.promised,
    search: evaluation?.search && judgeRun({ ...record, evaluation: { ...evaluation, ...evaluation.search } }, limits),
  };
}

const accuracyOf = ({ metric }: Omit<CompareRun, 'folder'>): number =>
  metric ? (metric.higherIsBetter ? 1 : -1) * metric.quantized : -Infinity;
const certainly = (objective: Objective, a: Row, b: Row): boolean =>
  a.record !== undefined && b.record !== undefined && beats(objective, a.record, b.record);

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
