/** How far an output is from a target tensor: cosine, mean squared error, signal to noise, peak signal to noise. */
import { z } from 'zod';
import { meanAgainstTargets, targetSpec, type Pair } from '../target-tensor.js';
import type { Metric } from '../types.js';

const options = targetSpec;
const psnrOptions = z.strictObject({
  ...targetSpec.shape,
  dataRange: z
    .number()
    .positive()
    .default(1)
    .describe('Distance from the lowest to the highest possible value: 1 for images of 0 to 1, 255 for 8 bits.'),
});
type Options = z.output<typeof options>;

export const cosine = {
  name: 'cosine',
  doc: 'Mean cosine similarity of an output and its target tensor; -1 where the output holds NaN.',
  unit: 'cosine',
  higherIsBetter: true,
  needsLabels: false,
  needsTarget: 'tensors',
  options,
  start: (chosen, outputs) => meanAgainstTargets('cosine', chosen, outputs, cosineOf),
} as const satisfies Metric<Options>;

export const mse = {
  name: 'mse',
  doc: 'Mean squared error of an output against its target tensor; NaN counts as the largest float32.',
  unit: 'squared error',
  higherIsBetter: false,
  needsLabels: false,
  needsTarget: 'tensors',
  options,
  start: (chosen, outputs) => meanAgainstTargets('mse', chosen, outputs, meanSquare),
} as const satisfies Metric<Options>;

export const sqnr = {
  name: 'sqnr',
  doc:
    'Mean over the samples of 10 log10(sum of target² ÷ sum of error²), from -100 to 100 dB; -100 where the ' +
    'output holds NaN.',
  unit: 'dB',
  higherIsBetter: true,
  needsLabels: false,
  needsTarget: 'tensors',
  options,
  start: (chosen, outputs) =>
    meanAgainstTargets('sqnr', chosen, outputs, (pair) => decibels(power(pair.target), squares(pair))),
} as const satisfies Metric<Options>;

export const psnr = {
  name: 'psnr',
  doc:
    'Mean over the samples of 10 log10(dataRange² ÷ mean squared error), from -100 to 100 dB; -100 where the ' +
    'output holds NaN.',
  unit: 'dB',
  higherIsBetter: true,
  needsLabels: false,
  needsTarget: 'tensors',
  options: psnrOptions,
  start: ({ dataRange, ...chosen }, outputs) =>
    meanAgainstTargets('psnr', chosen, outputs, (pair) =>
      decibels(dataRange * dataRange, squares(pair) / Math.max(1, pair.target.length)),
    ),
} as const satisfies Metric<z.output<typeof psnrOptions>>;

function power(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!;
  return sum;
}

/** Sum of squared differences; NaN where the output is NaN. */
function squares({ output, target }: Pair): number {
  let sum = 0;
  for (let i = 0; i < target.length; i++) {
    const e = output[i]! - target[i]!;
    sum += e * e;
  }
  return sum;
}

const WORST_ERROR = (2 - 2 ** -23) * 2 ** 127; // the largest float32
function meanSquare(pair: Pair): number {
  const found = squares(pair) / Math.max(1, pair.target.length);
  return found <= WORST_ERROR ** 2 ? found : WORST_ERROR ** 2;
}

/** Records hold no infinity, and a mean with one would say nothing. */
const MOST_DECIBELS = 100;
function decibels(signal: number, noise: number): number {
  if (Number.isNaN(noise)) return -MOST_DECIBELS;
  if (noise === 0) return MOST_DECIBELS;
  return Math.max(-MOST_DECIBELS, Math.min(MOST_DECIBELS, 10 * Math.log10(signal / noise)));
}

/** 1 where both are all zero, 0 where one is. */
function cosineOf({ output, target }: Pair): number {
  let oo = 0;
  let tt = 0;
  let ot = 0;
  for (let i = 0; i < target.length; i++) {
    const o = output[i]!;
    const t = target[i]!;
    oo += o * o;
    tt += t * t;
    ot += o * t;
  }
  if (!Number.isFinite(oo)) return -1;
  if (oo === 0 || tt === 0) return oo === tt ? 1 : 0;
  return ot / (Math.sqrt(oo) * Math.sqrt(tt));
}
