/** Trainings that made their own loss worse are told of, whenever it happened. */
import { expect, it } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.js';
import { tellDivergence } from '../../../src/pipeline/training/divergence.js';

function told(losses: readonly number[]): Diagnostic[] {
  const found: Diagnostic[] = [];
  const curve = losses.map((loss, i) => ({ step: i + 1, loss, rate: 0.02 }));
  tellDivergence({ name: 'quantized', curve }, 0.02, (d) => found.push(d));
  return found;
}
const losses = (length: number, at: (share: number) => number): number[] =>
  Array.from({ length }, (_, i) => at(i / (length - 1)));

it.each([
  ['rises slowly', losses(40, (t) => 1.38 + t), '1.38', '2.34'],
  ['jumps at the second step and stays', [1.38, ...Array<number>(60).fill(2.3)], '1.38', '2.30'],
  ['shoots up, then comes half way back', [0.5, 900, 40, ...Array<number>(30).fill(1)], '0.500', '1.00'],
  ['was next to nothing at first', [1e-9, ...Array<number>(30).fill(0.7)], '1.00e-9', '0.700'],
])('%s', (_, curve, from, to) => {
  expect(told(curve)).toEqual([
    {
      severity: 'warning',
      code: 'TRAIN_DIVERGED',
      message: `training diverged: the loss of the quantized model rose from ${from} to ${to}`,
      hint: 'lower train.rate (0.02), lengthen train.warmUp, or bound gradients by train.clipNorm',
    },
  ]);
});

it.each([
  ['falls', losses(40, (t) => 2.3 - 2 * t)],
  ['stays, with noise', losses(40, (t) => 0.69 + 0.1 * Math.sin(50 * t))],
  ['shoots up and comes back', [1.38, 50, 3, ...Array<number>(30).fill(1.2)]],
  ['is over before it can be told', [1, 2, 3]],
  ['has no point', []],
])('says nothing of one that %s', (_, curve) => {
  expect(told(curve)).toEqual([]);
});
