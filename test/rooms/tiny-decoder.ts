/** A decoder of one layer whose cache matters: what is predicted depends on the sum of all earlier tokens. */
import path from 'node:path';
import { writeFileSync } from 'node:fs';
import { weight, writeModel } from './pipeline/models.js';

export const VOCABULARY = ['<s>', '</s>', '<pad>', '<unk>', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'];
const [V, D] = [VOCABULARY.length, 32];

/**
 * logits = (E[ids] + running sum of E[past and ids]) · W, with `past_key_0` [batch, 1, past, 32] in and
 * `present_key_0` out.
 */
export const tinyDecoder = (dir: string, name = 'decoder.onnx'): string =>
  writeModel(
    path.join(dir, name),
    `g (int64[batch,sequence] input_ids, int64[batch,total] attention_mask, float[batch,1,past,${D}] past_key_0)
      => (float[batch,sequence,${V}] logits, float[batch,1,total,${D}] present_key_0)
      <${weight('table', [V, D])}, ${weight('w', [D, D], 0.3)}, ${weight('head', [D, V], 0.3)},
       int64[1] one = {1}, int64 axis = {2}, int64[1] two = {2}, int64[1] end = {1000000}> {
      h = Gather(table, input_ids)
      k = Unsqueeze(h, one)
      present_key_0 = Concat<axis = 2>(past_key_0, k)
      m = Unsqueeze(attention_mask, one)
      m3 = Unsqueeze(m, end3)
      mf = Cast<to = 1>(m3)
      kept = Mul(present_key_0, mf)
      sum = CumSum(kept, axis)
      shape = Shape(past_key_0)
      from = Gather(shape, two)
      new = Slice(sum, from, end, two)
      s = Squeeze(new, one)
      q = MatMul(s, w)
      t = Tanh(q)
      x = Add(h, t)
      logits = MatMul(x, head)
    }`.replace('int64[1] end =', 'int64[1] end3 = {3}, int64[1] end ='),
  );

/** A tokenizer of whole words, and texts in them. */
export function tinyTexts(dir: string): { readonly tokenizer: string; readonly text: string } {
  const tokenizer = path.join(dir, 'tokenizer.json');
  const added = VOCABULARY.slice(0, 4).map((content, id) => ({ id, content, special: true }));
  const vocab = Object.fromEntries(VOCABULARY.map((w, i) => [w, i]));
  writeFileSync(
    tokenizer,
    JSON.stringify({
      version: '1.0',
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: { type: 'WhitespaceSplit' },
      post_processor: null,
      decoder: null,
      model: { type: 'WordLevel', unk_token: '<unk>', vocab },
    }),
  );
  const text = path.join(dir, 'texts.jsonl');
  const lines = Array.from({ length: 24 }, (_, i) =>
    Array.from({ length: 12 }, (_word, j) => VOCABULARY[4 + ((i * 7 + j * (i + 3)) % 12)]).join(' '),
  );
  writeFileSync(text, `${lines.map((line) => JSON.stringify({ text: line })).join('\n')}\n`);
  return { tokenizer, text };
}
