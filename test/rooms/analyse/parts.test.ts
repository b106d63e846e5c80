import { describe, expect, it } from 'vitest';
import { BROKEN, Distance, keepOutputs, yardstickOf } from '../../../src/analyse/divergence.js';
import { logProbabilities } from '../../../src/evaluate/probabilities.js';
import { repeatable } from '../../../src/analyse/samples.js';
import { TensorMeter } from '../../../src/analyse/tensor-error.js';
import { batches } from '../../../src/data/batch.js';
import { f32, sample } from './helpers.js';

const rows = (n: number) => ({ total: n, real: n });
const logs = (scores: readonly number[]): number[] | undefined => {
  const out = new Float64Array(scores.length);
  return logProbabilities(scores, 0, out) ? [...out] : undefined;
};

describe('logProbabilities', () => {
  it('is the logarithm of softmax, whatever the size of the scores', () => {
    expect(logs([1000, 1000])).toEqual([-Math.log(2), -Math.log(2)]);
    expect(logs([0, -Infinity])).toEqual([0, -Infinity]);
  });
  it('takes a distribution as it is', () => {
    const found = logs([0.25, 0.75, 0])!;
    expect(found[0]).toBeCloseTo(Math.log(0.25), 12);
    expect(found[2]).toBe(-Infinity);
  });
  it('gives up where there is no answer', () => {
    expect([logs([NaN, 0]), logs([Infinity, 0]), logs([-Infinity, -Infinity])]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});

describe('Distance', () => {
  const kl = { measure: 'kl', outputs: ['y'] } as const;
  const error = { measure: 'error', outputs: ['y'] } as const;
  const score = (
    y: typeof kl | typeof error,
    float: readonly number[],
    other: readonly number[],
    dims: readonly number[] = [1, float.length],
  ): number => {
    const d = new Distance(y);
    d.add({ y: f32(other, dims) }, keepOutputs({ y: f32(float, dims) }, y, rows(dims[0]!), 1), rows(dims[0]!));
    return d.score();
  };
  it('stays finite where a class has lost all its probability', () => {
    expect(score(kl, [0.5, 0.5], [1, 0])).toBeCloseTo(0.5 * (Math.log(0.5) - 0) + 0.5 * (Math.log(0.5) + 100), 6);
    expect(score(kl, [1, 0], [1, 0])).toBe(0);
  });
  it('marks outputs that break, or change their shape', () => {
    expect(score(kl, [1, 2], [NaN, 2])).toBe(BROKEN);
    expect(score(error, [1, 2], [Infinity, 2])).toBe(BROKEN);
    expect(score(error, [NaN, 2], [NaN, 2])).toBe(0);
    const d = new Distance(error);
    d.add({ y: f32([1, 2, 3]) }, keepOutputs({ y: f32([1, 2]) }, error, rows(1), 1), rows(1));
    expect(d.score()).toBe(BROKEN);
  });
  it('ends where an output has no elements', () => {
    expect([score(kl, [], [], [2, 0]), score(error, [], [], [2, 0])]).toEqual([0, 0]);
  });
  it('counts an error where the float output is all zero as a whole', () => {
    expect([score(error, [0, 0], [0, 1]), score(error, [0, 0], [0, 0])]).toEqual([1, 0]);
  });
  it('keeps every n-th element of outputs that would not fit', () => {
    const big = { y: f32(Array.from({ length: 100 }, (_, i) => i)) };
    const kept = keepOutputs(big, error, rows(1), 2, 80); // 10 float32 for each of two runs
    expect([...kept.get('y')!.values]).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    const d = new Distance(error);
    // only what was kept counts
    d.add({ y: f32(Array.from({ length: 100 }, (_, i) => (i % 10 ? 1e9 : 2 * i))) }, kept, rows(1));
    expect(d.score()).toBeCloseTo(1, 12);
  });
});

describe('yardstickOf', () => {
  const info = (name: string, dtype: 'float32' | 'int64', shape: (number | null)[]) => ({ name, dtype, shape });
  it('takes class scores, else float outputs, else all', () => {
    const first = { a: f32([1, 2]), b: f32([1]) };
    expect(yardstickOf([info('b', 'float32', [null, 1]), info('a', 'float32', [null, 2])], 1, first)).toEqual({
      measure: 'kl',
      outputs: ['a'],
    });
    expect(yardstickOf([info('a', 'float32', [null, 2])], 2, first)).toEqual({ measure: 'error', outputs: ['a'] });
    // one class only, when it ran
    expect(yardstickOf([info('b', 'float32', [null, null])], 1, first)).toEqual({ measure: 'error', outputs: ['b'] });
    expect(yardstickOf([info('n', 'int64', [1]), info('b', 'float32', [null, 1])], 1, first)).toEqual({
      measure: 'error',
      outputs: ['b'],
    });
    expect(yardstickOf([info('n', 'int64', [1])], 1, first)).toEqual({ measure: 'error', outputs: ['n'] });
  });
});

describe('repeatable', () => {
  const samples = Array.from({ length: 5 }, (_, i) => sample({ x: f32([i]) }, String(i)));
  const inputs = [{ name: 'x', dtype: 'float32', shape: [null, 1] }] as const;
  const ids = async (pass: AsyncIterable<{ samples: readonly { id: string }[] }>): Promise<string[]> => {
    const out: string[] = [];
    for await (const b of pass) out.push(...b.samples.map((s) => s.id));
    return out;
  };
  it.each([
    [1e6, 1],
    [0, 2],
  ])('with %d bytes to keep, reads the data %d times in two passes', async (keptBytes, reads) => {
    let opened = 0;
    const again = repeatable(
      () => {
        opened++;
        return batches(samples, { size: 2, inputs });
      },
      3,
      { shrink: true, keptBytes },
    );
    expect(await ids(again())).toEqual(['0', '1', '2']);
    expect(await ids(again())).toEqual(['0', '1', '2']);
    expect(opened).toBe(reads);
  });
});

describe('TensorMeter', () => {
  const params = {
    scheme: { dtype: 'uint8', symmetric: false, granularity: { kind: 'axis', axis: 1 } },
    scale: Float32Array.of(1, 0.5),
    zeroPoint: Int32Array.of(0, 255),
  } as const;
  it('reads codes channel by channel; the zero point at an end is no saturation', () => {
    const m = new TensorMeter('t', params, 1);
    // 3, 0, 255, −1
    m.add(f32([3, 0, 255, -1], [2, 2]), { dtype: 'uint8', dims: [2, 2], data: Uint8Array.of(3, 255, 255, 253) });
    expect(m.facts()).toEqual({ cosine: 1, saturated: 0.25, channels: 2, deadChannels: 0 });
  });
  it('tells no channels where their number changes, and nothing where there was nothing', () => {
    const m = new TensorMeter('t', undefined, 1);
    expect(m.facts()).toBeUndefined();
    m.add(f32([1, 2]), f32([1, 0]));
    m.add(f32([1, 2, 3]), f32([1, 2, 3]));
    expect(m.facts()).not.toHaveProperty('channels');
  });
});
