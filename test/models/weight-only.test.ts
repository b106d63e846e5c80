/**
 * MiniLM with weights of 4, 3 and 2 bits in blocks of 32, the embedding table in 4: accuracy, size, time and memory.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import type { RunRecord } from '../../src/record/index.js';

const root = path.join(import.meta.dirname, '..', '..');
const out = mkdtempSync(path.join(os.tmpdir(), 'quantbench-weight-only-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

/** A run in a process of its own, so that its peak memory is its own. */
async function run(
  recipe: string,
  ...set: string[]
): Promise<{ spearman: number; bytes: number; seconds: number; peakBytes: number }> {
  const folder = path.join(out, `${recipe}-${set.length}`);
  const script =
    "await (await import('./dist/cli/main.js')).main(process.argv.slice(1)); console.error('PEAK', " +
    'process.resourceUsage().maxRSS);';
  const sets = [
    'evaluation.latency=false',
    'evaluation.profile=false',
    'evaluation.layers=false',
    'evaluation.collapse=0',
    ...set,
  ].flatMap((s) => ['--set', s]);
  const done = await promisify(execFile)(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      script,
      '--',
      '--recipe',
      `recipes/sts/${recipe}.yaml`,
      '--out',
      folder,
      '--quiet',
      ...sets,
    ],
    { cwd: root, encoding: 'utf8' },
  );
  const record = JSON.parse(readFileSync(path.join(folder, 'run.json'), 'utf8')) as RunRecord; // the run wrote it
  return {
    spearman: record.evaluation!.metrics[0]!.quantized,
    bytes: record.model.quantized!.bytes,
    seconds: (record.stages.find((s) => s.name === 'weights')?.ms ?? 0) / 1000,
    peakBytes: 1024 * Number(/PEAK (\d+)/.exec(done.stderr)?.[1]),
  };
}

describe.skipIf(!existsSync(path.join(root, '..', 'shared')))(
  'MiniLM, weights only (skipped where ../shared is absent)',
  () => {
    it('4 bits: Spearman at least 0.731 of 0.7321 in at most 15.5 MB, rounded', async () => {
      const r = await run('w4-round');
      expect(r.spearman).toBeGreaterThanOrEqual(0.731);
      expect(r.bytes).toBeLessThanOrEqual(15.5e6);
    });
    it('4 bits by GPTQ: at most 90 s on two cores and 1.5 GB', async () => {
      const r = await run('w4-gptq');
      expect(r.spearman).toBeGreaterThanOrEqual(0.731);
      expect(r.bytes).toBeLessThanOrEqual(15.5e6);
      expect(r.seconds).toBeLessThanOrEqual(90);
      expect(r.peakBytes).toBeLessThanOrEqual(1.5e9);
    });
    it('3 bits by GPTQ: at least 0.728', async () =>
      expect((await run('w3-gptq')).spearman).toBeGreaterThanOrEqual(0.728));
    it('2 bits by GPTQ with zero points: rounding gives 0.672 of 0.732, GPTQ at least four fifths of what is left', async () => {
      const plain = (await run('w2-gptq', 'quantize.weights.method=round', 'quantize.weights.correct=[]')).spearman;
      expect(plain).toBeLessThan(0.68);
      expect((await run('w2-gptq')).spearman).toBeGreaterThan(plain + 0.8 * (0.7321 - plain));
    });
    it('2 bits on the symmetric grid of the absolute maximum: GPTQ is at least 10 points above rounding', async () => {
      const grid = ['quantize.weights.dtype=int2', 'quantize.weights.symmetric=true', 'quantize.weights.narrow=true'];
      const plain = (await run('w2-gptq', ...grid, 'quantize.weights.method=round', 'quantize.weights.correct=[]'))
        .spearman;
      expect((await run('w2-gptq', ...grid)).spearman).toBeGreaterThanOrEqual(plain + 0.1);
    });
  },
);
