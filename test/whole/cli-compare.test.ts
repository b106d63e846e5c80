/** `quantize compare`, `evaluate` and `bench` on the demo, from the command line. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { compareRecordSpec } from '../../src/record/compare.js';
import { runCli as run } from '../rooms/cli/run-cli.js';

const root = path.join(import.meta.dirname, '..', '..');
const recipe = path.join(root, 'recipes', 'int8-minmax.yaml');
const demo = path.join(root, 'calibration-data', 'demo.onnx');
const temp = mkdtempSync(path.join(os.tmpdir(), 'quantbench-cli-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());
const quick = [
  'calibration.samples=32',
  'calibration.cache=false',
  'evaluation.samples=200',
  'evaluation.latency={ runs: 20, memory: false }',
  'evaluation.layers=false',
  'evaluation.sensitivity=false',
  'evaluation.profile=false',
].flatMap((s) => ['--set', s]);

describe('a sweep', () => {
  const out = path.join(temp, 'sweep');
  it('runs from `quantize --recipe`, writes a comparison and each run', async () => {
    const r = await run(
      '--recipe',
      recipe,
      ...quick,
      '--set',
      'quantize.activations.observer=[minmax, ema]',
      '--out',
      out,
    );
    expect([
      r.code,
      r.out
        .trimEnd()
        .split('\n')
        .map((f) => path.relative(out, f)),
    ]).toEqual([0, ['compare.html', 'compare.md', 'compare.json']]);
    expect(r.err).toMatch(/observer=minmax +98\.50 .*UNDECIDED/);
    const record = compareRecordSpec.parse(JSON.parse(readFileSync(path.join(out, 'compare.json'), 'utf8')));
    expect(record.runs.map((x) => [x.label, x.folder, existsSync(path.join(out, x.folder!, 'report.html'))])).toEqual([
      ['observer=minmax', 'observer-minmax', true],
      ['observer=ema', 'observer-ema', true],
    ]);
  });
  it('is a comparison that can be made again from its folders, and fails where limits are out of reach', async () => {
    const folders = ['observer-minmax', 'observer-ema'].map((f) => path.join(out, f));
    const again = await run('compare', ...folders, '--json', '--quiet', '--out', path.join(temp, 'again'));
    expect([again.code, again.err]).toEqual([0, '']);
    expect((JSON.parse(again.out) as { runs: { label: string }[] }).runs.map((x) => x.label)).toEqual([
      'int8-minmax observer=minmax',
      'int8-minmax observer=ema',
    ]);
    expect(
      (await run('compare', ...folders, '--max-size-ratio', '0.1', '--quiet', '--out', path.join(temp, 'small'))).code,
    ).toBe(1);
    expect(
      (await run('compare', ...folders, '--max-accuracy-drop', '0.1%', '--quiet', '--out', path.join(temp, 'sure')))
        .code,
    ).toBe(5);
    const wrong = await run('compare', ...folders, '--max-accuracy-drop', 'little', '--out', path.join(temp, 'wrong'));
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('expected 0.5 points')]);
    expect((await run('compare', path.join(temp, 'nowhere'), '--quiet')).code).toBe(3);
  });
  it('cannot be planned only', async () => {
    const r = await run('--recipe', recipe, '--set', 'quantize.activations.observer=[minmax, ema]', '--dry-run');
    expect([r.code, r.err]).toEqual([2, expect.stringContaining('a sweep of 2 recipes')]);
  });
});

describe('a gate in a recipe', () => {
  it.each([
    ['{ accuracyDrop: { max: 5% } }', 0],
    ['{ sizeRatio: { max: 0.1 } }', 1],
    ['{ accuracyDrop: { max: 0.1% } }', 5],
  ] as const)('%s gives exit code %i', async (gate, code) => {
    const r = await run('--recipe', recipe, ...quick, '--set', `gate=${gate}`, '--out', path.join(temp, `gate${code}`));
    expect(r.code).toBe(code);
    expect(r.err).toContain(`gate ${['PASS', 'FAIL', '', '', '', 'UNDECIDED'][code]}`);
    expect(existsSync(path.join(temp, `gate${code}`, 'model.onnx'))).toBe(true);
  });
});

describe('evaluate', () => {
  it('scores models and compares them with the first', async () => {
    const r = await run('evaluate', demo, demo, '--recipe', recipe, '--samples', '100', '--json', '--quiet');
    const found = JSON.parse(r.out) as {
      samples: number;
      reference: { metrics: { name: string; value: number }[] };
      others: { metrics: { change: number }[]; agreement: { same: number } }[];
    };
    expect([r.code, found.samples, found.reference.metrics[0]!.name]).toEqual([0, 100, 'top1']);
    expect(found.reference.metrics[0]!.value).toBeGreaterThan(95);
    expect([found.others[0]!.metrics[0]!.change, found.others[0]!.agreement.same]).toEqual([0, 1]);
  });
  it('needs data, and models that exist', async () => {
    expect((await run('evaluate', demo)).code).toBe(2);
    const r = await run('evaluate', path.join(temp, 'no.onnx'), '--recipe', recipe);
    expect([r.code, r.err]).toEqual([3, expect.stringContaining('MODEL_MISSING')]);
  });
});

describe('bench', () => {
  it('times models in turn', async () => {
    const r = await run('bench', demo, demo, '--runs', '20', '--warmup', '2', '--json', '--quiet');
    const found = JSON.parse(r.out) as {
      runs: number;
      batch: number;
      models: { ms: { p50: number }; speedup?: number; process: { peakBytes: number } }[];
    };
    expect([r.code, found.runs, found.batch, found.models.length]).toEqual([0, 20, 1, 2]);
    expect(found.models[0]).not.toHaveProperty('speedup');
    expect(found.models[1]!.speedup).toBeGreaterThan(0.3);
    expect(found.models[1]!.speedup).toBeLessThan(3);
    expect(found.models[0]!.process.peakBytes).toBeGreaterThan(1e6);
  });
  it('refuses what is no number of runs, and files that are no models', async () => {
    expect((await run('bench', demo, '--runs', '0')).code).toBe(2);
    const text = path.join(temp, 'text.onnx');
    writeFileSync(text, 'text');
    expect((await run('bench', text)).code).toBe(3);
  });
});

describe('card', () => {
  it('prints the card of a run', async () => {
    const r = await run('card', path.join(temp, 'gate0'));
    expect(r.code).toBe(0);
    expect(r.out).toMatch(/^---\n(?:.*\n)*base_model: .*\nbase_model_relation: quantized\n/);
  });
});
