/** F1 of class predictions, 2 TP ÷ (2 TP + FP + FN). Source: van Rijsbergen 1979; averages as scikit-learn f1_score. */
import { z } from 'zod';
import { resampling } from '../accumulators.js';
import { classScores, predictedClass, scoresOutput, scoreThreshold } from '../class-scores.js';
import { outputName } from '../tensors.js';
import type { Metric } from '../types.js';

const options = z.strictObject({
  output: scoresOutput,
  average: z
    .enum(['macro', 'micro', 'weighted', 'binary'])
    .default('macro')
    .describe(
      'macro: mean over the classes; weighted: mean weighted by their samples; micro: of all counts together; ' +
        'binary: of the class positive alone.',
    ),
  positive: z.number().int().min(0).default(1).describe('The class that average: binary scores.'),
  threshold: scoreThreshold,
});
type Options = z.output<typeof options>;

export const f1 = {
  name: 'f1',
  doc: 'F1, the harmonic mean of precision and recall.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: true,
  options,
  start(chosen, outputs) {
    const name = outputName('f1', chosen.output, outputs);
    const labels: number[] = [];
    const predictions: number[] = [];
    return resampling(
      (sample, found) => {
        const row = classScores('f1', name, sample, found, 1);
        if (!row) return;
        labels.push(row.label);
        predictions.push(predictedClass(row.scores, chosen.threshold));
      },
      () => labels.length,
      (indices) => {
        const counts = new Map<number, Counts>();
        for (const i of indices) {
          const truth = countsOf(counts, labels[i]!);
          if (labels[i] === predictions[i]) {
            truth.hits++;
            continue;
          }
          truth.missed++;
          countsOf(counts, predictions[i]!).wrong++; // NaN predicts class -1, which scores 0
        }
        return averaged(counts, chosen);
      },
    );
  },
} as const satisfies Metric<Options>;

interface Counts {
  hits: number;
  wrong: number;
  missed: number;
}

function countsOf(counts: Map<number, Counts>, label: number): Counts {
  const own = counts.get(label) ?? { hits: 0, wrong: 0, missed: 0 };
  counts.set(label, own);
  return own;
}

const f1Of = ({ hits, wrong, missed }: Counts): number => (200 * hits) / (2 * hits + wrong + missed);

function averaged(counts: ReadonlyMap<number, Counts>, { average, positive }: Options): number | undefined {
  const all = [...counts.values()];
  if (!all.length) return undefined;
  switch (average) {
    case 'binary': {
      const own = counts.get(positive);
      return own && f1Of(own);
    }
    case 'micro':
      return f1Of(
        all.reduce((a, b) => ({ hits: a.hits + b.hits, wrong: a.wrong + b.wrong, missed: a.missed + b.missed })),
      );
    case 'macro':
      return all.reduce((sum, c) => sum + f1Of(c), 0) / all.length;
    case 'weighted':
      return (
        all.reduce((sum, c) => sum + f1Of(c) * (c.hits + c.missed), 0) / all.reduce((n, c) => n + c.hits + c.missed, 0)
      );
  }
}
