import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Diagnostic } from '../../../src/base/errors.js';
import { benchFiles, type Benched } from '../../../src/standalone/standalone.js';
import { recipeOf, writeModel, writeNpy } from '../pipeline/models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-bench-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const image = writeModel(path.join(dir, 'image.onnx'), 'g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu(x) }');
const pair = writeModel(
  path.join(dir, 'pair.onnx'),
  'g (float[batch,seq,4] x, float[batch,seq,4] m) => (float[batch,seq,4] y) { y = Add(x, m) }',
);
const state = writeModel(
  path.join(dir, 'state.onnx'),
  'g (float[N,T] x, float[2,N,1] s) => (float[2,N,T] y) { y = Add(x, s) }',
);
const found: Diagnostic[] = [];
const bench = (file: string, more: object = {}): Promise<Benched> => {
  found.length = 0;
  return benchFiles({ files: [file], runs: 2, warmup: 0, threads: 1, batch: 1, report: (d) => found.push(d), ...more });
};

describe('what bench runs on', () => {
  it('guesses open sizes that run, says so, and tells the shapes', async () => {
    expect((await bench(image)).inputShapes).toEqual({ x: [1, 3, 224, 224] });
    expect(found).toMatchObject([
      {
        severity: 'warning',
        code: 'SIZES_GUESSED',
        message: expect.stringContaining("axis 2 of 'x' is 224") as unknown,
        hint: expect.stringContaining('x=1x3x224x224') as unknown,
      },
    ]);
    expect((await bench(image, { batch: 3 })).inputShapes).toEqual({ x: [3, 3, 224, 224] });
    expect((await bench(state, { batch: 3 })).inputShapes).toEqual({ x: [3, 32], s: [2, 3, 1] });
  });
  it('takes sizes that are given, and gives axes of one name one size', async () => {
    expect((await bench(image, { shapes: new Map([['x', [2, 3, 16, 8]]]) })).inputShapes).toEqual({ x: [2, 3, 16, 8] });
    expect(found).toEqual([]);
    expect((await bench(pair, { shapes: new Map([['x', [2, 7, 4]]]) })).inputShapes).toEqual({
      x: [2, 7, 4],
      m: [2, 7, 4],
    });
    expect(found).toEqual([]);
  });
  it('refuses sizes that the model does not take', async () => {
    await expect(bench(image, { shapes: new Map([['x', [1, 4, 8, 8]]]) })).rejects.toMatchObject({
      code: 'USAGE',
      where: { tensor: 'x' },
    });
    await expect(bench(image, { shapes: new Map([['x', [1, 3, 8]]]) })).rejects.toMatchObject({ code: 'USAGE' });
  });
  it('takes a real sample of a recipe', async () => {
    const data = { npy: writeNpy(path.join(dir, 'x.npy'), [5, 3, 12, 10]) };
    const recipe = await recipeOf(dir, { model: image, quantize: { format: 'dynamic' }, evaluation: { data } });
    expect((await bench(image, { recipe })).inputShapes).toEqual({ x: [1, 3, 12, 10] });
    expect(found).toEqual([]);
  });
});
