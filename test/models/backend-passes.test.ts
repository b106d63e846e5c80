/**
 * Every backend test model of the `onnx` package through shape inference, the cleaning passes and opset conversion:
 * inferred shapes are those of the expected outputs, and outputs in onnxruntime stay what they were.
 * Run scripts/backend-cases.py DIRECTORY first, then with QUANTBENCH_BACKEND_CASES=DIRECTORY.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { QuantError } from '../../src/base/errors.js';
import type { Feed } from '../../src/ir/feed.js';
import type { Model } from '../../src/ir/graph.js';
import { inlineFunctions } from '../../src/ir/inline.js';
import { verify } from '../../src/ir/verify.js';
import { loadModel } from '../../src/onnx/files.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { decodeTensorFile } from '../../src/onnx/tensor.js';
import { forgetInferred, inferShapes } from '../../src/ops/infer.js';
import { convertOpset } from '../../src/passes/convert-opset.js';
import { cleaning } from '../../src/passes/presets.js';
import { feedOf } from '../../src/pipeline/feeds.js';
import { optimizeGraph } from '../../src/pipeline/optimize.js';
import { runPasses } from '../../src/rewrite/pass.js';
import { evaluateModel } from '../../src/runtime/open.js';
import { Session } from '../../src/runtime/session.js';

const directory = process.env['QUANTBENCH_BACKEND_CASES'];
const cases = directory === undefined ? [] : fs.readdirSync(directory).filter((c) => fs.existsSync(path.join(directory, c, 'model.onnx'))).sort();

function feedsOf(folder: string, model: Model): Feed | undefined {
  const feeds: Record<string, Feed[string]> = {};
  for (const [i, input] of model.graph.inputs.entries()) {
    const file = path.join(folder, 'test_data_set_0', `input_${i}.pb`);
    if (!fs.existsSync(file)) { if (input.data) continue; return undefined; }
    if (input.other) return undefined;
    try { feeds[input.name] = feedOf(decodeTensorFile(fs.readFileSync(file), { file })); } catch { return undefined; } // types that onnxruntime-node cannot be fed
  }
  return feeds;
}

async function outputs(bytes: Uint8Array, feed: Feed): Promise<Feed | string> {
  let session: Session | undefined;
  try {
    session = await Session.open(bytes, { optimization: 'disabled' });
    return await session.run(feed);
  } catch (e) {
    if (e instanceof QuantError) return e.message;
    throw e;
  } finally { await session?.close(); }
}

function difference(a: Feed, b: Feed): number {
  let worst = 0;
  for (const [name, x] of Object.entries(a)) {
    const y = b[name];
    if (!y || JSON.stringify(y.dims) !== JSON.stringify(x.dims) || y.dtype !== x.dtype) return Infinity;
    for (let i = 0; i < x.data.length; i++) {
      const [p, q] = [x.data[i], y.data[i]];
      if (p === q || (Number.isNaN(p) && Number.isNaN(q))) continue;
      if (typeof p === 'string') return Infinity;
      worst = Math.max(worst, Math.abs(Number(p) - Number(q)) / (1 + Math.abs(Number(p))));
    }
  }
  return worst;
}

describe.skipIf(directory === undefined)('backend models (skipped unless QUANTBENCH_BACKEND_CASES names a folder of cases)', () => {
  it('have the shapes that inference says', () => {
    const wrong: string[] = [];
    let known = 0;
    for (const c of cases) {
      const folder = path.join(directory!, c);
      let model: Model;
      try { model = loadModel(path.join(folder, 'model.onnx')); inlineFunctions(model); } catch (e) { if (e instanceof QuantError) continue; throw e; }
      const declared = model.graph.outputs.map((o) => ({ shape: o.shape, dtype: o.dtype }));
      for (const o of model.graph.outputs) { o.shape = undefined; o.dtype = undefined; }
      forgetInferred(model);
      inferShapes(model);
      model.graph.outputs.forEach((o, i) => {
        const file = path.join(folder, 'test_data_set_0', `output_${i}.pb`);
        if (!o.shape) return;
        known++;
        let dims: readonly (number | string | null)[] | undefined = declared[i]!.shape;
        try { dims = decodeTensorFile(fs.readFileSync(file), { file }).dims; } catch { /* sequences, or no data: the declared shape stands */ }
        if (!dims) return;
        if (dims.length !== o.shape.length || o.shape.some((d, k) => typeof d === 'number' && typeof dims![k] === 'number' && d !== dims![k])) wrong.push(`${c}: output ${i} inferred [${o.shape.join(',')}], is [${dims.join(',')}]`);
        if (o.dtype && declared[i]!.dtype && o.dtype !== declared[i]!.dtype) wrong.push(`${c}: output ${i} inferred ${o.dtype}, is ${declared[i]!.dtype}`);
      });
    }
    expect(wrong).toEqual([]);
    expect(known).toBeGreaterThan(1000);
  });

  it('keep their outputs through cleaning and conversion to the newest opset of their tests', async () => {
    const wrong: string[] = [];
    let compared = 0;
    for (const c of cases) {
      const folder = path.join(directory!, c);
      let model: Model;
      try { model = loadModel(path.join(folder, 'model.onnx')); } catch (e) { if (e instanceof QuantError) continue; throw e; }
      const feed = feedsOf(folder, model);
      if (!feed) continue;
      const before = await outputs(fs.readFileSync(path.join(folder, 'model.onnx')), feed);
      if (typeof before === 'string') continue;
      try {
        inlineFunctions(model);
        await runPasses(model, cleaning, { evaluate: evaluateModel });
        if ((model.opsets.get('') ?? 0) >= 7) convertOpset(model, Math.max(21, model.opsets.get('') ?? 0));
        const broken = verify(model)[0];
        if (broken) { wrong.push(`${c}: ${broken.message}`); continue; }
        const bytes = encodeModel(model);
        const names = new Set(model.graph.inputs.map((v) => v.name));
        const after = await outputs(bytes, Object.fromEntries(Object.entries(feed).filter(([k]) => names.has(k))));
        compared++;
        if (typeof after === 'string') wrong.push(`${c}: ${after}`);
        else if (difference(before, after) > 1e-5 && !/dropout|bernoulli|random|training/i.test(c)) wrong.push(`${c}: outputs differ by ${difference(before, after)}`);
      } catch (e) {
        if (!(e instanceof QuantError)) throw new Error(`${c}: ${(e as Error).stack}`);
        if (e.code !== 'MODEL_UNSUPPORTED') wrong.push(`${c}: ${e.code} ${e.message}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(1000);
  });

  it('keep their outputs through optimising, which finds nothing the second time', async () => {
    const wrong: string[] = [];
    let compared = 0;
    for (const c of cases) {
      const folder = path.join(directory!, c);
      let model: Model;
      try { model = loadModel(path.join(folder, 'model.onnx')); } catch (e) { if (e instanceof QuantError) continue; throw e; }
      const feed = feedsOf(folder, model);
      if (!feed) continue;
      const before = await outputs(fs.readFileSync(path.join(folder, 'model.onnx')), feed);
      if (typeof before === 'string') continue;
      try {
        await optimizeGraph(model, { level: 'aggressive' });
        const names = new Set(model.graph.inputs.map((v) => v.name));
        const after = await outputs(encodeModel(model), Object.fromEntries(Object.entries(feed).filter(([k]) => names.has(k))));
        compared++;
        if (typeof after === 'string') wrong.push(`${c}: ${after}`);
        else if (difference(before, after) > 1e-5 && !/dropout|bernoulli|random|training/i.test(c)) wrong.push(`${c}: outputs differ by ${difference(before, after)}`);
        const again = (await optimizeGraph(model, { level: 'aggressive' })).find((t) => t.changes > 0);
        if (again) wrong.push(`${c}: the second run changes something in ${again.pass}`);
      } catch (e) {
        if (!(e instanceof QuantError)) throw new Error(`${c}: ${(e as Error).stack}`);
        if (e.code !== 'MODEL_UNSUPPORTED') wrong.push(`${c}: ${e.code} ${e.message}`);
      }
    }
    expect(wrong).toEqual([]);
    expect(compared).toBeGreaterThan(1000);
  });
});
