/** `quantize auto` as people type it. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { exitCodeOfSearch } from '../../src/cli/commands/auto.js';
import { runRecordSpec } from '../../src/record/run.js';
import { stringify } from 'yaml';
import { tinyRecipe } from '../rooms/search/tiny.js';
import { start } from '../conformance/process.js';
import { runCli as run } from '../rooms/cli/run-cli.js';

const root = path.join(import.meta.dirname, '..', '..');
const data = path.join(root, 'calibration-data');
const demo = path.join(data, 'demo.onnx');
const recipe = path.join(root, 'recipes', 'int8-minmax.yaml');
const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-cli-auto-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));
const images = (part: string): string => path.join(data, 'glyphs', `${part}.tar`);
const drop = ['--max-accuracy-drop', '5%'];
const quick = [
  '--set',
  'calibration.samples=20',
  '--set',
  'evaluation.samples=100',
  '--set',
  'evaluation.latency={ runs: 50, memory: false }',
  '--set',
  'evaluation.layers=false',
  '--set',
  'evaluation.profile=false',
  '--set',
  'calibration.cache=false',
];

describe('what is refused', () => {
  it.each<[argv: string[], code: number, words: RegExp]>([
    [['--recipe', recipe], 2, /USAGE {2}a search keeps one limit\n {3}--max-accuracy-drop/],
    [drop, 2, /neither a model nor a recipe/],
    [['--recipe', recipe, '--max-accuracy-drop', 'lots'], 2, /"lots" is not a drop/],
    [['--recipe', recipe, '--max-accuracy-drop', '-1%'], 2, /"-1%" is not a drop/],
    [['--recipe', recipe, ...drop, '--objective', 'fast'], 2, /"fast" is not an objective/],
    [['--recipe', recipe, ...drop, '--time-budget', '10'], 2, /"10" is not a time/],
    [['--recipe', recipe, ...drop, '--set', 'evaluation.latency=false'], 2, /the objective is latency/],
    [['--recipe', recipe, ...drop, '--target', 'abacus'], 2, /RECIPE_UNKNOWN_NAME {2}"abacus" is not a target/],
    [['--recipe', 'absent.yaml', ...drop], 2, /RECIPE_MISSING/],
    [[demo, ...drop], 3, /DATA_MISSING.*evaluation data/],
    [[demo, ...drop, '-e', 'absent'], 3, /DATA_MISSING.*absent does not exist/],
    [[demo, ...drop, '-e', images('test'), '-c', 'absent'], 3, /DATA_MISSING.*absent does not exist/],
    [['absent.onnx', ...drop, '-e', images('test')], 3, /MODEL_MISSING/],
  ])('%j', async (argv, code, words) => {
    const r = await run('auto', ...argv, '--out', path.join(temp, 'refused'));
    expect(r.err).toMatch(words);
    expect(r).toMatchObject({ code, out: '' });
    expect(existsSync(path.join(temp, 'refused'))).toBe(false);
  });
  it('a limit that does not fit the metric, before the search begins', async () => {
    const r = await run(
      'auto',
      '--recipe',
      recipe,
      '--max-accuracy-drop',
      '0.5',
      ...quick,
      '--out',
      path.join(temp, 'refused'),
    );
    expect(r.err).toMatch(/the limit "0.5" has no unit/);
    expect(r.err).not.toMatch(/^ {2}try /m);
    expect(r.code).toBe(2);
  });
});

describe('what is given', () => {
  const { model: tiny = '', ...settings } = tinyRecipe(temp);
  const own = path.join(temp, 'tiny.yaml');
  writeFileSync(own, stringify({ ...settings, model: tiny }));
  it('with model and data on the command line: plain text without colours, paths on stdout', async () => {
    const out = path.join(temp, 'flags');
    const r = await run(
      'auto',
      tiny,
      '-c',
      images('calibration'),
      '-e',
      images('test'),
      '-t',
      'onnxruntime-cpu',
      '--max-accuracy-drop',
      '30%',
      '--objective',
      'size', // which of such small models is fastest depends on the machine
      '--set',
      'calibration.data.preprocess={ resize: { height: 8, width: 8 }, scale: 1/255, mean: 0.5, std: 0.25 }',
      ...quick,
      '--time-budget',
      '5min',
      '--out',
      out,
    );
    expect(r.code).toBe(0);
    expect(r.out).toBe(
      ['model.onnx', 'recipe.yaml', 'run.json', 'report.md', 'report.html']
        .map((f) => `${path.join(out, f)}\n`)
        .join(''),
    );
    expect(r.err).not.toMatch(/\u001b|\r/);
    expect(r.err).toMatch(/keeps the limit on the held-out samples/);
    expect(r.err).not.toContain('as given'); // no recipe was
  }, 300_000);
  it('with a recipe and --json: the record, and nothing else, on stdout', async () => {
    const out = path.join(temp, 'json');
    const r = await run(
      'auto',
      '--recipe',
      own,
      '--max-accuracy-drop',
      '30%',
      '--objective',
      'size',
      '--time-budget',
      '5min',
      '--json',
      '--quiet',
      '--out',
      out,
    );
    expect(r).toMatchObject({ code: 0, err: '' });
    const record = runRecordSpec.parse(JSON.parse(r.out));
    expect(record.search).toMatchObject({ objective: 'size', outcome: 'met', limit: 30 });
    expect(record.search!.trials.map((t) => t.label)).toEqual(
      expect.arrayContaining(['as given', 'stored int4, blocks of 32']),
    );
    expect(JSON.parse(readFileSync(path.join(out, 'run.json'), 'utf8'))).toEqual(JSON.parse(r.out));
  }, 300_000);
  it(
    'where the limit is not proven: exit code 5, the best that was found, and no model under the name that was ' +
      'asked for',
    async () => {
      const out = path.join(temp, 'unproven');
      const r = await run(
        'auto',
        '--recipe',
        own,
        '--max-accuracy-drop',
        '0%',
        '--objective',
        'size',
        '--proven',
        '--time-budget',
        '10min',
        '--quiet',
        '--out',
        out,
      );
      expect(r.code).toBe(5);
      expect(readdirSync(out)).toEqual(['best-found']);
      expect(r.out).toContain(path.join(out, 'best-found', 'model.onnx'));
    },
    300_000,
  );
  it('tells by its exit code what became of the limit', () => {
    const look = (verdict: 'pass' | 'fail' | 'undecided') => ({ label: 'x', drop: 1, verdict, met: false, text: '' });
    expect(exitCodeOfSearch({ outcome: 'met', chosen: 'x', heldOut: [look('undecided')] })).toBe(0);
    expect(
      exitCodeOfSearch({
        outcome: 'missed',
        chosen: 'x',
        heldOut: [look('fail'), { ...look('undecided'), label: 'y' }],
      }),
    ).toBe(1);
    expect(exitCodeOfSearch({ outcome: 'missed', chosen: 'x', heldOut: [look('undecided')] })).toBe(5);
  });
});

describe('Ctrl-C', () => {
  it('ends with 130 in the middle of the search, and leaves nothing', async () => {
    const out = path.join(temp, 'interrupted');
    let sent = false;
    const ended = await start(['auto', '--recipe', recipe, ...drop, ...quick, '--out', out], {
      onText: (text, kill) => {
        if (!sent && text.includes('  probe ')) {
          sent = true;
          kill('SIGINT');
        }
      },
    });
    expect(ended.err).toMatch(/ {2}probe /);
    expect(ended.code).toBe(130);
    expect(ended.err).toContain('nothing half-written is left');
    expect(existsSync(out)).toBe(false);
  }, 60_000);
});
