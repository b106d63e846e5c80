/**
 * Mean of the recalls of the classes: each class counts alike, however many samples it has. Source: scikit-learn
 * balanced_accuracy_score.
 */
import { z } from 'zod';
import { resampling } from '../accumulators.js';
import { classScores, predictedClass, scoresOutput, scoreThreshold } from '../class-scores.js';
import { outputName } from '../tensors.js';
import type { Metric } from '../types.js';

const options = z.strictObject({ output: scoresOutput, threshold: scoreThreshold });

export const classAccuracy = {
  name: 'class-accuracy',
  doc: 'Mean over the classes of the share of their samples that are right (balanced accuracy).',
  unit: '%',
  higherIsBetter: true,
  needsLabels: true,
  options,
  start(chosen, outputs) {
    const name = outputName('class-accuracy', chosen.output, outputs);
    const labels: number[] = [];
    const right: boolean[] = [];
    return resampling(
      (sample, found) => {
        const row = classScores('class-accuracy', name, sample, found, 1);
        if (!row) return;
        labels.push(row.label);
        right.push(predictedClass(row.scores, chosen.threshold) === row.label);
      },
      () => labels.length,
      (indices) => {
        const classes = new Map<number, { right: number; all: number }>();
        for (const i of indices) {
          const own = classes.get(labels[i]!) ?? { right: 0, all: 0 };
          if (right[i]) own.right++;
          own.all++;
          classes.set(labels[i]!, own);
        }
        let sum = 0;
        for (const own of classes.values()) sum += own.right / own.all;
        return classes.size ? (100 * sum) / classes.size : undefined;
      },
    );
  },
} as const satisfies Metric<z.output<typeof options>>;
