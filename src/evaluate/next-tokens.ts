/** Logits of a language model with the tokens that they should predict. */
import { z } from 'zod';
import { fail } from '../base/errors.js';
import { item } from '../base/lists.js';
import type { Feed, Sample } from '../ir/feed.js';
import { numbersOf, outputOf } from './tensors.js';
import type { SampleOutputs } from './types.js';

/** Options of every metric of next tokens. */
export const nextTokenOptions = {
  output: z
    .string()
    .min(1)
    .describe('The output of logits, [batch, tokens, vocabulary]. Default: the first.')
    .optional(),
  ids: z
    .string()
    .min(1)
    .default('input_ids')
    .describe('The input of token ids, which are the labels unless the sample has a target tensor of labels.'),
  labels: z.string().min(1).default('labels').describe('The target tensor of labels, [tokens].'),
  mask: z
    .string()
    .min(1)
    .default('attention_mask')
    .describe('The input that masks padding, [batch, tokens]; where the model has no such input, all tokens count.'),
  ignore: z.number().int().default(-100).describe('Labels of this value are left out.'),
  from: z.number().int().min(0).default(0).describe('Tokens before this position do not count: they are only context.'),
  shift: z
    .boolean()
    .default(true)
    .describe(
      'Logits at a position predict the next token (causal models); false where they predict the token at the ' +
        'position (masked models).',
    ),
};
export const nextTokenSpec = z.strictObject(nextTokenOptions);
export type NextTokenOptions = z.output<typeof nextTokenSpec>;

export interface Predicted {
  /** Where the logits of it begin. */
  readonly at: number;
  readonly label: number;
}
export interface NextTokens {
  readonly logits: ArrayLike<number>;
  readonly vocabulary: number;
  /** The tokens that count. */
  readonly tokens: readonly Predicted[];
}

/**
 * The tokens of a sample that count, with where their logits begin; undefined where the sample has neither labels nor
 * ids. Throws DATA_SHAPE for outputs that are no logits of them, DATA_LABEL for a token beyond the vocabulary.
 */
export function nextTokens(
  metric: string,
  sample: Sample,
  outputs: SampleOutputs,
  name: string,
  chosen: NextTokenOptions,
): NextTokens | undefined {
  const labels = labelsOf(sample, chosen);
  if (!labels) return undefined;
  const { values, dims } = outputOf(metric, outputs[0], name, sample.id);
  const where = { tensor: name, sample: sample.id };
  const [positions, vocabulary] = [dims.at(-2) ?? 0, dims.at(-1) ?? 0];
  const shift = chosen.shift ? 1 : 0;
  // Padding to the longest of a batch makes more positions than labels.
  if (dims.length !== 3 || dims[0] !== 1 || positions < labels.length)
    fail(
      'DATA_SHAPE',
      `metric ${metric} needs logits [1, tokens, vocabulary] for ${labels.length} tokens, but output ` +
        `'${name}' of '${sample.id}' gives [${dims.join(',')}]`,
      where,
      'name another output with the option output',
    );
  const tokens: Predicted[] = [];
  for (let t = Math.max(shift, chosen.from); t < labels.length; t++) {
    const label = labels[t];
    if (label === undefined || label === chosen.ignore) continue;
    if (!Number.isInteger(label) || label < 0 || label >= vocabulary)
      fail(
        'DATA_LABEL',
        `token ${label} at position ${t} of '${sample.id}' is not in the vocabulary of output '${name}', ` +
          `which has ${vocabulary}`,
        where,
        `labels are 0 to ${vocabulary - 1}, or ${chosen.ignore} to leave a token out`,
      );
    tokens.push({ at: (t - shift) * vocabulary, label });
  }
  return { logits: values, vocabulary, tokens };
}

/**
 * Labels by position, undefined where masked; undefined at all where the sample has neither labels nor ids. Throws
 * DATA_SHAPE for labels of another length.
 */
function labelsOf(
  sample: Sample,
  { ids, labels, mask }: NextTokenOptions,
): readonly (number | undefined)[] | undefined {
  const feed: Feed = sample.feeds[0] ?? {};
  const given = sample.target?.tensors?.[labels] ?? feed[ids];
  const values = given && numbersOf(given);
  if (!values) return undefined;
  const kept = feed[mask] && numbersOf(feed[mask]);
  if (kept && kept.length !== values.length)
    fail('DATA_SHAPE', `'${sample.id}' has ${values.length} labels, but ${kept.length} positions in '${mask}'`, {
      tensor: mask,
      sample: sample.id,
    });
  return Array.from(values, (v, i) => (kept && !kept[i] ? undefined : v));
}

/** −log 2⁻¹⁴⁹, of the least positive float32: no token is less likely, so that one infinity is not the whole mean. */
const MOST_NATS = 149 * Math.LN2;

/** How unlikely a token is, in nats: −log of its share of the softmax of logits[start …]. */
export function surprise(logits: ArrayLike<number>, start: number, size: number, label: number): number {
  let high = -Infinity;
  for (let i = start; i < start + size; i++) if (!(logits[i]! <= high)) high = logits[i]!;
  let total = 0;
  for (let i = start; i < start + size; i++) total += Math.exp(logits[i]! - high);
  const found = high + Math.log(total) - logits[start + label]!;
  return found <= MOST_NATS ? Math.max(0, found) : MOST_NATS;
}

/** The place of the largest of logits[start …], the first of equal ones; −1 where one is NaN. */
export function largest(logits: ArrayLike<number>, start: number, size: number): number {
  let best = -1;
  let high = -Infinity;
  for (let i = 0; i < size; i++) {
    const v = logits[start + i]!;
    if (Number.isNaN(v)) return -1;
    if (v > high || best < 0) {
      high = v;
      best = i;
    }
  }
  return best;
}

/**
 * Sums of a sample: of what is measured, and of tokens. A metric over them is a ratio of sums, not a mean of samples.
 */
export interface TokenSums {
  readonly sums: number[];
  readonly tokens: number[];
}
export function ratioOf({ sums, tokens }: TokenSums, indices: Uint32Array): number | undefined {
  let [sum, count] = [0, 0];
  for (const i of indices) {
    sum += sums[i]!;
    count += item(tokens, i);
  }
  return count ? sum / count : undefined;
}
