/** Sparse weights through whole runs: what is zero stays zero, whatever chooses codes, trains or writes. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/model.js';
import { loadModel } from '../../../src/onnx/files.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import type { RecipeInput } from '../../../src/recipe/schema.js';
import type { RunRecord } from '../../../src/record/index.js';
import { sparsityFindings } from '../../../src/pipeline/sparsity.js';
import { runRecordSpec } from '../../../src/record/run.js';
import { renderHtml, renderMarkdown } from '../../../src/report/index.js';
import { tinyRecipe } from '../search/tiny.js';
import { weight, writeModel } from './models.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-sparsify-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));
const base = tinyRecipe(temp);
const recipe = (more: Partial<RecipeInput>): RecipeInput => ({
  ...base,
  compress: [{ name: 'sparsify', pattern: { share: 0.5 } }],
  evaluation: { ...base.evaluation, samples: 20, latency: false, collapse: 0 },
  ...more,
  // Codes are looked for as initializers.
  quantize: { store: 'dense', ...more.quantize },
});
let runs = 0;
const run = async (more: Partial<RecipeInput>): Promise<{ record: RunRecord; model: Model }> => {
  const name = `run ${++runs}`;
  const given = await resolveRecipe(recipe(more), { baseDir: temp, name });
  const { record, outDir } = await runRecipe({ recipe: given, outDir: path.join(temp, name) });
  return { record, model: loadModel(path.join(outDir, 'model.onnx')) };
};
/** By the dims of the three weights, which half of each is zero. */
const GONE = new Map(
  [...loadModel(base.model!).graph.initializers]
    .filter((v) => v.data!.dims.length > 1)
    .map((v) => {
      const values = v.data!.f32().map(Math.abs);
      const limit = [...values].sort((a, b) => a - b)[values.length / 2 - 1]!;
      return [v.data!.dims.join('×'), [...values].map((w) => w <= limit)];
    }),
);
/** Where operators that read codes have their zero points. */
const ZERO_POINTS: Readonly<Record<string, readonly [weight: number, zero: number]>> = {
  DequantizeLinear: [0, 2],
  QLinearConv: [3, 5],
  QLinearMatMul: [3, 5],
  MatMulInteger: [1, 3],
  ConvInteger: [1, 3],
  DynamicQuantizeMatMul: [1, 3],
  MatMulIntegerToFloat: [1, 5],
  Conv: [1, -1],
  MatMul: [1, -1],
};
/** Of each weight that has the dims of one of the model: the codes less their zero points. */
function codesOf(model: Model): Map<string, number[]> {
  const found = new Map<string, number[]>();
  for (const v of model.graph.initializers) {
    const dims = v.data!.dims.join('×');
    const use = [...v.uses].find((u) => ZERO_POINTS[u.node.op]?.[0] === u.index);
    if (!GONE.has(dims) || !use) continue;
    const zero = use.node.inputs[ZERO_POINTS[use.node.op]![1]]?.data;
    const codes = [...v.data!.f64()];
    const zeros = zero ? [...zero.f64()] : [0];
    const axis = use.node.int('axis', 1);
    const size = v.data!.dims[axis < 0 ? axis + v.data!.dims.length : axis] ?? 1;
    const after = v.data!.dims.slice(axis + 1).reduce((n, d) => n * d, 1);
    const blocks = use.node.int('block_size', 0);
    if (blocks) {
      // One zero point for each block of rows of [8, 10]: all rows are one.
      found.set(
        dims,
        codes.map((q, at) => q - (zeros.length === 1 ? zeros[0]! : zeros[at % 10]!)),
      );
      continue;
    }
    found.set(
      dims,
      codes.map((q, at) => q - zeros[zeros.length === 1 ? 0 : Math.floor(at / after) % size]!),
    );
  }
  return found;
}
function expectZeros(model: Model, layers = GONE.size): void {
  const found = codesOf(model);
  expect(found.size).toBe(layers);
  for (const [dims, codes] of found) {
    GONE.get(dims)!.forEach((gone, at) => gone && expect([dims, at, Math.abs(codes[at]!)]).toEqual([dims, at, 0]));
    expect(codes.filter((q) => q !== 0).length).toBeGreaterThan(codes.length / 4);
  }
}
const TRAIN = { batch: 16, steps: 6, rate: 0.05, threads: 1, samples: 60, checkpoint: false } as const;

describe('zeros of sparsify', () => {
  it.each(['round', 'clip', 'hqq', 'k-quant', 'gptq', 'adaround', 'adaquant', 'brecq'])(
    'mean zero in the codes of %s, with zero points too',
    async (method) => {
      const weights = {
        bits: 4,
        symmetric: false,
        granularity: 'channel' as const,
        method,
        correct: ['bias' as const],
      };
      const { model } = await run({ quantize: { weights: { ...weights, dtype: 'int8' } } });
      expectZeros(model);
    },
  );
  it.each<[string, Partial<RecipeInput>, number?]>([
    ['qoperator', { quantize: { format: 'qoperator', weights: { method: 'gptq' } } }],
    ['dynamic', { quantize: { format: 'dynamic', dynamicConv: true, weights: { method: 'gptq' } } }],
    [
      'weight-only',
      {
        quantize: {
          format: 'weight-only',
          standardOps: true,
          weights: { dtype: 'uint4', symmetric: false, granularity: { block: 32 }, method: 'gptq' },
        },
      },
    ],
    ['float', { quantize: { format: 'float' } }],
    ['qdq with equalised channels', { adjust: ['equalise'] }],
    ['qdq after training', { train: TRAIN }],
    ['qdq after a teacher', { train: TRAIN, distill: {} }],
    ['qdq trained as it rounds', { train: { ...TRAIN, quantized: true } }],
    [
      'qdq of GPTQ, trained as it rounds',
      { train: { ...TRAIN, quantized: true }, quantize: { weights: { method: 'gptq' } } },
    ],
  ])('%s', async (_, more, layers) => {
    const { model } = await run(more);
    expectZeros(model, layers);
  });
});

describe('what is said and stored', () => {
  /** Large enough that masks pay. */
  const big = (): string =>
    writeModel(
      path.join(temp, 'big.onnx'),
      `g (float[N,1,8,8] x) => (float[N,10] y) <${weight('w', [32, 1, 3, 3])}, ${weight('v', [64, 32, 3, 3])}, ${weight('f', [64, 10])}> {
        c = Conv(x, w) r = Relu(c) d = Conv(r, v) q = Relu(d) p = GlobalAveragePool(q) l = Flatten(p) y = MatMul(l, f) }`,
    );
  it.each<['qdq' | 'float' | 'dynamic', number, number]>([
    ['float', 0.5, 0.6],
    ['qdq', 0.6, 0.8],
    ['dynamic', 0.5, 0.8],
  ])('%s files hold no zeros, and give the same', async (format, least, most) => {
    const more = { model: big(), compress: [{ name: 'sparsify', pattern: '2:4' }] };
    const made = await run({ ...more, quantize: { format, store: undefined } });
    const dense = await run({ ...more, quantize: { format } });
    const size = (r: RunRecord): number => r.model.quantized!.bytes;
    expect(size(made.record) / size(dense.record)).toBeGreaterThan(least);
    expect(size(made.record) / size(dense.record)).toBeLessThan(most);
    const { storage, zeros, weights } = made.record.sparsity!;
    expect(zeros / weights).toBeCloseTo(0.5, 2);
    expect(storage).toMatchObject({ sparse: 0, denseBytes: size(dense.record), bytes: size(made.record) });
    expect(storage!.mask).toBeGreaterThan(0);
    expect(dense.record.sparsity).toBeUndefined();
    expect(made.record.evaluation!.metrics).toEqual(dense.record.evaluation!.metrics);
    expect(made.record.runtime?.integerMacsShare).toEqual(dense.record.runtime?.integerMacsShare);
    // Put together when the model is loaded, not in each run.
    const ran = Object.keys(made.record.runtime!.ops);
    for (const op of ['CumSum', 'BitShift', 'Gather']) expect(ran).not.toContain(op);
  });
  it('tells the zeros of each layer, and that nothing is faster', async () => {
    const { record } = await run({ compress: [{ name: 'sparsify', pattern: { share: 0.75 } }] });
    expect(runRecordSpec.safeParse(record).success).toBe(true);
    const [given, after] = record.compression!.states;
    expect(given!.sparsity).toBeUndefined();
    expect(after!.sparsity!.layers.map((l) => [l.zeros, l.weights])).toEqual([
      [54, 72],
      [432, 576],
      [60, 80],
    ]);
    expect(record.diagnostics.map((d) => d.code)).toContain('SPARSE_NOT_FASTER');
    for (const text of [renderMarkdown(record), renderHtml(record)]) {
      expect(text).toContain('onnxruntime computes zeros like other numbers');
      expect(text).toMatch(/75.0.%/);
    }
  });
  it('says where zeros were lost', async () => {
    const lost = {
      compression: { states: [{ sparsity: { zeros: 50, weights: 100, layers: [] } }] },
      sparsity: { zeros: 20, weights: 100, layers: [] },
    } as unknown as RunRecord; // what the findings look at
    expect(sparsityFindings(lost).map((d) => d.code)).toEqual(['SPARSITY_LOST', 'SPARSE_NOT_FASTER']);
    await Promise.resolve();
  });
  it('refuses what contradicts itself, and methods without samples', async () => {
    const refused = async (step: object, more: Partial<RecipeInput> = {}): Promise<void> => {
      const given = recipe({ compress: [{ name: 'sparsify', ...step }], ...more });
      await expect(resolveRecipe(given)).rejects.toMatchObject({ code: 'RECIPE_INVALID' });
    };
    await refused({ pattern: '4:4' });
    await refused({ pattern: '0:4' });
    await refused({ pattern: { share: 1 } });
    await refused({ pattern: { share: 0.5, block: [2, 2], scope: 'row' } });
    await refused({ method: 'wanda' }, { calibration: {}, quantize: { format: 'float' } });
    await resolveRecipe(recipe({ calibration: {}, quantize: { format: 'float' } }));
  });
});
