import { describe, expect, it } from 'vitest';
import { QuantError } from '../../../src/base/errors.js';
import { bytesText, countText, oneLine, printable, secondsText } from '../../../src/base/text.js';
import { folderName } from '../../../src/cli/folder-name.js';
import { renderError } from '../../../src/cli/errors.js';
import { openProgress } from '../../../src/cli/progress.js';
import { table, wrapped } from '../../../src/cli/layout.js';
import { cpuFeatures, environment, u8s8Saturates } from '../../../src/runtime/environment.js';

describe('text', () => {
  it('makes names harmless', () => {
    expect(printable('a\x1b[2Jb\u202ec\u0000\n')).toBe('a\\x1b[2Jb\\u202ec\\x00\n');
    expect(oneLine('a\nb\tc')).toBe('a\\nb\\tc');
    expect(printable('naïve 日本 🙂 −')).toBe('naïve 日本 🙂 −');
  });
  it('writes numbers for people', () => {
    expect([0, 999, 1000, 715_867, 25.3e9].map(bytesText)).toEqual(['0 B', '999 B', '1.00 kB', '716 kB', '25.3 GB']);
    expect([9999, 174_700, 2_360_000].map(countText)).toEqual(['9999', '174.7 k', '2.36 M']);
    expect([123, 9400, 61_000, 125_000].map(secondsText)).toEqual(['0.1 s', '9.4 s', '61 s', '2 min 5 s']);
  });
  it('breaks lines between words, by the width that characters take', () => {
    expect(wrapped('  warning CODE  日本語 が ここに あります', 30, 10)).toBe(
      '  warning CODE  日本語 が\n      ここに あります',
    );
    expect(wrapped('  \x1b[33mone\x1b[39m two three four five six', 26)).toBe(
      '  \x1b[33mone\x1b[39m two three four five\n  six',
    );
    expect(wrapped(`a ${'x'.repeat(60)} b`, 40)).toBe(`a\n  ${'x'.repeat(60)}\n  b`);
    expect(wrapped('   14 |   observer: kld and more and more and more', 30)).toBe(
      '   14 |   observer: kld and more and more and more',
    );
  });
  const wide = [
    ['a', 'long name of it', '12', 'some words that tell why it is so and not otherwise at all'],
    ['b', 'c', '3', ''],
  ];
  it('keeps tables within the width: the last column is wrapped', () => {
    expect(table(wide, [2], { columns: 60 })).toEqual([
      'a  long name of it  12  some words that tell why it is so\n                        and not otherwise at all',
      'b  c                 3',
    ]);
  });
  it('moves it under its row where it would be too narrow, and drops columns by priority before', () => {
    expect(table(wide, [2], { columns: 20, drop: [1] })).toEqual([
      'a  12\n    some words that tell why\nit is so and not\notherwise at all',
      'b   3',
    ]);
    expect(table(wide, [2], { columns: 40, indent: 2 })).toEqual([
      '  a  long name of it  12\n      some words that tell why it is so\n      and not otherwise at all',
      '  b  c                 3',
    ]);
  });
  it('aligns tables', () =>
    expect(
      table(
        [
          ['a', '1', 'x'],
          ['bbb', '22', ''],
        ],
        [1],
      ),
    ).toEqual(['a     1  x', 'bbb  22']));
});

describe('the default output folder', () => {
  it.each([
    ['int8-kl', 'int8-kl'],
    ['../../etc', 'etc'],
    ['a/b\\c', 'a-b-c'],
    ['', 'run'],
    ['..', 'run'],
    ['größe 8', 'größe-8'],
    ['x\x1b[0m', 'x-0m'],
  ])('of %j is %j', (name, folder) => {
    expect(folderName(name)).toBe(folder);
  });
});

describe('errors', () => {
  const plain = { colour: false, debug: false };
  it('have place, code, message, excerpt and hint', () => {
    const e = new QuantError('DATA_IMAGE', 'it ends early', {
      where: { file: 'a.jpg', line: 2, column: 3 },
      hint: 'look',
      excerpt: '1 | x',
    });
    expect(renderError(e, plain)).toBe('a.jpg:2:3 DATA_IMAGE  it ends early\n1 | x\n   look');
  });
  it('of ours say so', () => {
    expect(renderError(new TypeError('x is undefined'), plain)).toMatch(
      /^INTERNAL {2}x is undefined\n {3}this is a bug in quantbench/,
    );
    expect(renderError(undefined, plain)).toMatch(/^INTERNAL/);
  });
});

describe('progress without a terminal', () => {
  it('is one line per stage', async () => {
    const lines: string[] = [];
    const progress = await openProgress({
      say: (l) => lines.push(l),
      data: () => undefined,
      animated: false,
      colour: false,
      columns: 80,
      dataColumns: 80,
    });
    progress.onEvent({ type: 'start', title: 'evil\x1b[2J' });
    progress.onEvent({ type: 'stage-start', stage: 'calibrate' });
    for (let done = 1; done <= 100; done++)
      progress.onEvent({ type: 'progress', stage: 'calibrate', done, total: 100 });
    progress.onEvent({ type: 'stage-end', stage: 'calibrate', ms: 1234, summary: '100 samples' });
    for (let i = 0; i < 50; i++)
      progress.onEvent({
        type: 'diagnostic',
        diagnostic: { severity: 'warning', code: 'DATA_IMAGE', message: 'left out', where: { sample: 'a.png' } },
      });
    progress.close();
    expect(lines.slice(0, 3)).toEqual([
      'quantbench · evil\\x1b[2J\n',
      '  calibrate   100 samples  1.2 s',
      '  warning DATA_IMAGE  a.png: left out',
    ]);
    expect(lines.slice(3)).toEqual([
      '  warning DATA_IMAGE  a.png: left out',
      '  warning DATA_IMAGE  and 48 more like it: a.png, a.png, a.png, …',
    ]);
  });
});

describe('the environment', () => {
  it('describes this machine', () => {
    const e = environment();
    expect(e.node).toBe(process.versions.node);
    expect(e.cores).toBeGreaterThan(0);
    expect(e.memoryBytes).toBeGreaterThan(1e8);
    expect(e.onnxruntime).toMatch(/^\d+\.\d+/);
  });
  it('reads flags of Linux and macOS', () => {
    expect(cpuFeatures('fpu sse4_1 avx avx2 fma avx512f avx512bw avx512_vnni')).toContain('avx512_vnni');
    expect(cpuFeatures('fp asimd asimddp i8mm')).toEqual(['neon', 'dotprod', 'i8mm']);
    expect(cpuFeatures('AdvSIMD FEAT_DotProd')).toEqual(['neon', 'dotprod']);
    expect(cpuFeatures('')).toEqual([]);
  });
  it('knows where uint8 × int8 saturates', () => {
    expect(u8s8Saturates({ arch: 'x64', cpuFeatures: ['avx2'] })).toBe(true);
    expect(u8s8Saturates({ arch: 'x64', cpuFeatures: ['avx2', 'avx_vnni'] })).toBe(false);
    expect(u8s8Saturates({ arch: 'arm64', cpuFeatures: ['neon'] })).toBe(false);
    expect(u8s8Saturates({ arch: 'x64', cpuFeatures: [] })).toBeUndefined();
  });
});
