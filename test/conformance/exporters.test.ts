/** Every exporter: the same bytes each time, files with legal names, and an ONNX model that does not change by it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { exporters } from '../../src/exporters/index.js';
import type { RunRecord } from '../../src/record/index.js';
import { runRecipe } from '../../src/pipeline/run.js';
import { resolveRecipe } from '../../src/recipe/load.js';
import type { RecipeInput } from '../../src/recipe/schema.js';
import { weight, writeModel, writeNpy } from '../rooms/pipeline/models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-exporters-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const file = (...names: string[]): string => path.join(dir, ...names);

/** What an exporter needs of `quantize`, where it cannot express what is the default. */
const NEEDS: Readonly<Record<string, RecipeInput['quantize']>> = {};

async function run(name: string, exports: readonly string[], quantize = {}): Promise<RunRecord> {
  const recipe = await resolveRecipe({
    version: 1,
    model: file('m.onnx'),
    calibration: { data: { npy: file('x.npy') }, cache: false },
    evaluation: { latency: false, profile: false, layers: false },
    exports: [...exports],
    quantize,
  });
  return (await runRecipe({ recipe, outDir: file(name) })).record;
}
const model = (folder: string): Buffer => readFileSync(file(folder, 'model.onnx'));

beforeAll(() => {
  writeModel(
    file('m.onnx'),
    `g (float[N,3,8,8] x) => (float[N,4] y) <${weight('w', [6, 3, 3, 3])}, ${weight('b', [6])}, ${weight(
      'v',
      [6, 4],
    )}> {
      a = Conv(x, w, b) r = Relu(a) p = GlobalAveragePool(r) f = Flatten(p) y = MatMul(f, v) }`,
  );
  writeNpy(file('x.npy'), [16, 3, 8, 8]);
});

describe.each(exporters.map((e) => e.name))('%s', (name) => {
  it('gives the same files each time, and leaves the model as it is', async () => {
    const needs = NEEDS[name];
    await run('plain', [], needs);
    const [first, second] = [await run(`${name}-1`, [name], needs), await run(`${name}-2`, [name], needs)];
    expect(first.files).toEqual(second.files);
    const made = first.files.filter((f) => f.path !== 'model.onnx');
    expect(made.length).toBeGreaterThanOrEqual(1);
    for (const f of made) expect(f.bytes, f.path).toBeGreaterThan(0);
    expect(model(`${name}-1`).equals(model('plain'))).toBe(true);
    const ships = made.some((f) => f.role === 'model');
    expect(first.files.find((f) => f.path === 'model.onnx')?.role).toBe(ships ? 'sidecar' : 'model');
    const weighed = first.files.filter((f) => f.role === 'model').reduce((n, f) => n + f.bytes, 0);
    expect(first.model.quantized?.bytes).toBe(weighed);
  });
});
