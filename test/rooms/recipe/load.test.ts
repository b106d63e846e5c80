import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { QuantError } from '../../../src/base/errors.js';
import { loadRecipe, resolveRecipe, type RecipeOverrides } from '../../../src/recipe/load.js';

const folder = mkdtempSync(path.join(tmpdir(), 'quantbench-recipe-'));
const minimal = 'version: 1\nmodel: m.onnx\ncalibration:\n  data: { images: data }\n';

function put(text: string | Uint8Array, name = 'r.yaml'): string {
  const file = path.join(folder, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
  return file;
}
const load = (text: string | Uint8Array, o: RecipeOverrides = {}): ReturnType<typeof loadRecipe> =>
  loadRecipe(put(text), { cwd: folder, ...o });
async function errorOf(text: string | Uint8Array, o: RecipeOverrides = {}): Promise<QuantError> {
  try {
    await load(text, o);
  } catch (e) {
    if (e instanceof QuantError) return e;
    throw e;
  }
  throw new Error('expected an error');
}

describe('a good recipe', () => {
  it('gets every default', async () => {
    const { recipe, name, baseDir } = await load(minimal);
    expect(name).toBe('r');
    expect(baseDir).toBe(folder);
    expect(recipe.calibration.samples).toBe(512);
    expect(recipe.quantize.activations.observer).toEqual({ name: 'minmax' });
    expect(recipe.evaluation.latency).toEqual({ memory: true, runs: 100, warmup: 10, threads: 1, batch: 1 });
  });
  it('resolves to YAML that loads to the same recipe', async () => {
    const first = await load(
      `${minimal}quantize:\n  activations: { observer: kl }\n  exclude: [ "re:^head/", { opType: Softmax } ]\n`,
    );
    const again = await load(first.yaml);
    expect(again.recipe).toEqual(first.recipe);
    expect(again.yaml).toBe(first.yaml);
    expect(first.yaml).not.toContain(folder);
  });
  it('takes a BOM, CRLF, anchors and merge keys', async () => {
    const { recipe } = await load(
      `\uFEFFversion: 1\r\nmodel: m.onnx\r\ncalibration:\r\n` +
        `  data: &d { images: a, preprocess: { scale: 1/255 } }\r\nevaluation:\r\n` +
        `  data: { <<: *d, images: b }\r\n`,
    );
    expect(recipe.evaluation.data).toMatchObject({ images: 'b', preprocess: { scale: '1/255' } });
  });
  it('lets evaluation inherit how data of its kind are read, and nothing else', async () => {
    const { recipe } = await load(
      'version: 1\nmodel: m\ncalibration:\n' +
        '  data: { images: a, preprocess: { scale: 1/255 }, order: shuffled }\nevaluation:\n' +
        '  data: { webdataset: b.tar }\n',
    );
    expect(recipe.evaluation.data).toMatchObject({ webdataset: 'b.tar', preprocess: { scale: '1/255' } });
    expect(recipe.evaluation.data?.order).toBeUndefined();
    const other = await load(
      'version: 1\nmodel: m\ncalibration:\n  data: { images: a, preprocess: { scale: 1/255 } }\nevaluation:\n' +
        '  data: { npz: b.npz }\n',
    );
    expect(other.recipe.evaluation.data?.preprocess).toBeUndefined();
  });
  it('lets training inherit it from calibration, and evaluation from training where nothing is calibrated', async () => {
    const train = 'train:\n  data: { webdataset: t.tar';
    const how = 'preprocess: { scale: 1/255, mean: 0.5 }';
    const only = await load(`version: 1\nmodel: m\n${train}, ${how} }\nevaluation:\n  data: { images: b }\n`);
    expect(only.recipe.evaluation.data).toMatchObject({ images: 'b', preprocess: { scale: '1/255', mean: 0.5 } });
    const both = await load(
      `version: 1\nmodel: m\ncalibration:\n  data: { images: a, ${how} }\n${train} }\nevaluation:\n  data: { images: b }\n`,
    );
    expect(both.recipe.train?.data).toMatchObject({ webdataset: 't.tar', preprocess: { mean: 0.5 } });
    expect(both.recipe.evaluation.data).toMatchObject({ images: 'b', preprocess: { mean: 0.5 } });
  });
  it('needs no calibration data for format dynamic', async () => {
    expect(
      (await load('version: 1\nmodel: m\nquantize: { format: dynamic }\n')).recipe.calibration.data,
    ).toBeUndefined();
  });
});

describe('overrides', () => {
  it('take flags relative to the working directory and settings relative to the recipe', async () => {
    const file = put(minimal, 'sub/s.yaml');
    const { recipe, yaml } = await loadRecipe(file, {
      cwd: folder,
      model: 'x/y.onnx',
      set: [
        'calibration.data.preprocess.scale=1/255',
        'quantize.exclude[0]=head*',
        'quantize.activations.observer.name=kl',
      ],
    });
    expect(recipe.model).toBe('../x/y.onnx');
    expect(recipe.calibration.data?.preprocess?.scale).toBe('1/255');
    expect(recipe.quantize.exclude).toEqual(['head*']);
    expect(recipe.quantize.activations.observer.name).toBe('kl');
    expect((parse(yaml) as { model: string }).model).toBe('../x/y.onnx');
  });
  it('keep preprocessing when calibration data are redirected', async () => {
    const { recipe } = await load(
      minimal.replace('{ images: data }', '{ images: data, preprocess: { scale: 1/255 } }'),
      { calibrationData: 'elsewhere' },
    );
    expect(recipe.calibration.data).toMatchObject({ images: 'elsewhere', preprocess: { scale: '1/255' } });
  });
  it('guess the kind of data where the recipe names none', async () => {
    mkdirSync(path.join(folder, 'arrays'), { recursive: true });
    writeFileSync(path.join(folder, 'arrays', 'a.npz'), '');
    const { recipe } = await load('version: 1\nmodel: m\n', { calibrationData: 'arrays' });
    expect(recipe.calibration.data).toMatchObject({ npz: 'arrays' });
    const redirected = await load(minimal.replace('{ images: data }', '{ images: data, preprocess: { scale: 1 } }'), {
      calibrationData: 'arrays',
    });
    expect(redirected.recipe.calibration.data).toMatchObject({ npz: 'arrays' });
    expect((await errorOf('version: 1\nmodel: m\n', { calibrationData: 'nowhere' })).code).toBe('DATA_MISSING');
  });
  it.each([
    ['quantize.activatons.dtype=int8', 'RECIPE_UNKNOWN_KEY', /Did you mean "activations"/],
    ['quantize.activations.observer=kld', 'RECIPE_UNKNOWN_NAME', /Did you mean "kl"/],
    ['nonsense', 'USAGE', /not a setting/],
    ['quantize.exclude[3]=a', 'USAGE', /position/],
    ['calibration.samples=[', 'RECIPE_FORMAT', /./],
  ])('refuse --set %s', async (setting, code, words) => {
    const e = await errorOf(`${minimal}quantize: { exclude: [] }\n`, { set: [setting] });
    expect(e.code).toBe(code);
    expect(e.message).toMatch(words);
    expect(e.where.file).toBe(`--set ${setting}`);
  });
});

describe('a bad recipe is refused at its place', () => {
  const body = (text: string): string => `${minimal}${text}`;
  it.each<
    [title: string, text: string, code: string, line: number | undefined, column: number | undefined, words: RegExp]
  >([
    [
      'unknown observer',
      body('quantize:\n  activations:\n    observer: kld\n'),
      'RECIPE_UNKNOWN_NAME',
      7,
      15,
      /"kld" is not an observer\. Did you mean "kl"/,
    ],
    [
      'unknown observer, long form',
      body('quantize:\n  activations:\n    observer: { name: kld }\n'),
      'RECIPE_UNKNOWN_NAME',
      7,
      23,
      /"kld" is not an observer/,
    ],
    [
      'unknown option of an observer',
      body('quantize:\n  activations:\n    observer: { name: percentile, percentil: 3 }\n'),
      'RECIPE_UNKNOWN_KEY',
      7,
      35,
      /Did you mean "percentile"/,
    ],
    ['unknown metric', body('evaluation:\n  metrics: [ top1, topp1 ]\n'), 'RECIPE_UNKNOWN_NAME', 6, 20, /not a metric/],
    ['unknown key', body('quantise: {}\n'), 'RECIPE_UNKNOWN_KEY', 5, 1, /Did you mean "quantize"/],
    [
      'unknown key of a filter',
      body('quantize:\n  exclude: [ { opTyp: Conv } ]\n'),
      'RECIPE_UNKNOWN_KEY',
      6,
      16,
      /Did you mean "opType"/,
    ],
    ['wrong type', body('optimize: { enabled: maybe }\n'), 'RECIPE_INVALID', 5, 22, /not true or false/],
    ['bytes', body('evaluation: { samples: 0 }\n'), 'RECIPE_INVALID', 5, 24, /above 0/],
    [
      'union',
      body('quantize:\n  weights: { granularity: chanel }\n'),
      'RECIPE_INVALID',
      6,
      27,
      /Did you mean "channel"/,
    ],
    ['union of plain types', body('evaluation: { latency: yes }\n'), 'RECIPE_INVALID', 5, 24, /"yes"/],
    ['unknown pass', body('optimize: { skip: [ fold-batchnorm ] }\n'), 'RECIPE_UNKNOWN_NAME', 5, 21, /not a pass/],
    ['exponential expression', body('quantize:\n  exclude: [ "re:(a+)+$" ]\n'), 'RECIPE_INVALID', 6, 14, /for ?ever/],
    ['broken expression', body('quantize:\n  exclude: [ "re:(" ]\n'), 'RECIPE_INVALID', 6, 14, /regular expression/],
    ['wrong version', minimal.replace('version: 1', 'version: 7'), 'RECIPE_INVALID', 1, 10, /version 7/],
    ['no version', minimal.replace('version: 1\n', ''), 'RECIPE_INVALID', 1, 1, /`version` is missing/],
    ['no model', minimal.replace('model: m.onnx\n', ''), 'RECIPE_INVALID', 1, 1, /no model/],
    ['no data', 'version: 1\nmodel: m\n', 'RECIPE_INVALID', 1, 1, /no calibration\.data/],
    [
      'two sources',
      minimal.replace('images: data', 'images: data, npz: x'),
      'RECIPE_INVALID',
      4,
      3,
      /exactly one source/,
    ],
    ['duplicate key', 'version: 1\nmodel: a\nmodel: b\n', 'RECIPE_FORMAT', 3, 1, /twice/],
    ['tab', 'version: 1\nquantize:\n\tformat: qdq\n', 'RECIPE_FORMAT', 3, 1, /tab/],
    ['unknown tag', body('name: !js x\n'), 'RECIPE_FORMAT', 5, 7, /tag/],
    ['set tag', body('name: !!set { a }\n'), 'RECIPE_FORMAT', 5, undefined, /tag/],
    ['two documents', `${minimal}---\na: 1\n`, 'RECIPE_FORMAT', 5, 1, /more than one/],
    ['huge integer', body('quantize: { seed: 12345678901234567890 }\n'), 'RECIPE_INVALID', 5, 19, /2\^53/],
    ['nan', body('evaluation: { collapse: .nan }\n'), 'RECIPE_INVALID', 5, 25, /NaN/],
    [
      'infinity',
      body('calibration: { maxMemory: .inf }\n').replace('calibration:\n  data: { images: data }\n', ''),
      'RECIPE_INVALID',
      3,
      27,
      /Infinity/,
    ],
    ['empty', '# nothing\n', 'RECIPE_FORMAT', undefined, undefined, /empty/],
    ['a list', '- version\n', 'RECIPE_FORMAT', 1, 1, /a list/],
    ['a scalar', 'hello\n', 'RECIPE_FORMAT', 1, 1, /single value/],
    ['YAML 1.1', '%YAML 1.1\n---\nversion: 1\n', 'RECIPE_FORMAT', 1, 1, /YAML 1\.1/],
    ['prototype key', body('__proto__: { a: 1 }\n'), 'RECIPE_UNKNOWN_KEY', 5, 1, /__proto__/],
    ['unresolved alias', body('name: *x\n'), 'RECIPE_FORMAT', undefined, undefined, /x/],
  ])('%s', async (_title, text, code, line, column, words) => {
    const e = await errorOf(text);
    expect([e.code, e.message].join(' ')).toMatch(words);
    expect(e.code).toBe(code);
    if (line !== undefined) expect(e.where.line).toBe(line);
    if (column !== undefined) expect(e.where.column).toBe(column);
    if (line !== undefined) expect(e.excerpt).toMatch(/\^/);
  });

  it('shows the line before, the line and a caret under the value', async () => {
    const e = await errorOf(body('quantize:\n  activations:\n    observer: kld\n'));
    expect(e.excerpt).toBe('     6 |   activations:\n     7 |     observer: kld\n       |               ^^^');
    expect(e.hint).toMatch(/^observers: minmax, /);
  });
  it('reports all mistakes at once', async () => {
    const e = await errorOf(
      'version: 1\nmodle: m\nquantize: { format: qdqq }\ncalibration: { data: { images: x }, samples: -1 }\n',
    );
    expect([e, ...e.more].map((x) => x.code).sort()).toEqual([
      'RECIPE_INVALID',
      'RECIPE_UNKNOWN_KEY',
      'RECIPE_UNKNOWN_NAME',
    ]);
  });
});

describe('hostile text ends in an error', () => {
  const bomb =
    `a: &a [x,x,x,x,x,x,x,x,x]\n` +
    `${[...'bcdefghi'].map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefgh'[i]}`).join(',')}]`).join('\n')}\n`;
  it.each<[string, string | Uint8Array]>([
    ['alias bomb', bomb],
    ['alias that contains itself', 'version: &a [ *a ]\n'],
    ['deep flow', '['.repeat(200_000)],
    ['deep mapping', '{a: '.repeat(200_000)],
    ['pairs that nothing parts', `a: [ ${'b: c\n '.repeat(2000)}`],
    ['pairs in braces that nothing parts', `a: { ${'b: c\n '.repeat(2000)}`],
    ['brackets beside brackets', `a: [${'[]'.repeat(400_000)}]`],
    ['braces beside braces', `a: {${'{}'.repeat(400_000)}}`],
    ['deep compact list', '- '.repeat(200_000)],
    ['deep explicit keys', '? '.repeat(100_000)],
    ['deep block', Array.from({ length: 900 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['over 1 MB', 'a'.repeat(1_000_001)],
    ['not UTF-8', new Uint8Array([118, 58, 10, 0xff, 0xfe, 10])],
    ['UTF-16', new Uint8Array([0xff, 0xfe, 118, 0, 58, 0])],
  ])('%s', async (_title, text) => {
    const start = Date.now();
    expect((await errorOf(text)).code).toBe('RECIPE_FORMAT');
    expect(Date.now() - start).toBeLessThan(5000);
  });
  it('brackets that close nothing are told one by one, as far as ten, and by themselves beyond', async () => {
    const few = await errorOf(`version: 1\nmodel: m.onnx\nadjust: [ a${']'.repeat(4)}\n`);
    expect([few.code, few.where.line, few.more.length]).toEqual(['RECIPE_FORMAT', 3, 2]);
    const many = await errorOf(`version: 1\n${`data: { images: a${']'.repeat(80)}, more: b }\n`.repeat(1000)}`);
    expect(many).toMatchObject({
      code: 'RECIPE_FORMAT',
      message: "this ']' closes nothing",
      where: { line: 2, column: 28 },
      hint: expect.stringContaining('between quotes'),
    });
    const kept = Error.stackTraceLimit;
    await errorOf('a: [ b\n');
    expect(Error.stackTraceLimit).toBe(kept);
  });
  it('names the line that is not UTF-8', async () => {
    expect((await errorOf(new Uint8Array([118, 58, 10, 0xff, 10]))).where.line).toBe(2);
  });
  it('a missing file or a folder', async () => {
    await expect(loadRecipe(path.join(folder, 'none.yaml'))).rejects.toMatchObject({ code: 'RECIPE_MISSING' });
    await expect(loadRecipe(folder)).rejects.toMatchObject({ code: 'RECIPE_MISSING' });
  });
});

describe('resolveRecipe', () => {
  it('takes an object and leaves it as it was', async () => {
    const input = { version: 1 as const, model: 'm.onnx', calibration: { data: { npz: 'x.npz' } } };
    const copy = structuredClone(input);
    const { recipe, baseDir } = await resolveRecipe(input, { cwd: folder, set: ['calibration.samples=3'] });
    expect(recipe.calibration.samples).toBe(3);
    expect(baseDir).toBe(folder);
    expect(input).toEqual(copy);
  });
});
