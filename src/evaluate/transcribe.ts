/** What encoder–decoder pairs write for a sample, for metrics of text. */
import type { Vocabulary } from '../data/source.js';
import type { Feed, Sample } from '../ir/feed.js';
import type { Runnable } from '../runtime/session.js';
import { continueGreedily, promptOf, whyNotGenerated } from './generate.js';

/** The name of a text among the outputs of a sample; no output of a model has a space at its beginning. */
export const TEXT = ' text';
/** A text may be longer than the right one by so many tokens and this factor: a model that never ends is stopped. */
const MORE = { times: 2, tokens: 16 };

/** Whether a sample is a pair of what an encoder read and a text to be written. */
export const isTranscribed = ({ target }: Sample): boolean => target?.prompt !== undefined && target.text !== undefined;

/**
 * The text that a model writes for a sample by greedy decoding, as an output of its own; nothing where it cannot be run
 * token after token. Throws MODEL_RUNTIME.
 */
export async function transcribed(model: Runnable, sample: Sample, vocabulary: Vocabulary): Promise<Feed> {
  const { inputs, outputs } = model;
  const started = promptOf(sample, inputs, 1);
  if (!started || whyNotGenerated(inputs, outputs) !== undefined) return {};
  const [feed] = sample.feeds;
  const length = Math.max(0, ...Object.values(feed ?? {}).flatMap((t) => (t.dtype === 'int64' ? (t.dims[1] ?? 0) : 0)));
  const tokens = MORE.times * length + MORE.tokens;
  const made = await continueGreedily(model, inputs, { ...started, tokens, end: vocabulary.endId });
  return { [TEXT]: { dtype: 'string', dims: [1], data: [vocabulary.decode(made.tokens).trim()] } };
}
