/**
 * Every way to choose weights on real models, against plain rounding on the same samples. Numbers seen:
 * docs/methods.md.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { RunRecord } from '../../src/record/index.js';

const root = path.join(import.meta.dirname, '..', '..');
const out = mkdtempSync(path.join(os.tmpdir(), 'quantbench-weight-methods-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));
const known = new Map<string, { float: number; quantized: number }>();

/** The first metric of a recipe, of both models; the same settings run once. */
function measure(recipe: string, ...settings: string[]): { float: number; quantized: number } {
  const key = [recipe, ...settings].join(' ');
  const before = known.get(key);
  if (before) return before;
  const folder = path.join(out, String(known.size));
  const sets = [
    'evaluation.latency=false',
    'evaluation.profile=false',
    'evaluation.layers=false',
    'evaluation.collapse=0',
    ...settings,
  ].flatMap((s) => ['--set', s]);
  spawnSync(
    process.execPath,
    ['bin/quantize.js', '--recipe', `recipes/${recipe}.yaml`, '--out', folder, '--quiet', ...sets],
    { cwd: root },
  );
  const record = JSON.parse(readFileSync(path.join(folder, 'run.json'), 'utf8')) as RunRecord; // the run wrote it
  const { float, quantized } = record.evaluation!.metrics[0]!; // both recipes name a metric
  rmSync(folder, { recursive: true, force: true });
  const values = { float: float ?? NaN, quantized };
  known.set(key, values);
  return values;
}
const plain = 'quantize.weights.correct=[]';
const resnet = (bits: number, method: string) =>
  measure(
    'cifar10/w4-gptq',
    'evaluation.samples=1000',
    plain,
    `quantize.weights.bits=${bits}`,
    `quantize.weights.method=${method}`,
  );
const encoder = (bits: number, method: string, ...more: string[]) =>
  measure(
    'sts/w3-gptq',
    'evaluation.samples=400',
    plain,
    `quantize.weights.dtype=${bits === 2 ? 'uint2' : 'uint4'}`,
    `quantize.weights.bits=${bits}`,
    `quantize.weights.method=${method}`,
    ...more,
  );

describe.skipIf(!existsSync(path.join(root, '..', 'shared')))(
  'weight methods on real models (skipped where ../shared is absent)',
  () => {
    // Points of top-1 above rounding on 1,000 images; half of what was seen, whose 95 % interval is about ±3 points.
    it.each([
      [3, 'clip', 4],
      [3, 'hqq', 5],
      [3, 'gptq', 5],
      [2, 'clip', 16],
      [2, 'hqq', 20],
      [2, 'k-quant', 20],
      [2, 'gptq', 29],
    ])(
      'ResNet-20, %i-bit weights, 8-bit activations: %s is at least %d points above rounding',
      (bits, method, points) => {
        expect(resnet(bits, method).quantized - resnet(bits, 'round').quantized).toBeGreaterThan(points);
      },
    );

    // Spearman on 400 pairs.
    it.each([
      [2, 'clip', 0.015],
      [2, 'gptq', 0.015],
    ])('MiniLM, %i-bit weights in blocks of 32: %s is at least %d above rounding', (bits, method, more) => {
      expect(encoder(bits, method).quantized - encoder(bits, 'round').quantized).toBeGreaterThan(more);
    });
    it.each([2, 3])('MiniLM, %i-bit weights: scaling by AWQ is above rounding without it', (bits) => {
      expect(encoder(bits, 'round', `adjust=[{name: awq, bits: ${bits}}]`).quantized).toBeGreaterThan(
        encoder(bits, 'round').quantized,
      );
    });

    it('float16 loses nothing that can be measured', () => {
      const image = measure(
        'cifar10/w4-gptq',
        'evaluation.samples=1000',
        plain,
        'quantize.weights.method=round',
        'quantize.format=float16',
      );
      const text = measure('sts/w4-round', 'evaluation.samples=400', 'quantize.format=float16');
      expect(Math.abs(image.quantized - image.float)).toBeLessThanOrEqual(0.2); // two images of 1,000
      expect(Math.abs(text.quantized - text.float)).toBeLessThan(1e-4);
    });
  },
);
