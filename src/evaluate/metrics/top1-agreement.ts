/** How often a model's likeliest next token is the float model's: what llama.cpp's perplexity tool calls same top p. */
import { resampling } from '../accumulators.js';
import { largest, nextTokenSpec, nextTokens, ratioOf, type NextTokenOptions } from '../next-tokens.js';
import { outputName } from '../tensors.js';
import type { Metric } from '../types.js';

export const top1Agreement = {
  name: 'top1-agreement',
  doc: "Share of tokens at which the likeliest next one is the float model's; NaN agrees with nothing.",
  unit: '%',
  higherIsBetter: true,
  needsLabels: false,
  options: nextTokenSpec,
  start(chosen, outputs) {
    const name = outputName('top1-agreement', chosen.output, outputs);
    const [sums, tokens]: [number[], number[]] = [[], []];
    return resampling(
      (sample, found, float) => {
        const own = nextTokens('top1-agreement', sample, found, name, chosen);
        const wanted = float && nextTokens('top1-agreement', sample, float, name, chosen);
        if (!own?.tokens.length || wanted?.vocabulary !== own.vocabulary) return;
        let same = 0;
        for (const { at } of own.tokens) {
          const best = largest(own.logits, at, own.vocabulary);
          if (best >= 0 && best === largest(wanted.logits, at, own.vocabulary)) same++;
        }
        sums.push(100 * same);
        tokens.push(own.tokens.length);
      },
      () => sums.length,
      (indices) => ratioOf({ sums, tokens }, indices),
    );
  },
} as const satisfies Metric<NextTokenOptions>;
