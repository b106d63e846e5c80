/** Command lines and recipes that are wrong, each told before any work, with what would be right. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { flips, runWith } from '../gate/helpers.js';
import { writeModel } from '../pipeline/models.js';
import { runCli } from './run-cli.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-usage-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const run = path.join(root, 'run');
mkdirSync(path.join(root, 'images', 'cat'), { recursive: true });
mkdirSync(run);
writeFileSync(path.join(run, 'run.json'), JSON.stringify(runWith({ name: 'r', paired: flips(3, 3, 994) })));
writeModel(
  path.join(root, 'model.onnx'),
  'g (float[N,4] x) => (float[N,2] y) <float[4,2] w = {1,2,3,4,5,6,7,8}> { y = MatMul (x, w) }',
);
function recipe(name: string, ...lines: string[]): string {
  const file = path.join(root, name);
  writeFileSync(file, `version: 1\n${lines.join('\n')}\n`);
  return file;
}

describe('a file that is not of the kind a command wants', () => {
  it.each<[string, string[], RegExp]>([
    [
      'a model for a command',
      ['model.onnx'],
      /"model\.onnx" is a model[^]*quantize init model\.onnx[^]*quantize auto model\.onnx/,
    ],
    ['a model beside a recipe', ['model.onnx', '-r', 'r.yaml'], /give it as --model model\.onnx/],
    [
      'a model for a recipe',
      ['-r', 'model.onnx'],
      /'model\.onnx' is a model, and a recipe is wanted[^]*quantize init model\.onnx/,
    ],
    ['a model without a recipe', ['-m', 'model.onnx'], /no recipe was given[^]*quantize init model\.onnx/],
    ['a model to explain', ['explain', 'model.onnx'], /a recipe is wanted/],
    [
      'a model for a gate',
      ['gate', 'model.onnx'],
      /gate wants the output folder of a run, but 'model\.onnx' is a model[^]*quantize gate FOLDER/,
    ],
    ['a recipe for a gate', ['gate', 'r.yaml'], /'r\.yaml' is a recipe[^]*quantize --recipe r\.yaml/],
    ['a model as a baseline', ['gate', 'x', '-b', 'm.ort', '--max-size-ratio', '1'], /'m\.ort' is a model/],
    ['a model for a card', ['card', 'model.onnx'], /card wants the output folder of a run/],
    [
      'models to compare',
      ['compare', 'a.onnx', 'b.onnx'],
      /'a\.onnx' is a model[^]*quantize evaluate[^]*quantize bench/,
    ],
  ])('%s', async (_, argv, words) => {
    const { code, out, err } = await runCli(...argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(words);
  });
});

describe('limits without a unit', () => {
  it.each([
    [
      ['--max-accuracy-drop', '1'],
      /--max-accuracy-drop: the limit "1" has no unit, and top1 is in %: write "1 points"/,
    ],
    [
      ['--max-accuracy-drop', '1%', '--metric', 'top5'],
      /--metric: "top5" is not one of the metrics that are measured: top1[^]*did you mean "top1"\?/,
    ],
    [['--max-accuracy-drop', '1%', '--metric', 'accuracy'], /--metric: "accuracy" is not[^]*did you mean "top1"\?/],
    [['--max-accuracy-drop', '1%', '--metric', 'perplexity'], /--metric: "perplexity" is not[^]*name one of them/],
  ])('of a gate are no verdict: %j', async (flags, words) => {
    const { code, out, err } = await runCli('gate', run, ...flags);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(words);
  });
  const data = ['model: model.onnx', 'quantize: { format: dynamic }'];
  it('of a recipe are told at their line', async () => {
    const file = recipe('unit.yaml', ...data, 'evaluation: { metrics: [top1] }', 'gate:', '  accuracyDrop: { max: 1 }');
    const { code, err } = await runCli('--recipe', file);
    expect([code, err]).toEqual([
      2,
      expect.stringContaining('unit.yaml:6:24 RECIPE_INVALID  the limit "1" has no unit'),
    ]);
  });
  it('of a metric that is not measured are told at its name', async () => {
    const file = recipe(
      'metric.yaml',
      ...data,
      'evaluation: { metrics: [mse] }',
      'gate:',
      '  accuracyDrop: { max: 1, metric: top1 }',
    );
    expect((await runCli('--recipe', file)).err).toMatch(
      /metric\.yaml:6:35 RECIPE_UNKNOWN_NAME {2}"top1" is not one of the metrics that are measured: mse/,
    );
    const near = recipe(
      'near.yaml',
      ...data,
      'evaluation: { metrics: [mse] }',
      'gate:',
      '  accuracyDrop: { max: 1, metric: l2 }',
    );
    expect((await runCli('--recipe', near)).err).toMatch(/near\.yaml:6:35 RECIPE_UNKNOWN_NAME[^]*did you mean "mse"\?/);
  });
});

describe('what other tools call things', () => {
  it.each([
    ['evaluation.metrics=[accuracy]', 'top1'],
    ['evaluation.metrics=[{ name: F1-Score }]', 'f1'],
    ['evaluation.metrics=[ROC_AUC]', 'auc'],
    ['quantize.activations.observer=entropy', 'kl'],
    ['quantize.format=fp16', 'float16'],
    ['target=cpu', 'onnxruntime-cpu'],
  ])('%s suggests %s', async (set, meant) => {
    const { code, err } = await runCli(
      '--recipe',
      recipe('names.yaml', 'model: model.onnx', 'quantize: { format: dynamic }'),
      '--set',
      set,
    );
    expect([code, err]).toEqual([2, expect.stringContaining(`Did you mean "${meant}"?`)]);
  });
});

describe('paths of a recipe', () => {
  it('are all looked for before the first stage, and told with line, column and the nearest name', async () => {
    const file = recipe(
      'paths.yaml',
      'model: modle.onnx',
      'calibration:',
      '  data: { images: imgaes/cat }',
      'evaluation:',
      '  data: { npy: x.npy, labels: y.npy }',
      '  metrics:',
      '    - module: metric.mjs',
    );
    for (const more of [[], ['--dry-run']]) {
      const { code, err } = await runCli('--recipe', file, ...more);
      expect(code).toBe(3);
      expect(err).toMatch(
        /paths\.yaml:2:8 MODEL_MISSING {2}model "modle\.onnx" does not exist[^]*did you mean "model\.onnx"\?/,
      );
      expect(err).toMatch(
        /paths\.yaml:4:19 DATA_MISSING {2}images "imgaes\/cat" does not exist[^]*did you mean "images\/cat"\?/,
      );
      expect(err).toMatch(/paths\.yaml:6:16 DATA_MISSING {2}npy "x\.npy"/);
      expect(err).toMatch(/paths\.yaml:6:31 DATA_MISSING {2}labels "y\.npy"/);
      expect(err).toMatch(/paths\.yaml:8:15 DATA_MISSING {2}metric module "metric\.mjs"/);
      expect(err).not.toContain('optimise');
    }
  });
  it('are told of the flag that gave them', async () => {
    const file = recipe('flag.yaml', 'quantize: { format: dynamic }');
    expect((await runCli('--recipe', file, '--model', path.join(root, 'mdoel.onnx'))).err).toMatch(
      /--model .*mdoel\.onnx MODEL_MISSING[^]*did you mean "model\.onnx"\?/,
    );
  });
  it('names an output that no metric can read at its line', async () => {
    const file = recipe(
      'output.yaml',
      'model: model.onnx',
      'quantize: { format: dynamic }',
      'evaluation:',
      '  metrics:',
      '    - { name: top1, output: logits }',
    );
    const { code, err } = await runCli('--recipe', file);
    expect([code, err]).toEqual([2, expect.stringMatching(/output\.yaml:6:\d+ RECIPE_UNKNOWN_NAME/)]);
    expect(err).not.toContain('optimise');
  });
});
