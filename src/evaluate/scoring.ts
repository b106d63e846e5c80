/** Metrics of the float model and of candidates, scored on the same samples in turn. */
import { item } from '../base/lists.js';
import type { Diagnostic } from '../base/errors.js';
import type { Sample, ValueInfo } from '../ir/feed.js';
import type { ClassFacts, MetricFacts, PairedScores } from '../record/index.js';
import { bootstrapDropInterval, dropsOf, meanDropInterval, shareDropInterval, type Interval } from './intervals.js';
import { bootstrapChanges } from './statistics.js';
import type { Accumulator, ChosenMetric, SampleOutputs } from './types.js';

/** One metric over one part of the samples: the float model's accumulator and one for each candidate. */
export class Scored {
  readonly #chosen: ChosenMetric;
  readonly #float: Accumulator;
  readonly #candidates: readonly Accumulator[];
  /** Of the samples that have one, in order: those are the ones that metrics with right and wrong answers score. */
  readonly #labels: number[] = [];

  constructor(chosen: ChosenMetric, outputs: readonly ValueInfo[], candidates: number) {
    this.#chosen = chosen;
    this.#float = chosen.metric.start(chosen.options, outputs);
    this.#candidates = Array.from({ length: candidates }, () => chosen.metric.start(chosen.options, outputs));
  }

  add(sample: Sample, float: SampleOutputs, candidates: readonly SampleOutputs[]): void {
    if (sample.label !== undefined) this.#labels.push(sample.label);
    this.#float.add(sample, float, float);
    this.#candidates.forEach((c, i) => c.add(sample, item(candidates, i), float)); // one each
  }

  /** The float model alone. */
  value(): number | undefined {
    return this.#float.value();
  }
  get metric(): ChosenMetric['metric'] {
    return this.#chosen.metric;
  }
  get scores(): Accumulator {
    return this.#float;
  }

  /** The facts of candidate `i`; none, with a diagnostic, where a model has no value. */
  facts(i: number, say: (d: Diagnostic) => void, names?: readonly string[]): MetricFacts[] {
    const { metric } = this.#chosen;
    const float = this.#float;
    const quantized = item(this.#candidates, i);
    const [before, after] = [float.value(), quantized.value()];
    if (before === undefined || after === undefined) {
      say({
        severity: 'warning',
        code: 'EVALUATION_NO_VALUE',
        message:
          `metric ${metric.name} has no value for the ${after === undefined ? 'quantized' : 'float'} model: too ` +
          'few labelled samples, or no variation',
        hint: 'give more labelled samples',
      });
      return [];
    }
    const paired = pairedOf(float, quantized);
    const interval = paired && intervalOf(paired, after - before);
    const classes = paired?.kind === 'share' ? classesOf(paired, this.#labels, names) : [];
    return [
      {
        name: metric.name,
        unit: metric.unit,
        float: before,
        quantized: after,
        change: after - before,
        higherIsBetter: metric.higherIsBetter,
        ...(interval ? { interval } : {}),
        ...(paired ? { paired, samples: paired.kind === 'bootstrap' ? paired.samples : paired.float.length } : {}),
        ...(classes.length ? { classes } : {}),
      },
    ];
  }
}

function pairedOf(float: Accumulator, quantized: Accumulator): PairedScores | undefined {
  if (float.correct && quantized.correct)
    return { kind: 'share', float: float.correct.join(''), quantized: quantized.correct.join('') };
  if (float.scores && quantized.scores) return { kind: 'mean', float: float.scores, quantized: quantized.scores };
  if (!float.resampled || !quantized.resampled || float.count === undefined) return undefined;
  const changes = bootstrapChanges(
    float.count,
    (at) => float.resampled?.(at),
    (at) => quantized.resampled?.(at),
  );
  return changes && { kind: 'bootstrap', samples: float.count, changes };
}

const CONFIDENCE = 0.95;

/** 95 % interval of the change, in the unit of the metric: the one that gates judge by at that confidence. */
function intervalOf(paired: PairedScores, change: number): readonly [number, number] | undefined {
  const negated = (drop: Interval | undefined, unit = 1): readonly [number, number] | undefined =>
    drop && [0 - drop[1] * unit, 0 - drop[0] * unit]; // 0 − 0 is 0, −0 is not
  switch (paired.kind) {
    case 'share': {
      const { rightToWrong, wrongToRight } = flips(paired);
      return paired.float.length
        ? negated(shareDropInterval(rightToWrong, wrongToRight, paired.float.length, CONFIDENCE), 100)
        : undefined;
    }
    case 'mean':
      return paired.float.length < 2
        ? undefined
        : negated(meanDropInterval(dropsOf(paired.float, paired.quantized, 1), CONFIDENCE));
    case 'bootstrap':
      return negated(
        bootstrapDropInterval(paired.changes.map((c) => -c).reverse(), -change, paired.samples, CONFIDENCE),
      );
  }
}

function flips({ float, quantized }: { readonly float: string; readonly quantized: string }): {
  rightToWrong: number;
  wrongToRight: number;
} {
  let rightToWrong = 0;
  let wrongToRight = 0;
  for (let i = 0; i < float.length; i++) {
    if (float[i] === quantized[i]) continue;
    if (float[i] === '1') rightToWrong++;
    else wrongToRight++;
  }
  return { rightToWrong, wrongToRight };
}

/** More than this many classes would be most of a report. */
const MOST_CLASSES = 1000;

function classesOf(
  { float, quantized }: { readonly float: string; readonly quantized: string },
  labels: readonly number[],
  names: readonly string[] = [],
): ClassFacts[] {
  if (labels.length !== float.length) return []; // the metric passed samples over: it cannot be told which
  const found = new Map<number, { float: string; quantized: string }>();
  labels.forEach((label, i) => {
    const own = found.get(label) ?? { float: '', quantized: '' };
    found.set(label, { float: own.float + float[i]!, quantized: own.quantized + quantized[i]! });
  });
  if (found.size > MOST_CLASSES || [...found.keys()].some((c) => !Number.isInteger(c) || c < 0)) return [];
  const share = (s: string): number => [...s].filter((c) => c === '1').length / s.length;
  return [...found]
    .sort(([a], [b]) => a - b)
    .map(([label, own]) => ({
      class: label,
      ...(names[label] === undefined ? {} : { name: names[label] }),
      samples: own.float.length,
      float: share(own.float),
      quantized: share(own.quantized),
      ...flips(own),
    }));
}
