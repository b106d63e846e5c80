/** When a search learns codes, of which trial, and how long it expects that to take. */
import { describe, expect, it } from 'vitest';
import type { RunRecord } from '../../../src/record/index.js';
import type { Candidate } from '../../../src/search/candidates.js';
import { Forecast } from '../../../src/search/forecast.js';
import { Ledger } from '../../../src/search/ledger.js';
import { isLighter } from '../../../src/search/order.js';
import { bitsByLayer, learned, refinements, worthLearning } from '../../../src/search/refinements.js';
import type { Tried } from '../../../src/search/trials.js';
import { runWith } from '../gate/helpers.js';

const best: Candidate = {
  label: 'int8 kl',
  why: '',
  family: 'static',
  adjust: ['equalise'],
  quantize: { exclude: ['kept'], activations: { observer: 'kl' } },
};
const work = {
  products: 0,
  convolutions: 1,
  hasData: true,
  ownText: false,
  synthetic: undefined,
  moments: false,
  blockKernels: true,
  formats: ['qdq'],
};
const trial = (candidate: Candidate, drop: number, outcome: Tried['outcome'] = 'ok'): Tried => ({
  label: candidate.label,
  round: 3,
  why: '',
  settings: '',
  samples: 9,
  outcome,
  ...(outcome === 'ok' ? { drop } : {}),
  next: '',
  record: undefined,
  candidate,
});
const [two, three, four] = refinements(best, 'size', work) as [Candidate, Candidate, Candidate];
const within = (t: Tried): boolean => t.outcome === 'ok' && (t.drop ?? Infinity) <= 1;

describe('what is worth learning', () => {
  const of = (...tried: Tried[]): string | undefined => worthLearning(tried, within, 1)?.label;
  it('is the widest grid that misses the limit by little, before one that keeps it', () => {
    expect(of(trial(two, 5), trial(three, 2), trial(four, 0.5))).toBe('int8 kl + 3-bit GPTQ');
    expect(of(trial(two, 2), trial(three, 0.5))).toBe('int8 kl + 2-bit GPTQ');
    expect(of(trial(two, 9), trial(three, 4), trial(four, 3))).toBe('int8 kl + 4-bit GPTQ');
  });
  it('is nothing where all keep it, where it is far, and where nothing ran', () => {
    expect(of(trial(two, 0.5))).toBeUndefined();
    expect(of(trial(two, 3.1), trial(three, 0.5))).toBeUndefined();
    expect(of(trial(two, 0, 'skipped'), trial(three, 0, 'failed'))).toBeUndefined();
    expect(of()).toBeUndefined();
  });
  it('is no rounding that only corrects biases', () => {
    const [corrected] = refinements(best, 'latency', work) as [Candidate];
    expect(corrected.label).toBe('int8 kl + bias correction');
    expect(of(trial(corrected, 2))).toBeUndefined();
  });
});

it('learning keeps the grid, the adjustments and what must stay float', () => {
  expect(learned(three)).toMatchObject({
    label: 'int8 kl + 3-bit learned blocks',
    adjust: ['equalise'],
    quantize: {
      exclude: ['kept'],
      activations: { observer: 'kl' },
      weights: { dtype: 'int8', bits: 3, method: 'brecq', correct: ['bias'], samples: 512 },
    },
  });
});

it('learning is expected to take some hundred times as long as GPTQ, until one was measured', () => {
  const forecast = new Forecast(6e5, true);
  const errand = (c: Candidate) => ({ candidates: [c], samples: 100, latency: false, sensitivity: 0 });
  const stages = [{ name: 'evaluate', ms: 400 }];
  const record = { ...runWith({}), evaluation: { samples: 100 }, stages } as unknown as RunRecord; // what it reads
  forecast.learn(errand(best), record);
  const weights = (c: Candidate) => forecast.stages(errand(c)).find((s) => s.name === 'weights')!.ms; // they have it
  expect(weights(learned(three)) / weights(three)).toBeCloseTo(50_000 / (4 * 256), 5);
  forecast.stopped(errand(learned(three)), 90_000);
  expect(weights(learned(three))).toBeGreaterThan(80_000);
});

it('the trail tells what choosing codes took', () => {
  const ledger = new Ledger('size');
  ledger.limit = 1;
  const record = { ...runWith({}), stages: [{ name: 'weights', ms: 41_000 }] } as unknown as RunRecord; // what it reads
  expect(ledger.verdict({ ...trial(learned(two), 0.5), record })).toBe(
    'keeps the limit on the search part; choosing codes took 41 s',
  );
  expect(ledger.verdict(trial(best, 2))).toBe('misses the limit on the search part');
});

describe('a weight-only model of a decoder', () => {
  const four: Candidate = {
    label: 'uint4 weight-only',
    why: '',
    family: 'weight-only',
    adjust: [],
    quantize: { format: 'weight-only', weights: { dtype: 'uint4', granularity: { block: 32 } } },
  };
  it('has its codes chosen on the text that it writes itself, where there are no data', () => {
    const without = { ...work, hasData: false };
    expect(refinements(four, 'size', without)).toEqual([]);
    expect(refinements(four, 'size', { ...without, ownText: true }).map((c) => c.quantize.weights)).toEqual([
      { dtype: 'uint4', granularity: { block: 32 }, method: 'best' },
      { dtype: 'uint2', granularity: { block: 32 }, method: 'best' },
    ]);
    expect(refinements(best, 'size', { ...without, ownText: true })).toEqual([]); // convolutions do not write
  });
  it('gets bits by layer in bytes between those of 2 and of 4', () => {
    const mixed = bitsByLayer(four, 0.5, 0.09, 0.18);
    expect(mixed.label).toBe('uint4 weight-only, bits by layer in 0.135 ×');
    expect(mixed.quantize).toMatchObject({
      format: 'weight-only',
      budget: { sizeRatio: 0.135, choices: ['uint2', 'uint4', 'uint8'].map((dtype) => ({ weights: { dtype } })) },
    });
  });
});

it('fewer bits are a reason to try only where the file gets smaller', () => {
  const of = (sizeRatio?: number): Tried => ({ ...trial(two, 0.5), ...(sizeRatio === undefined ? {} : { sizeRatio }) });
  expect(isLighter(of(0.2), of(0.3))).toBe(true);
  expect(isLighter(of(0.299), of(0.3))).toBe(false);
  expect(isLighter(of(), of(0.3))).toBe(true); // it did not run
});
