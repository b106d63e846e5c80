/** The search on the demo. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuantError } from '../../src/base/errors.js';
import type { RunEvent } from '../../src/base/events.js';
import { findRecipe } from '../../src/search/auto.js';
import { explainRecipe } from '../../src/pipeline/explain.js';
import { runRecipe } from '../../src/pipeline/run.js';
import { limitOf } from '../../src/search/limit.js';
import type { AutoResult } from '../../src/search/types.js';
import { loadRecipe, resolveRecipe, type ResolvedRecipe } from '../../src/recipe/load.js';
import { runRecordSpec } from '../../src/record/run.js';
import { renderHtml, renderMarkdown } from '../../src/report/index.js';
import { durationOf } from '../../src/cli/commands/auto.js';
import { tinyRecipe } from '../rooms/search/tiny.js';

const recipeFile = path.join(import.meta.dirname, '..', '..', 'recipes', 'int8-minmax.yaml');
const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-auto-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const set = [
  'calibration.cache=false',
  'calibration.samples=32',
  'evaluation.samples=200',
  'evaluation.latency.runs=50', // few, on a machine that is busy, tell nothing of which is faster
  'evaluation.latency.memory=false',
  'evaluation.layers=false',
  'evaluation.profile=false',
];

describe('findRecipe', () => {
  let base: ResolvedRecipe;
  let found: AutoResult;
  const events: RunEvent[] = [];
  const out = path.join(root, 'met');
  beforeAll(async () => {
    base = await loadRecipe(recipeFile, { set });
    found = await findRecipe({
      base,
      outDir: out,
      maxAccuracyDrop: '5%',
      objective: 'latency',
      timeBudgetMs: 6e5,
      onEvent: (e) => events.push(e),
      render: (r) => ({ 'report.md': renderMarkdown(r), 'report.html': renderHtml(r) }),
    });
  }, 300_000);

  it('writes a model that keeps the limit on the held-out part, and leaves nothing else', () => {
    expect(found.search).toMatchObject({ outcome: 'met', limit: 5, metric: 'top1', objective: 'latency' });
    expect(found.search.heldOut[0]!.drop).toBeLessThanOrEqual(5);
    expect(found.search.searchSamples + found.search.heldOutSamples).toBe(200);
    expect(found.record.evaluation?.samples).toBe(found.search.heldOutSamples);
    expect(readdirSync(out).sort()).toEqual(['model.onnx', 'recipe.yaml', 'report.html', 'report.md', 'run.json']);
  });
  it('keeps the whole trail in the record and the reports', () => {
    const record = runRecordSpec.parse(JSON.parse(readFileSync(path.join(out, 'run.json'), 'utf8')));
    expect(record.search).toEqual(JSON.parse(JSON.stringify(found.search)));
    expect(record.search!.trials.map((t) => t.round)).toEqual([...record.search!.trials.map((t) => t.round)].sort());
    expect(record.search!.trials.filter((t) => t.next.startsWith('chosen')).map((t) => t.label)).toEqual([
      found.search.chosen,
    ]);
    for (const t of record.search!.trials) expect(t.next).not.toBe('');
    for (const file of ['report.md', 'report.html'])
      expect(readFileSync(path.join(out, file), 'utf8')).toContain('equalise + int8 kl');
  });
  it('gives a recipe that makes the same file again', async () => {
    const recipe = await loadRecipe(path.join(out, 'recipe.yaml'), { set: ['evaluation.latency=false'] });
    await runRecipe({ recipe, outDir: path.join(root, 'again') });
    expect(
      readFileSync(path.join(root, 'again', 'model.onnx')).equals(readFileSync(path.join(out, 'model.onnx'))),
    ).toBe(true);
  }, 60_000);
  it('tells how far it is', () => {
    const progress = events.flatMap((e) => (e.type === 'progress' && e.stage === 'try' ? [e] : []));
    expect(progress.length).toBeGreaterThan(3);
    for (const e of progress) expect(e.done).toBeLessThanOrEqual(e.total!);
  });
  it('never gives what it cannot prove under the name that was asked for', async () => {
    const refused = await findRecipe({
      base: await resolveRecipe(tinyRecipe(root)),
      outDir: path.join(root, 'missed'),
      maxAccuracyDrop: '0%',
      objective: 'size',
      timeBudgetMs: 6e5, // time is not what this is about
      proven: true,
    });
    expect(refused.search.outcome).toBe('missed');
    expect(refused.search.sentence).toContain('No recipe is known to keep the limit');
    expect(existsSync(path.join(root, 'missed', 'model.onnx'))).toBe(false);
    expect(readdirSync(path.join(root, 'missed'))).toEqual(['best-found']);
    expect(readdirSync(path.join(root, 'missed', 'best-found')).sort()).toEqual([
      'model.onnx',
      'recipe.yaml',
      'run.json',
    ]);
    await expect(loadRecipe(path.join(root, 'missed', 'best-found', 'recipe.yaml'))).resolves.toMatchObject({
      recipe: { evaluation: { searchShare: 0.4 } },
    });
  }, 300_000);
  it('ends in time: what does not fit is left out with the reason, and the best of the rest is given', async () => {
    const started = performance.now();
    const timeBudgetMs = 6000;
    const hurried = await findRecipe({
      base,
      outDir: path.join(root, 'hurried'),
      maxAccuracyDrop: '20%',
      objective: 'size', // how fast ten runs are on a machine that is busy, no test can promise
      timeBudgetMs,
    }).catch((e: unknown) => e as QuantError); // checked below
    // a stage that is running is not cut in the middle
    expect(performance.now() - started).toBeLessThan(1.1 * timeBudgetMs + 2000);
    if (hurried instanceof QuantError) {
      expect(hurried).toMatchObject({ code: 'USAGE', message: expect.stringContaining('is too short') });
      return;
    } // on a machine that is busy
    expect(hurried.search.outcome).toBe('met');
    for (const t of hurried.search.trials.filter((x) => x.outcome === 'skipped')) {
      expect(t.samples).toBe(0);
      expect(t.next).toMatch(/^(left out|stopped after)/);
    }
  }, 60_000);
  it('says that it could not where the time is not enough for one recipe, and leaves nothing', async () => {
    await expect(
      findRecipe({
        base,
        outDir: path.join(root, 'short'),
        maxAccuracyDrop: '5%',
        objective: 'latency',
        timeBudgetMs: 1,
      }),
    ).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('too short') });
    expect(existsSync(path.join(root, 'short'))).toBe(false);
  }, 60_000);
  it('tries made-up images and what BatchNormalization tells, where there are no calibration data', async () => {
    const own = await resolveRecipe({
      ...tinyRecipe(root),
      calibration: { samples: 32, cache: false },
      quantize: { format: 'dynamic' },
    });
    // Whether such a net is faster in integers depends on the machine; what was tried does not.
    const { search } = await findRecipe({
      base: own,
      tryBase: false,
      outDir: path.join(root, 'dataless'),
      maxAccuracyDrop: '30%',
      objective: 'latency',
      timeBudgetMs: 6e5,
    });
    expect(search.trials.map((t) => t.label)).toEqual(
      expect.arrayContaining([
        'int8 minmax + made-up images',
        'equalise + absorb-bias + int8 minmax + expected bias + made-up images',
      ]),
    );
    expect(search.trials.map((t) => t.label)).not.toContain('as given');
  }, 300_000);
  it('stops when it is told to, and leaves nothing', async () => {
    const stop = new AbortController();
    const running = findRecipe({
      base,
      outDir: path.join(root, 'stopped'),
      maxAccuracyDrop: '5%',
      objective: 'latency',
      timeBudgetMs: 6e5,
      signal: stop.signal,
      onEvent: (e) => {
        if (e.type === 'progress') stop.abort();
      },
    });
    await expect(running).rejects.toBeDefined();
    expect(existsSync(path.join(root, 'stopped'))).toBe(false);
  }, 60_000);
});

describe('limitOf', () => {
  const of = (unit: string): Parameters<typeof limitOf>[1] => ({
    evaluation: {
      samples: 1,
      outputs: [],
      data: {},
      metrics: [{ name: 'm', unit, higherIsBetter: true, float: 0.8, quantized: 0.79 }],
    },
  });
  it('reads points of a correlation as hundredths', () => {
    expect(limitOf('0.5%', of('correlation'))).toBe(0.005);
    expect(limitOf(0.01, of('correlation'))).toBe(0.01);
    expect(limitOf('0.5 points', of('%'))).toBe(0.5);
    expect(limitOf('1% relative', of('%'))).toBeCloseTo(0.008, 12);
    expect(() => limitOf('0.5%', of('dB'))).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('durationOf', () => {
  it('reads times with units, and nothing else', () => {
    expect([durationOf('90s'), durationOf('10m'), durationOf('1.5h'), durationOf('2min')]).toEqual([
      9e4, 6e5, 54e5, 12e4,
    ]);
    for (const bad of ['10', '-1m', '0s', 'soon'])
      expect(() => durationOf(bad)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

describe('explainRecipe', () => {
  it('tells the stages in order, and what the recipe says from what is default', async () => {
    const stages = explainRecipe(
      await loadRecipe(recipeFile, {
        set: ['adjust=[equalise]', 'quantize.weights.method=gptq', 'quantize.budget={ sizeRatio: 0.3 }'],
      }),
    );
    expect(stages.map((s) => s.name)).toEqual(
      expect.arrayContaining([
        'optimise',
        'equalise',
        'budget',
        'plan',
        'calibrate',
        'weights',
        'quantize',
        'evaluate',
        'verify',
      ]),
    );
    expect(stages.findIndex((s) => s.name === 'equalise')).toBeLessThan(stages.findIndex((s) => s.name === 'plan'));
    const settings = new Map(stages.flatMap((s) => s.settings).map((x) => [x.key, x]));
    expect(settings.get('quantize.weights.method')).toMatchObject({ said: true, value: { name: 'gptq' } });
    expect(settings.get('quantize.budget.sizeRatio')).toMatchObject({ said: true, value: 0.3 });
    expect(settings.get('quantize.budget.solver')).toMatchObject({ said: false, value: 'integer' });
    expect(settings.get('calibration.seed')).toMatchObject({ said: false });
    const dynamic = explainRecipe(await loadRecipe(recipeFile, { set: ['quantize.format=dynamic'] }));
    expect(dynamic.map((s) => s.name)).not.toContain('calibrate');
  });
});
