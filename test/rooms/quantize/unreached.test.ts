/** What calibration never reached stays float: exact, and told once. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { FeedTensor } from '../../../src/ir/feed.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { resolveRecipe } from '../../../src/recipe/load.js';
import { openModel } from '../../../src/runtime/open.js';
import type { RunRecord } from '../../../src/record/run.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-test-'));
afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

const count = (n: number): FeedTensor => ({ dtype: 'int64', dims: [1], data: BigInt64Array.of(BigInt(n)) });
const row = (seed: number): FeedTensor => ({
  dtype: 'float32',
  dims: [1, 16],
  data: Float32Array.from({ length: 16 }, (_, i) => Math.sin(3 * i + seed)),
});

/** Calibrates with `rate` as given and gives the record and the SQNR for another rate. */
async function run(
  name: string,
  text: string,
  given: number,
): Promise<{ record: RunRecord; sqnr: (rate: number) => Promise<number> }> {
  const file = path.join(dir, `${name}.onnx`);
  saveModel(parseModel(`<ir_version: 8, opset_import: ["" : 17]>\n${text}`, { randomInitializers: 3 }), file);
  const module = path.join(dir, `${name}.mjs`);
  const samples =
    `x: { dtype: 'float32', dims: [1, 16], data: Float32Array.from({ length: 16 }, (_, i) => Math.sin(3 * i + ` +
    's)) }';
  const rate = `rate: { dtype: 'int64', dims: [1], data: BigInt64Array.of(${given}n) }`;
  writeFileSync(
    module,
    `export function* samples() { for (let s = 0; s < 4; s++) yield { feed: { ${samples}, ${rate} } }; }`,
  );
  const recipe = await resolveRecipe({
    version: 1,
    model: file,
    calibration: { data: { module }, cache: false },
    quantize: { format: 'qdq', weights: { reduceRange: true } },
    evaluation: { latency: false, profile: false },
  });
  const outDir = path.join(dir, `${name}-out`);
  const { record } = await runRecipe({ recipe, outDir });
  const models = [loadModel(file), loadModel(path.join(outDir, 'model.onnx'))];
  const sqnr = async (rate: number): Promise<number> => {
    const [a, b] = (await Promise.all(
      models.map(async (m) => {
        const session = await openModel(m);
        try {
          return (await session.run({ x: row(1), rate: count(rate) })).y!.data as Float32Array;
        } finally {
          await session.close();
        } // float32 outputs
      }),
    )) as [Float32Array, Float32Array]; // two models
    const noise = a.reduce((n, v, i) => n + (v - b[i]!) ** 2, 0);
    return noise === 0 ? Infinity : 10 * Math.log10(a.reduce((n, v) => n + v * v, 0) / noise);
  };
  return { record, sqnr };
}
const layers = (w: string, v: string, inside: string): string =>
  `h${w} = MatMul(${inside}, ${w}) r${w} = Relu(h${w}) o${w} = MatMul(r${w}, ${v})`;
const branches = `g (float[1,16] x, int64[1] rate) => (float[1,8] y) <int64[1] sixteen = {16000}, float[16,16] w, float[16,8] v, float[16,16] a, float[16,8] b, float k = {100}> {
  c = Equal(rate, sixteen) s = Squeeze(c)
  y = If (s) <then_branch = t () => (float[1,8] ow) { ${layers(
    'w',
    'v',
    'x',
  )} }, else_branch = e () => (float[1,8] oa) { big = Mul(x, k) ${layers('a', 'b', 'big')} }> }`;

describe('a branch that no sample takes', () => {
  it('is exact, and one warning tells it', async () => {
    const { record, sqnr } = await run('branch', branches, 16000);
    const told = record.diagnostics.filter((d) => d.code === 'NEVER_OBSERVED');
    expect(told).toHaveLength(1);
    expect(told[0]!.message).toContain('stay float');
    expect(await sqnr(8000)).toBeGreaterThan(120);
    expect(await sqnr(16000)).toBeGreaterThan(25);
    expect(await sqnr(16000)).toBeLessThan(80);
  });
  it('is found where it only reads what is computed outside, and makes floats', async () => {
    const text = branches.replace(`big = Mul(x, k) ${layers('a', 'b', 'big')}`, 'oa = MatMul(x, b)');
    const { record, sqnr } = await run('outside', text, 16000);
    expect(record.diagnostics.map((d) => d.code)).toContain('NEVER_OBSERVED');
    expect(await sqnr(8000)).toBeGreaterThan(120);
  });
  it('says nothing where both are taken', async () => {
    const { record } = await run(
      'one',
      branches
        .replace('sixteen = {16000}', 'sixteen = {1}')
        .replace('c = Equal(rate, sixteen)', 'c = Equal(rate, rate)'),
      1,
    );
    expect(record.diagnostics.filter((d) => d.code === 'NEVER_OBSERVED').length).toBeLessThanOrEqual(1);
  });
});

it('a Loop without a trip stays float', async () => {
  const text = `g (float[1,16] x, int64[1] rate) => (float[1,8] y) <float[16,16] w, float[16,8] v, float[16,16] a, float[16,16] b, bool go = {1}> {
    n = Squeeze(rate) ${layers('w', 'v', 'x')}
    z = Loop (n, go, x) <body = l (int64 i, bool c, float[1,16] u) => (bool d, float[1,16] oa) { d = Identity(c) ${layers(
      'a',
      'b',
      'u',
    )} }>
    q = MatMul(z, v) y = Add(ow, q) }`;
  const { record, sqnr } = await run('loop', text, 0);
  expect(record.diagnostics.filter((d) => d.code === 'NEVER_OBSERVED')).toHaveLength(1);
  const never = record.nodes.filter((n) => n.because === 'calibration never computed what it reads or makes');
  expect(never.map((n) => [n.planned, n.body?.split(' of ')[0]])).toEqual([
    ['float', 'body'],
    ['float', 'body'],
  ]);
  expect(await sqnr(0)).toBeGreaterThan(25);
});
