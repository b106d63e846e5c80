/** Weights that compress makes of zeros or of few values, through whole runs: what the written file computes with. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createRng } from '../../src/base/rng.js';
import { bucketOf, drawHash, signOf } from '../../src/compress/hash.js';
import type { Model } from '../../src/ir/model.js';
import { loadModel } from '../../src/onnx/files.js';
import { inferShapes } from '../../src/ops/infer.js';
import { linearViews } from '../../src/ops/index.js';
import { foldLargeConstants } from '../../src/passes/fold-constants.js';
import { runRecipe } from '../../src/pipeline/run.js';
import { resolveRecipe } from '../../src/recipe/load.js';
import type { RecipeInput } from '../../src/recipe/schema.js';
import type { RunRecord } from '../../src/record/index.js';
import { runPasses } from '../../src/rewrite/pass.js';
import { evaluateModel } from '../../src/runtime/open.js';
import { codings } from '../../src/scheme/codings/index.js';
import { tinyRecipe } from '../rooms/search/tiny.js';
import { weight, writeModel } from '../rooms/pipeline/models.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-made-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));
const base = tinyRecipe(temp);
const net = writeModel(
  path.join(temp, 'net.onnx'),
  `g (float[N,1,8,8] x) => (float[N,10] y) <${weight('w', [16, 1, 3, 3])}, ${weight('v', [24, 16, 3, 3])}, ${weight('f', [24, 32])}, ${weight('h', [32, 10])}> {
    c = Conv(x, w) r = Relu(c) d = Conv(r, v) q = Relu(d) p = GlobalAveragePool(q) l = Flatten(p) m = MatMul(l, f) t = Tanh(m) y = MatMul(t, h) }`,
);
let runs = 0;
async function run(more: Partial<RecipeInput>): Promise<{ record: RunRecord; model: Model; bytes: number }> {
  const name = `run ${++runs}`;
  const evaluation = { ...base.evaluation, samples: 20, latency: false as const, collapse: 0 };
  const recipe = await resolveRecipe({ ...base, model: net, evaluation, ...more }, { baseDir: temp, name });
  const { record, outDir } = await runRecipe({ recipe, outDir: path.join(temp, name) });
  const file = path.join(outDir, 'model.onnx');
  return { record, model: loadModel(file), bytes: statSync(file).size };
}
/** What layers multiply with, by the number of elements, once all constants are computed. */
async function weightsOf(model: Model): Promise<Map<number, Float32Array>> {
  inferShapes(model);
  for (const n of model.graph.nodes) if (n.op === 'DequantizeLinear' && n.inputs[0]!.isInitializer) n.doc = 'weight';
  await runPasses(model, [foldLargeConstants], { evaluate: evaluateModel });
  const found = new Map<number, Float32Array>();
  for (const n of model.graph.topological())
    for (const view of linearViews(n)) {
      const read = n.inputs[view.weight]!;
      const [codes, scale, zero] = read.producer?.inputs.map((v) => v?.data) ?? [];
      if (read.data) found.set(read.data.size, read.data.f32());
      else if (codes && scale) {
        const [s, z] = [scale.f32(), zero?.f64() ?? new Float64Array(scale.size)];
        const [axis, dims] = [read.producer!.int('axis', 1), codes.dims];
        const inner = dims.slice(axis + 1).reduce((a, d) => a * d, 1);
        const channel = (at: number): number => (s.length === 1 ? 0 : Math.floor(at / inner) % dims[axis]!);
        found.set(
          codes.size,
          Float32Array.from(codes.f64(), (q, at) => (q - z[channel(at)]!) * s[channel(at)]!),
        );
      }
    }
  return found;
}
const float = await weightsOf(loadModel(net));

describe('zeros of sparsify', () => {
  const codes = codings.map((c) => c.name).filter((name) => name !== 'binary'); // which has no zero
  it.each(codes)('stay exactly zero in what a file of format: coded, %s, decodes to', async (coding) => {
    const quantize = { format: 'coded' as const, coding: { name: coding } };
    const { model, record } = await run({ compress: [{ name: 'sparsify', pattern: { share: 0.5 } }], quantize });
    const made = await weightsOf(model);
    for (const size of [24 * 144, 24 * 32]) {
      const [was, is] = [float.get(size)!, made.get(size)!];
      const limit = [...was].map(Math.abs).sort((a, b) => a - b)[size / 2 - 1]!;
      const gone = [...was].map((x) => Math.abs(x) <= limit);
      expect(gone.filter(Boolean)).toHaveLength(size / 2);
      expect([...is].filter((x, i) => gone[i] && x !== 0)).toEqual([]);
      expect([...is].filter((x) => x !== 0).length).toBeGreaterThan(size / 4);
    }
    expect(record.diagnostics.map((d) => d.code)).not.toContain('SPARSITY_LOST');
  });
});

describe('hashed weights', () => {
  const compress: RecipeInput['compress'] = [{ name: 'hashed', left: 0.125, least: 3000, seed: 3 }];
  const [size, buckets] = [24 * 144, 432];
  const hash = drawHash(createRng(3, 'hashed v'), buckets);
  /** The means of the buckets, at each place. */
  const expected = (): Float32Array => {
    const [sums, counts] = [new Float64Array(buckets), new Float64Array(buckets)];
    float.get(size)!.forEach((w, i) => {
      sums[bucketOf(hash, i)]! += signOf(hash, i) * w;
      counts[bucketOf(hash, i)]!++;
    });
    return Float32Array.from({ length: size }, (_, i) => {
      const k = bucketOf(hash, i);
      return (signOf(hash, i) * sums[k]!) / counts[k]!;
    });
  };
  it('run in integers: each place has the code of its shared value', async () => {
    const { model, record } = await run({
      compress,
      quantize: { weights: { dtype: 'int8', symmetric: true, granularity: 'tensor', saturation: 'allow' } },
    });
    expect(record.runtime!.integerMacsShare).toBe(1);
    const [made, wanted] = [(await weightsOf(model)).get(size)!, expected()];
    const scale = Math.max(...wanted.map(Math.abs)) / 127;
    wanted.forEach((w, i) => expect(Math.abs(made[i]! - w)).toBeLessThanOrEqual(scale * 0.501));
    expect(new Set(made.map(Math.abs)).size).toBeLessThanOrEqual(128);
  });
  it.each<[string, object, number]>([
    ['integer', { bits: 8 }, 1 / 254],
    ['float16', {}, 2 ** -11],
    ['k-means', { bits: 6 }, 0.2],
  ])('have their shared values stored by the coding %s, once each', async (name, options, error) => {
    const whole = await run({ compress, quantize: { format: 'float' } });
    const { model, bytes } = await run({ compress, quantize: { format: 'coded', coding: { name, ...options } } });
    expect(bytes).toBeLessThan(whole.bytes - 432 * 1.5);
    expect([...model.graph.initializers].every((v) => v.data!.size < size)).toBe(true);
    const [made, wanted] = [(await weightsOf(model)).get(size)!, expected()];
    const most = Math.max(...wanted.map(Math.abs));
    wanted.forEach((w, i) => expect(Math.abs(made[i]! - w)).toBeLessThanOrEqual(1.001 * error * most));
    // places of one bucket have one value, but for the sign
    const values = new Map([...made].map((w, i) => [bucketOf(hash, i), signOf(hash, i) * w]));
    made.forEach((w, i) => expect(w * signOf(hash, i)).toBe(values.get(bucketOf(hash, i))));
  });
});

describe('a table and the same matrix transposed', () => {
  it('share one initializer in float files, and have codes of their own in integers', async () => {
    const rows = 10;
    const table = createRng(4, 'table');
    const values = Array.from({ length: rows * 64 }, () => table.normal().toFixed(6));
    const turned = Array.from({ length: rows * 64 }, (_, at) => values[(at % rows) * 64 + Math.floor(at / rows)]);
    const model = writeModel(
      path.join(temp, 'tied.onnx'),
      `g (float[N,1,8,8] x) => (float[N,10] y) <${weight('k', [10, 1, 8, 8])},
        float[${rows},64] t = {${values.join(',')}}, float[64,${rows}] u = {${turned.join(',')}}> {
        c = Conv(x, k) l = Flatten(c) i = ArgMax <axis: int = 1, keepdims: int = 0> (l) e = Gather(t, i) y = MatMul(e, u) }`,
    );
    const tied = { model, compress: [{ name: 'tie' }] };
    const ops = (m: Model): string[] => m.graph.topological().map((n) => n.op);
    const kept = await run({ ...tied, quantize: { format: 'float' } });
    expect(ops(kept.model)).toContain('Transpose');
    expect([...kept.model.graph.initializers].filter((v) => v.data!.dims.join() === '10,64')).toHaveLength(1);
    const apart = await run({ ...tied, quantize: {} });
    expect(ops(apart.model)).not.toContain('Transpose');
    expect(apart.record.runtime!.integerMacsShare).toBe(1);
  });
});
