import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Tensor } from '../../../src/ir/tensor.js';
import { parseModel } from '../../../src/ir/text/parse.js';
import { saveModel } from '../../../src/onnx/files.js';
import { measureOwnProcess } from '../../../src/runtime/own-process.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-own-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const feed = { x: { dtype: 'float32', dims: [1, 2048], data: new Float32Array(2048) } } as const;

function product(file: string, columns: number): string {
  const model = parseModel(
    `<ir_version: 8, opset_import: ["" : 17]>\n` +
      `g (float[N,2048] x, float[2048,${columns}] w) => (float[N,${columns}] y) { y = MatMul(x, w) }`,
  );
  const w = model.graph.inputs[1]!;
  w.data = new Tensor('float32', [2048, columns], new Uint8Array(4 * 2048 * columns));
  model.graph.addInitializer(w); // also an input, with this as its default
  saveModel(model, path.join(dir, file));
  return path.join(dir, file);
}

describe('measureOwnProcess', () => {
  it('sees the memory that larger weights need, and takes times', async () => {
    const small = await measureOwnProcess({ file: product('small.onnx', 16), feed, threads: 1 });
    const large = await measureOwnProcess({ file: product('large.onnx', 4096), feed, threads: 1 });
    expect(large.peakBytes - small.peakBytes).toBeGreaterThan(0.9 * 4 * 2048 * 4096);
    for (const f of [small, large]) {
      expect(f.loadMs).toBeGreaterThan(0);
      expect(f.firstRunMs).toBeGreaterThan(0);
    }
  });
  it('reports models that do not load, and stops when asked to', async () => {
    const bad = path.join(dir, 'bad.onnx');
    writeFileSync(bad, 'not a model');
    await expect(measureOwnProcess({ file: bad, feed, threads: 1 })).rejects.toMatchObject({ code: 'MODEL_RUNTIME' });
    await expect(
      measureOwnProcess({ file: product('slow.onnx', 16), feed, threads: 1, timeoutMs: 1 }),
    ).rejects.toMatchObject({ code: 'MODEL_RUNTIME' });
    await expect(
      measureOwnProcess({ file: bad, feed, threads: 1, signal: AbortSignal.abort(new Error('stop')) }),
    ).rejects.toThrow('stop');
  });
});
