import { anyParams } from './any-params.js';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { batches } from '../../src/data/batch.js';
import { compareModels } from '../../src/evaluate/compare.js';
import { formats } from '../../src/formats/index.js';
import type { Model } from '../../src/ir/model.js';
import { loadModel, saveModel } from '../../src/onnx/files.js';
import { inferShapes } from '../../src/ops/infer.js';
import { convertOpset } from '../../src/passes/convert-opset.js';
import { cleaning } from '../../src/passes/presets.js';
import { planDynamic } from '../../src/quantize/planners/dynamic.js';
import { planQuantization } from '../../src/quantize/planners/static.js';
import type { Planned } from '../../src/scheme/quantized.js';
import { runPasses } from '../../src/rewrite/pass.js';
import { inspectOptimized, type PlannedNode } from '../../src/runtime/inspect-optimized.js';
import { evaluateModel } from '../../src/runtime/open.js';
import { Session } from '../../src/runtime/session.js';
import { onnxruntimeCpu } from '../../src/targets/onnxruntime-cpu/index.js';
import { open } from '../rooms/data/helpers.js';

const models = path.resolve('../shared/models');
const dir = mkdtempSync(path.join(os.tmpdir(), 'quantbench-truth-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const PRODUCTS = new Set(['Conv', 'ConvTranspose', 'MatMul', 'Gemm']);
const weights = { dtype: 'int8', symmetric: true, granularity: 'channel', observer: 'minmax' } as const;

async function cleaned(name: string): Promise<Model> {
  const model = loadModel(path.join(models, `${name}.onnx`));
  await runPasses(model, cleaning, { evaluate: evaluateModel });
  inferShapes(model);
  convertOpset(model, 13);
  inferShapes(model);
  return model;
}
const products = (model: Model): PlannedNode[] =>
  [...model.graph.nodes]
    .filter((n) => PRODUCTS.has(n.op))
    .map((n) => ({
      name: n.name,
      macs: 1,
      outputs: n.outputs.map((o) => o.name),
      constants: n.inputs.flatMap((v) => (v?.isInitializer ? [v.name] : [])),
    }));

/** Every activation gets the range −4…4: which kernels run does not depend on it. */
function write(model: Model, planned: Planned, format: string): string {
  formats
    .find((f) => f.name === format)!
    .rewrite({ model, planned, params: anyParams(planned), target: onnxruntimeCpu, seed: 0 });
  const file = path.join(dir, 'quantized.onnx');
  saveModel(model, file);
  return file;
}

describe.skipIf(!existsSync(models))('what onnxruntime runs (skipped: ../shared is absent)', () => {
  it.each(['resnet20-cifar10', 'ultraface-slim-320', 'mlperf-tiny-resnet8-cifar10', 'minilm-l6'])(
    'finds the float kernel of every product of %s',
    async (name) => {
      const model = await cleaned(name);
      const file = path.join(dir, 'float.onnx');
      saveModel(model, file);
      const found = await inspectOptimized(file, products(model));
      expect(found.integerMacsShare).toBe(0);
      expect(found.kernels.filter((k) => k.kernel === undefined || k.ranInteger !== false)).toEqual([]);
    },
  );

  it.each([
    ['resnet20-cifar10', 'qdq'],
    ['resnet20-cifar10', 'qoperator'],
    ['ultraface-slim-320', 'qdq'],
    ['mlperf-tiny-resnet8-cifar10', 'qdq'],
    ['minilm-l6', 'qdq'],
  ])('finds the integer kernel of every product of %s in %s', async (name, format) => {
    const model = await cleaned(name);
    const wanted = products(model);
    const activations = {
      dtype: 'uint8',
      symmetric: false,
      granularity: { kind: 'tensor' },
      observer: 'minmax',
      perChannel: false,
    } as const;
    const planned = planQuantization(model, {
      activations,
      weights,
      include: [],
      exclude: [],
      target: onnxruntimeCpu,
    }); // the options of the plan, whatever else it may take
    const found = await inspectOptimized(write(model, planned, format), wanted);
    expect(found.kernels.filter((k) => k.kernel === undefined || !k.ranInteger)).toEqual([]);
    expect(found.integerMacsShare).toBe(1);
    expect(found.unfused).toEqual([]);
  });

  it('sees that dynamic quantization leaves the products of two activations in float', async () => {
    const model = await cleaned('minilm-l6');
    const wanted = products(model);
    const planned = planDynamic(model, {
      weights,
      include: [],
      exclude: [],
      conv: false,
      weightOnly: [],
      embeddings: false,
    });
    const found = await inspectOptimized(write(model, planned, 'dynamic'), wanted);
    expect(found.kernels.filter((k) => k.kernel === undefined)).toEqual([]);
    expect(found.integerMacsShare).toBe(36 / 48); // 6 layers: 6 products with weights, 2 without
    expect(found.floatCompute).toHaveLength(12);
  });
});

const images = path.resolve('../shared/data/cifar10/test');
describe.skipIf(!existsSync(models) || !existsSync(images))(
  'compareModels on CIFAR-10 (skipped: ../shared is absent)',
  () => {
    it('scores ResNet-8 with flat memory, and finds the cleaned model the same', async () => {
      const name = 'mlperf-tiny-resnet8-cifar10';
      const file = path.join(dir, 'clean.onnx');
      saveModel(await cleaned(name), file);
      const float = await Session.open(path.join(models, `${name}.onnx`));
      const rewritten = await Session.open(file);
      const data = await open({ images, preprocess: {} }, float.inputs, '.');
      const before = process.memoryUsage().rss;
      const found = await compareModels({
        float,
        quantized: rewritten,
        batches: () => batches(data.samples({ limit: 2000 }), { size: 32, inputs: float.inputs }),
      });
      expect(found.samples).toBe(2000);
      // MLPerf Tiny publishes 87.2 % on lossless images; these JPEGs are lossy, which costs about ten points (76.9 %
      // here).
      expect(found.metrics[0]!.float).toBeGreaterThan(74);
      expect(found.metrics[0]!.float).toBeLessThan(88);
      expect(found.agreement!.same).toBeGreaterThan(0.998);
      expect(found.outputs[0]!.cosine).toBeGreaterThan(0.9999);
      expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
      await float.close();
      await rewritten.close();
    });
  },
);
