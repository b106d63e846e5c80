/** Transport size in runs: what is measured, what becomes smaller, and what stays within its limit. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { runRecipe } from '../../../src/pipeline/run.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';
import { runRecordSpec, type RunRecord } from '../../../src/record/run.js';
import { renderHtml, renderMarkdown } from '../../../src/report/index.js';
import { recipeOf, weight, writeModel, writeNpy } from './models.js';

const dir = mkdtempSync(path.join(tmpdir(), 'quantbench-transport-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
writeModel(
  path.join(dir, 'm.onnx'),
  `g (float[N,96] x) => (float[N,64] y) <${weight('a', [96, 160], 0.1)}, ${weight('b', [160], 0.1)}, ${weight('c', [160, 64], 0.1)}>
  { h = MatMul (x, a)  s = Add (h, b)  r = Relu (s)  y = MatMul (r, c) }`,
);
writeNpy(path.join(dir, 'x.npy'), [64, 96]);

async function run(name: string, more: Omit<RecipeInput, 'version'>): Promise<RunRecord> {
  const recipe = await recipeOf(dir, {
    model: 'm.onnx',
    calibration: { data: { npy: 'x.npy' } },
    evaluation: { collapse: 0 },
    ...more,
  });
  const { record } = await runRecipe({ recipe, outDir: path.join(dir, name) });
  expect(runRecordSpec.safeParse(record).success).toBe(true);
  return record;
}
const fileOf = (name: string): Buffer => readFileSync(path.join(dir, name, 'model.onnx'));
const sqnr = (r: RunRecord): number => r.evaluation!.outputs[0]!.sqnrDb!;

describe.each<[string, RecipeInput['quantize'], number]>([
  ['qdq', { format: 'qdq' }, 0.75],
  ['dynamic', { format: 'dynamic' }, 0.8],
  ['qoperator', { format: 'qoperator' }, 0.75],
  ['weight-only', { format: 'weight-only', weights: { dtype: 'int8' } }, 0.85],
  ['k-means', { format: 'coded', coding: { name: 'k-means', bits: 8 } }, 0.85],
  ['integer', { format: 'coded', coding: { name: 'integer', bits: 8 } }, 0.98],
  ['float', { format: 'float' }, 0.6],
])('%s', (name, quantize, most) => {
  it('is sent in less, at the error that may be', async () => {
    const plain = await run(`${name}-plain`, { quantize });
    const r = await run(name, { quantize, transport: {} });
    const t = r.transport!;
    const bytes = fileOf(name);
    expect(t.quantized.raw).toBe(bytes.length);
    expect(t.quantized.gzip).toBe(gzipSync(bytes, { level: 9 }).length);
    expect(t.plain!.raw).toBe(fileOf(`${name}-plain`).length);
    expect(t.quantized.brotli / t.plain!.brotli).toBeLessThan(most);
    expect(t.error).toBeLessThanOrEqual(0.001);
    expect(t.error).toBeGreaterThan(0.0005);
    // 30 dB for each of two layers, and what the format itself costs.
    const own = 10 ** (-sqnr(plain) / 10);
    const now = 10 ** (-sqnr(r) / 10);
    expect(name === 'float' ? now : now - own).toBeLessThan(0.004);
  });
});

it('without data, the error is that of weights', async () => {
  const { transport: t } = await run('no-data', {
    calibration: {},
    evaluation: { data: { npy: 'x.npy' }, collapse: 0 },
    quantize: { format: 'dynamic' },
    transport: { error: 0.002 },
  });
  expect(t!.error).toBeLessThanOrEqual(0.002);
  expect(t!.quantized.brotli).toBeLessThan(0.8 * t!.plain!.brotli);
});

it('left: the share of the size that is asked for, by the codec that is asked for', async () => {
  const { transport: t } = await run('left', { transport: { codec: 'gzip', left: 0.7 } });
  expect(t!.quantized.gzip / t!.plain!.gzip).toBeLessThanOrEqual(0.7);
  expect(t!.quantized.gzip / t!.plain!.gzip).toBeGreaterThan(0.66);
  expect(t!.codec).toBe('gzip');
});

it('error 0 measures only: the file is what it is without', async () => {
  const r = await run('measured', { transport: { error: 0 } });
  await run('as-ever', {});
  expect(fileOf('measured').equals(fileOf('as-ever'))).toBe(true);
  expect(r.transport).toMatchObject({ weights: 0, error: 0 });
  expect(r.transport!.plain).toBeUndefined();
  expect(brotliCompressSync(fileOf('measured')).length).toBeGreaterThanOrEqual(r.transport!.quantized.brotli);
});

it('gives the same bytes twice, and is in reports and gates', async () => {
  const r = await run('once', { transport: {}, gate: { transportRatio: { max: 0.2 } } });
  await run('twice', { transport: {} });
  expect(fileOf('once').equals(fileOf('twice'))).toBe(true);
  expect(renderMarkdown(r)).toMatch(/## Transport size[\s\S]*quantized, as rounded/);
  expect(renderMarkdown(r)).toContain('sent as brotli');
  expect(renderHtml(r)).toContain('Transport size');
  expect(r.gate!.rules[0]).toMatchObject({ name: 'transportRatio', verdict: 'pass' });
  expect(r.gate!.rules[0]!.observed).toBeCloseTo(r.transport!.quantized.brotli / r.transport!.float.brotli, 9);
});
