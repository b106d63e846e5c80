/** Weights and activations at the edges of float32, through the whole job: what must hold of their parameters. */
import { describe, expect, it } from 'vitest';
import { check, samples, textModel, withValues, type Done, type Row } from '../conformance/bad-inputs.js';

const TINY = 2 ** -126;
/** The parameters that a run chose for a tensor. */
function paramsOf({ record }: Done, name: string): { scale: readonly number[]; zeroPoint: readonly number[] } {
  const point = record.points.find((p) => p.name === name);
  expect(point?.scale, `'${name}' is quantized`).toBeDefined();
  return { scale: point!.scale!, zeroPoint: point!.zeroPoint! }; // checked on the line before
}
/** The real numbers that the codes of an activation reach. */
function reach(d: Done, name: string): readonly [number, number] {
  const { scale, zeroPoint } = paramsOf(d, name);
  return [(0 - zeroPoint[0]!) * scale[0]!, (255 - zeroPoint[0]!) * scale[0]!];
}
const finiteOutputs = ({ record }: Done): void => {
  for (const o of record.evaluation!.outputs) expect([Number.isFinite(o.mse), o.name]).toEqual([true, 'y']);
};
const observers = ['minmax', 'kl', 'percentile', 'mse', 'ema'] as const;
/** What kernels take does not follow from observers: one of them measures it. */
const withObserver = (name: string): Pick<Row, 'recipe' | 'argv'> => ({
  recipe: `quantize: { activations: { observer: ${name} }, weights: { observer: ${name === 'ema' ? 'minmax' : name} } }\n`,
  argv: name === 'minmax' ? [] : ['--set', 'evaluation.profile=false'],
});
const fill =
  (from: number, to: number, value: number | ((i: number) => number)) =>
  (v: Float32Array): void => {
    for (let i = from; i < to; i++) v[i] = typeof value === 'number' ? value : value(i);
  };

describe('weights', () => {
  it.each<Row>(
    observers.flatMap((o): Row[] => [
      {
        name: `an all-zero channel (${o})`,
        model: withValues('w', fill(0, 9, 0)),
        ...withObserver(o),
        holds: (d) => {
          finiteOutputs(d);
          expect(paramsOf(d, 'w').scale[0]).toBeGreaterThanOrEqual(TINY);
        },
      },
      {
        name: `all weights zero (${o})`,
        model: withValues('w', fill(0, 18, 0)),
        ...withObserver(o),
        holds: finiteOutputs,
      },
      {
        name: `a constant channel (${o})`,
        model: withValues('w', fill(0, 9, 0.5)),
        ...withObserver(o),
        holds: (d) => {
          finiteOutputs(d);
          expect(paramsOf(d, 'w').scale[0]! * 127).toBeGreaterThan(0.4);
        },
      },
      {
        name: `one outlier of 1e30 (${o})`,
        model: withValues('w', (v) => {
          v[3] = 1e30;
        }),
        ...withObserver(o),
        holds: (d) => {
          expect(Number.isFinite(paramsOf(d, 'w').scale[0]!)).toBe(true);
        },
      },
      {
        name: `denormal weights (${o})`,
        model: withValues(
          'w',
          fill(0, 9, (i) => (i - 4) * 1e-42),
        ),
        ...withObserver(o),
        holds: finiteOutputs,
      },
      {
        name: `weights of minus zero (${o})`,
        model: withValues('w', fill(0, 9, -0)),
        ...withObserver(o),
        holds: finiteOutputs,
      },
      {
        name: `all weights negative (${o})`,
        model: withValues(
          'w',
          fill(0, 18, (i) => -1 - i / 100),
        ),
        ...withObserver(o),
        holds: finiteOutputs,
      },
      {
        name: `weights of the largest float32, whose product overflows (${o})`,
        model: withValues('g', fill(0, 8, 3.4e38)),
        ...withObserver(o),
        holds: (d) => {
          expect(paramsOf(d, 'g').scale[0]).toBeGreaterThan(1e36);
          expect(d.codes()).toContain('EVALUATION_NON_FINITE');
        },
      },
    ]),
  )('$name', check);
});

describe('activations', () => {
  it.each<Row>(
    observers.flatMap((o): Row[] => [
      {
        name: `all zero (${o})`,
        files: { 'x.npy': samples(8, (v) => v.fill(0)) },
        ...withObserver(o),
        holds: (d) => {
          finiteOutputs(d);
          expect(reach(d, 'x')[0]).toBe(0);
        },
      },
      {
        name: `minus zero (${o})`,
        files: { 'x.npy': samples(8, (v) => v.fill(-0)) },
        ...withObserver(o),
        holds: finiteOutputs,
      },
      {
        name: `min = max (${o})`,
        files: { 'x.npy': samples(8, (v) => v.fill(3)) },
        ...withObserver(o),
        holds: (d) => {
          const [low, high] = reach(d, 'x');
          expect(low).toBe(0);
          expect(high).toBeGreaterThan(2.9);
        },
      },
      {
        name: `all negative (${o})`,
        files: {
          'x.npy': samples(8, (v) =>
            v.forEach((x, i) => {
              v[i] = -1 - Math.abs(x);
            }),
          ),
        },
        ...withObserver(o),
        holds: (d) => {
          const [low, high] = reach(d, 'x');
          expect(low).toBeLessThan(-1);
          expect(high).toBe(0);
        },
      },
      {
        name: `a range that excludes zero (${o})`,
        files: {
          'x.npy': samples(8, (v) =>
            v.forEach((x, i) => {
              v[i] = 100 + Math.tanh(x);
            }),
          ),
        },
        ...withObserver(o),
        holds: (d) => {
          const [low, high] = reach(d, 'x');
          expect(low).toBe(0);
          expect(high).toBeGreaterThan(90);
        },
      },
      {
        name: `one outlier of 1e30 (${o})`,
        files: {
          'x.npy': samples(8, (v) => {
            v[5] = 1e30;
          }),
        },
        ...withObserver(o),
        holds: finiteOutputs,
      },
      {
        name: `denormal (${o})`,
        files: {
          'x.npy': samples(8, (v) =>
            v.forEach((x, i) => {
              v[i] = x * 1e-41;
            }),
          ),
        },
        ...withObserver(o),
        holds: finiteOutputs,
      },
      {
        name: `identical samples (${o})`,
        files: {
          'x.npy': samples(8, (v) => {
            for (let i = 16; i < v.length; i++) v[i] = v[i - 16]!;
          }),
        },
        ...withObserver(o),
        holds: finiteOutputs,
      },
      {
        name: `one sample (${o})`,
        files: { 'x.npy': samples(1) },
        ...withObserver(o),
        holds: ({ record }) => expect(record.calibration!.samples).toBe(1),
      },
      {
        name: `an output that is always zero (${o})`,
        model: withValues('b', fill(0, 2, -1e6)),
        ...withObserver(o),
        holds: (d) => {
          finiteOutputs(d);
          expect(reach(d, 'r')[0]).toBe(0);
        },
      },
    ]),
  )('$name', check);

  it.each<Row>(
    [NaN, Infinity, -Infinity].flatMap((bad): Row[] => {
      const files = {
        'x.npy': samples(8, (v) => {
          v[3 * 16 + 2] = bad;
        }),
        'good.npy': samples(8),
      };
      return [
        {
          name: `${bad} in one sample fails`,
          files,
          fails: { code: 'CALIBRATION_NON_FINITE', where: { tensor: 'x', sample: 'x.npy#3' } },
        },
        {
          name: `${bad} in one sample is left out`,
          files,
          argv: ['--set', 'calibration.onNonFinite=skip', '--set', 'evaluation.data={ npy: good.npy }'],
          holds: ({ record }) => {
            expect(record.calibration).toMatchObject({
              samples: 7,
              skippedSamples: 1,
              nonFinite: [{ tensor: 'x', sample: 'x.npy#3' }],
            });
            expect(record.points.find((p) => p.name === 'x')!.observedMax![0]).toBeLessThan(10);
          },
        },
        {
          name: `${bad} in every sample leaves none`,
          files: { 'x.npy': samples(8, (v) => v.fill(bad)) },
          argv: ['--set', 'calibration.onNonFinite=skip'],
          fails: { code: 'CALIBRATION_EMPTY', says: /all 8/ },
        },
      ];
    }),
  )('$name', (row) => check(row));

  it.each<Row>([
    {
      name: 'NaN that the model itself makes is named where it begins',
      model: textModel(
        (
          `<ir_version: 8, opset_import: ["" : 17]> g (float[batch,1,4,4] x) => (float[batch,2,2,2] y) ` +
          '<float[2,1,3,3] w, float[1,2,1,1] v> { c = Conv(x, w) l = Log(c) y = Conv<group = 2>(l, k) }'
        ).replace('<float[2,1,3,3] w, float[1,2,1,1] v>', '<float[2,1,3,3] w, float[2,1,1,1] k>'),
      ),
      fails: { code: 'CALIBRATION_NON_FINITE', where: { tensor: 'l' } },
    },
    { name: 'no sample at all', files: { 'x.npy': samples(0) }, fails: { code: 'DATA_MISSING' } },
    {
      name: 'an axis of size zero in the data',
      data: '{ npy: z.npy }',
      model: textModel(
        `<ir_version: 8, opset_import: ["" : 17]> g (float[batch,n,4] x) => (float[batch,n,3] y) <float[4,3] ` +
          'w> { y = MatMul(x, w) }',
      ),
      files: { 'z.npy': zeroAxis() },
      fails: { code: 'CALIBRATION_EMPTY' },
    },
    {
      name: 'a tensor that calibration never computes',
      recipe: 'quantize: { activations: { observer: kl } }\n',
      model:
        textModel(`<ir_version: 8, opset_import: ["" : 17]> g (float[batch,1,4,4] x) => (float[batch,2,2,2] y, float[k,1,2,2] u)
        <float[2,1,3,3] w, float[1,1,3,3] v, float t = {100}> { y = Conv(x, w)  m = ReduceMax<keepdims = 0, axes = [1,2,3]>(x)  b = Greater(m, t)  s = Compress<axis = 0>(x, b)  u = Conv(s, v) }`),
      holds: ({ codes, record }) => {
        expect(codes()).toContain('NEVER_OBSERVED');
        expect(record.points.find((p) => p.name === 's')?.scale).toBeUndefined();
        expect(
          record.nodes.find((n) => n.name.startsWith('Conv_') || n.because?.includes('never computed'))?.planned,
        ).toBe('float');
      },
    },
  ])('$name', check);
});

/** Two samples of shape [0, 4]. */
function zeroAxis(): Uint8Array {
  const bytes = samples(0);
  const text = new TextDecoder('latin1').decode(bytes).replace('(0, 1, 4, 4)', '(2, 0, 4)   ');
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}
