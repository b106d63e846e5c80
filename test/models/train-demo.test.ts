/** The shipped example from drawn weights: as good as the shipped model, and the same bytes twice. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { loadRecipe } from '../../src/recipe/load.js';
import { trainFile } from '../../src/standalone/train.js';

const root = path.join(import.meta.dirname, '..', '..');
const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-train-demo-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));

it('learns the glyphs of calibration-data/train.yaml', { timeout: 1_800_000 }, async () => {
  const data = path.join(temp, 'glyphs-train.tar');
  const glyphs = path.join(root, 'scripts', 'glyphs.mjs');
  execFileSync(process.execPath, [glyphs, '--training', data, '--per-class', '1200', '--seed', '3']);
  const set = [`train.data.images=${data}`, 'train.checkpoint=false'];
  const train = async (out: string) =>
    trainFile({
      recipe: await loadRecipe(path.join(root, 'calibration-data', 'train.yaml'), { set }),
      outDir: path.join(temp, out),
      report: () => undefined,
    });
  const { facts } = await train('whole');
  expect(facts.scores.find((s) => s.name === 'trained')!.metrics[0]!.value).toBeGreaterThanOrEqual(98);
  await train('again');
  const bytes = (out: string): Buffer => readFileSync(path.join(temp, out, 'model.onnx'));
  expect(bytes('again').equals(bytes('whole'))).toBe(true);
});
