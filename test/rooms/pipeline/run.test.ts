import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { RunRecord } from '../../../src/record/index.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { loadRecipe } from '../../../src/recipe/load.js';
import { sha256File } from '../../../src/base/files.js';

const recipeFile = path.join(import.meta.dirname, '..', '..', '..', 'recipes', 'int8-minmax.yaml');
const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-test-'));
const cache = path.join(root, 'cache');
const spoken: unknown[] = [];

async function run(out: string, ...set: string[]): Promise<RunRecord> {
  const recipe = await loadRecipe(recipeFile, { set: ['evaluation.latency=false', ...set] });
  return (await runRecipe({ recipe, outDir: path.join(root, out) })).record;
}

afterAll(() => {
  vi.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

describe('a run on the demo', () => {
  let miss: RunRecord;
  let hit: RunRecord;
  beforeAll(async () => {
    for (const stream of [process.stdout, process.stderr])
      vi.spyOn(stream, 'write').mockImplementation((text) => {
        spoken.push(text);
        return true;
      });
    try {
      miss = await run('a', `calibration.cache=${cache}`);
      // What is measured afterwards is no part of the model's bytes: the first run measures all of it.
      const less = ['evaluation.samples=16', 'evaluation.layers=false', 'evaluation.profile=false'];
      hit = await run('b', `calibration.cache=${cache}`, ...less);
      await run('c', 'calibration.cache=false', ...less);
    } finally {
      vi.restoreAllMocks();
    }
  });

  it('says nothing on the console', () => {
    expect(spoken).toEqual([]);
  });

  it('keeps the accuracy, with every product in integers', () => {
    const top1 = miss.evaluation?.metrics.find((m) => m.name === 'top1');
    expect(top1?.float).toBeCloseTo(98.7, 5);
    expect(top1?.quantized).toBeGreaterThanOrEqual(98.2);
    expect(miss.runtime?.integerMacsShare).toBe(1);
    expect(miss.runtime?.unfused).toEqual([]);
    expect(miss.runtime?.floatCompute).toEqual([]);
  });

  it('quantizes what the whole optimiser leaves just as well', async () => {
    const record = await run(
      'optimised',
      `calibration.cache=false`,
      'optimize.level=default',
      'evaluation.samples=300',
      'evaluation.layers=false',
      'evaluation.profile=false',
    );
    expect(record.passes.some((p) => p.pass === 'deduplicate-initializers')).toBe(true);
    expect([record.runtime?.integerMacsShare, record.runtime?.unfused]).toEqual([1, []]);
    expect(record.evaluation?.metrics[0]?.change).toBeGreaterThan(-1);
  });

  it('gives every quantized point its parameters', () => {
    const quantized = miss.points.filter((p) => p.kind !== 'float');
    expect(quantized.length).toBeGreaterThan(20);
    expect(quantized.filter((p) => p.scale === undefined).map((p) => p.name)).toEqual([]);
  });

  it('names the points that nodes read and make, with a Relu fused into its convolution', () => {
    const known = new Set(miss.points.map((p) => p.name));
    const integer = miss.nodes.filter((n) => n.planned === 'integer');
    for (const n of integer) expect([...n.reads!, ...n.makes!].filter((p) => !known.has(p))).toEqual([]);
    const second = integer.filter((n) => n.op === 'Conv')[1]!;
    expect(second.reads).toEqual([
      '/features/features.0/features.0.2/Relu_output_0',
      'features.1.body.0.0.weight',
      'features.1.body.0.0.weight_bias',
    ]);
    expect(second.makes).toEqual(['/features/features.1/body/body.0/body.0.2/Relu_output_0']);
  });

  it('writes the record and the model that it describes', () => {
    expect(readdirSync(path.join(root, 'a')).sort()).toEqual(['model.onnx', 'run.json']);
    // our own file
    expect((JSON.parse(readFileSync(path.join(root, 'a', 'run.json'), 'utf8')) as RunRecord).outcome).toBe('ok');
    expect(miss.files.map((f) => [f.path, f.sha256])).toEqual([
      ['model.onnx', sha256File(path.join(root, 'a', 'model.onnx'))],
    ]);
  });

  it('is the same to the byte, with statistics measured, reused or uncached', () => {
    expect([miss.calibration?.cache, hit.calibration?.cache]).toEqual(['miss', 'hit']);
    const bytes = ['a', 'b', 'c'].map((d) => readFileSync(path.join(root, d, 'model.onnx')));
    expect(bytes[1]!.equals(bytes[0]!)).toBe(true);
    expect(bytes[2]!.equals(bytes[0]!)).toBe(true);
  });

  it('leaves earlier outputs as they were when the result collapses', async () => {
    const before = sha256File(path.join(root, 'a', 'model.onnx'));
    writeFileSync(path.join(root, 'a', 'note.txt'), 'mine');
    const recipe = [
      'calibration.cache=false',
      'calibration.samples=8',
      'evaluation.samples=64',
      'evaluation.collapse=1',
      'quantize.weights.dtype=int4',
      'quantize.weights.granularity=tensor',
    ];
    await expect(run('a', ...recipe)).rejects.toMatchObject({ code: 'QUANTIZE_COLLAPSED' });
    expect(readdirSync(path.join(root, 'a')).sort()).toEqual(['model.onnx', 'note.txt', 'run.json']);
    expect(sha256File(path.join(root, 'a', 'model.onnx'))).toBe(before);
    await expect(run('d', ...recipe)).rejects.toMatchObject({ code: 'QUANTIZE_COLLAPSED' });
    expect(existsSync(path.join(root, 'd')) ? readdirSync(path.join(root, 'd')) : []).toEqual([]);
  });
});
