/** A sweep on the demo: shared work, one bad recipe, and the choice. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunEvent } from '../../../src/base/events.js';
import { item } from '../../../src/base/lists.js';
import { gateSpec } from '../../../src/gate/index.js';
import { compareRuns } from '../../../src/compare/compare.js';
import { rank, type Finished } from '../../../src/compare/rank.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { loadRecipes, type ResolvedRecipe } from '../../../src/recipe/load.js';
import { compareRecordSpec } from '../../../src/record/compare.js';
import type { CompareRecord } from '../../../src/record/index.js';
import { readRun } from '../../../src/record/read.js';
import { flips, latencyOf, runWith } from '../gate/helpers.js';

const recipeFile = path.join(import.meta.dirname, '..', '..', '..', 'recipes', 'int8-minmax.yaml');
const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-compare-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const limits = gateSpec.parse({ accuracyDrop: { max: '2 points' } });
const set = [
  'calibration.cache=false',
  'calibration.samples=64',
  'evaluation.samples=300',
  'evaluation.latency.runs=20',
  'evaluation.layers=false',
  'evaluation.sensitivity=false',
  'evaluation.profile=false',
];

describe('compareRuns', () => {
  let recipes: ResolvedRecipe[];
  let record: CompareRecord;
  const events: RunEvent[] = [];
  const items = () => recipes.map((recipe, i) => ({ recipe, outDir: path.join(root, 'all', String(i)) }));
  beforeAll(async () => {
    // The last excludes everything, and fails.
    recipes = [
      ...(await loadRecipes(recipeFile, { set: [...set, 'quantize.activations.observer=[minmax, kl, ema]'] })),
      ...(await loadRecipes(recipeFile, { set: [...set, 'quantize.exclude=["*"]'] })),
    ];
    ({ record } = await compareRuns({
      name: 'demo',
      items: items(),
      outDir: path.join(root, 'all'),
      limits,
      onEvent: (e) => events.push(e),
    }));
  });

  it('does what recipes share once', () => {
    const ended = events.flatMap((e) => (e.type === 'stage-end' ? [`${e.stage}: ${e.summary}`] : []));
    expect(ended.filter((e) => e.startsWith('calibrate'))).toEqual([
      expect.stringMatching(/^calibrate: 64 samples · 20 tensors · minmax, kl, ema$/),
    ]);
    expect(ended.filter((e) => e.startsWith('evaluate'))).toEqual(['evaluate: 300 samples']);
  });
  it('goes on when a recipe fails, and tells why', () => {
    expect(record.runs.map((r) => r.outcome)).toEqual(['ok', 'ok', 'ok', 'failed']);
    expect(record.runs[3]!.error).toContain('QUANTIZE_NOTHING');
    expect(existsSync(path.join(root, 'all', '3'))).toBe(false);
  });
  it('gives each recipe what it gets alone', async () => {
    // Their times are not compared.
    const once = [...set, 'evaluation.latency=false', 'quantize.activations.observer=[minmax, kl, ema]'];
    for (const [i, recipe] of (await loadRecipes(recipeFile, { set: once })).entries()) {
      const alone = await runRecipe({ recipe, outDir: path.join(root, `alone${i}`) });
      expect(
        readFileSync(path.join(root, `alone${i}`, 'model.onnx')).equals(
          readFileSync(path.join(root, 'all', String(i), 'model.onnx')),
        ),
      ).toBe(true);
      expect(record.runs[i]!.metric).toMatchObject({
        name: 'top1',
        quantized: alone.record.evaluation!.metrics[0]!.quantized,
        float: alone.record.evaluation!.metrics[0]!.float,
      });
    }
  });
  it('chooses a run that passes, says which samples chose, and fits its schema', () => {
    expect(record.chosen?.sentence).toMatch(
      /is (the fastest run|(the most accurate|the smallest|one) of the \d fastest runs) that keeps? (its|their) limits(, .* as accurate by what was measured)?: top1 /,
    );
    expect(record.runs.filter((r) => r.front).length).toBeGreaterThan(0);
    expect(record.runs[0]).toMatchObject({
      label: 'observer=minmax',
      summary: 'qdq · uint8 minmax · weights int8 per channel',
      folder: '0',
    });
    expect(record.chosenOn).toBe('all samples');
    expect(record.notes.some((n) => n.includes('searchShare'))).toBe(true);
    expect(compareRecordSpec.parse(JSON.parse(JSON.stringify(record)))).toEqual(JSON.parse(JSON.stringify(record)));
  });
  it('reuses finished runs, but not changed ones', async () => {
    writeFileSync(path.join(root, 'all', '1', 'model.onnx'), 'spoilt');
    const again: RunEvent[] = [];
    const second = await compareRuns({
      name: 'demo',
      items: [...items().slice(0, 3), { folder: path.join(root, 'alone0') }],
      outDir: path.join(root, 'all'),
      limits,
      onEvent: (e) => again.push(e),
    });
    expect(again.flatMap((e) => (e.type === 'start' ? [e.title] : []))).toEqual([
      expect.stringContaining('observer=kl'),
    ]);
    expect(second.record.runs.map((r) => r.label)).toEqual([
      'observer=minmax',
      'observer=kl',
      'observer=ema',
      'int8-minmax observer=minmax',
    ]);
    expect(second.record.notes.filter((n) => n.includes('is reused'))).toHaveLength(2);
  });
  it('tells runs of one name apart, by their runtimes or folders', async () => {
    const folders = ['alone0', 'alone1', 'alone2'].map((f) => path.join(root, f));
    const labels = async (list: readonly string[]): Promise<string[]> => {
      const items = list.map((folder) => ({ folder }));
      const found = await compareRuns({ name: 'demo', items, outDir: path.join(root, 'none'), limits });
      return found.record.runs.map((r) => r.label);
    };
    const [a, b] = [item(folders, 0), item(folders, 1)];
    const as = (folder: string, name: string, target?: string): string => {
      const copy = path.join(root, `${path.basename(folder)}-${target ?? 'same'}`);
      mkdirSync(copy, { recursive: true });
      const record = readRun(folder);
      const facts = { name: target, hardware: '', runtime: 'elsewhere', artefact: 'x', recipeFolder: '.', floats: [] };
      const { target: _target, ...rest } = record;
      const named = { ...rest, recipe: { ...record.recipe, name }, ...(target ? { target: facts } : {}) };
      writeFileSync(path.join(copy, 'run.json'), JSON.stringify(named));
      return copy;
    };
    expect(await labels([as(a, 'net', 'ncnn'), as(b, 'net', 'litert')])).toEqual(['net for ncnn', 'net for litert']);
    const [c, d] = [as(a, 'net'), as(b, 'net')];
    expect(await labels([c, d])).toEqual([`net (${c})`, `net (${d})`]);
  });
});

describe('rank', () => {
  const run = (label: string, speed: number, paired = flips(3, 3, 9894, 100), quantized = 90): Finished => ({
    label,
    folder: label,
    record: runWith({ name: label, paired, metric: { quantized }, latency: latencyOf(speed) }),
  });
  it('takes the fastest that passes, and marks what nothing beats', () => {
    const fast = run('fast and bad', 4, flips(400, 100, 9400, 100), 87);
    const { runs, chosen } = rank(
      [run('slow', 2), run('good', 3), fast],
      gateSpec.parse({ accuracyDrop: { max: '0.5 points' } }),
    );
    expect(chosen?.label).toBe('good');
    expect(runs.map((r) => [r.label, r.front, r.gate?.verdict])).toEqual([
      ['slow', false, 'pass'],
      ['good', true, 'pass'],
      ['fast and bad', true, 'fail'],
    ]);
  });
  it('prefers accuracy among runs whose speeds cannot be told apart', () => {
    const { chosen } = rank(
      [run('a', 2), run('b', 2.05, flips(1, 4, 9894, 101), 90.03), run('c', 1.2, flips(0, 9, 9894, 97), 91)],
      gateSpec.parse({ accuracyDrop: { max: '0.5 points' } }),
    );
    expect(chosen?.sentence).toMatch(
      /^b is the most accurate of the 2 fastest runs that keep their limits, all of which are as accurate by what was measured: /,
    );
  });
  it('speaks of no speed where none was measured', () => {
    const untimed = (label: string, quantized: number): Finished => {
      const { latency: _latency, ...record } = run(label, 2, flips(3, 3, 9894, 100), quantized).record!;
      return { label, folder: label, record };
    };
    const limits05 = gateSpec.parse({ accuracyDrop: { max: '0.5 points' } });
    const sentence = (...quantized: number[]): string | undefined =>
      rank(
        quantized.map((q, i) => untimed('ab'.charAt(i), q)),
        limits05,
      ).chosen?.sentence;
    expect(sentence(90, 90)).toMatch(/^a is one of the 2 runs that keep their limits, all of which are as accurate/);
    expect(sentence(90, 90.1)).toMatch(/^b is the most accurate of the 2 runs that keep their limits/);
    expect(sentence(90)).toMatch(/^a keeps its limits/);
  });
  it('chooses on the search part alone, and does not ship what the rest does not prove', () => {
    const limits05 = gateSpec.parse({ accuracyDrop: { max: '0.5 points' } });
    const split = (
      label: string,
      speed: number,
      search: ReturnType<typeof flips>,
      rest: ReturnType<typeof flips>,
    ): Finished => {
      const own = run(label, speed, rest);
      const other = runWith({ name: label, paired: search, latency: latencyOf(speed) });
      return {
        ...own,
        record: {
          ...own.record!,
          evaluation: { ...own.record!.evaluation!, search: { samples: 1000, metrics: other.evaluation!.metrics } },
        },
      };
    };
    const lucky = split('lucky', 4, flips(0, 0, 900, 100), flips(400, 100, 9400, 100));
    const sound = split('sound', 3, flips(0, 0, 900, 100), flips(3, 3, 9894, 100));
    const refused = rank([lucky, sound], limits05);
    expect(refused.chosen).toBeUndefined();
    expect(refused.notes[0]).toContain('lucky was chosen on the search part, but is not proven on the rest');
    const found = rank([split('bad', 4, flips(100, 0, 800, 100), flips(3, 3, 9894, 100)), sound], limits05);
    expect(found.chosen?.label).toBe('sound');
    expect(found.chosenOn).toContain('search part');
  });
  it('says plainly when nothing is proven', () => {
    const { chosen, notes } = rank(
      [run('small', 2, flips(1, 0, 99))],
      gateSpec.parse({ accuracyDrop: { max: '0.5 points' } }),
    );
    expect(chosen).toBeUndefined();
    expect(notes[0]).toMatch(/^No run is proven to keep its limits; small comes closest: .*undecided/);
  });
});
