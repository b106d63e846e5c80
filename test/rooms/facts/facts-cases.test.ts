/** Sizes, parameters and opsets as they are told. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseModel } from '../../../src/ir/text/parse.js';
import { loadModel, saveModel } from '../../../src/onnx/files.js';
import { modelFacts } from '../../../src/facts/model.js';
import { optimizeFile } from '../../../src/standalone/optimize.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { bytesOnDisk } from '../../../src/pipeline/sources.js';
import { benchFiles } from '../../../src/standalone/standalone.js';
import { loadRecipe } from '../../../src/recipe/load.js';
import { CASES, NO_CASES, weight, writeModel } from '../pipeline/models.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-facts-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const NORM = `<ir_version: 8, opset_import: ["" : 12]> g (float[N,8] x) => (float[N,8] y) <float e = {0.00001}, float two = {2}> {
  m = ReduceMean <axes = [-1]> (x)  d = Sub(x, m)  q = Pow(d, two)  v = ReduceMean <axes = [-1]> (q)  a = Add(v, e)  s = Sqrt(a)  y = Div(d, s) }`;

describe('bytesOnDisk', () => {
  it('counts external data once', () => {
    const file = path.join(dir, 'external.onnx');
    const model = parseModel(
      `<ir_version: 8, opset_import: ["" : 17]> g (float[N,16] x) => (float[N,16] y) ` +
        `<${weight('w', [16, 16])}, ${weight('v', [16, 16])}> { a = MatMul(x, w)  y = MatMul(a, v) }`,
    );
    const { files } = saveModel(model, file, { externalData: 'always', externalThresholdBytes: 64 });
    expect(files).toHaveLength(2);
    expect(bytesOnDisk(file, loadModel(file))).toBe(files.reduce((n, f) => n + statSync(f.path).size, 0));
  });
});

describe('parameters', () => {
  it('count weights in Constant nodes, in branches too', () => {
    const model = parseModel(`<ir_version: 8, opset_import: ["" : 17]> g (float[N,2] x, bool c) => (float[N,2] y) {
      w = Constant <value = float[2,2] {1,2,3,4}> ()
      y = If (c) <then_branch = t () => (float[A,B] p) { k = Constant <value = float[2] {1,2}> ()  p = MatMul(x, k) }, else_branch = f () => (float[A,B] q) { q = MatMul(x, w) }> }`);
    expect(modelFacts(model, '', 0, '', undefined).parameters).toBe(6);
  });
});

describe('optimizeFile', () => {
  it('raises the opset only as far as a fusion needs, and tells', async () => {
    const { opset, nodes } = await optimizeFile(
      writeModel(path.join(dir, 'norm.onnx'), NORM),
      path.join(dir, 'norm-out.onnx'),
      { level: 'default' },
    );
    expect(opset).toEqual({ before: 12, after: 17 });
    expect(nodes.after).toBe(1);
  });
});

describe.skipIf(NO_CASES)('cases of bug reports (skipped where ../shared/cases is absent)', () => {
  it('external-size: the float model is its file and its data', async () => {
    const recipe = await loadRecipe(path.join(CASES, 'models/external-size/external-size.yaml'), {
      set: ['calibration.cache=false', 'evaluation.latency=false'],
    });
    const { record } = await runRecipe({ recipe, outDir: path.join(dir, 'external-size') });
    expect(record.model.float.bytes).toBe(262_306);
    expect(record.gate?.verdict).toBe('pass');
    const benched = await benchFiles({
      files: [path.join(CASES, 'models/external-size/external-size.onnx')],
      runs: 1,
      warmup: 0,
      threads: 1,
      batch: 1,
      report: () => undefined,
    });
    expect(benched.models[0]!.bytes).toBe(262_306);
  });
  it('inspect-constant-params and optimize-raises-opset', async () => {
    expect(
      modelFacts(
        loadModel(path.join(CASES, 'models/inspect-constant-params/inspect-constant-params.onnx')),
        '',
        0,
        '',
        undefined,
      ).parameters,
    ).toBe(216);
    const found = await optimizeFile(
      path.join(CASES, 'models/optimize-raises-opset/optimize-raises-opset.onnx'),
      path.join(dir, 'raised.onnx'),
      { level: 'default' },
    );
    expect(found.opset).toEqual({ before: 12, after: 17 });
  });
});
