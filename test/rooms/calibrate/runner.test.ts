import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.js';
import { createRng } from '../../../src/base/rng.js';
import { calibrate } from '../../../src/calibrate/runner.js';
import { type CalibrateOptions } from '../../../src/calibrate/slots.js';
import { ema } from '../../../src/calibrate/observers/ema.js';
import { observers } from '../../../src/calibrate/observers/index.js';
import type { HistogramStats } from '../../../src/calibrate/statistics/histogram.js';
import type { Observer } from '../../../src/calibrate/types.js';
import type { Sample } from '../../../src/ir/feed.js';
import type { Shape, Value } from '../../../src/ir/graph.js';
import type { Model } from '../../../src/ir/model.js';
import { batched, modelOf, sample } from './helpers.js';

const observer = (name: string): Observer => observers.find((o) => o.name === name)!;
const rng = createRng(3, 'runner.test');
const noise = (n: number): Float32Array => Float32Array.from({ length: n }, () => rng.normal());
const samples = (count: number, dims: readonly number[]): Sample[] =>
  Array.from({ length: count }, (_, i) => sample(`s${i}`, noise(dims.reduce((a, b) => a * b, 1)), dims));
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'quantbench-calibrate-'));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const network = (shape: Shape | undefined, opset = 17): Model =>
  modelOf(
    shape,
    (b, x) => {
      const y = b.op('Relu', [b.op('Mul', [x, b.constant(2)], { outputs: ['twice'] })], { outputs: ['y'] });
      return [y];
    },
    opset,
  );
const valuesOf = (m: Model): Value[] => [m.graph.inputs[0]!, ...[...m.graph.nodes].map((n) => n.outputs[0]!)];
const options = (
  model: Model,
  data: readonly Sample[],
  name = 'kl',
  extra: Partial<CalibrateOptions> & { size?: number; axis?: number } = {},
): CalibrateOptions => ({
  model,
  points: valuesOf(model).map((value) => ({
    value,
    observer: observer(name),
    options: observer(name).options.parse({}),
    ...(extra.axis === undefined ? {} : { axis: extra.axis }),
  })),
  batches: batched(data, model, extra.size ?? 4),
  onNonFinite: 'fail',
  sampling: { maxValuesPerSample: 64, seed: 1 },
  ...extra,
});
const flat = (data: readonly Sample[], f: (x: number) => number): number[] =>
  data.flatMap((s) => [...(s.feeds[0]!['x']!.data as Float32Array)].map(f));
const total = (s: HistogramStats): number => s.counts.reduce((a, b) => a + b, 0) + s.zeros.reduce((a, b) => a + b, 0);

describe('calibrate', () => {
  it.each<[string, Shape | undefined, number]>([
    ['known sizes', ['n', 6, 8, 8], 17],
    ['axes as inputs', ['n', 6, 8, 8], 18],
    ['fixed batch with padding', [4, 6, 8, 8], 13],
    ['dynamic sizes', ['n', 6, 'h', 'w'], 17],
    ['unknown rank', undefined, 17],
    ['old opset', ['n', 6, 8, 8], 9],
  ])('gives exact extremes and counts: %s', async (_, shape, opset) => {
    const model = network(shape, opset);
    const data = samples(7, [6, 8, 8]); // 7 is no multiple of 4: the last batch is short or padded
    const [x, twice, y] = valuesOf(model);
    const { stats, facts } = await calibrate(options(model, data));
    expect(stats.get(x!)!.max[0]).toBe(Math.max(...flat(data, (v) => v)));
    expect(stats.get(twice!)!.min[0]).toBe(Math.min(...flat(data, (v) => 2 * v)));
    expect(stats.get(y!)!.min[0]).toBe(0);
    expect(stats.get(y!)!.max[0]).toBe(Math.max(...flat(data, (v) => 2 * v)));
    for (const v of [x, twice, y]) {
      expect(stats.get(v!)!.count).toBe(7 * 384);
      const taken = total(stats.get(v!) as HistogramStats);
      expect(taken).toBeGreaterThan(7 * 20);
      expect(taken).toBeLessThanOrEqual(7 * 80);
    }
    expect(facts).toMatchObject({ samples: 7, batches: 2, tensors: 3, cache: 'off', nonFinite: [], skippedSamples: 0 });
  });

  it('counts all values of small tensors, whatever the batch size', async () => {
    const model = network(['n', 5]);
    const data = samples(11, [5]);
    const counts: HistogramStats[] = [];
    for (const size of [1, 4, 11])
      counts.push(
        (await calibrate(options(model, data, 'mse', { size }))).stats.get(valuesOf(model)[1]!) as HistogramStats,
      );
    expect(total(counts[0]!)).toBe(55);
    expect(counts[1]).toEqual(counts[0]);
    expect(counts[2]).toEqual(counts[0]);
  });

  it('is seeded: equal seeds give equal histograms, others other ones', async () => {
    const model = network(['n', 6, 8, 8]);
    const data = samples(8, [6, 8, 8]);
    const of = async (seed: number): Promise<unknown> =>
      (await calibrate(options(model, data, 'kl', { sampling: { maxValuesPerSample: 64, seed } }))).stats.get(
        valuesOf(model)[1]!,
      );
    const first = await of(1);
    expect(await of(1)).toEqual(first);
    expect(await of(2)).not.toEqual(first);
  });

  it.each([
    [1, 'known', ['n', 3, 4, 4]],
    [-3, 'negative', ['n', 3, 4, 4]],
    [1, 'dynamic', ['n', 'c', 'h', 'w']],
    [3, 'last', ['n', 3, 4, 4]],
  ] as [number, string, Shape][])('per channel on axis %i (%s)', async (axis, _name, shape) => {
    const model = network(shape);
    const data = samples(5, [3, 4, 4]);
    const s = (await calibrate(options(model, data, 'minmax', { axis }))).stats.get(valuesOf(model)[1]!)!;
    const channels = axis === 3 ? 4 : 3;
    const expected = Array.from({ length: channels }, () => -Infinity);
    for (const one of data)
      (one.feeds[0]!['x']!.data as Float32Array).forEach((v, i) => {
        const c = axis === 3 ? i % 4 : Math.floor(i / 16);
        expected[c] = Math.max(expected[c]!, 2 * v);
      });
    expect([...s.max]).toEqual(expected);
    expect(s.count).toBe((5 * 48) / channels);
  });

  it('names tensor and sample that hold NaN or infinity', async () => {
    for (const shape of [
      ['n', 6, 8, 8],
      [4, 6, 8, 8],
      ['n', 6, 'h', 'w'],
    ] as Shape[]) {
      const model = network(shape);
      const data = samples(7, [6, 8, 8]);
      const bad = data[5]!.feeds[0]!['x']!.data as Float32Array;
      bad[201] = NaN;
      bad[7] = -Infinity;
      const points = options(model, data).points.slice(1);
      await expect(calibrate({ ...options(model, data), points })).rejects.toMatchObject({
        code: 'CALIBRATION_NON_FINITE',
        where: { tensor: 'twice', sample: 's5' },
      });
      const { stats, facts } = await calibrate({ ...options(model, data), points, onNonFinite: 'skip' });
      expect(facts).toMatchObject({
        samples: 6,
        skippedSamples: 1,
        nonFinite: [{ tensor: 'twice', sample: 's5', nan: 1, inf: 1 }],
      });
      const good = data.filter((s) => s.id !== 's5');
      expect(stats.get(points[0]!.value)!.min[0]).toBe(Math.min(...flat(good, (v) => 2 * v)));
      expect(stats.get(points[0]!.value)!.count).toBe(6 * 384);
    }
  });

  it('leaves a bad sample out of every group of tensors', async () => {
    const model = modelOf(['n', 4], (b, x) => [
      b.op('Sqrt', [b.op('Abs', [x], { outputs: ['a'] })], { outputs: ['s'] }),
      b.op('Log', [x], { outputs: ['l'] }),
    ]);
    // log(−9) is NaN, in the last tensor only
    const data = [1, 2, 3].map((v) => sample(`s${v}`, Float32Array.of(v, v, v, v === 3 ? -9 : v), [4]));
    const { stats, facts } = await calibrate(
      options(model, data, 'minmax', { onNonFinite: 'skip', maxMemoryBytes: 1, size: 2 }),
    );
    expect(facts).toMatchObject({ samples: 2, nonFinite: [{ tensor: 'l', sample: 's3' }] });
    for (const v of valuesOf(model)) expect(stats.get(v)!.count).toBe(8);
  });

  it('a sum that overflows is no NaN', async () => {
    const model = network(['n', 2000]);
    const data = [sample('big', new Float32Array(2000).fill(1.5e38), [2000])];
    const { stats } = await calibrate(options(model, data));
    expect(stats.get(valuesOf(model)[2]!)!.max[0]).toBe(Math.fround(3e38));
  });

  it('fails on no data and on nothing but bad data', async () => {
    const model = network(['n', 4]);
    await expect(calibrate(options(model, []))).rejects.toMatchObject({ code: 'CALIBRATION_EMPTY' });
    const data = [sample('a', Float32Array.of(NaN, 1, 1, 1), [4])];
    await expect(calibrate(options(model, data, 'kl', { onNonFinite: 'skip' }))).rejects.toMatchObject({
      code: 'CALIBRATION_EMPTY',
    });
  });

  it('reuses statistics for another observer, and measures only what is new', async () => {
    const model = network(['n', 6, 8, 8]);
    const data = samples(6, [6, 8, 8]);
    const cache = { dir: path.join(folder, 'reuse'), key: 'k' };
    const first = await calibrate(options(model, data, 'kl', { cache }));
    expect(first.facts.cache).toBe('miss');
    const never = (): AsyncIterable<never> => {
      throw new Error('no inference is needed');
    };
    const second = await calibrate({ ...options(model, data, 'mse', { cache }), batches: never });
    expect(second.facts).toMatchObject({ cache: 'hit', samples: 6, batches: 2 });
    expect([...second.stats.values()]).toEqual([...first.stats.values()]);
    expect((await calibrate(options(model, data, 'minmax', { cache }))).facts.cache).toBe('miss');
    expect((await calibrate({ ...options(model, data, 'percentile', { cache }), batches: never })).facts.cache).toBe(
      'hit',
    );
  });

  it('resumes to the same statistics', async () => {
    const model = network(['n', 6, 8, 8]);
    const data = samples(12, [6, 8, 8]);
    for (const name of ['kl', 'ema']) {
      const cache = { dir: path.join(folder, `resume-${name}`), key: 'k' };
      const whole = await calibrate(options(model, data, name));
      const stop = new AbortController();
      const interrupted = calibrate(
        options(model, data, name, {
          cache,
          signal: stop.signal,
          onEvent: (e) => {
            if (e.type === 'progress' && e.done === 8) stop.abort();
          },
        }),
      );
      await expect(interrupted).rejects.toMatchObject({ name: 'AbortError' });
      const resumed = await calibrate(options(model, data, name, { cache }));
      expect(resumed.facts).toMatchObject({ cache: 'resumed', samples: 12, batches: 3 });
      expect([...resumed.stats.values()]).toEqual([...whole.stats.values()]);
    }
  });

  it('does not trust damaged cache files', async () => {
    const model = network(['n', 4]);
    const data = samples(3, [4]);
    const cache = { dir: path.join(folder, 'damaged'), key: 'k' };
    const first = await calibrate(options(model, data, 'kl', { cache }));
    const file = path.join(cache.dir, fs.readdirSync(cache.dir)[0]!);
    const bytes = fs.readFileSync(file);
    for (const broken of [
      bytes.subarray(0, bytes.length >> 1),
      Buffer.alloc(0),
      bytes.map((b, i) => (i === bytes.length - 100 ? b ^ 1 : b)),
    ]) {
      fs.writeFileSync(file, broken);
      const seen: Diagnostic[] = [];
      const again = await calibrate(
        options(model, data, 'kl', {
          cache,
          onEvent: (e) => {
            if (e.type === 'diagnostic') seen.push(e.diagnostic);
          },
        }),
      );
      expect(again.facts.cache).toBe('miss');
      expect(seen.map((d) => d.code)).toEqual(['CALIBRATION_CACHE']);
      expect([...again.stats.values()]).toEqual([...first.stats.values()]);
    }
  });

  it('keeps settings apart in the cache', async () => {
    const model = network(['n', 4]);
    const data = samples(9, [4]);
    const value = valuesOf(model)[1]!;
    const cache = { dir: path.join(folder, 'settings'), key: 'k' };
    const of = async (decay: number): Promise<number> =>
      (
        await calibrate({
          ...options(model, data, 'ema', { cache, size: 3 }),
          points: [{ value, observer: ema, options: { decay } }],
        })
      ).stats.get(value)!.max[0]! +
      (
        (
          await calibrate({
            ...options(model, data, 'ema', { cache, size: 3 }),
            points: [{ value, observer: ema, options: { decay } }],
          })
        ).stats.get(value) as unknown as { averageMax: Float64Array }
      ).averageMax[0]!;
    expect(await of(0.5)).not.toBe(await of(0.9));
  });
});
