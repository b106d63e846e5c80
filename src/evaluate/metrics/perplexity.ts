/**
 * Perplexity of a language model, exp of the mean negative log likelihood per token. Source: Jelinek et al. 1977;
 * labels as Hugging Face transformers has them.
 */
import { resampling } from '../accumulators.js';
import { nextTokenSpec, type NextTokenOptions, nextTokens, ratioOf, surprise } from '../next-tokens.js';
import { outputName } from '../tensors.js';
import type { Metric } from '../types.js';

export const perplexity = {
  name: 'perplexity',
  doc:
    'Perplexity per token of a language model; a token is at most 103.3 nats unlikely, and NaN counts as that. Its ' +
    'interval takes samples, windows of `pack` too, as blocks.',
  unit: 'perplexity',
  higherIsBetter: false,
  needsLabels: false,
  options: nextTokenSpec,
  start(chosen, outputs) {
    const name = outputName('perplexity', chosen.output, outputs);
    const [sums, tokens]: [number[], number[]] = [[], []];
    return resampling(
      (sample, found) => {
        const next = nextTokens('perplexity', sample, found, name, chosen);
        if (!next?.tokens.length) return;
        const { logits, vocabulary } = next;
        sums.push(next.tokens.reduce((sum, t) => sum + surprise(logits, t.at, vocabulary, t.label), 0));
        tokens.push(next.tokens.length);
      },
      () => sums.length,
      (indices) => {
        const mean = ratioOf({ sums, tokens }, indices);
        return mean === undefined ? undefined : Math.exp(mean);
      },
    );
  },
} as const satisfies Metric<NextTokenOptions>;
