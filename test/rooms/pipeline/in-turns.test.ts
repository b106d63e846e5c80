/** Two models of which memory holds one: the same numbers as with both, and never two open. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { batches, type Batch } from '../../../src/data/batch.js';
import { encodeTensor } from '../../../src/ir/encode.js';
import type { Sample } from '../../../src/ir/feed.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { takeTurns } from '../../../src/pipeline/in-turns.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import type { RunRecord } from '../../../src/record/index.js';
import { Session } from '../../../src/runtime/session.js';
import { tinyDecoder, tinyTexts } from '../tiny-decoder.js';
import { recipeOf, writeModel } from './models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'turns-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());

/** Counts the sessions that are open at the same time. */
function watchSessions(): { most: number } {
  const seen = { most: 0 };
  let open = 0;
  const start = Session.open.bind(Session);
  vi.spyOn(Session, 'open').mockImplementation(async (...given) => {
    const session = await start(...given);
    seen.most = Math.max(seen.most, ++open);
    const close = session.close.bind(session);
    session.close = async () => {
      open--;
      await close();
    };
    return session;
  });
  return seen;
}

describe('takeTurns', () => {
  const scaled = (name: string, by: number): string =>
    writeModel(
      path.join(dir, name),
      `g (float[n,2] x) => (float[n,2] y, int64[n] best) <float by = {${by}}, int64 one = {1}> {
        y = Mul(x, by)  best = ArgMax<axis = 1, keepdims = 0>(y) }`,
    );
  const [twice, thrice] = [scaled('twice.onnx', 2), scaled('thrice.onnx', 3)];
  const samples = async function* (): AsyncGenerator<Sample> {
    for (let i = 0; i < 5; i++) {
      const x = { dtype: 'float32', dims: [1, 2], data: Float32Array.of(i, 10 * i) } as const;
      yield await Promise.resolve({ id: String(i), hash: String(i), feeds: [{ x }] });
    }
  };
  const all = (): AsyncGenerator<Batch> =>
    batches(samples(), { size: 1, inputs: [{ name: 'x', dtype: 'float32', shape: ['n', 2] }] });

  it.each([
    ['all in one piece', undefined, 3],
    ['a piece for each batch', 1, 1 + 2 * 5],
  ])('%s', async (_what, most, opened) => {
    const seen = watchSessions();
    const start = { float: () => Session.open(twice), other: () => Session.open(thrice) };
    const turns = await takeTurns(start, { folder: dir, ...(most === undefined ? {} : { most }) });
    const found: unknown[] = [];
    for await (const { feeds } of turns.batches(all())) {
      const [a, b] = [await turns.float.run(feeds[0]!), await turns.other.run(feeds[0]!)];
      found.push([a.y, a.best?.data, b.y?.data].map((v) => v ?? null));
    }
    await turns.close();
    const pair = (i: number, by: number): Float32Array => Float32Array.of(by * i, 10 * by * i);
    expect(found).toEqual(
      [0, 1, 2, 3, 4].map((i) => [
        { dtype: 'float32', dims: [1, 2], data: pair(i, 2) },
        BigInt64Array.of(i ? 1n : 0n),
        pair(i, 3),
      ]),
    );
    expect(seen.most).toBe(1);
    expect(vi.mocked(Session.open)).toHaveBeenCalledTimes(opened);
    expect(readdirSync(dir).filter((f) => f.startsWith('.float-outputs'))).toEqual([]);
  });

  it('gives way where reading samples fails, and leaves nothing', async () => {
    const start = { float: () => Session.open(twice), other: () => Session.open(thrice) };
    const turns = await takeTurns(start, { folder: dir });
    const broken = async function* (): AsyncGenerator<Batch> {
      for await (const b of all()) yield b;
      throw new Error('unreadable');
    };
    const read = async (): Promise<void> => {
      for await (const { feeds } of turns.batches(broken())) await turns.float.run(feeds[0]!);
    };
    await expect(read()).rejects.toThrow('unreadable');
    await turns.close();
    expect(readdirSync(dir).filter((f) => f.startsWith('.float-outputs'))).toEqual([]);
  });
});

describe('a run with memory for one of its models', () => {
  const model = path.join(dir, 'outside.onnx');
  saveModel(loadModel(tinyDecoder(dir)), model, { externalData: 'always' });
  const { text, tokenizer } = tinyTexts(dir);
  const data = { text, tokenizer };
  const run = async (memory: number | undefined, dryRun = false, file = model): Promise<RunRecord> => {
    const recipe = await recipeOf(dir, {
      model: file,
      ...(memory === undefined ? {} : { memory }),
      quantize: { format: 'weight-only', weights: { dtype: 'int4', granularity: { block: 32 } } },
      evaluation: { data, metrics: ['perplexity', 'kl'], samples: 8, generation: false },
    });
    const outDir = mkdtempSync(path.join(dir, 'out-'));
    const { record } = await runRecipe({ recipe, outDir, dryRun });
    expect(readdirSync(outDir).filter((f) => f.startsWith('.'))).toEqual([]);
    return record;
  };

  it('measures what is measured with both open', async () => {
    const together = await run(undefined);
    const seen = watchSessions();
    const apart = await run(20_000);
    expect(seen.most).toBe(1);
    const told = apart.diagnostics.find((d) => d.code === 'LARGE_MODEL');
    expect(told?.message).toContain('opened one after the other for the evaluation data');
    expect(apart.evaluation?.samples).toBe(8);
    expect(apart.evaluation?.sampleSet).toBe(together.evaluation?.sampleSet);
    const [before, after] = [together, apart].map((r) => r.evaluation?.metrics ?? []);
    expect(after!.map((m) => m.name)).toEqual(['perplexity', 'kl']);
    // weights that are not packed are summed in another order
    after!.forEach((m, i) => {
      expect(m.float).toBeCloseTo(before![i]!.float!, 4);
      expect(m.quantized).toBeCloseTo(before![i]!.quantized, 4);
    });
    expect(apart.evaluation?.outputs.map((o) => o.name)).toEqual(together.evaluation?.outputs.map((o) => o.name));
  });

  it('takes a model that computes in bfloat16 the same way', async () => {
    const file = path.join(dir, 'brain.onnx');
    const made = loadModel(model);
    for (const v of [...made.graph.inputs, ...made.graph.outputs]) if (v.dtype === 'float32') v.dtype = 'bfloat16';
    for (const v of made.graph.initializers)
      if (v.data?.dtype === 'float32')
        made.graph.addInitializer(v, encodeTensor('bfloat16', v.data.dims, v.data.f32()));
    for (const n of made.graph.nodes) if (n.op === 'Cast') n.setInt('to', 16);
    saveModel(made, file, { externalData: 'always' });
    const apart = await run(10_000, false, file);
    expect(apart.diagnostics.map((d) => d.code)).toContain('BFLOAT16_WIDENED');
    expect(apart.evaluation?.samples).toBe(8);
    const together = await run(undefined, false, file);
    expect(apart.evaluation?.metrics[0]?.float).toBeCloseTo(together.evaluation?.metrics[0]?.float ?? NaN, 4);
  });

  it('leaves evaluation out where not even the float model fits, and forecasts both', async () => {
    const none = await run(9_000);
    expect(none.evaluation).toBeUndefined();
    expect(none.diagnostics.map((d) => d.code)).toContain('NOT_EVALUATED');
    const forecast = async (memory: number): Promise<string> =>
      (await run(memory, true)).diagnostics.find((d) => d.code === 'FORECAST')?.message ?? '';
    expect(await forecast(20_000)).toMatch(/evaluation, one model after the other, in \d+.* of memory/);
    expect(await forecast(9_000)).toMatch(/evaluation is left out/);
  });
});
