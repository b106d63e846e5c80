/** What is wrong with a recipe, its data, labels and limits is told before the first stage, at its place. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { findRecipe } from '../../../src/search/auto.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { loadRecipe } from '../../../src/recipe/load.js';
import { weight, writeModel, writeNpy } from './models.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-ahead-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
writeModel(
  path.join(root, 'm.onnx'),
  `g (float[N,8] x) => (float[N,4] y) <${weight('w', [8, 4])}> { y = MatMul (x, w) }`,
);
writeModel(
  path.join(root, 'image.onnx'),
  `g (float[N,3,8,8] x) => (float[N,4,8,8] y) <${weight('w', [4, 3, 1, 1])}> { y = Conv (x, w) }`,
);
writeNpy(path.join(root, 'x.npy'), [12, 8]);
writeNpy(path.join(root, 'wide.npy'), [12, 9]);
writeNpy(path.join(root, 'cube.npy'), [12, 8, 2]);
const labels = (name: string, values: number[]): string => writeNpy(path.join(root, name), [values.length], values);
labels('ok.npy', [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
labels('few.npy', [0, 1, 2]);
labels('high.npy', [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 4]);
labels('half.npy', [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 0.5]);
labels('nan.npy', [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, NaN]);
writeFileSync(path.join(root, 'torn.npy'), 'not an array');
writeFileSync(path.join(root, 'torn.npz'), 'not an archive');
writeFileSync(path.join(root, 'columns.csv'), 'image,label\ngone.png,0\n');
writeFileSync(path.join(root, 'list.csv'), 'path,label\ngone.png,0\n');
mkdirSync(path.join(root, 'empty'));
mkdirSync(path.join(root, 'torn'));
writeFileSync(path.join(root, 'torn', 'a.png'), 'not an image');
writeFileSync(
  path.join(root, 'metric.mjs'),
  `export const metric = { name: 'mine', unit: '%', higherIsBetter: true,
    start: () => ({ add() {}, value: () => 1 }) };`,
);
writeFileSync(path.join(root, 'empty.mjs'), 'export async function* samples() { yield { x: 1 }; }');
writeFileSync(
  path.join(root, 'data.mjs'),
  'export async function* samples() { yield { feed: { x: { dtype: "float32", dims: [1, 7], data: new Float32Array(7) } } }; }',
);

const GOOD = 'calibration: { data: { npy: x.npy }, cache: false }\n';
const evaluated = (data: string, more = ''): string => `${GOOD}evaluation:\n  latency: false\n  data: ${data}\n${more}`;
const top1 = '  metrics: [ top1 ]\n';
const images = (folder: string): string =>
  `model: image.onnx\nevaluation:\n  data: { images: ${folder} }\nquantize: { format: float16 }\n`;
const IMAGE_LIST = 'model: image.onnx\nevaluation:\n  data: { imageList: list.csv }\nquantize: { format: float16 }\n';
const LABELLED = '{ npy: x.npy, labels: ok.npy }';

describe('a broken recipe fails before the first stage', () => {
  it.each<[what: string, recipe: string, code: string, line: number]>([
    ['calibration data of another width', 'calibration:\n  data: { npy: wide.npy }\n', 'DATA_SHAPE', 4],
    ['calibration data of another rank', 'calibration:\n  data: { npy: cube.npy }\n', 'DATA_SHAPE', 4],
    ['calibration data that are no array', 'calibration:\n  data: { npy: torn.npy }\n', 'DATA_FORMAT', 4],
    [
      'calibration data of an input that is not there',
      'calibration:\n  data: { npy: { z: x.npy } }\n',
      'DATA_SHAPE',
      4,
    ],
    ['evaluation data of another width', evaluated('{ npy: wide.npy }'), 'DATA_SHAPE', 6],
    ['evaluation data of another rank', evaluated('{ npy: cube.npy }'), 'DATA_SHAPE', 6],
    ['evaluation data that are no array', evaluated('{ npy: torn.npy }'), 'DATA_FORMAT', 6],
    ['evaluation data that are no archive', evaluated('{ npz: torn.npz }'), 'DATA_FORMAT', 6],
    ['evaluation data that are not there', evaluated('{ npy: y.npy }'), 'DATA_MISSING', 6],
    ['a label file that is not there', evaluated('{ npy: x.npy, labels: oks.npy }'), 'DATA_MISSING', 6],
    ['too few labels', evaluated('{ npy: x.npy, labels: few.npy }', top1), 'DATA_LABEL', 6],
    [
      'a label beyond the scores, in the last sample',
      evaluated('{ npy: x.npy, labels: high.npy }', top1),
      'DATA_LABEL',
      6,
    ],
    ['a label that is no class', evaluated('{ npy: x.npy, labels: half.npy }', top1), 'DATA_LABEL', 6],
    ['a label that is no number', evaluated('{ npy: x.npy, labels: nan.npy }', top1), 'DATA_LABEL', 6],
    [
      'a split that leaves nothing',
      evaluated('{ npy: x.npy, split: { part: calibration, fraction: 0.0001 } }'),
      'DATA_MISSING',
      6,
    ],
    ['images for a model of vectors', evaluated('{ images: torn }'), 'DATA_SHAPE', 6],
    ['an empty folder of images', images('empty'), 'DATA_MISSING', 4],
    ['images that are none', images('torn'), 'DATA_IMAGE', 4],
    ['a list of images without their column', evaluated('{ imageList: columns.csv }'), 'DATA_FORMAT', 6],
    ['a list of images that are not there', IMAGE_LIST, 'DATA_MISSING', 4],
    ['a module of samples without a feed', evaluated('{ module: empty.mjs }'), 'DATA_MODULE', 6],
    ['a module of samples of another width', evaluated('{ module: data.mjs }'), 'DATA_SHAPE', 6],
    [
      'a metric of an output that is not there',
      evaluated(LABELLED, '  metrics: [ { name: top1, output: z } ]\n'),
      'RECIPE_UNKNOWN_NAME',
      7,
    ],
    [
      'a limit on a metric that is not measured',
      evaluated(LABELLED, `${top1}gate: { accuracyDrop: { max: 1 point, metric: top5 } }\n`),
      'RECIPE_UNKNOWN_NAME',
      8,
    ],
    [
      "a limit on another metric than the user's own",
      evaluated(
        LABELLED,
        '  metrics: [ { module: metric.mjs } ]\ngate: { accuracyDrop: { max: 1 point, metric: min } }\n',
      ),
      'RECIPE_UNKNOWN_NAME',
      8,
    ],
    [
      "a limit without unit on the user's own",
      evaluated(LABELLED, '  metrics: [ { module: metric.mjs } ]\ngate: { accuracyDrop: { max: 1 } }\n'),
      'RECIPE_INVALID',
      8,
    ],
    [
      'a limit on latency that is not measured',
      evaluated(LABELLED, 'gate: { latencyRatio: { max: 0.9 } }\n'),
      'RECIPE_INVALID',
      7,
    ],
    [
      'a limit on a metric that needs labels that are not there',
      evaluated('{ npy: x.npy }', `${top1}gate: { accuracyDrop: { max: 1 point } }\n`),
      'RECIPE_INVALID',
      8,
    ],
  ])('%s', async (what, text, code, line) => {
    const file = path.join(root, `${what.replace(/\W+/g, '-')}.yaml`);
    writeFileSync(file, `version: 1\n${text.startsWith('model:') ? '' : 'model: m.onnx\n'}${text}`);
    const stages: string[] = [];
    const failed = await loadRecipe(file)
      .then((recipe) =>
        runRecipe({
          recipe,
          outDir: path.join(root, 'out'),
          onEvent: (e) => {
            if (e.type === 'stage-start') stages.push(e.stage);
          },
        }),
      )
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    expect(failed).toBeInstanceOf(QuantError);
    const error = failed as QuantError; // as just checked
    expect(stages).toEqual([]);
    expect([error.code, error.where.line, error.message]).toEqual([code, line, error.message]);
    expect(error.where.file).toBe(file);
    expect(error.where.column).toBeGreaterThan(0);
  });
  it('calibration data that no stage reads are not looked at', async () => {
    const file = path.join(root, 'unread.yaml');
    const evaluation = `evaluation: { latency: false, layers: false, profile: false, data: ${LABELLED} }`;
    writeFileSync(
      file,
      `version: 1\nmodel: m.onnx\ncalibration: { data: { npy: torn.npy } }\nquantize: { format: dynamic }\n${
        evaluation
      }\n`,
    );
    const { record } = await runRecipe({ recipe: await loadRecipe(file), outDir: path.join(root, 'unread') });
    expect(record.evaluation?.samples).toBe(12);
  });

  // A search tries many recipes on the same data and labels: it fails before the first of them.
  it.each<[what: string, evaluation: string, code: string, line: number, column: number]>([
    ['a label file that is not there', evaluated('{ npy: x.npy, labels: oks.npy }', top1), 'DATA_MISSING', 6, 31],
    ['too few labels', evaluated('{ npy: x.npy, labels: few.npy }', top1), 'DATA_LABEL', 6, 31],
    ['a label beyond the scores', evaluated('{ npy: x.npy, labels: high.npy }', top1), 'DATA_LABEL', 6, 31],
    ['labels that are no array', evaluated('{ npy: x.npy, labels: torn.npy }', top1), 'DATA_FORMAT', 6, 31],
    ['evaluation data of another width', evaluated('{ npy: wide.npy }'), 'DATA_SHAPE', 6, 16],
    [
      'calibration data of another width',
      `calibration: { data: { npy: wide.npy } }\nevaluation:\n  latency: false\n  data: ${LABELLED}\n${top1}`,
      'DATA_SHAPE',
      3,
      29,
    ],
    [
      'a limit on a metric that is not measured',
      evaluated(LABELLED, `${top1}gate: { accuracyDrop: { max: 1 point, metric: top5 } }\n`),
      'RECIPE_UNKNOWN_NAME',
      8,
      47,
    ],
  ])('auto: %s', async (what, text, code, line, column) => {
    const file = path.join(root, `auto-${what.replace(/\W+/g, '-')}.yaml`);
    writeFileSync(file, `version: 1\nmodel: m.onnx\n${text}`);
    const stages: string[] = [];
    const failed = await loadRecipe(file)
      .then((base) =>
        findRecipe({
          base,
          outDir: path.join(root, 'auto-out'),
          maxAccuracyDrop: '1%',
          objective: 'size',
          timeBudgetMs: 60_000,
          onEvent: (e) => {
            if (e.type === 'stage-start') stages.push(e.stage);
          },
        }),
      )
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    expect(failed).toBeInstanceOf(QuantError);
    const error = failed as QuantError; // as just checked
    expect(stages.filter((name) => name !== 'look')).toEqual([]);
    expect([error.code, error.where.line, error.where.column, error.message]).toEqual([
      code,
      line,
      column,
      error.message,
    ]);
  });
});
