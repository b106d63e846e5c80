/** Greedy continuation with a cache: the same tokens as without one. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cachePairs, continueGreedily, whyNotGenerated } from '../../../src/evaluate/generate.js';
import type { Feed, ValueInfo } from '../../../src/ir/feed.js';
import { Session } from '../../../src/runtime/session.js';
import { tinyDecoder } from '../tiny-decoder.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-generate-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const float = (name: string, ...shape: (string | number)[]): ValueInfo => ({ name, dtype: 'float32', shape });
const int = (name: string, ...shape: (string | number)[]): ValueInfo => ({ name, dtype: 'int64', shape });

/** The likeliest token after `ids`, by a run over all of them with an empty past. */
async function byWhole(session: Session, ids: readonly number[]): Promise<number> {
  const whole = (values: readonly number[]): Feed[string] => ({
    dtype: 'int64',
    dims: [1, values.length],
    data: BigInt64Array.from(values.map(BigInt)),
  });
  const past = { dtype: 'float32' as const, dims: [1, 1, 0, 32], data: new Float32Array(0) };
  const { logits } = await session.run({
    input_ids: whole(ids),
    attention_mask: whole(ids.map(() => 1)),
    past_key_0: past,
  });
  const row = Array.from(logits!.data as Float32Array).slice(-16);
  return row.indexOf(Math.max(...row));
}

describe('continueGreedily', () => {
  it('gives with the cache what runs over the whole text give, and stops at the end token', async () => {
    const session = await Session.open(tinyDecoder(dir));
    const prompt = [4, 9, 6, 12];
    const made = await continueGreedily(session, session.inputs, { prompt, tokens: 9 });
    const expected: number[] = [];
    for (let i = 0; i < 9; i++) expected.push(await byWhole(session, [...prompt, ...expected]));
    expect(made.tokens).toEqual(expected);
    expect([made.prefillMs > 0, made.stepMs.length]).toEqual([true, 8]);
    const end = expected[3]!;
    const ended = await continueGreedily(session, session.inputs, { prompt, tokens: 9, end });
    expect(ended.tokens).toEqual(expected.slice(0, expected.indexOf(end) + 1));
    const late = await continueGreedily(session, session.inputs, { prompt, tokens: 9, until: 0 });
    expect(late.tokens).toEqual(expected.slice(0, 1));
    await session.close();
  });
});

describe('what can be continued', () => {
  const past = [float('past_key_values.0.key', 'b', 2, 'past', 4), float('past_key_values.0.value', 'b', 2, 'past', 4)];
  const ids = int('input_ids', 'b', 's');
  it('matches inputs of the past with the outputs that become them', () => {
    const pairs = (inputs: ValueInfo[], outputs: string[]): object =>
      Object.fromEntries(
        cachePairs(
          [ids, ...inputs],
          outputs.map((o) => float(o, 'b')),
        ),
      );
    expect(pairs(past, ['logits', 'present.0.key', 'present.0.value'])).toEqual({
      'past_key_values.0.key': 'present.0.key',
      'past_key_values.0.value': 'present.0.value',
    });
    expect(pairs([float('past_0', 2, 'b', 2, 'p', 4)], ['present_0'])).toEqual({ past_0: 'present_0' });
    expect(pairs([float('past_key_self_0', 'b', 2, 'p', 4)], ['present_key_self_0'])).toEqual({
      past_key_self_0: 'present_key_self_0',
    });
  });
  it('says why a model is not', () => {
    const presents = ['logits', 'present.0.key', 'present.0.value'].map((o) => float(o, 'b', 's', 8));
    expect(whyNotGenerated([ids, ...past], presents)).toBeUndefined();
    expect(whyNotGenerated([ids], presents)).toBeUndefined();
    expect(whyNotGenerated([ids, ...past], presents.slice(0, 2))).toContain("'past_key_values.0.value'");
    expect(whyNotGenerated([int('input_ids', 1, 8)], presents)).toContain('exactly 8 tokens');
    expect(whyNotGenerated([float('inputs_embeds', 'b', 's', 8)], presents)).toContain('no token ids');
    const fixed = [ids, float('past_key_values.0.key', 'b', 2, 64, 4)];
    expect(whyNotGenerated(fixed, presents)).toContain('fixed size');
    const later = [ids, float('past_key_values.0.encoder.key', 'b', 2, 'p', 4)];
    expect(whyNotGenerated(later, presents)).toContain('another part');
  });
});
