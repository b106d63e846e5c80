/** What dynamic leaves in float is stored in int8 where nobody minds. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-test-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});
const samples = path.join(dir, 'samples.mjs');
writeFileSync(
  samples,
  `export function* samples() {
  for (let s = 0; s < 4; s++) yield { feed: { x: Float32Array.from({ length: 1024 }, (_, i) => Math.sin(i * (s + 1))) } };
}`,
);
const file = path.join(dir, 'net.onnx');
saveModel(
  parseModel(
    `<ir_version: 8, opset_import: ["" : 17]>
g (float[1,16,8,8] x) => (float[1,10] y) <float[64,16,3,3] w, float[64,64,3,3] v, float[64,10] m> {
  [first] a = Conv(x, w) r = Relu(a) [second] b = Conv(r, v) p = GlobalAveragePool(b) f = Flatten(p) y = MatMul(f, m) }`,
    { randomInitializers: 4 },
  ),
  file,
);

async function run(
  name: string,
  quantize: RecipeInput['quantize'],
): Promise<{ bytes: number; floats: number; sqnr: number }> {
  const recipe = await resolveRecipe({
    version: 1,
    model: file,
    calibration: { data: { module: samples } },
    quantize: { format: 'dynamic', ...quantize },
    evaluation: { latency: false, profile: false, layers: false },
  });
  const outDir = path.join(dir, name);
  const { record } = await runRecipe({ recipe, outDir });
  const out = path.join(outDir, 'model.onnx');
  const floats = [...loadModel(out).graph.initializers].reduce(
    (n, v) => n + (v.dtype === 'float32' ? v.data!.size : 0),
    0,
  );
  // evaluated on the samples
  return { bytes: statSync(out).size, floats, sqnr: record.evaluation!.outputs[0]!.sqnrDb! };
}

it('convolutions are stored in int8 by default, at a quarter of the size', async () => {
  const { bytes, floats, sqnr } = await run('default', {});
  expect(bytes / statSync(file).size).toBeLessThan(0.3);
  expect(floats).toBeLessThan(400);
  expect(sqnr).toBeGreaterThan(30);
});
it('float32 with rest: false', async () => {
  expect((await run('off', { rest: false })).floats).toBeGreaterThan(64 * 80 * 9);
});
it('what the recipe excludes stays as it is', async () => {
  const { floats } = await run('excluded', { exclude: ['second'] });
  expect(floats).toBeGreaterThan(64 * 64 * 9);
  expect(floats).toBeLessThan(64 * 64 * 9 + 400);
});
it('what the recipe asks for holds for all', async () => {
  expect((await run('asked', { exclude: ['second'], rest: { name: 'integer' } })).floats).toBeLessThan(400);
});
