/**
 * How far next-token distributions are from the float model's: the Kullback–Leibler divergence, float ‖ quantized. What
 * llama.cpp's perplexity tool calls KLD. Source: Kullback & Leibler 1951.
 */
import { resampling } from '../accumulators.js';
import { nextTokenSpec, type NextTokenOptions, nextTokens, ratioOf } from '../next-tokens.js';
import { divergence, LEAST_LOG, logProbabilities } from '../probabilities.js';
import { outputName } from '../tensors.js';
import type { Metric } from '../types.js';

export const kl = {
  name: 'kl',
  doc:
    "Mean Kullback–Leibler divergence of next-token distributions from the float model's, in nats per token; 0 for " +
    'the float model itself.',
  unit: 'nats',
  higherIsBetter: false,
  needsLabels: false,
  options: nextTokenSpec,
  start(chosen, outputs) {
    const name = outputName('kl', chosen.output, outputs);
    const [sums, tokens]: [number[], number[]] = [[], []];
    return resampling(
      (sample, found, float) => {
        const own = nextTokens('kl', sample, found, name, chosen);
        const wanted = float && nextTokens('kl', sample, float, name, chosen);
        if (!own?.tokens.length || wanted?.vocabulary !== own.vocabulary) return;
        tokens.push(own.tokens.length);
        if (found === float) {
          sums.push(0); // the float model itself
          return;
        }
        const [p, q] = [new Float64Array(own.vocabulary), new Float64Array(own.vocabulary)];
        let sum = 0;
        for (const { at } of own.tokens) {
          // What is no distribution is as far as can be told, so that NaN is never the better model.
          const both = logProbabilities(wanted.logits, at, p) && logProbabilities(own.logits, at, q);
          sum += both ? Math.max(0, divergence(p, q)) : -LEAST_LOG;
        }
        sums.push(sum);
      },
      () => sums.length,
      (indices) => ratioOf({ sums, tokens }, indices),
    );
  },
} as const satisfies Metric<NextTokenOptions>;
