/**
 * Perplexity of a language model, exp of the mean negative log likelihood per token. Source: Jelinek et al. 1977;
 * labels as Hugging Face transformers has them.
 */
import { z } from 'zod';
import { fail } from '../../base/errors.js';
import type { Feed, Sample } from '../../ir/feed.js';
import { resampling } from '../accumulators.js';
import { numbersOf, outputName, outputOf } from '../tensors.js';
import type { Metric } from '../types.js';

const options = z.strictObject({
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
  shift: z
    .boolean()
    .default(true)
    .describe(
      'Logits at a position predict the next token (causal models); false where they predict the token at the ' +
        'position (masked models).',
    ),
});
type Options = z.output<typeof options>;

export const perplexity = {
  name: 'perplexity',
  doc: 'Perplexity per token of a language model; a token is at most 103.3 nats unlikely, and NaN counts as that.',
  unit: 'perplexity',
  higherIsBetter: false,
  needsLabels: false,
  options,
  start(chosen, outputs) {
    const name = outputName('perplexity', chosen.output, outputs);
    const nats: number[] = [];
    const tokens: number[] = [];
    return resampling(
      (sample, found) => {
        const labels = labelsOf(sample, chosen);
        if (!labels) return;
        const { values, dims } = outputOf('perplexity', found[0], name, sample.id);
        const where = { tensor: name, sample: sample.id };
        const [positions, vocabulary] = [dims.at(-2) ?? 0, dims.at(-1) ?? 0];
        const shift = chosen.shift ? 1 : 0;
        // Padding to the longest of a batch makes more positions than labels.
        if (dims.length !== 3 || dims[0] !== 1 || positions < labels.length)
          fail(
            'DATA_SHAPE',
            `metric perplexity needs logits [1, tokens, vocabulary] for ${labels.length} tokens, but output ` +
              `'${name}' of '${sample.id}' gives [${dims.join(',')}]`,
            where,
            'name another output with the option output',
          );
        let sum = 0;
        let count = 0;
        for (let t = shift; t < labels.length; t++) {
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
          sum += surprise(values, (t - shift) * vocabulary, vocabulary, label);
          count++;
        }
        if (!count) return;
        nats.push(sum);
        tokens.push(count);
      },
      () => nats.length,
      (indices) => {
        let [sum, count] = [0, 0];
        for (const i of indices) {
          sum += nats[i]!;
          count += tokens[i]!;
        }
        return count ? Math.exp(sum / count) : undefined;
      },
    );
  },
} as const satisfies Metric<Options>;

/**
 * Labels by position, undefined where masked; undefined at all where the sample has neither labels nor ids. Throws
 * DATA_SHAPE for labels of another length.
 */
function labelsOf(sample: Sample, { ids, labels, mask }: Options): readonly (number | undefined)[] | undefined {
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

function surprise(logits: ArrayLike<number>, start: number, size: number, label: number): number {
  let high = -Infinity;
  for (let i = start; i < start + size; i++) if (!(logits[i]! <= high)) high = logits[i]!;
  let total = 0;
  for (let i = start; i < start + size; i++) total += Math.exp(logits[i]! - high);
  const found = high + Math.log(total) - logits[start + label]!;
  return found <= MOST_NATS ? Math.max(0, found) : MOST_NATS;
}
