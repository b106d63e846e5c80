/** Channels of real models that are taken out at random: what is left runs, and gives what it gave. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { familiesOf } from '../../src/channels/families.js';
import { channelUnits } from '../../src/channels/removal.js';
import { loadModel } from '../../src/onnx/files.js';
import { inferShapes } from '../../src/ops/infer.js';
import { randomFeed } from '../../src/pipeline/feeds.js';
import { cleaned } from '../../src/train/students/derive.js';
import { removeAtRandom } from '../rooms/channels/removed.js';

const folder = path.join(import.meta.dirname, '..', '..', '..', 'shared', 'models');
/** How many families of how many units each model has. */
const MODELS: readonly (readonly [file: string, families: number, units: number])[] = [
  ['resnet20-cifar10.onnx', 12, 400],
  ['resnet20-cifar10-unequalised.onnx', 12, 400],
  ['mlperf-tiny-resnet8-cifar10.onnx', 6, 224],
  ['ultraface-slim-320.onnx', 15, 1584],
  ['minilm-l6.onnx', 12, 9288],
  ['tinylm.onnx', 6, 3840],
  ['tinylm-gqa.onnx', 6, 3840], // its attention is an operator whose heads stay
  ['silero-vad.onnx', 0, 0], // all of it lies in the branches of an If
];

describe.each(MODELS)('%s', (file, families, units) => {
  const model = path.join(folder, file);
  const missing = !existsSync(model);
  it.skipIf(missing)('has its families', async () => {
    const m = await cleaned(loadModel(model), true);
    inferShapes(m);
    const found = familiesOf(channelUnits(m));
    expect([found.length, found.reduce((n, f) => n + f.units.length, 0)]).toEqual([families, units]);
  });
  it.skipIf(missing || !units).each([1, 2, 3])('seed %i: runs without some of them', async (seed) => {
    const m = await cleaned(loadModel(model), true);
    const random = randomFeed(
      m.graph.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
      seed,
    );
    // A token behind one of the past: GroupQueryAttention counts the ones of the mask.
    const mask = { dtype: 'int64', dims: [1, 2], data: BigInt64Array.of(1n, 1n) } as const;
    const feed = file.includes('gqa') ? { ...random, attention_mask: mask } : random;
    const { gone, mixed, apart } = await removeAtRandom(m, feed, seed);
    expect(gone).toBeGreaterThan(20);
    expect(mixed).toBe(0);
    expect(apart).toBeLessThan(2e-3); // sums of other lengths round otherwise, over many layers
  });
});
