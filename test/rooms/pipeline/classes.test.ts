import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QuantError, type Diagnostic } from '../../../src/base/errors.js';
import { namesInMetadata } from '../../../src/data/class-names.js';
import { runRecipe } from '../../../src/pipeline/run.js';
import { evaluateFiles } from '../../../src/standalone/standalone.js';
import { png, put } from '../data/helpers.js';
import { recipeOf, writeModel } from './models.js';

const root = mkdtempSync(path.join(os.tmpdir(), 'quantbench-classes-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const COLOURS = { blue: [0, 0, 250], green: [0, 250, 0], red: [250, 0, 0] } as const;
/** Scores are the means of the channels red, green and blue, mixed into the order that is asked for. */
function colourModel(
  name: string,
  order: readonly (keyof typeof COLOURS)[],
  metadata = '',
  batch: number | string = 'N',
  scores: number | string = order.length,
): string {
  const channel = { red: 0, green: 1, blue: 2 };
  const rows = order.map((c) => [0, 1, 2].map((i) => (i === channel[c] ? 1 : 0)).join(','));
  const header = `<ir_version: 8, opset_import: ["" : 17]${metadata ? `, metadata_props: [${metadata}]` : ''}>\n`;
  return writeModel(
    path.join(root, name),
    `${header}g (float[${batch},3,4,4] x) => (float[${batch},${scores}] y) <float[${order.length},3,1,1] w = {${rows.join(
      ',',
    )}}> {
    c = Conv (x, w)  p = GlobalAveragePool (c)  y = Flatten (p) }`,
  );
}
async function folder(
  name: string,
  colours: readonly string[],
  spelled: (c: string) => string = (c) => c,
): Promise<string> {
  for (const c of colours) {
    const [r, g, b] = COLOURS[c as keyof typeof COLOURS]; // the callers name colours
    for (const i of [0, 1]) await put(path.join(root, name, spelled(c), `${i}.png`), await png(r, g, b));
  }
  return name;
}
const preprocess = { scale: '1/255' };
async function score(
  model: string,
  evaluation: string,
  more: { calibration?: string; classes?: string[] } = {},
): Promise<{ top1: number | undefined; said: Diagnostic[] }> {
  const said: Diagnostic[] = [];
  const recipe = await recipeOf(root, {
    model,
    ...(more.calibration
      ? { calibration: { data: { images: more.calibration, preprocess } } }
      : { quantize: { format: 'dynamic' } }),
    evaluation: { data: { images: evaluation, preprocess, ...(more.classes ? { classes: more.classes } : {}) } },
  });
  const found = await evaluateFiles({ files: [model], recipe, report: (d) => said.push(d) });
  return { top1: found.reference.metrics[0]?.value, said };
}
const refusal = (run: Promise<unknown>): Promise<QuantError> =>
  run.then(
    () => {
      throw new Error('expected an error');
    },
    (e: unknown) => {
      if (e instanceof QuantError) return e;
      throw e;
    },
  );

describe('class folders against the scores of a model', () => {
  beforeAll(async () => {
    await folder('all', ['blue', 'green', 'red']);
    await folder('some', ['green', 'red']);
    await folder('shouted', ['green', 'red'], (c) => c.toUpperCase());
    await folder('listed', ['green', 'red']);
    writeFileSync(path.join(root, 'listed', 'classes.txt'), 'red\ngreen\nblue\n');
  });
  const sorted = ['blue', 'green', 'red'] as const;
  const other = ['red', 'green', 'blue'] as const;

  it('are their sorted order where there is one for each', async () => {
    expect((await score(colourModel('a.onnx', sorted), 'all')).top1).toBe(100);
  });

  it('are refused where they are fewer, and all names are asked for', async () => {
    const error = await refusal(score(colourModel('b.onnx', sorted), 'some'));
    expect(error.code).toBe('DATA_LABEL');
    expect(error.message).toMatch(/2 class folders \(green, red\).*'y' gives 3 scores/);
    expect(error.hint).toMatch(/all 3 names as classes/);
  });

  it('are refused where they are more', async () => {
    await folder('four', ['blue', 'green', 'red']);
    await put(path.join(root, 'four', 'white', '0.png'), await png(250, 250, 250));
    expect(await refusal(score(colourModel('c.onnx', sorted), 'four'))).toMatchObject({
      code: 'DATA_LABEL',
      where: { file: path.join(root, 'four') },
    });
  });

  it('are refused where only running tells how many scores there are', async () => {
    expect((await refusal(score(colourModel('d.onnx', sorted, '', 'N', 'C'), 'some'))).code).toBe('DATA_LABEL');
  });

  it('are completed by the names of the calibration folders, in the order of both', async () => {
    expect((await score(colourModel('e.onnx', sorted), 'some', { calibration: 'all' })).top1).toBe(100);
  });

  it.each([
    ['a Python dict of numbers', `"names": "{0: 'red', 1: 'green', 2: 'blue'}"`],
    ['JSON', `"id2label": "{\\"0\\":\\"red\\",\\"1\\":\\"green\\",\\"2\\":\\"blue\\"}"`],
    ['a list', `"labels": "red, green,blue"`],
    ['another spelling', `"classes": "[\\"Red\\",\\"GREEN\\",\\"blue\\"]"`],
  ])('follow the names that the model holds as %s', async (_, metadata) => {
    const model = colourModel('f.onnx', other, metadata);
    expect([
      (await score(model, 'all')).top1,
      (await score(model, 'some')).top1,
      (await score(model, 'shouted')).top1,
    ]).toEqual([100, 100, 100]);
    expect((await score(model, 'some')).said.map((d) => d.code)).toEqual(['CLASSES_MATCHED', 'DATA_LABEL']);
  });

  it('follow a list beside them', async () => {
    expect((await score(colourModel('g.onnx', other), 'listed')).top1).toBe(100);
  });

  it("name a folder that is none of the model's classes, and the nearest", async () => {
    await folder('misspelt', ['green', 'red'], (c) => (c === 'red' ? 'redd' : c));
    const error = await refusal(score(colourModel('h.onnx', other, `"names": "red,green,blue"`), 'misspelt'));
    expect([error.code, error.message, error.hint]).toEqual([
      'DATA_LABEL',
      expect.stringContaining("'redd'"),
      expect.stringContaining("'red'"),
    ]);
  });

  it('are what the recipe says, with a warning where it lists fewer than there are scores', async () => {
    const { top1, said } = await score(colourModel('i.onnx', ['green', 'red', 'blue']), 'some', {
      classes: ['green', 'red'],
    });
    expect([top1, said.filter((d) => d.severity === 'warning').map((d) => d.message)]).toEqual([
      100,
      [expect.stringMatching(/lists 2 names \(green, red\).*3 scores/)],
    ]);
  });

  it('are settled before a run does any work, and name the classes of its record', async () => {
    const model = colourModel('j.onnx', other, `"names": "red,green,blue"`);
    const evaluation = { data: { images: 'some', preprocess } };
    const of = (m: string) =>
      recipeOf(root, { model: m, calibration: { data: { images: 'some', preprocess } }, evaluation });
    expect(
      (
        await refusal(
          runRecipe({ recipe: await of(colourModel('k.onnx', sorted)), outDir: path.join(root, 'out'), dryRun: true }),
        )
      ).code,
    ).toBe('DATA_LABEL');
    const { record } = await runRecipe({ recipe: await of(model), outDir: path.join(root, 'out') });
    expect(record.evaluation?.metrics[0]?.classes?.map((c) => [c.class, c.name])).toEqual([
      [0, 'red'],
      [1, 'green'],
    ]);
  });
});

describe('class names in metadata', () => {
  it.each<[string, Record<string, string>, readonly string[] | undefined]>([
    ['escaped quotes', { names: String.raw`{0: 'it\'s', 1: "b"}` }, ["it's", 'b']],
    ['lines', { labels: 'a b\r\nc\n' }, ['a b', 'c']],
    ['names to numbers', { class_to_idx: '{"b": 0, "a": 1}' }, ['b', 'a']],
    ['gaps in the numbers', { names: "{0: 'a', 2: 'b'}" }, undefined],
    ['a name twice', { names: '["a","a"]' }, undefined],
    ['one word', { names: 'model' }, undefined],
    ['no key', { author: 'a,b' }, undefined],
  ])('%s', (_, metadata, names) => {
    expect(namesInMetadata(new Map(Object.entries(metadata)))?.names).toEqual(names);
  });

  it('are looked for in time in line with the text', () => {
    const start = performance.now();
    for (const piece of ["'", '"', '0', "\\'", '1:', '{'])
      namesInMetadata(new Map([['names', `{${piece.repeat(300_000)}`]]));
    expect(performance.now() - start).toBeLessThan(2000);
  });
});
