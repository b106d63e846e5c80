/**
 * Correlation of the cosine similarity of two embeddings with a score, as in the Semantic Textual Similarity tasks.
 * Source: Cer et al. 2017, SemEval-2017 Task 1 (https://aclanthology.org/S17-2001): Pearson; MTEB ranks by Spearman.
 */
import { z } from 'zod';
import { fail } from '../../base/errors.js';
import type { Feed, ValueInfo } from '../../ir/feed.js';
import type { Accumulator, Metric } from '../types.js';
import { numbersOf, outputName, outputOf } from '../tensors.js';
import { pearsonOf, ranks } from '../statistics.js';

const options = z.strictObject({
  output: z
    .string()
    .min(1)
    .describe(
      'The output that holds embeddings, [batch, size], or token embeddings, [batch, tokens, size]. Default: ' +
        'the first.',
    )
    .optional(),
  pooling: z
    .enum(['mean', 'cls', 'none'])
    .default('mean')
    .describe(
      'How token embeddings become one: the mean over unmasked tokens, the first token, or no pooling. [batch, ' +
        'size] needs none.',
    ),
  mask: z
    .string()
    .min(1)
    .default('attention_mask')
    .describe('The input that masks padding, [batch, tokens]; where the model has no such input, all tokens count.'),
});
type Options = z.output<typeof options>;

export const spearman = {
  name: 'spearman',
  doc: 'Rank correlation of the cosine similarity of sentence pairs with their scores.',
  unit: 'correlation',
  higherIsBetter: true,
  needsLabels: true,
  options,
  start: (chosen, outputs) => correlation('spearman', chosen, outputs, (a, b) => pearsonOf(ranks(a), ranks(b))),
} as const satisfies Metric<Options>;

export const pearson = {
  name: 'pearson',
  doc: 'Linear correlation of the cosine similarity of sentence pairs with their scores.',
  unit: 'correlation',
  higherIsBetter: true,
  needsLabels: true,
  options,
  start: (chosen, outputs) => correlation('pearson', chosen, outputs, pearsonOf),
} as const satisfies Metric<Options>;

type Correlate = (a: Float64Array, b: Float64Array) => number | undefined;

/** A pair whose similarity is NaN counts as similarity 0, so that a broken model cannot score by leaving pairs out. */
function correlation(
  metric: string,
  chosen: Options,
  outputs: readonly ValueInfo[],
  correlate: Correlate,
): Accumulator {
  const name = outputName(metric, chosen.output, outputs);
  const similarities: number[] = [];
  const labels: number[] = [];
  return {
    add(sample, found) {
      if (sample.label === undefined) return;
      if (found.length !== 2)
        fail(
          'DATA_SHAPE',
          `metric ${metric} needs two feeds per sample, but has ${found.length}`,
          { sample: sample.id },
          'give sentence pairs',
        );
      const [a, b] = found.map((feed, i) =>
        embedding(metric, outputOf(metric, feed, name, sample.id), sample.feeds[i], chosen, sample.id),
      );
      const similarity = cosine(a!, b!); // two feeds were checked above
      similarities.push(Number.isFinite(similarity) ? similarity : 0);
      labels.push(sample.label);
    },
    value: () => correlate(Float64Array.from(similarities), Float64Array.from(labels)),
    get count() {
      return labels.length;
    },
    resampled: (indices) =>
      correlate(
        Float64Array.from(indices, (i) => similarities[i]!),
        Float64Array.from(indices, (i) => labels[i]!),
      ),
  };
}

/** [1, size] as it is; [1, tokens, size] pooled to [size]. */
function embedding(
  metric: string,
  { values, dims }: { values: ArrayLike<number>; dims: readonly number[] },
  feed: Feed | undefined,
  { pooling, mask }: Options,
  sample: string,
): ArrayLike<number> {
  if (dims.length === 2 || pooling === 'none') return values;
  if (dims.length !== 3)
    fail(
      'DATA_SHAPE',
      `metric ${metric} needs embeddings of rank 2 or 3, but got [${dims.join(',')}]`,
      { sample },
      'name another output with the option output, or set pooling: none',
    );
  const size = dims[2]!;
  const tokens = values.length / Math.max(1, size); // [1, tokens, size]
  const masked = pooling === 'mean' ? feed?.[mask] : undefined;
  const kept = masked && numbersOf(masked);
  const count = pooling === 'cls' ? Math.min(1, tokens) : tokens;
  const sum = new Float64Array(size);
  let total = 0;
  for (let t = 0; t < count; t++) {
    // Padding to the longest of a batch lies behind a sample's own mask.
    const weight = kept ? (kept[t] ?? 0) : 1;
    if (weight === 0) continue;
    total += weight;
    for (let i = 0; i < size; i++) sum[i]! += weight * values[t * size + i]!;
  }
  return sum.map((s) => s / (total || 1));
}

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let aa = 0;
  let bb = 0;
  let ab = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!;
    const y = b[i] ?? 0;
    aa += x * x;
    bb += y * y;
    ab += x * y;
  }
  return ab / (Math.sqrt(aa) * Math.sqrt(bb));
}
