/**
 * Word error rate: (substitutions + deletions + insertions) ÷ words of the references, over all samples. Source:
 * Levenshtein 1966; greedy CTC decoding of Graves et al. 2006.
 */
import { item } from '../../base/lists.js';
import { z } from 'zod';
import { fail } from '../../base/errors.js';
import { resampling } from '../accumulators.js';
import { argmax, outputName, outputOf } from '../tensors.js';
import { TEXT } from '../transcribe.js';
import type { Metric, SampleOutputs } from '../types.js';

const options = z.strictObject({
  output: z
    .string()
    .min(1)
    .describe(
      'The output: strings, or CTC logits [batch, frames, vocabulary] with the option vocabulary. Default: the first. ' +
        'Of encoder–decoder pairs (encoder in the data), the text of greedy decoding is taken instead.',
    )
    .optional(),
  vocabulary: z.array(z.string()).min(1).describe('The token of each class of CTC logits, in order.').optional(),
  blank: z.number().int().min(0).default(0).describe('The class of the CTC blank.'),
  wordSeparator: z.string().default(' ').describe('The token between words, such as | of wav2vec 2.0.'),
  lowerCase: z.boolean().default(false).describe('Compares in lower case.'),
  by: z.enum(['words', 'characters']).default('words').describe('characters gives the character error rate.'),
});
type Options = z.output<typeof options>;

export const wer = {
  name: 'wer',
  doc: 'Word error rate of recognized text; a CTC frame with NaN counts as a wrong word.',
  unit: '%',
  higherIsBetter: false,
  needsLabels: false,
  needsTarget: 'text',
  readsText: true,
  options,
  start(chosen, outputs) {
    const name = outputName('wer', chosen.output, outputs);
    const errors: number[] = [];
    const lengths: number[] = [];
    return resampling(
      (sample, found) => {
        const text = sample.target?.text;
        if (text === undefined) return;
        const reference = partsOf(text, chosen);
        errors.push(editDistance(reference, partsOf(recognized(name, found, chosen, sample.id), chosen)));
        lengths.push(reference.length);
      },
      () => errors.length,
      (indices) => {
        let [wrong, all] = [0, 0];
        for (const i of indices) {
          wrong += errors[i]!;
          all += lengths[i]!;
        }
        return all ? (100 * wrong) / all : undefined;
      },
    );
  },
} as const satisfies Metric<Options>;

function partsOf(text: string, { lowerCase, by }: Options): string[] {
  const words = (lowerCase ? text.toLowerCase() : text).split(/\s+/).filter((w) => w !== '');
  return by === 'words' ? words : [...words.join(' ')];
}

function recognized(
  name: string,
  outputs: SampleOutputs,
  { vocabulary, blank, wordSeparator }: Options,
  sample: string,
): string {
  const t = outputs[0]?.[TEXT] ?? outputs[0]?.[name];
  if (t && !ArrayBuffer.isView(t.data)) return t.data.join(' ');
  const { values, dims } = outputOf('wer', outputs[0], name, sample);
  const where = { tensor: name, sample };
  if (!vocabulary)
    return fail(
      'DATA_SHAPE',
      `metric wer reads text, but output '${name}' holds numbers`,
      where,
      'give the option vocabulary to decode CTC logits, or name another output with the option output',
    );
  const classes = dims.at(-1) ?? 0;
  if (dims.length !== 3 || dims[0] !== 1 || classes !== vocabulary.length)
    fail(
      'DATA_SHAPE',
      `metric wer needs CTC logits [1, frames, ${vocabulary.length}], but output '${name}' of '${sample}' ` +
        `gives [${dims.join(',')}]`,
      where,
      'vocabulary has a token for each class',
    );
  let out = '';
  let before = -1;
  const row = new Float64Array(classes);
  for (let frame = 0; frame < values.length / classes; frame++) {
    for (let c = 0; c < classes; c++) row[c] = values[frame * classes + c]!;
    const best = argmax(row);
    if (best < 0)
      out += ' \ufffd '; // no class: a word of its own, which no reference has
    // as many tokens as classes
    else if (best !== before && best !== blank)
      out += vocabulary[best] === wordSeparator ? ' ' : item(vocabulary, best);
    before = best;
  }
  return out;
}

/** Levenshtein distance of two lists. */
function editDistance(a: readonly string[], b: readonly string[]): number {
  let previous = Uint32Array.from({ length: b.length + 1 }, (_, j) => j);
  let row = new Uint32Array(b.length + 1);
  for (let i = 1; i <= a.length; i++) {
    row[0] = i;
    for (let j = 1; j <= b.length; j++)
      row[j] = Math.min(row[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    [previous, row] = [row, previous];
  }
  return previous[b.length]!;
}
