import { describe, expect, it } from 'vitest';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { Recipe } from '../../../src/recipe/schema.js';
import { firstRound, type Candidate } from '../../../src/search/candidates.js';
import { withoutLosses } from '../../../src/search/refinements.js';
import { exitCodeOfSearch } from '../../../src/cli/commands/auto.js';
import { bestFirst, largerTies } from '../../../src/search/order.js';
import type { Tried } from '../../../src/search/trials.js';
import { latencyOf, runWith } from '../gate/helpers.js';

const candidate = (label: string, format: 'qdq' | 'coded' | 'float16' | 'dynamic'): Candidate => ({
  label,
  why: '',
  family: 'static',
  adjust: [],
  quantize: { format, exclude: ['kept'] },
});
const trial = (
  label: string,
  format: 'qdq' | 'coded' | 'float16' | 'dynamic',
  latencyRatio: number,
  sizeRatio: number,
  loss: number,
): Tried => ({
  label,
  round: 2,
  why: '',
  settings: '',
  samples: 9,
  outcome: 'ok',
  drop: 0,
  latencyRatio,
  sizeRatio,
  loss,
  next: '',
  record: undefined,
  candidate: candidate(label, format),
});
const labels = (list: readonly Tried[]): string[] => list.map((t) => t.label);

describe('firstRound', () => {
  const work = {
    products: 0.6,
    convolutions: 0.4,
    hasData: true,
    ownText: false,
    synthetic: undefined,
    moments: false,
    blockKernels: true,
  };
  const formatsOf = (base: Recipe, formats: readonly string[], objective: 'latency' | 'size'): string[] => [
    ...new Set(firstRound(base, { ...work, formats }, objective).map((c) => c.quantize.format ?? 'qdq')),
  ];
  it('proposes only what the target runs', async () => {
    const { recipe } = await resolveRecipe({ version: 1, model: 'm.onnx', calibration: { data: { npy: 'x.npy' } } });
    const all = ['qdq', 'qoperator', 'dynamic', 'coded', 'weight-only', 'float16'];
    expect(formatsOf(recipe, all, 'latency')).toEqual(['dynamic', 'weight-only', 'qdq', 'coded', 'float16', 'float']);
    expect(formatsOf(recipe, ['qdq', 'float16'], 'size')).toEqual(['qdq']);
    expect(formatsOf(recipe, ['qdq', 'float16'], 'latency')).toEqual(['qdq', 'float16', 'float']);
    expect(formatsOf(recipe, ['qoperator'], 'size')).toEqual(['qoperator']);
    expect(formatsOf(recipe, ['dynamic'], 'latency')).toEqual(['dynamic', 'float']);
  });
});

describe('bestFirst', () => {
  it('takes the fastest, of those as fast the smallest, and of those as small the one nearest to float', () => {
    const list = [
      trial('slow', 'coded', 0.9, 0.2, 0.1),
      trial('fast', 'dynamic', 0.5, 0.303, 0.3),
      trial('near', 'qdq', 0.51, 0.305, 0.2),
      trial('large', 'float16', 0.52, 0.5, 0.1),
    ];
    const order = bestFirst(list, 'latency');
    expect(labels(order)).toEqual(['near', 'fast', 'large', 'slow']);
    expect(labels(largerTies(order[0]!, list))).toEqual(['large']);
    expect(largerTies(order[3]!, list)).toEqual([]);
  });
  it('takes what measurements cannot tell apart as equally fast, and what they can as faster', () => {
    const measured = (t: Tried, spread: number): Tried => {
      const speedup = 1 / t.latencyRatio!;
      const speedupInterval = [speedup * (1 - spread), speedup * (1 + spread)] as const;
      return { ...t, record: runWith({ latency: latencyOf(speedup, { speedupInterval }) }) };
    };
    const of = (spread: number): string[] =>
      labels(
        bestFirst(
          [
            measured(trial('fast', 'dynamic', 0.5, 0.3, 0.3), spread),
            measured(trial('near', 'qdq', 0.56, 0.3, 0.1), spread),
          ],
          'latency',
        ),
      );
    expect([of(0.2), of(0.02)]).toEqual([
      ['near', 'fast'],
      ['fast', 'near'],
    ]);
  });
  it('takes the smallest where the fastest are at the speed of float', () => {
    const list = [
      trial('half', 'float16', 1.0, 0.5, 0.01),
      trial('stored', 'coded', 1.01, 0.3, 0.1),
      trial('int8', 'qdq', 1.4, 0.25, 0.1),
    ];
    expect(labels(bestFirst(list, 'latency'))).toEqual(['stored', 'half', 'int8']);
  });
  it('takes the smallest by size', () => {
    const list = [trial('half', 'float16', 1.0, 0.5, 0.01), trial('int8', 'qdq', 1.4, 0.25, 0.1)];
    expect(labels(bestFirst(list, 'size'))).toEqual(['int8', 'half']);
  });
});

describe('withoutLosses', () => {
  const layers = [
    ['a', 10, 12],
    ['b', 10, 8],
    ['c', 10, 4],
    ['d*', 10, 1],
  ].map(([node, floatUs, quantizedUs]) => ({
    node: String(node),
    floatUs: Number(floatUs),
    quantizedUs: Number(quantizedUs),
  }));
  const conversions = (us: number) => ({
    quantized: [
      { op: 'QuantizeLinear', us },
      { op: 'DequantizeLinear', us },
      { op: 'Reshape', us: 99 },
    ],
  });
  const excluded = (us: number): (readonly unknown[])[] =>
    withoutLosses(candidate('int8', 'qdq'), { layers, rest: conversions(us) }).map((c) => c.quantize.exclude ?? []);
  it('leaves out what loses by itself, then what gains less than its share of the conversions', () => {
    expect(excluded(4)).toEqual([
      ['kept', 'a'],
      ['kept', 'a', 'b'],
      ['kept', 'a', 'b', 'c'],
    ]); // a share is 2 µs, 3 of them 6
  });
  it('has nothing to try where each layer pays, and never leaves out all', () => {
    expect(withoutLosses(candidate('int8', 'qdq'), { layers: layers.slice(2), rest: conversions(0) })).toEqual([]);
    expect(excluded(100)).toEqual([['kept', 'a']]);
  });
  it('names a layer literally', () => {
    const [, , last] = withoutLosses(candidate('int8', 'qdq'), {
      layers: [...layers, { node: 'e', floatUs: 99, quantizedUs: 1 }],
      rest: conversions(8),
    });
    expect(last?.quantize.exclude).toEqual(['kept', 'a', 'b', 'c', 're:^d\\*$']);
  });
});

describe('exitCodeOfSearch', () => {
  const look = { label: 'a', drop: 0, text: '' } as const;
  it('is 1 where nothing is as fast as float, whatever the accuracy', () => {
    expect(
      exitCodeOfSearch({
        outcome: 'missed',
        chosen: 'a',
        heldOut: [{ ...look, verdict: 'pass', met: false, slower: true }],
      }),
    ).toBe(1);
    expect(
      exitCodeOfSearch({ outcome: 'missed', chosen: 'a', heldOut: [{ ...look, verdict: 'undecided', met: false }] }),
    ).toBe(5);
    expect(exitCodeOfSearch({ outcome: 'met', chosen: 'a', heldOut: [{ ...look, verdict: 'pass', met: true }] })).toBe(
      0,
    );
  });
});
