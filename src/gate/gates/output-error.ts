/** The worst output decides: error against the float model over all samples, which needs no labels. */
import { z } from 'zod';
import type { OutputFacts } from '../../record/index.js';
import { decibelSpec, decibelsOf } from '../limits.js';
import { fixed, notMeasured, ruleOf } from '../rule.js';
import type { Gate } from '../types.js';

export const outputError = {
  name: 'outputError',
  doc:
    'How close every output of the quantized model must stay to that of the float model, over all evaluation ' +
    'samples. The closer limit of the two decides where both are given.',
  options: z
    .strictObject({
      minSqnr: decibelSpec.describe('Least 10 log10(Σ float² ÷ Σ error²), such as `20 dB`.').optional(),
      minCosine: z.number().min(-1).max(1).describe('Least cosine similarity.').optional(),
    })
    .refine((o) => o.minSqnr !== undefined || o.minCosine !== undefined, 'give minSqnr, minCosine or both'),
  judge(run, _baseline, { minSqnr, minCosine }, confidence) {
    const outputs = run.evaluation?.outputs ?? [];
    if (!outputs.length) return notMeasured(this.name, 'the run compared no output: it has no evaluation data');
    const broken = outputs.find((o) => o.nonFinite && o.nonFinite.quantized > o.nonFinite.float);
    if (broken?.nonFinite)
      return notMeasured(
        this.name,
        `output '${broken.name}' held ${broken.nonFinite.quantized} NaN or infinite values in the quantized ` +
          `model, ${broken.nonFinite.float} in the float model`,
      );
    const odd = outputs.find((o) => o.otherShape);
    if (odd)
      return notMeasured(
        this.name,
        `output '${odd.name}' had another shape than the float model's in ${odd.otherShape} batches`,
      );
    const vague = outputs.find((o) => ![o.cosine, o.maxAbsError, o.sqnrDb ?? 0].every(Number.isFinite));
    if (vague || !run.evaluation?.samples)
      return notMeasured(
        this.name,
        vague ? `output '${vague.name}' has no finite error` : 'the run was evaluated on no sample',
      );
    // without error there is nothing to be loud against; without signal, no ratio
    const dB = (o: OutputFacts): number => o.sqnrDb ?? (o.maxAbsError === 0 ? Infinity : -Infinity);
    const least = (of: (o: OutputFacts) => number): OutputFacts =>
      outputs.flatMap(withParts).reduce((a, b) => (of(b) < of(a) ? b : a));
    const rules = [
      ...(minSqnr === undefined
        ? []
        : [
            () => {
              const worst = least(dB);
              if (dB(worst) === Infinity)
                return {
                  name: this.name,
                  verdict: 'pass' as const,
                  limit: decibelsOf(minSqnr),
                  unit: 'dB',
                  text: "no output differs from the float model's at all",
                };
              if (dB(worst) === -Infinity)
                return notMeasured(
                  this.name,
                  `output '${worst.name}' is all zero in the float model but not in the quantized one`,
                );
              return ruleOf({
                rule: this.name,
                bound: 'min',
                limit: decibelsOf(minSqnr),
                observed: dB(worst),
                interval: 'exact',
                confidence,
                unit: 'dB',
                show: (x) => `${fixed(x, 1)} dB`,
                fact: `output '${worst.name}' has SQNR ${fixed(dB(worst), 1)} dB`,
              });
            },
          ]),
      ...(minCosine === undefined
        ? []
        : [
            () => {
              const worst = least((o) => o.cosine);
              return ruleOf({
                rule: this.name,
                bound: 'min',
                limit: minCosine,
                observed: worst.cosine,
                interval: 'exact',
                confidence,
                show: (x) => fixed(x, 5),
                fact: `output '${worst.name}' has cosine ${fixed(worst.cosine, 5)}`,
              });
            },
          ]),
    ].map((judge) => judge());
    return (
      rules.find((r) => r.verdict === 'fail') ??
      rules[0] ??
      notMeasured(this.name, 'neither minSqnr nor minCosine is given')
    );
  },
} as const satisfies Gate<{ minSqnr?: number | string | undefined; minCosine?: number | undefined }>;

/** An output, and each part of one that mixes scales as an output of its own. */
function withParts({ parts = [], ...output }: OutputFacts): OutputFacts[] {
  const named = (p: (typeof parts)[number]): string => `${output.name}[${p.from}–${p.to}]`;
  const { sqnrDb: _sqnrDb, ...rest } = output;
  return [
    output,
    ...parts.map((p) => ({
      ...rest,
      name: named(p),
      cosine: p.cosine,
      ...(p.sqnrDb === undefined ? {} : { sqnrDb: p.sqnrDb }),
    })),
  ];
}
