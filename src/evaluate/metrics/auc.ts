/**
 * Area under the ROC curve by ranks, ties counting half (Mann–Whitney). Source: Hanley & McNeil 1982; several classes
 * one against the rest as scikit-learn roc_auc_score(multi_class='ovr').
 */
import { item } from '../../base/lists.js';
import { z } from 'zod';
import { multiplicities, resampling } from '../accumulators.js';
import { classScores, scoresOutput } from '../class-scores.js';
import { outputName } from '../tensors.js';
import type { Metric } from '../types.js';

const options = z.strictObject({ output: scoresOutput });

export const auc = {
  name: 'auc',
  doc: 'Area under the ROC curve; of more than two classes, the mean over the classes of each against the rest.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: true,
  options,
  start(chosen, outputs) {
    const name = outputName('auc', chosen.output, outputs);
    const labels: number[] = [];
    /** Per class, a score per sample; two classes have one column, that of class 1. */
    const columns: number[][] = [];
    let orders: Uint32Array[] | undefined;
    return resampling(
      (sample, found) => {
        const row = classScores('auc', name, sample, found, 1);
        if (!row) return;
        const scores = comparable(row.scores);
        const broken = scores.some(Number.isNaN);
        orders = undefined;
        labels.push(row.label);
        scores.forEach((score, c) => {
          const own = scores.length === 1 ? row.label === 1 : row.label === c;
          (columns[c] ??= []).push(broken ? (own ? -Infinity : Infinity) : score); // the worst place in the ranking
        });
      },
      () => labels.length,
      (indices) => {
        orders ??= columns.map((scores) =>
          Uint32Array.from(scores, (_, i) => i).sort((a, b) =>
            scores[a] === scores[b] ? a - b : scores[a]! < scores[b]! ? -1 : 1,
          ),
        );
        const weights = multiplicities(indices, labels.length);
        const areas = orders.map((order, c) =>
          area(order, item(columns, c), weights, (i) => (columns.length === 1 ? labels[i] === 1 : labels[i] === c)),
        );
        const defined = areas.filter((a) => a !== undefined);
        return defined.length ? (100 * defined.reduce((sum, a) => sum + a, 0)) / defined.length : undefined;
      },
    );
  },
} as const satisfies Metric<z.output<typeof options>>;

/**
 * Scores that can be ranked across samples: one score as it is; of two the margin of class 1; of more their shares,
 * through softmax unless they are shares already.
 */
function comparable(scores: ArrayLike<number>): Float64Array {
  if (scores.length === 1) return Float64Array.from(scores);
  if (scores.length === 2) return Float64Array.of(scores[1]! - scores[0]!);
  const row = Float64Array.from(scores);
  const sum = row.reduce((a, b) => a + b, 0);
  if (row.every((v) => v >= 0) && Math.abs(sum - 1) < 1e-3) return row;
  const high = Math.max(...row);
  const powers = row.map((v) => Math.exp(v - high));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((v) => v / total);
}

/** Undefined where one of the two sides is empty. `order` is ascending by score. */
function area(
  order: Uint32Array,
  scores: readonly number[],
  weights: Uint32Array,
  positive: (i: number) => boolean,
): number | undefined {
  let below = 0; // weight of negatives with lower scores
  let positives = 0;
  let wins = 0;
  for (let i = 0; i < order.length;) {
    let up = 0;
    let down = 0;
    const score = scores[order[i]!];
    for (; i < order.length && scores[order[i]!] === score; i++) {
      // ties
      if (positive(order[i]!)) up += weights[order[i]!]!;
      else down += weights[order[i]!]!;
    }
    wins += up * (below + down / 2);
    below += down;
    positives += up;
  }
  return positives && below ? wins / (positives * below) : undefined;
}
