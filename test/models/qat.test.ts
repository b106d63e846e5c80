/** What few bits cost the demo, training of the quantized model wins back. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { sha256File } from '../../src/base/files.js';
import { runRecipe } from '../../src/pipeline/run.js';
import { loadRecipe, type ResolvedRecipe } from '../../src/recipe/load.js';
import { readRun } from '../../src/record/read.js';
import type { RunRecord } from '../../src/record/index.js';

const file = path.join(import.meta.dirname, '..', '..', 'recipes', 'int8-minmax.yaml');
const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-qat-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const TWO_BITS = [
  'quantize.weights.bits=2',
  'evaluation.samples=300',
  'evaluation.collapse=0',
  'evaluation.latency=false',
  'evaluation.layers=false',
  'evaluation.profile=false',
  'calibration.cache=false',
];
const TRAINED = [
  'train.quantized=true',
  'train.steps=32',
  'train.batch=32',
  'train.rate=0.001',
  'train.optimiser=adam',
  'train.checkpoint=false',
];
const load = (...set: string[]): Promise<ResolvedRecipe> => loadRecipe(file, { set });
async function run(out: string, ...set: string[]): Promise<RunRecord> {
  return (await runRecipe({ recipe: await load(...TWO_BITS, ...set), outDir: path.join(root, out) })).record;
}
const top1 = (r: RunRecord): number => r.evaluation?.metrics.find((m) => m.name === 'top1')?.quantized ?? NaN;

it('trains 2-bit weights of the demo back, the same bytes each time', async () => {
  const rounded = await run('rounded');
  const trained = await run('trained', ...TRAINED, 'train.control=true');
  expect(top1(rounded)).toBeLessThan(60);
  expect(top1(trained)).toBeGreaterThan(top1(rounded) + 25);
  const [own, control] = trained.training!.fitted; // it was trained
  expect([own?.name, own?.steps, own?.ended]).toEqual(['quantized', 32, 'steps']);
  expect(own?.judged).toBeGreaterThan(0);
  expect(own?.best?.metric).toBe('top1');
  expect(own!.curve.at(-1)!.loss).toBeLessThan(own!.curve[0]!.loss); // steps gave points
  expect(control?.name).toBe('control');
  expect(trained.training!.scores.find((x) => x.name === 'control')?.metrics[0]?.value).toBeGreaterThan(90); // as above
  expect(trained.runtime?.integerMacsShare).toBe(1);
  expect(trained.stages.map((s) => s.name)).toContain('qat');
  expect(readRun(path.join(root, 'trained', 'run.json')).training?.fitted).toHaveLength(2);
  await run('again', ...TRAINED);
  expect(sha256File(path.join(root, 'again', 'model.onnx'))).toBe(sha256File(path.join(root, 'trained', 'model.onnx')));
});
