/** Every bad recipe that the project knows of, through the whole job: one row each. */
import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/base/errors.js';
import { check, type Row } from './bad-inputs.js';

const BASE = 'version: 1\nmodel: m.onnx\ncalibration: { data: { npy: x.npy }, cache: false }\n';
const refused = (
  name: string,
  wholeRecipe: string | Uint8Array,
  code: ErrorCode,
  line?: number,
  says?: RegExp,
): Row => ({
  name,
  wholeRecipe,
  fails: { code, ...(line === undefined ? {} : { where: { line } }), ...(says ? { says } : {}) },
});
const with_ = (name: string, more: string, code: ErrorCode, says?: RegExp): Row =>
  refused(name, BASE + more, code, 4, says);
const repeated = (text: string, n: number): string => text.repeat(n);

describe('recipes', () => {
  it.each<Row>([
    refused('empty', '', 'RECIPE_FORMAT'),
    refused('binary', Uint8Array.of(0, 1, 2, 0xff, 0xfe), 'RECIPE_FORMAT'),
    refused('a list', '- a\n- b\n', 'RECIPE_FORMAT', 1),
    refused('a megabyte', `# ${'x'.repeat(1_000_001)}\n`, 'RECIPE_FORMAT', undefined, /1000000/),
    refused(
      'aliases that explode',
      `a: &a [1,1,1,1,1,1,1,1,1]\n` +
        `${[...'bcdefghi'].map((c, i) => `${c}: &${c} [${repeated(`*${'abcdefgh'[i]},`, 9)}]`).join('\n')}\n`,
      'RECIPE_FORMAT',
      undefined,
      /alias/,
    ),
    refused('an alias of itself', `${BASE}name: &a [ *a ]\n`, 'RECIPE_FORMAT'),
    refused('flow nesting of 100,000', `a: ${repeated('[', 100_000)}`, 'RECIPE_FORMAT', 1, /deep/),
    refused(
      'block nesting of 2,000',
      Array.from({ length: 2000 }, (_, i) => `${' '.repeat(i)}a:\n`)
        .join('')
        .slice(0, 900_000),
      'RECIPE_FORMAT',
      undefined,
      /deep/,
    ),
    refused(
      'a list nested 5,000 deep on one line',
      `a:\n  ${repeated('- ', 5000)}x\n`,
      'RECIPE_FORMAT',
      undefined,
      /deep/,
    ),
    refused('a key given twice', 'version: 1\nmodel: m.onnx\nmodel: n.onnx\n', 'RECIPE_FORMAT', 3),
    refused('a tab', 'version: 1\nquantize:\n\tformat: qdq\n', 'RECIPE_FORMAT', 3),
    with_('an unknown tag', 'name: !!js/function "x"\n', 'RECIPE_FORMAT'),
    with_('a binary tag', 'name: !!binary aGk=\n', 'RECIPE_FORMAT'),
    with_('an integer beyond 2^53', 'quantize: { seed: 9007199254740993 }\n', 'RECIPE_INVALID', /2\^53/),
    with_('.nan', 'evaluation: { collapse: .nan }\n', 'RECIPE_INVALID'),
    with_('.inf', 'evaluation: { samples: .inf }\n', 'RECIPE_INVALID'),
    with_('a negative count', 'evaluation: { samples: -1 }\n', 'RECIPE_INVALID'),
    with_('an unknown key', 'quantise: {}\n', 'RECIPE_UNKNOWN_KEY', /quantize/),
    with_('a prototype key', '__proto__: { x: 1 }\n', 'RECIPE_UNKNOWN_KEY'),
    with_(
      'an unknown observer',
      'quantize: { activations: { observer: minmacks } }\n',
      'RECIPE_UNKNOWN_NAME',
      /minmax/,
    ),
    with_('an unknown target', 'target: onnxruntime-gpu\n', 'RECIPE_UNKNOWN_NAME'),
    with_('an expression that takes for ever', 'quantize: { exclude: [ "re:(a+)+$" ] }\n', 'RECIPE_INVALID'),
    with_('an expression that is broken', 'quantize: { exclude: [ "re:[" ] }\n', 'RECIPE_INVALID'),
    with_('two documents', '---\nversion: 1\n', 'RECIPE_FORMAT'),
    refused('a version of the future', BASE.replace('version: 1', 'version: 2'), 'RECIPE_INVALID', 1, /2/),
    refused('a version as text', BASE.replace('version: 1', 'version: "1"'), 'RECIPE_INVALID', 1),
    refused('no model', BASE.replace('model: m.onnx\n', ''), 'RECIPE_INVALID', undefined, /model/),
    {
      name: 'a layer that does not exist',
      recipe: 'quantize: { exclude: [ convv ] }\n',
      fails: { code: 'RECIPE_UNKNOWN_NAME', says: /convv/ },
    },
    {
      name: 'an expression that no layer matches',
      recipe: 'quantize: { include: [ "re:^nothing$" ] }\n',
      fails: { code: 'RECIPE_UNKNOWN_NAME' },
    },
    { name: 'everything excluded', recipe: 'quantize: { exclude: [ "*" ] }\n', fails: { code: 'QUANTIZE_NOTHING' } },
    {
      name: 'a name that chooses a folder',
      recipe: 'name: ../../etc\n',
      holds: ({ record }) => expect(record.recipe.name).toBe('../../etc'),
    },
    {
      name: 'a name of markup and control characters',
      recipe: 'name: "<img src=x>\\e[2J\\u202e"\n',
      holds: ({ record }) => expect(record.outcome).toBe('ok'),
    },
    {
      name: 'a merge key',
      wholeRecipe:
        'version: 1\nmodel: m.onnx\ncalibration: { data: &d { npy: x.npy }, cache: false }\n' +
        'evaluation: { data: { <<: *d }, latency: false, collapse: 0 }\n',
      holds: ({ codes }) => expect(codes()).toContain('DATA_OVERLAP'),
    },
    { name: 'a folder as recipe', argv: ['--recipe', '.'], fails: { code: 'RECIPE_MISSING', says: /directory/ } },
    { name: 'no recipe there', argv: ['--recipe', 'none.yaml'], fails: { code: 'RECIPE_MISSING' } },
    {
      name: 'a device as recipe',
      argv: ['--recipe', '/dev/null'],
      fails: { code: 'RECIPE_MISSING', says: /regular file/ },
    },
    {
      name: 'a device as model',
      argv: ['--model', '/dev/null'],
      fails: { code: 'MODEL_MISSING', says: /regular file/ },
    },
    {
      name: 'a link that goes round as model',
      prepare: (f) => symlinkSync('l.onnx', path.join(f, 'l.onnx')),
      argv: ['--set', 'model=l.onnx'],
      fails: { code: 'MODEL_MISSING', says: /link/ },
    },
    { name: 'a setting that is not one', argv: ['--set', 'nonsense'], fails: { code: 'USAGE' } },
    {
      name: 'a setting through the prototype',
      argv: ['--set', '__proto__.polluted=1'],
      fails: { code: 'RECIPE_UNKNOWN_KEY' },
    },
    {
      name: 'a cache that is a file',
      recipe: '',
      argv: ['--set', 'calibration.cache=m.onnx'],
      fails: { code: 'OUTPUT_WRITE' },
    },
    {
      name: 'an empty folder as data',
      prepare: (f) => mkdirSync(path.join(f, 'none')),
      data: '{ npy: none }',
      fails: { code: 'DATA_MISSING' },
    },
  ])('$name', async (row) => {
    await check(row);
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });
});
