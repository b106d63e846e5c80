/** What both models make of the same prompts, as a part of report.md. */
import type { GenerationFacts } from '../record/index.js';
import { fence, table, text } from './markdown/parts.js';
import { count, fixed } from './text.js';

/** One line: how far both went together. */
export function generationSentence({ prompts }: GenerationFacts): string {
  const alike = prompts.filter((p) => p.same === p.tokens).length;
  return alike === prompts.length
    ? `All ${count(prompts.length)} prompts are continued alike.`
    : `${count(alike)} of ${count(prompts.length)} prompts are continued alike; the others differ from token ` +
        `${prompts.flatMap((p) => (p.same < p.tokens ? [count(p.same + 1)] : [])).join(', ')} on.`;
}

/** Tokens per second of both, as rows of a table. */
export function speedRows({ speed: { float, quantized } }: GenerationFacts): string[][] {
  const rate = (s: number | undefined): string => (s === undefined ? '–' : `${fixed(s, 1)} tokens/s`);
  const ratio = (f: number | undefined, q: number | undefined): string =>
    f === undefined || q === undefined ? '' : `${fixed(q / f, 2)} ×`;
  return [
    ['prefill', rate(float.prefill), rate(quantized.prefill), ratio(float.prefill, quantized.prefill)],
    ['decode', rate(float.decode), rate(quantized.decode), ratio(float.decode, quantized.decode)],
  ];
}

export function generationText(facts: GenerationFacts): string {
  return [
    text(generationSentence(facts)),
    table(['', 'float', 'quantized', 'quantized ÷ float'], speedRows(facts)),
    text(
      `${facts.cached ? 'The cache is in use' : 'The model has no cache: each token runs the whole text'}; ` +
        `${count(facts.threads)} threads, both models in turn, medians.`,
    ),
    ...facts.prompts.map((p) =>
      [
        `**${text(p.sample)}**, ${count(p.promptTokens)} tokens, the same for ${count(p.same)} of ${count(p.tokens)}:`,
        fence(p.prompt, ''),
        `float`,
        fence(p.float, ''),
        `quantized`,
        fence(p.quantized, ''),
      ].join('\n\n'),
    ),
  ].join('\n\n');
}
