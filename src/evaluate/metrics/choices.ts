/**
 * Questions with choices: the likeliest continuation is the answer. As EleutherAI's lm-evaluation-harness scores them
 * (acc, and acc_norm with a length of tokens instead of bytes).
 */
import { z } from 'zod';
import { item } from '../../base/lists.js';
import { nextTokenOptions, nextTokens, surprise } from '../next-tokens.js';
import { outputName } from '../tensors.js';
import type { Metric, SampleOutputs } from '../types.js';
import type { Sample } from '../../ir/feed.js';

const { output, ids, mask } = nextTokenOptions;
const options = z.strictObject({
  output,
  ids,
  mask,
  normalise: z
    .enum(['none', 'tokens'])
    .default('none')
    .describe('Divides the log likelihood of a choice by its tokens, so that long ones are not at a disadvantage.'),
});
type Options = z.output<typeof options>;

export const choices = {
  name: 'choices',
  doc: 'Share of questions whose right choice is the likeliest continuation of the text before it.',
  unit: '%',
  higherIsBetter: true,
  needsLabels: true,
  needsTarget: 'starts',
  options,
  start(chosen, outputs) {
    const name = outputName('choices', chosen.output, outputs);
    const correct: number[] = [];
    return {
      correct,
      add(sample, found) {
        const { label } = sample;
        if (label === undefined || !sample.target?.starts) return;
        const scores = found.map((out, k) => likelihood(sample, [out], k, name, chosen));
        let best = 0;
        for (const [k, score] of scores.entries()) if (score > item(scores, best)) best = k;
        correct.push(Number(best === label && Number.isFinite(item(scores, best))));
      },
      value: () => (correct.length ? (100 * correct.reduce((n, c) => n + c, 0)) / correct.length : undefined),
    };
  },
} as const satisfies Metric<Options>;

/** Log likelihood of choice `k`, of which only its own tokens count. */
function likelihood(sample: Sample, outputs: SampleOutputs, k: number, name: string, chosen: Options): number {
  const one: Sample = { id: sample.id, hash: sample.hash, feeds: [item(sample.feeds, k)] };
  const from = sample.target?.starts?.[k] ?? 0;
  const how = { ...chosen, labels: 'labels', ignore: -100, shift: true, from };
  const next = nextTokens('choices', one, outputs, name, how);
  if (!next?.tokens.length) return -Infinity;
  const sum = next.tokens.reduce((s, t) => s + surprise(next.logits, t.at, next.vocabulary, t.label), 0);
  return -sum / (chosen.normalise === 'tokens' ? next.tokens.length : 1);
}
