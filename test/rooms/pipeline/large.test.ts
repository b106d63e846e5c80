/** Models that are too large for the memory of a recipe: quantized while they are written, and checked by rows. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';
import type { RunRecord } from '../../../src/record/index.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'large-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A tied table of 1,024 × 64, a product along and one across. */
const model = (type: string) => `<ir_version: 8, opset_import: ["" : 17]>
g (int64[2,3] i) => (${type}[2,3,1024] y) <${type}[1024,64] table, ${type}[64,128] w1, ${type}[64,128] w2> {
  [x] x = Gather(table, i)  [a] a = MatMul(x, w1)  [t] t = Transpose<perm=[1,0]>(w2)  [b] b = MatMul(a, t)
  [h] h = Transpose<perm=[1,0]>(table)  [y] y = MatMul(b, h) }`;

async function ran(
  type: string,
  more: Partial<RecipeInput>,
  spoil?: (m: ReturnType<typeof parseModel>) => void,
  dryRun = false,
): Promise<{ record: RunRecord; out: string }> {
  const file = path.join(dir, `${type}.onnx`);
  const made = parseModel(model(type), { randomInitializers: 3 });
  spoil?.(made);
  saveModel(made, file, { externalData: 'always' });
  const recipe = await resolveRecipe(
    { version: 1, model: file, quantize: { format: 'weight-only', weights: { dtype: 'int4' } }, ...more },
    { baseDir: dir },
  );
  const out = mkdtempSync(path.join(dir, 'out-'));
  const { record } = await runRecipe({ recipe, outDir: out, dryRun });
  return { record, out };
}
const tensorsOf = (out: string): Record<string, string> =>
  Object.fromEntries(
    [...loadModel(path.join(out, 'model.onnx')).graph.initializers].map((v) => [
      v.name,
      Buffer.from(v.data!.bytes()).toString('base64'),
    ]),
  );
const small = { evaluation: { latency: false, layers: false, profile: false } } as const;

describe('memory', () => {
  it.each(['float', 'float16'])('streams %s weights into the same bytes, and checks them by rows', async (type) => {
    const whole = await ran(type, small);
    const streamed = await ran(type, { ...small, memory: 200e3 });
    expect(tensorsOf(streamed.out)).toEqual(tensorsOf(whole.out));
    expect(streamed.record.stages.find((s) => s.name === 'evaluate')?.summary).toMatch(
      /^\d products and tables run on some rows · least cosine 0\.9/,
    );
    expect(streamed.record.diagnostics.map((d) => d.code)).toContain('LARGE_MODEL');
    expect(streamed.record.files.filter((f) => f.path.endsWith('.data'))).toHaveLength(1);
    expect(whole.record.files.filter((f) => f.path.endsWith('.data'))).toHaveLength(0);
  });
  it('makes float16 of weights while they are written, and checks each product and the table', async () => {
    const half = { quantize: { format: 'float16' } } as const;
    const whole = await ran('float', { ...small, ...half });
    const streamed = await ran('float', { ...small, ...half, memory: 200e3 });
    expect(tensorsOf(streamed.out)).toEqual(tensorsOf(whole.out));
    expect(streamed.record.stages.find((s) => s.name === 'evaluate')?.summary).toMatch(
      /^3 products and tables run on some rows · least cosine 1\.0000/,
    );
  });
  it('says where a format has nothing to run alone', async () => {
    const { record } = await ran('float', { ...small, quantize: { format: 'dynamic' }, memory: 200e3 });
    expect(record.stages.find((s) => s.name === 'evaluate')?.summary).toBe(
      'the graph loads; no product or table of this format can be run alone',
    );
  });
  it('leaves out what opens the model, and says so first', async () => {
    const { record } = await ran('float', { memory: 200e3 });
    const [first] = record.diagnostics;
    expect(first?.code).toBe('LARGE_MODEL');
    expect(first?.message).toContain('evaluation.latency, evaluation.layers, evaluation.profile');
    expect([record.latency, record.layers, record.runtime]).toEqual([undefined, undefined, undefined]);
  });
  it('forecasts what is written from sizes alone', async () => {
    const { record, out } = await ran('float', small);
    const { record: planned } = await ran('float', small, undefined, true);
    const told = planned.diagnostics.find((d) => d.code === 'FORECAST')?.message ?? '';
    const [, about] = /^about ([\d.]+) kB are written/.exec(told) ?? [];
    const bytes = Object.values(tensorsOf(out)).reduce((n, t) => n + Buffer.from(t, 'base64').length, 0);
    expect(record.files.length).toBeGreaterThan(0);
    expect(Math.abs(Number(about) * 1000 - bytes)).toBeLessThan(0.05 * bytes);
  });
  it('data files of a declared size', async () => {
    const { record, out } = await ran('float', { ...small, memory: 200e3, export: { shardSize: 40e3 } });
    const data = record.files.filter((f) => f.path.endsWith('.data'));
    expect(data.length).toBeGreaterThan(1);
    expect(data.every((f) => f.bytes <= 80e3)).toBe(true);
    expect(readFileSync(path.join(out, data[0]!.path)).length).toBe(data[0]!.bytes);
  });
  it('throws MODEL_TENSOR for a weight that is not finite', async () => {
    const spoil = (m: ReturnType<typeof parseModel>): void => {
      const w = [...m.graph.initializers].find((v) => v.name === 'w1');
      w!.data!.f32()[77] = NaN; // a view of its bytes
    };
    await expect(ran('float', { ...small, memory: 200e3 }, spoil)).rejects.toMatchObject({ code: 'MODEL_TENSOR' });
  });
});
