/** float16 and bfloat16 on real models: they load, run and stay as near to float32 as the types allow. */
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { coded } from '../../src/formats/coded.js';
import { float16 } from '../../src/formats/float16.js';
import { cloneModel } from '../../src/ir/clone.js';
import { convertOpset } from '../../src/passes/convert-opset.js';
import { fedInputs } from '../../src/pipeline/inputs.js';
import { randomFeed } from '../../src/pipeline/feeds.js';
import { loadFloatModel, optimizeModel } from '../../src/pipeline/prepare.js';
import { planCoded } from '../../src/quantize/planners/coded.js';
import { planHalf } from '../../src/quantize/planners/half.js';
import { outputsOf, worstSqnr } from '../conformance/quantized.js';

/**
 * SQNR in dB on normal noise: 11 bits of mantissa leave about 60, 8 bits about 45; LSTMs and what cancels lose some.
 */
const MODELS = [
  ['minilm-l6', 8, 50, 38],
  ['ultraface-slim-320', 1, 45, 35],
  ['resnet20-cifar10', 1, 50, 38],
  ['silero-vad', 512, 40, 25],
] as const;

const fileOf = (name: string): string => new URL(`../../../shared/models/${name}.onnx`, import.meta.url).pathname;

// The shared models are not part of the repository.
it.skipIf(!MODELS.every(([name]) => existsSync(fileOf(name)))).each(MODELS)(
  '%s',
  async (name, free, half, brain) => {
    const file = fileOf(name);
    const model = loadFloatModel(file);
    await optimizeModel(model, file, { enabled: true, level: 'default', skip: [] }, () => undefined);
    convertOpset(model, 13);
    const inputs = fedInputs(model);
    const feed = randomFeed(inputs, 3, free === 512 ? 1 : free);
    if (name === 'silero-vad')
      Object.assign(feed, {
        input: {
          dtype: 'float32',
          dims: [1, 512],
          data: Float32Array.from({ length: 512 }, (_, i) => 0.3 * Math.sin(i / 9)),
        },
        state: { dtype: 'float32', dims: [2, 1, 128], data: new Float32Array(256) },
        sr: { dtype: 'int64', dims: [], data: BigInt64Array.of(16000n) },
      });
    const expected = await outputsOf(model, feed, 'all');
    const own = { params: new Map(), target: { onCodes: [] }, seed: 0 };
    for (const [coding, bound] of [
      ['float16', half],
      ['bfloat16', brain],
    ] as const) {
      const { model: stored } = cloneModel(model);
      coded.rewrite({
        model: stored,
        planned: planCoded(stored, { coding, options: {}, include: [], exclude: [] }),
        ...own,
      });
      expect(worstSqnr(expected, await outputsOf(stored, feed, 'all')), coding).toBeGreaterThan(bound);
    }
    const planned = planHalf(model, { include: [], exclude: [] });
    if (name === 'silero-vad') {
      expect(planned.weightOnlyNodes.size, 'all of it is control flow').toBe(0);
      return;
    }
    float16.rewrite({ model, planned, ...own });
    expect(worstSqnr(expected, await outputsOf(model, feed, 'all'))).toBeGreaterThan(half - 5);
  },
  240_000,
);
