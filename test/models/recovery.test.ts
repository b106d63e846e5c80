/** Accuracy that comes back without training, on real models and data, against stated bars. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { runRecipe } from '../../src/pipeline/run.js';
import type { RunRecord } from '../../src/record/index.js';
import { loadRecipe } from '../../src/recipe/load.js';

const root = path.join(import.meta.dirname, '..', '..');
const shared = path.join(root, '..', 'shared');
const out = mkdtempSync(path.join(os.tmpdir(), 'quantbench-recovery-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

async function run(recipe: string, ...set: string[]): Promise<RunRecord> {
  const loaded = await loadRecipe(path.join(root, 'recipes', recipe), {
    set: [
      'calibration.cache=false',
      'evaluation.latency=false',
      'evaluation.profile=false',
      'evaluation.layers=false',
      ...set,
    ],
  });
  return (await runRecipe({ recipe: loaded, outDir: out })).record;
}
const top1 = (r: RunRecord): number => r.evaluation!.metrics.find((m) => m.name === 'top1')!.quantized;

describe.skipIf(!existsSync(shared))('recovery (skipped where ../shared is absent)', () => {
  it(
    'equalisation brings int8 back on a model with rescaled channels: top-1 at least 80.2 of 80.45, where ' +
      'without it int8 collapses',
    async () => {
      expect(top1(await run('cifar10/int8-equalised.yaml'))).toBeGreaterThanOrEqual(80.2);
      expect(top1(await run('cifar10/int8-equalised.yaml', 'adjust=[]', 'evaluation.collapse=0'))).toBeLessThan(60);
    },
  );

  it.each<[bits: number, bar: number, plain: number, set: string[]]>([
    [4, 80, 78, []],
    [3, 79, 70, ['quantize.weights.bits=3']],
    [2, 72, 20, ['quantize.weights.bits=2', 'quantize.weights.correct=[bias,scale]']],
  ])(
    'ResNet-20 with %i-bit weights and 8-bit activations: top-1 at least %f; plain rounding stays below %f',
    async (_bits, bar, plain, set) => {
      const made = await run('cifar10/w4-gptq.yaml', ...set);
      expect(top1(made)).toBeGreaterThanOrEqual(bar);
      expect(
        top1(
          await run(
            'cifar10/w4-gptq.yaml',
            ...set,
            'quantize.weights.method=round',
            'quantize.weights.correct=[]',
            'evaluation.collapse=0',
          ),
        ),
      ).toBeLessThan(plain);
    },
  );

  it('silero-vad: weights in branches and LSTMs in int8, at most 0.4 of the size, runs at both rates', async () => {
    const r = await run('silero/int8.yaml');
    expect(r.model.quantized!.bytes / r.model.float.bytes).toBeLessThanOrEqual(0.4);
    expect(r.evaluation!.samples).toBe(120);
    expect(r.evaluation!.outputs.find((o) => o.name === 'output')!.mse).toBeLessThan(2e-4);
  });
});
