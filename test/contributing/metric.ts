import { z } from 'zod';
import { classScores, scoresOutput as output } from '../../src/evaluate/class-scores.js';
import { outputName } from '../../src/evaluate/tensors.js';
import type { Metric } from '../../src/evaluate/types.js';

/** NaN is worse than any score, and means stay finite. */
const LEAST = -3.4e38;

/** One score a sample, and the metric is their mean: verdicts pair the scores of both models. */
export const margin = {
  name: 'margin',
  doc: 'How far the score of the label is above the best of the others, on average.',
  unit: 'logits',
  higherIsBetter: true,
  needsLabels: true,
  options: z.strictObject({ output }),
  start(options, outputs) {
    const name = outputName('margin', options.output, outputs);
    const scores: number[] = [];
    return {
      scores,
      add(sample, found) {
        const row = classScores('margin', name, sample, found, 2);
        if (!row) return;
        const others = Array.from(row.scores).filter((_, i) => i !== row.label);
        const above = (row.scores[row.label] ?? NaN) - Math.max(...others);
        scores.push(Number.isNaN(above) ? LEAST : above);
      },
      value: () => (scores.length ? scores.reduce((sum, s) => sum + s, 0) / scores.length : undefined),
    };
  },
} as const satisfies Metric<{ output?: string | undefined }>;
