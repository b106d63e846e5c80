/** Heads that join boxes and scores: each keeps its scale, and each is judged for itself. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { OutputErrorMeter, worstCosine } from '../../../src/evaluate/output-error.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { saveModel } from '../../../src/onnx/files.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { resolveRecipe } from '../../../src/recipe/load.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-test-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});
writeFileSync(
  path.join(dir, 'samples.mjs'),
  `export function* samples() {
  for (let s = 0; s < 6; s++) yield { feed: { x: Float32Array.from({ length: 768 }, (_, i) => Math.sin(i * (s + 1) * 0.37)) } };
}`,
);

/**
 * Boxes of hundreds and scores of 0 to 1 in one tensor, of which a product with a constant takes the boxes: as end-to-
 * end exports have it.
 */
const head = (wide: string): string =>
  `<ir_version: 8, opset_import: ["" : 17]>
g (float[1,3,16,16] x) => (float[1,49,8] y, float[1,49,4] corners)
<float[8,3,3,3] w, float[4,8,3,3] wb, float[4,8,3,3] ws, float k = {${
    wide
  }}, int64[3] to = {1, 4, -1}, float[4,4] turn, int64[1] from = {0}, int64[1] end = {4}, int64[1] ax = {2}> {
  a = Conv<strides=[2,2]>(x, w) r = Relu(a) bb = Conv(r, wb) b = Mul(bb, k) sc = Conv(r, ws) s = Sigmoid(sc)
  c = Concat<axis=1>(b, s) f = Reshape(c, flat) [turned] y = Transpose<perm=[0,2,1]>(f)
  boxes = Slice(y, from, end, ax) corners = MatMul(boxes, turn) }`
    .replace('int64[3] to = {1, 4, -1}', 'int64[3] flat = {1, 8, -1}')
    .replaceAll('[1,49,', '[1,25,');

async function run(
  name: string,
  text: string,
  format: string,
): Promise<Awaited<ReturnType<typeof runRecipe>>['record']> {
  const file = path.join(dir, `${name}.onnx`);
  saveModel(parseModel(text, { randomInitializers: 5 }), file);
  const recipe = await resolveRecipe({
    version: 1,
    model: file,
    calibration: { data: { module: path.join(dir, 'samples.mjs') }, cache: false },
    quantize: { format: format, weights: { reduceRange: true } },
    evaluation: { latency: false, profile: false, layers: false }, // of the formats below
  });
  return (await runRecipe({ recipe, outDir: path.join(dir, `${name}-out`) })).record;
}

describe.each(['qdq', 'qoperator'])('%s', (format) => {
  it('a Concat of boxes and scores stays float, and both are near', async () => {
    const record = await run(`mixed-${format}`, head('200'), format);
    expect(record.diagnostics.map((d) => d.code)).toContain('MIXED_SCALES');
    const y = record.evaluation!.outputs.find((o) => o.name === 'y')!;
    expect(y.parts?.map((p) => [p.axis, p.from, p.to]).sort()).toEqual([
      [2, 0, 3],
      [2, 4, 7],
    ]);
    for (const p of y.parts!) expect(p.sqnrDb, `channels ${p.from}–${p.to}`).toBeGreaterThan(25);
    expect(record.evaluation!.outputs.find((o) => o.name === 'corners')!.sqnrDb).toBeGreaterThan(25);
  });
  it('operands of like size stay in integers', async () => {
    const record = await run(`like-${format}`, head('1'), format);
    expect(record.diagnostics.map((d) => d.code)).not.toContain('MIXED_SCALES');
    expect(record.nodes.find((n) => n.op === 'Concat')?.planned).toBe('integer');
    expect(record.evaluation!.outputs.find((o) => o.name === 'y')!.parts).toBeUndefined();
  });
});

describe('OutputErrorMeter', () => {
  const tensor = (
    dims: readonly number[],
    data: readonly number[],
  ): { dtype: 'float32'; dims: readonly number[]; data: Float32Array } => ({
    dtype: 'float32',
    dims,
    data: Float32Array.from(data),
  });
  const channels = (
    scale: (c: number) => number,
    noise: (c: number) => number,
  ): ReturnType<OutputErrorMeter['facts']> => {
    const meter = new OutputErrorMeter('y');
    const at = (i: number): number => scale(Math.floor(i / 50)) * (1.5 + Math.sin(i));
    const values = Array.from({ length: 500 }, (_, i) => at(i));
    meter.add(
      tensor([1, 10, 50], values),
      tensor(
        [1, 10, 50],
        values.map((v, i) => v + noise(Math.floor(i / 50)) * (i % 2 ? 1 : -1)),
      ),
    );
    return meter.facts();
  };
  it('judges boxes and scores apart, the worse first', () => {
    const facts = channels(
      (c) => (c < 4 ? 160 : 0.3),
      () => 0.5,
    )!;
    expect(facts.sqnrDb).toBeGreaterThan(45);
    expect(facts.parts!.map((p) => [p.axis, p.from, p.to])).toEqual([
      [1, 4, 9],
      [1, 0, 3],
    ]);
    expect(facts.parts![0]!.sqnrDb).toBeCloseTo(10 * Math.log10((0.3 ** 2 * 2.75) / 0.25), 0);
    expect(facts.parts![1]!.sqnrDb).toBeGreaterThan(45);
    expect(worstCosine(facts)).toBe(facts.parts![0]!.cosine);
    expect(worstCosine(facts)).toBeLessThan(0.8);
  });
  it('has no parts where channels are alike, or all differ', () => {
    expect(
      channels(
        (c) => 1 + c,
        () => 0.1,
      )!.parts,
    ).toBeUndefined();
    expect(
      channels(
        (c) => 40 ** (c % 3),
        () => 0.1,
      )!.parts,
    ).toBeUndefined();
  });
  it('has no parts for [batch, classes]', () => {
    const meter = new OutputErrorMeter('y');
    meter.add(
      tensor([2, 4], [1, 1000, 1, 1000, 1, 1000, 1, 1000]),
      tensor([2, 4], [1, 1000, 1, 1000, 1, 1000, 1, 1001]),
    );
    expect(meter.facts()!.parts).toBeUndefined();
  });
});
