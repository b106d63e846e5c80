/**
 * From a recipe to metrics: annotated images through a detector, a user's metric, and the outputs of a real detector.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { detectionReader, detectionSpec } from '../../../src/evaluate/detections.js';
import { map } from '../../../src/evaluate/metrics/map.js';
import type { Sample } from '../../../src/ir/feed.js';
import { chosenMetrics } from '../../../src/pipeline/check.js';
import { evaluateFiles } from '../../../src/standalone/standalone.js';
import { loadRecipe } from '../../../src/recipe/load.js';
import { Session } from '../../../src/runtime/session.js';
import { createRng } from '../../../src/base/rng.js';
import { errorOf, png, put, temp } from '../data/helpers.js';
import { bytesOf } from './helpers.js';

/**
 * Gives the same two boxes for every image of 40 × 20 pixels, letterboxed into 20 × 20: [0, 5, 10, 15] and another, of
 * classes 0 and 1.
 */
const DETECTOR = (second: string): Uint8Array =>
  bytesOf(`g (float[N,3,20,20] x) => (float[1,2,4] boxes, float[1,2,2] scores)
  <float[1,2,4] b = {0, 0.25, 0.5, 0.75, ${second}}, float[1,2,2] s = {0.9, 0.0, 0.0, 0.8}, float[1] nought = {0}> {
  m = ReduceMean <keepdims = 0> (x)  z = Mul(m, nought)  boxes = Add(b, z)  scores = Add(s, z) }`);

async function detection(metric: string): Promise<string> {
  const dir = await temp();
  await put(join(dir, 'good.onnx'), DETECTOR('0.5, 0.25, 1, 0.75'));
  await put(join(dir, 'bad.onnx'), DETECTOR('0.5, 0.6, 1, 0.75'));
  for (let i = 0; i < 12; i++) await put(join(dir, `img/${i}.png`), await png(i, 2, 3, 40, 20));
  await put(
    join(dir, 'c.json'),
    JSON.stringify({
      images: Array.from({ length: 12 }, (_, id) => ({ id, file_name: `${id}.png`, width: 40, height: 20 })),
      categories: [
        { id: 3, name: 'left' },
        { id: 8, name: 'right' },
      ],
      annotations: Array.from({ length: 24 }, (_, i) => ({
        id: i,
        image_id: i >> 1,
        category_id: i % 2 ? 8 : 3,
        bbox: [i % 2 ? 20 : 0, 0, 20, 20],
        iscrowd: 0,
      })),
    }),
  );
  await put(
    join(dir, 'own.mjs'),
    "export const metric = { name: 'count', unit: 'boxes', higherIsBetter: true, start: () => { const scores = " +
      '[]; return { scores, add(s) { scores.push(s.target.boxes.length); }, value: () => scores.reduce((a, b) => ' +
      'a + b) / scores.length }; } };',
  );
  return put(
    join(dir, 'recipe.yaml'),
    `version: 1
model: good.onnx
quantize: { format: dynamic }
evaluation:
  data:
    images: img
    annotations: c.json
    preprocess: { resize: { longest: 20 }, pad: { height: 20, width: 20 }, scale: 1/255 }
  metrics: ${metric}
`,
  );
}

describe('evaluateFiles', () => {
  it('scores detectors on annotated images, AP and AP50 and a metric of the user beside each other', async () => {
    const file = await detection(
      '[ { name: map, coordinates: normalized }, { name: map, coordinates: normalized, iou: 0.5 }, { module: ' +
        'own.mjs } ]',
    );
    const recipe = await loadRecipe(file);
    const dir = recipe.baseDir;
    const found = await evaluateFiles({
      files: [join(dir, 'good.onnx'), join(dir, 'bad.onnx')],
      recipe,
      metrics: await chosenMetrics(recipe),
      report: (d) => {
        if (d.code !== 'BATCH_OF_ONE') throw new Error(d.message);
      },
    }); // the detector says [1, …] of its outputs
    expect(found.samples).toBe(12);
    expect(found.reference.metrics.map((m) => [m.name, m.value])).toEqual([
      ['map', 100],
      ['map iou=0.5', 100],
      ['count', 2],
    ]);
    // The right box is only 3 of 10 pixels high: class 1 is never found.
    expect(found.others[0]!.metrics.map((m) => [m.name, m.quantized, m.change, m.interval])).toEqual([
      ['map', 50, -50, [-50, -50]],
      ['map iou=0.5', 50, -50, [-50, -50]],
      ['count', 2, 0, [expect.closeTo(-0.4615, 3), expect.closeTo(0.4615, 3)]],
    ]); // twelve equal counts prove no more than that
  });
  it('keeps paths to modules relative in the resolved recipe', async () => {
    const recipe = await loadRecipe(await detection('[ { module: own.mjs, options: { a: 1 } } ]'));
    expect(recipe.yaml).toMatch(/module: own\.mjs\n\s+options:\n\s+a: 1/);
    const absolute = await loadRecipe(await detection(`[ { module: ${join(recipe.baseDir, 'own.mjs')} } ]`));
    expect(absolute.yaml).toMatch(/module: \.\.\//);
  });
  it('refuses a metric that is named twice, and a module that is missing', async () => {
    const choose = async (text: string): Promise<unknown> => chosenMetrics(await loadRecipe(await detection(text)));
    expect(await errorOf(() => choose('[ map, map ]'))).toMatchObject({ code: 'RECIPE_INVALID' });
    expect(await errorOf(() => choose('[ { module: none.mjs } ]'))).toMatchObject({ code: 'DATA_MISSING' });
  });
});

const ultraface = '../shared/models/ultraface-slim-320.onnx';
describe.skipIf(!existsSync(ultraface))('UltraFace (skipped: ../shared is absent)', () => {
  it('is read: its ten surest boxes as targets are all found first', async () => {
    const session = await Session.open(ultraface, {});
    try {
      const rng = createRng(3, 'ultraface');
      const input = session.inputs[0]!;
      const feed = {
        [input.name]: {
          dtype: 'float32',
          dims: [1, 3, 240, 320],
          data: Float32Array.from({ length: 3 * 240 * 320 }, () => rng.next() - 0.5),
        },
      } as const;
      const out = await session.run(feed);
      const size = { width: 320, height: 240 };
      const options = { coordinates: 'normalized', background: 0 } as const;
      const sample: Sample = { id: 'noise', hash: '', feeds: [feed], target: { size } };
      const surest = detectionReader('map', detectionSpec.parse(options), session.outputs, 10)(sample, [out]);
      expect(surest).toHaveLength(10);
      expect(new Set(surest.map((d) => d.label))).toEqual(new Set([0])); // faces
      const meter = map.start(map.options.parse(options), session.outputs);
      meter.add({ ...sample, target: { size, boxes: surest } }, [out]);
      expect(meter.value()).toBeCloseTo(100, 10);
    } finally {
      await session.close();
    }
  });
});
