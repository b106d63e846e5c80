/**
 * The drop of the class that suffers most: a small drop overall can hide one class that breaks. With k classes each
 * interval is taken at confidence 1 − (1 − confidence) ÷ k, so that all of them hold together (Bonferroni).
 */
import { z } from 'zod';
import type { ClassFacts, RunRecord } from '../../record/index.js';
import { shareDropInterval, type Interval } from '../../evaluate/intervals.js';
import { notMeasured, points, ruleOf } from '../rule.js';
import { marginOf, marginSpec, type Margin } from '../limits.js';
import type { Gate } from '../types.js';

export const classDrop = {
  name: 'classDrop',
  doc:
    'By how much the share of right answers of any single class may get worse, with intervals that hold for all ' +
    'classes together.',
  options: z.strictObject({
    max: marginSpec.describe(
      'The drop that is allowed: `5 points` or `5%`, or `5% relative` to the share of the class that suffers most.',
    ),
    metric: z.string().min(1).describe('Which metric. Default: the first that was measured per class.').optional(),
  }),
  judge(run, baseline, { max, metric }, confidence) {
    if (baseline)
      return notMeasured(
        this.name,
        "records keep no label per sample, so that classes cannot be paired with the baseline's; judge this " +
          'against float',
      );
    const classes = classesOf(run, metric);
    if (typeof classes === 'string') return notMeasured(this.name, classes);
    const each = 1 - (1 - confidence) / classes.length;
    // Classes of few samples have the widest intervals: the worst is where the interval reaches furthest past the
    // margin.
    const judged = classes.map((facts) => ({
      facts,
      drop: dropOf(facts),
      limit: marginOf(max, { name: 'a class', unit: '%' }, 100 * facts.float),
      interval: intervalOf(facts, each, facts.samples),
    }));
    const odd = judged.find((j) => typeof j.limit === 'string');
    if (odd) return notMeasured(this.name, String(odd.limit));
    const excess = (j: (typeof judged)[number], end: 0 | 1): number => j.interval[end] - Number(j.limit);
    const worstBy = (end: 0 | 1): (typeof judged)[number] =>
      judged.reduce((a, b) => (excess(b, end) > excess(a, end) ? b : a));
    // a class that fails for certain is the one to name
    const worst = excess(worstBy(0), 0) > 0 ? worstBy(0) : worstBy(1);
    const { facts } = worst;
    return ruleOf({
      rule: this.name,
      bound: 'max',
      limit: Number(worst.limit),
      observed: worst.drop,
      confidence,
      samples: facts.samples,
      unit: 'points',
      sign: -1,
      show: points,
      interval: worst.interval,
      fact:
        `class ${facts.name === undefined ? facts.class : `"${facts.name}"`} ` +
        `${
          worst.drop > 0
            ? `dropped by ${points(worst.drop)}`
            : worst.drop < 0
              ? `got better by ${points(-worst.drop)}`
              : 'did not change'
        }, ` +
        `${(100 * facts.float).toFixed(1)} % → ${(100 * facts.quantized).toFixed(1)} %, the furthest of ` +
        `${classes.length} classes from the limit`,
      withSamples: (n) => intervalOf(facts, each, n),
      notes: [`intervals hold for all ${classes.length} classes together`],
    });
  },
} as const satisfies Gate<{ max: Margin; metric?: string | undefined }>;

function classesOf(run: RunRecord, name: string | undefined): readonly ClassFacts[] | string {
  const metrics = run.evaluation?.metrics ?? [];
  const metric = metrics.find((m) => (name === undefined ? m.classes !== undefined : m.name === name));
  if (!metric)
    return name === undefined
      ? 'the run measured no metric per class: it needs labels and a metric that is right or wrong'
      : `the run has no metric "${name}"; it measured ${metrics.map((m) => m.name).join(', ') || 'none'}`;
  const { classes } = metric;
  if (!classes?.length) return `${metric.name} was not measured per class`;
  const bad = classes.find((c) => !(c.samples > 0) || ![c.float, c.quantized].every(Number.isFinite));
  return bad ? `class ${bad.name ?? bad.class} has no samples, or no finite value` : classes;
}

const dropOf = (c: ClassFacts): number => (100 * (c.rightToWrong - c.wrongToRight)) / c.samples;
function intervalOf(c: ClassFacts, confidence: number, samples: number): Interval {
  const more = samples / c.samples;
  const [low, high] = shareDropInterval(c.rightToWrong * more, c.wrongToRight * more, samples, confidence);
  return [100 * low, 100 * high];
}
