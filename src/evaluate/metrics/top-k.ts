/** Share of samples whose label is among the k highest scores of a row of class scores. */
import { z } from 'zod';
import type { ValueInfo } from '../../ir/feed.js';
import { classScores, scoresOutput as output } from '../class-scores.js';
import { outputName } from '../tensors.js';
import type { Accumulator, Metric } from '../types.js';

const k = z.number().int().positive().default(5).describe('How many of the highest scores count.');

export const top1 = {
  name: 'top1',
  doc: 'Share of samples whose highest class score is that of the label.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: true,
  options: z.strictObject({ output }),
  start: (options, outputs) => among('top1', 1, options.output, outputs),
} as const satisfies Metric<{ output?: string | undefined }>;

export const top5 = {
  name: 'top5',
  doc: 'Share of samples whose label is among the five highest class scores.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: true,
  options: z.strictObject({ output, k }),
  start: (options, outputs) => among('top5', options.k, options.output, outputs),
} as const satisfies Metric<{ output?: string | undefined; k: number }>;

export const topK = {
  name: 'top-k',
  doc: 'Share of samples whose label is among the k highest class scores.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: true,
  options: z.strictObject({ output, k }),
  start: (options, outputs) => among('top-k', options.k, options.output, outputs),
} as const satisfies Metric<{ output?: string | undefined; k: number }>;

/** Of equal scores the lower class is the higher, as a stable sort gives; a row with NaN is wrong. */
function among(metric: string, highest: number, asked: string | undefined, outputs: readonly ValueInfo[]): Accumulator {
  const name = outputName(metric, asked, outputs);
  const correct: number[] = [];
  return {
    correct,
    add(sample, found) {
      const row = classScores(metric, name, sample, found, 2);
      if (row) correct.push(rankOf(row.scores, row.label) < highest ? 1 : 0);
    },
    value: () => (correct.length ? (100 * correct.reduce((n, c) => n + c, 0)) / correct.length : undefined),
  };
}

/** How many classes are above the label's; Infinity where a score is NaN. */
function rankOf(values: ArrayLike<number>, label: number): number {
  const own = values[label]!;
  let above = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!;
    if (Number.isNaN(v)) return Infinity;
    if (v > own || (v === own && i < label)) above++;
  }
  return above;
}
