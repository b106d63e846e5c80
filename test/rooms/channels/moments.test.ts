import { describe, expect, it } from 'vitest';
import { absorbBias } from '../../../src/adjust/absorb-bias.js';
import { equalise } from '../../../src/adjust/equalise.js';
import { round } from '../../../src/codes/round.js';
import { quantizeLayerwise } from '../../../src/codes/run.js';
import { batchNormMoments, clipped, expectedMoments } from '../../../src/channels/moments.js';
import type { AdjustContext } from '../../../src/adjust/types.js';
import type { ChannelMoments } from '../../../src/channels/moments.js';
import type { Diagnostic } from '../../../src/base/errors.js';
import { createRng } from '../../../src/base/rng.js';
import { cloneModel } from '../../../src/ir/clone.js';
import type { Model } from '../../../src/ir/model.js';
import { header, prepareText } from '../analyse/helpers.js';
import { int8Schemes, largestDifference, outputsOf, readModel } from '../adjust/helpers.js';

const moments = (mean: readonly number[], deviation: readonly number[]): ChannelMoments => ({
  mean: Float64Array.from(mean),
  deviation: Float64Array.from(deviation),
});
const context = (model: Model, own: ReadonlyMap<string, ChannelMoments>, found: Diagnostic[] = []): AdjustContext => ({
  model,
  moments: own,
  batches: () => {
    throw new Error('reads data');
  },
  schemesOf: int8Schemes,
  threads: 1,
  report: (d) => {
    found.push(d);
  },
  onEvent: () => undefined,
});

describe('moments', () => {
  it.each([
    [0, Infinity],
    [0, 6],
    [-1, 1],
  ])('clipped to %f…%f are those of clipped normal samples', (low, high) => {
    const m = moments([-2, 0, 0.5, 7, 3], [1, 2, 0.3, 4, 0]);
    const made = clipped(m, [low, high]);
    m.mean.forEach((mean, c) => {
      const rng = createRng(c);
      const seen = Array.from({ length: 40000 }, () =>
        Math.min(high, Math.max(low, mean + m.deviation[c]! * rng.normal())),
      );
      const average = seen.reduce((n, v) => n + v, 0) / seen.length;
      const spread = Math.sqrt(seen.reduce((n, v) => n + (v - average) ** 2, 0) / seen.length);
      const tolerance = (4 * Math.max(0.01, m.deviation[c]!)) / Math.sqrt(seen.length); // four standard errors
      expect(Math.abs(made.mean[c]! - average)).toBeLessThan(tolerance);
      expect(Math.abs(made.deviation[c]! - spread)).toBeLessThan(tolerance);
    });
  });
  it('follow clamps, sums, Pad and pooling, and stop where nothing is known', () => {
    const model = readModel(
      'g (float[N,2,4,4] x) => (float[N,5] y) <float[2,2,1,1] w, float[2] wb, float[2] gamma, float[2] beta, ' +
        'float[2] m, float[2] v = {1,1}, int64[8] pads = {0,1,0,0,0,2,0,0}> { [c] c = Conv(x, w, wb) bn = ' +
        'BatchNormalization(c, gamma, beta, m, v) r = Relu(bn) s = Add(r, r) p = Pad(s, pads) q = ' +
        'GlobalAveragePool(p) y = Flatten(q) t = Sigmoid(r) }',
    );
    const own = batchNormMoments(model);
    const found = expectedMoments(model, own);
    const at = (name: string): ChannelMoments | undefined => [...found].find(([v]) => v.name === name)?.[1];
    const relu = clipped(own.get('bn')!, [0, Infinity]);
    expect(at('r')).toEqual(relu);
    expect([...at('y')!.mean]).toEqual([0, 2 * relu.mean[0]!, 2 * relu.mean[1]!, 0, 0]);
    expect(at('y')!.deviation[1]).toBeCloseTo(Math.SQRT2 * relu.deviation[0]!, 12);
    expect([at('c'), at('t'), at('x')]).toEqual([undefined, undefined, undefined]);
  });
  it('are scaled with their channels', async () => {
    const model = readModel(
      'g (float[N,2,4,4] x) => (float[N,2,4,4] y) <float[2,2,1,1] w, float[2] wb, float[2,2,1,1] u, float[2] ' +
        'ub> { a = Conv(x, w, wb) b = Relu(a) y = Conv(b, u, ub) }',
    );
    const own = new Map([['a', moments([1, 2], [3, 4])]]);
    const weight = (): Float32Array => [...model.graph.initializers].find((v) => v.name === 'w')!.data!.f32();
    const before = weight().slice();
    await equalise.run(context(model, own), { rounds: 40 });
    const by = weight().map((v, i) => v / before[i]!);
    expect(by[0]).not.toBeCloseTo(1, 3);
    expect(own.get('a')!.mean[0]).toBeCloseTo(by[0]!, 5);
    expect(own.get('a')!.deviation[1]).toBeCloseTo(4 * by[2]!, 5);
  });
});

const chain = (more: string): string =>
  'g (float[N,2,4,4] x) => (float[N,2,4,4] y) <float[4,2,1,1] w, float[4] wb = {40, 30, 1, 0}, ' +
  `float[2,4,${more === '' ? '1,1' : '3,3'}] u, float[2] ub> { a = Conv(x, w, wb) b = Relu(a) y = ` +
  `Conv${more}(b, u, ub) }`;
describe('absorb-bias', () => {
  it('moves β − 3γ behind Relu and keeps the function where Relu does not cut', async () => {
    const model = readModel(chain(''));
    const own = new Map([['a', moments([40, 30, 1, 0], [2, 4, 1, 1])]]);
    const before = await outputsOf(model);
    expect(await absorbBias.run(context(model, own), { deviations: 3 })).toBe('2 channels of 1 layers');
    expect([...[...model.graph.initializers].find((v) => v.name === 'wb')!.data!.f32()]).toEqual([6, 12, 1, 0]);
    expect([...own.get('a')!.mean]).toEqual([6, 12, 1, 0]);
    expect(largestDifference(before, await outputsOf(model))).toBeLessThan(1e-5);
  });
  it('leaves what a padded convolution reads, and says so', async () => {
    const model = readModel(chain('<pads=[1,1,1,1]>'));
    const found: Diagnostic[] = [];
    expect(
      await absorbBias.run(context(model, new Map([['a', moments([40, 30, 1, 0], [2, 4, 1, 1])]]), found), {
        deviations: 3,
      }),
    ).toBe('0 channels of 0 layers · 1 left because of padding');
    expect(found.map((d) => d.code)).toEqual(['BIAS_NOT_ABSORBED']);
  });
});

describe('expected-bias', () => {
  it('moves the mean of the outputs back without any sample', async () => {
    const net =
      `${header}\ng (float[N,4] x) => (float[N,6] y) <float[4,8] w1, float[8] b1, float[8,6] w2, float[6] b2> { ` +
      'a = Gemm(x, w1, b1) b = Relu(a) [two] y = Gemm(b, w2, b2) }';
    const c = await prepareText(net, 'qdq', { settings: 'weights: { dtype: int4, bits: 3, granularity: channel }' });
    const w1 = [...c.model.graph.initializers].find((v) => v.name === 'w1')!.data!.f32();
    const b1 = [...c.model.graph.initializers].find((v) => v.name === 'b1')!.data!.f32();
    // Inputs are standard normal, so the first layer gives b1 with the norm of its columns.
    const own = new Map([
      [
        'a',
        moments(
          [...b1],
          [...b1].map((_, j) => Math.hypot(...[0, 1, 2, 3].map((i) => w1[8 * i + j]!))),
        ),
      ],
    ]);
    const run = async (expected: boolean): Promise<number[]> => {
      const { model, values, nodes } = cloneModel(c.model);
      const reference = cloneModel(model);
      const params = new Map(
        [...c.params]
          .filter(([p]) => 'uses' in p && p.data?.dims.length === 2 && p.name === 'w2')
          .map(([p, q]) => [values.get(p as never)!, q]),
      ); // points of weights are values
      await quantizeLayerwise({
        model,
        reference,
        planned: { ...c.planned, integerNodes: new Set([...c.planned.integerNodes].map((n) => nodes.get(n)!)) },
        params,
        method: round,
        methodOptions: {},
        damping: 0.01,
        matchFloat: true,
        hasInputs: true,
        correctBias: false,
        correctScale: false,
        expected: expected ? expectedMoments(model, own) : undefined,
        feeds: () => {
          throw new Error('reads data');
        },
        samples: 0,
        threads: 1,
        report: () => undefined,
      });
      const rng = createRng(3);
      const feed = {
        x: {
          dtype: 'float32' as const,
          dims: [4000, 4],
          data: Float32Array.from({ length: 16000 }, () => rng.normal()),
        },
      };
      const [want, got] = [(await outputsOf(reference.model, feed))[0]!, (await outputsOf(model, feed))[0]!];
      return Array.from({ length: 6 }, (_, j) => {
        let sum = 0;
        for (let i = j; i < want.length; i += 6) sum += got[i]! - want[i]!;
        return Math.abs(sum) / 4000;
      });
    };
    const total = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
    expect(total(await run(true))).toBeLessThan(0.1 * total(await run(false)));
  });
});
