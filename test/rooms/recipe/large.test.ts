/** Recipes of 100 kB to 1 MB are answered soon, whatever is wrong with them: work that grows with the square takes minutes. */
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { QuantError, type ErrorCode } from '../../../src/base/errors.js';
import { loadRecipe } from '../../../src/recipe/load.js';

const dir = mkdtempSync(path.join(tmpdir(), 'quantbench-large-'));
const HEAD = 'version: 1\nmodel: m.onnx\n';
const many = (n: number, line: (i: number) => string): string => Array.from({ length: n }, (_, i) => line(i)).join('');
const list = (n: number, item: string): string => `${HEAD}quantize:\n  exclude:\n${many(n, () => `   - ${item}\n`)}`;

async function refusal(text: string): Promise<QuantError> {
  const file = path.join(dir, 'r.yaml');
  writeFileSync(file, text);
  try {
    await loadRecipe(file);
  } catch (error) {
    if (error instanceof QuantError) return error;
    throw error;
  }
  throw new Error('was accepted');
}

describe('large recipes', () => {
  it.each<[string, string, ErrorCode]>([
    ['6,000 times the same key', HEAD + 'a: 1\n'.repeat(6000), 'RECIPE_FORMAT'],
    ['20,000 times the same key', HEAD + 'a: 1\n'.repeat(20_000), 'RECIPE_FORMAT'],
    ['5,000 unknown keys', HEAD + many(5000, (i) => `key${i}: 1\n`), 'RECIPE_UNKNOWN_KEY'],
    ['20,000 unknown keys', HEAD + many(20_000, (i) => `key${i}: 1\n`), 'RECIPE_FORMAT'],
    ['5,000 bad expressions', list(5000, "'re:('"), 'RECIPE_INVALID'],
    ['70,000 bad expressions', list(70_000, "'re:('"), 'RECIPE_FORMAT'],
    ['5,000 integers beyond 2^53', list(5000, '99999999999999999999'), 'RECIPE_INVALID'],
    ['30,000 integers beyond 2^53', list(30_000, '99999999999999999999'), 'RECIPE_FORMAT'],
    ['5,000 items of a wrong type', list(5000, '1'), 'RECIPE_INVALID'],
    ['100,000 items of a wrong type', list(100_000, '1'), 'RECIPE_FORMAT'],
    ['5,000 unknown tags', list(5000, '!x 1'), 'RECIPE_FORMAT'],
    ['500 anchors and aliases', HEAD + many(500, (i) => `a${i}: &x${i} 1\nb${i}: *x${i}\n`), 'RECIPE_UNKNOWN_KEY'],
    ['5,000 anchors and aliases', HEAD + many(5000, (i) => `a${i}: &x${i} 1\nb${i}: *x${i}\n`), 'RECIPE_FORMAT'],
    ['300,000 aliases', `${HEAD}a: &a [1]\nb: [${'*a, '.repeat(300_000 / 2)}]\n`, 'RECIPE_FORMAT'],
    ['4,000 unknown keys in a flow', `${HEAD}quantize: { ${many(4000, (i) => `k${i}: 1, `)} }\n`, 'RECIPE_UNKNOWN_KEY'],
    ['a text of 900 kB', `${HEAD}name: "${'x'.repeat(900_000)}"\n`, 'RECIPE_INVALID'],
    ['a pattern of 900 kB', list(1, `'${'*a'.repeat(450_000)}'`), 'RECIPE_INVALID'],
    ['20,000 empty lines', `${HEAD}${'\n'.repeat(20_000)}quantize: 1\n`, 'RECIPE_INVALID'],
    ['900,000 empty lines', `${HEAD}${'\n'.repeat(900_000)}quantize: 1\n`, 'RECIPE_FORMAT'],
    ['200,000 lines of comment', `${HEAD}${'# x\n'.repeat(200_000)}quantize: 1\n`, 'RECIPE_FORMAT'],
  ])('%s', { timeout: 30_000 }, async (_what, text, code) => {
    const error = await refusal(text);
    expect([
      error.code,
      error.more.length <= 9,
      error.message.length < 2100,
      (error.excerpt ?? '').length < 600,
    ]).toEqual([code, true, true, true]);
    expect(error.where.line ?? 1).toBeGreaterThan(0);
  });
  it('tells the line of each key that is given twice, also in lists and among merges', async () => {
    const error = await refusal(
      'version: 1\nmodel: a\nmodel: b\nquantize:\n  exclude: [ { opType: A, opType: B } ]\n  "exclude": []\n' +
        'evaluation:\n  batchSize: 1\n',
    );
    expect([error, ...error.more].map((e) => [e.code, e.where.line])).toEqual([
      ['RECIPE_FORMAT', 3],
      ['RECIPE_FORMAT', 6],
      ['RECIPE_FORMAT', 5],
    ]);
  });
});
