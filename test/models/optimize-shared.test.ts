/**
 * Every shared model through every level of `quantize optimize`: outputs in onnxruntime stay on random and on real
 * inputs, the second run finds nothing, and the default level leaves no more nodes than it once did. The `light_*`
 * models of the
 * `onnx` package (onnx/backend/test/data/light) run too where QUANTBENCH_LIGHT_MODELS names their folder.
 */
import fs from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createRng } from '../../src/base/rng.js';
import { batches } from '../../src/data/batch.js';
import type { Feed, ValueInfo } from '../../src/ir/feed.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { loadModel } from '../../src/onnx/files.js';
import { forgetInferred } from '../../src/ops/infer.js';
import { optimizing, type OptimizeLevel } from '../../src/passes/presets.js';
import { openData } from '../../src/pipeline/calibration.js';
import { fedInputs } from '../../src/pipeline/inputs.js';
import { randomFeed } from '../../src/pipeline/feeds.js';
import { countNodes } from '../../src/ir/count.js';
import { optimizeGraph } from '../../src/standalone/optimize.js';
import { difference, TOLERANCE } from '../../src/standalone/same-outputs.js';
import { loadRecipe } from '../../src/recipe/load.js';
import { openModel } from '../../src/runtime/open.js';
import { Session, type SessionOptions } from '../../src/runtime/session.js';

const root = path.join(import.meta.dirname, '..', '..');
const shared = path.join(root, '..', 'shared');
const light = process.env['QUANTBENCH_LIGHT_MODELS'];
const LEVELS = Object.keys(optimizing) as OptimizeLevel[]; // its keys are the levels
/** Weights are not packed: packed ones go through other kernels, and constants of a subgraph are never packed. */
const CHECK: SessionOptions = { optimization: 'disabled', config: { 'session.disable_prepacking': '1' } };
const RANDOM_FEEDS = 24;
const REAL_FEEDS = 16;
/** Bytes that small constants may take more than the nodes that computed them. */
const SLACK_BYTES = 4096;
/** Light models make weights of 5 to 575 MB by ConstantOfShape; results of up to 1 MiB each become constants. */
const LIGHT_BYTES = 16 << 20;

const say = (): void => undefined;
const modelFile = (name: string): string => path.join(shared, 'models', `${name}.onnx`);

/** Samples of a recipe's evaluation data, as the model takes them. */
async function realFeeds(recipeFile: string, name: string, ...set: string[]): Promise<Feed[]> {
  const resolved = await loadRecipe(path.join(root, 'recipes', recipeFile), {
    set: [`model=../../../shared/models/${name}.onnx`, ...set],
  });
  const model = loadModel(modelFile(name));
  // those with defaults are weights
  const inputs = fedInputs(model);
  const data = await openData(resolved.recipe.evaluation.data!, inputs, resolved, say); // these recipes have data
  const feeds: Feed[] = [];
  for await (const b of batches(data.samples(), { size: 1, inputs })) {
    feeds.push(...b.feeds);
    if (feeds.length >= REAL_FEEDS) break;
  }
  return feeds;
}

/** Tones in noise at both sample rates of the detector: windows of 32 ms after 4 ms of the one before. */
function speechLike(): Feed[] {
  const rng = createRng(1, 'tones');
  return Array.from({ length: REAL_FEEDS }, (_, i): Feed => {
    const [rate, samples] = i % 2 ? ([16000n, 576] as const) : ([8000n, 288] as const);
    const audio = Float32Array.from(
      { length: samples },
      (_n, t) => 0.3 * Math.sin((t * (i + 1)) / 9) + 0.05 * rng.normal(),
    );
    return {
      input: { dtype: 'float32', dims: [1, samples], data: audio },
      state: {
        dtype: 'float32',
        dims: [2, 1, 128],
        data: Float32Array.from({ length: 256 }, () => (i < 2 ? 0 : 0.1 * rng.normal())),
      },
      sr: { dtype: 'int64', dims: [], data: BigInt64Array.of(rate) },
    };
  });
}

const randomFeeds = (inputs: readonly ValueInfo[]): Feed[] =>
  Array.from({ length: RANDOM_FEEDS }, (_, seed) => randomFeed(inputs, seed, [2, 1, 5, 16, 32][seed % 5]));

/** The largest relative difference at a level, what the second run changes, and nodes and bytes. */
async function check(
  file: string,
  level: OptimizeLevel,
  feeds: (inputs: readonly ValueInfo[]) => readonly Feed[],
): Promise<{ error: number; feeds: number; again: string[]; nodes: number; bytes: number }> {
  const model = loadModel(file);
  await optimizeGraph(model, { level });
  const original = await Session.open(file, CHECK);
  const optimized = await openModel(model, CHECK);
  let [error, ran] = [0, 0];
  try {
    for (const feed of feeds(original.inputs)) {
      error = Math.max(error, difference(await original.run(feed), await optimized.run(feed)).error);
      ran++;
    }
  } finally {
    await original.close();
    await optimized.close();
  }
  const nodes = countNodes(model);
  const again = (await optimizeGraph(model, { level })).filter((t) => t.changes > 0).map((t) => t.pass);
  forgetInferred(model);
  return { error, feeds: ran, again, nodes, bytes: encodeModel(model).length };
}

describe.skipIf(!fs.existsSync(shared))('shared models (skipped where ../shared is absent)', () => {
  it.each([
    ['minilm-l6', 194, () => realFeeds('sts/int8-dynamic.yaml', 'minilm-l6'), true],
    ['resnet20-cifar10', 54, () => realFeeds('cifar10/int8-kl.yaml', 'resnet20-cifar10'), true],
    ['resnet20-cifar10-unequalised', 54, () => realFeeds('cifar10/int8-kl.yaml', 'resnet20-cifar10-unequalised'), true],
    [
      'mlperf-tiny-resnet8-cifar10',
      23,
      () => realFeeds('cifar10/int8-kl-mlperf-tiny.yaml', 'mlperf-tiny-resnet8-cifar10'),
      true,
    ],
    [
      'ultraface-slim-320',
      105,
      () =>
        realFeeds(
          'cifar10/int8-kl.yaml',
          'ultraface-slim-320',
          'calibration.data.preprocess={ colour: RGB, resize: { height: 240, width: 320 }, scale: 1/128, mean: 1 }',
        ),
      true,
    ],
    // random rates take one branch only, and random windows do not fit it
    ['silero-vad', 148, () => Promise.resolve(speechLike()), false],
  ] as const)(
    '%s keeps its outputs and has at most %d nodes at the default level',
    async (name, most, real, random) => {
      const file = modelFile(name);
      const feeds = await real();
      for (const level of LEVELS) {
        const found = await check(file, level, (inputs) => [...feeds, ...(random ? randomFeeds(inputs) : [])]);
        expect(found.feeds).toBe(REAL_FEEDS + (random ? RANDOM_FEEDS : 0));
        expect(found.error, level).toBeLessThanOrEqual(TOLERANCE);
        expect(found.again, level).toEqual([]);
        expect(found.bytes, level).toBeLessThanOrEqual(fs.statSync(file).size + SLACK_BYTES);
        if (level === 'default') expect(found.nodes).toBeLessThanOrEqual(most);
      }
    },
  );
});

const lightModels =
  light === undefined
    ? []
    : fs
        .readdirSync(light)
        .filter((f) => f.endsWith('.onnx'))
        .sort();

describe.skipIf(light === undefined)('light models (skipped unless QUANTBENCH_LIGHT_MODELS names their folder)', () => {
  it.each(lightModels)('%s keeps its outputs, and its file stays small', async (name) => {
    const file = path.join(light!, name); // set where there are models
    for (const level of ['basic', 'default'] as const) {
      // aggressive computes constants of any size, which here are all weights
      const found = await check(file, level, (inputs) => [randomFeed(inputs, 1)]);
      expect(found.error, level).toBeLessThanOrEqual(TOLERANCE);
      expect(found.again, level).toEqual([]);
      expect(found.bytes, level).toBeLessThanOrEqual(LIGHT_BYTES);
    }
  });
});
