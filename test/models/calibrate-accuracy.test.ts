import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { observers } from '../../src/calibrate/observers/index.js';
import { calibrate } from '../../src/calibrate/runner.js';
import { observeWeights } from '../../src/calibrate/weights.js';
import { batches } from '../../src/data/batch.js';
import { openDataset, type Dataset } from '../../src/data/dataset.js';
import { dataSpec } from '../../src/data/spec.js';
import { formats } from '../../src/formats/index.js';
import type { Model } from '../../src/ir/model.js';
import { loadModel } from '../../src/onnx/files.js';
import { inferShapes } from '../../src/ops/infer.js';
import { cleaning } from '../../src/passes/presets.js';
import { planQuantization } from '../../src/quantize/planners/static.js';
import { runPasses } from '../../src/rewrite/pass.js';
import { evaluateModel, openModel } from '../../src/runtime/open.js';
import { biasParams } from '../../src/scheme/bias.js';
import { chooseParams, fixedParams } from '../../src/scheme/params.js';
import type { QuantParams, QuantPoint } from '../../src/scheme/types.js';
import { onnxruntimeCpu } from '../../src/targets/onnxruntime-cpu/index.js';

const shared = fileURLToPath(new URL('../../../shared/', import.meta.url));
const file = `${shared}models/resnet20-cifar10.onnx`;
const preprocess = { scale: '1/255', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };

describe.skipIf(!existsSync(file))('ResNet-20 on CIFAR-10 (skipped where ../shared is absent)', () => {
  let images: { calibration: Dataset; test: Dataset };
  const load = async (): Promise<Model> => {
    const model = loadModel(file);
    await runPasses(model, cleaning, { evaluate: evaluateModel });
    if ((model.opsets.get('') ?? 0) < 13) {
      model.opsets.set('', 13);
      model.irVersion = Math.max(model.irVersion, 7);
    }
    inferShapes(model);
    return model;
  };
  const inputsOf = (m: Model): Parameters<typeof openDataset>[1] =>
    m.graph.inputs.filter((v) => !v.data).map((v) => ({ name: v.name, dtype: v.dtype, shape: v.shape }));
  const accuracy = async (m: Model): Promise<number> => {
    const session = await openModel(m, { threads: 2 });
    let right = 0;
    let n = 0;
    for await (const b of batches(images.test.samples(), { size: 100, inputs: session.inputs })) {
      const logits = Object.values(await session.run(b.feeds[0]!))[0]!;
      b.samples.forEach((s, i) => {
        const row = [...(logits.data as Float32Array).subarray(i * 10, i * 10 + 10)];
        if (row.indexOf(Math.max(...row)) === s.label) right++;
        n++;
      });
    }
    await session.close();
    return (100 * right) / n;
  };
  beforeAll(async () => {
    const inputs = inputsOf(loadModel(file));
    const open = (part: string): Promise<Dataset> =>
      openDataset(
        dataSpec.parse({
          images: `${shared}data/cifar10/${part}`,
          classes: `${shared}data/cifar10/classes.txt`,
          preprocess,
        }),
        inputs,
        { baseDir: shared, seed: 0 },
      );
    images = { calibration: await open('calibration'), test: await open('test') };
  });

  it('has the accuracy that its card says, in float', async () => {
    expect(await accuracy(await load())).toBeCloseTo(80.45, 2);
  });
  it.each(observers.map((o) => [o.name, o] as const))('%s keeps top-1 at 80.2 or above', async (_, observer) => {
    const model = await load();
    const planned = planQuantization(model, {
      activations: {
        dtype: 'uint8',
        symmetric: false,
        granularity: { kind: 'tensor' },
        observer: observer.name,
        perChannel: false,
      },
      weights: { dtype: 'int8', symmetric: true, granularity: 'channel', observer: 'minmax' },
      include: [],
      exclude: [],
      target: onnxruntimeCpu,
    });
    const settings = observer.options.parse({});
    const points = [...planned.plan].flatMap(([p, s]) =>
      'uses' in p && s.kind === 'observed' && !p.data ? [{ value: p, observer, options: settings }] : [],
    );
    const { stats, facts } = await calibrate({
      model,
      points,
      batches: () => batches(images.calibration.samples({ limit: 512 }), { size: 32, inputs: inputsOf(model) }),
      threads: 2,
      onNonFinite: 'fail',
      sampling: { maxValuesPerSample: 16384, seed: 0 },
    });
    expect(facts.samples).toBe(512);
    const params = new Map<QuantPoint, QuantParams>();
    const paramsOf = (p: QuantPoint): QuantParams => {
      const known = params.get(p);
      if (known) return known;
      const spec = planned.plan.get(p)!;
      const value = 'uses' in p ? p : p.node.inputs[p.index]!;
      let made: QuantParams;
      if (spec.kind === 'fixed') made = fixedParams(spec.scheme, spec.scale, spec.zeroPoint);
      else if (spec.kind === 'shared') made = paramsOf(spec.with);
      else if (spec.kind === 'derived')
        made = biasParams(value.data!.f32(), paramsOf(spec.from[0]).scale[0]!, paramsOf(spec.from[1]).scale).params;
      else if (spec.kind === 'observed')
        made = chooseParams(
          value.data
            ? observeWeights(value.data.f32(), value.data.dims, spec.scheme, observers[0]!, {})
            : observer.chooseRange(stats.get(value)!, spec.scheme, settings),
          spec.scheme,
        );
      else throw new Error('float points have no parameters');
      params.set(p, made);
      return made;
    };
    for (const [p, s] of planned.plan) if (s.kind !== 'float') paramsOf(p);
    formats.find((f) => f.name === 'qdq')!.rewrite({ model, planned, params, target: onnxruntimeCpu, seed: 0 });
    const top1 = await accuracy(model);
    expect(top1).toBeGreaterThanOrEqual(80.2);
  });
});
