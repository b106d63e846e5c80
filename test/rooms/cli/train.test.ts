/** `quantize train` as people type it. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { loadModel } from '../../../src/onnx/files.js';
import { tinyRecipe } from '../search/tiny.js';
import { runCli as run } from './run-cli.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-cli-train-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));
const base = tinyRecipe(temp);
const model = path.join(temp, 'tiny.onnx');
const glyphs = path.join(import.meta.dirname, '..', '..', '..', 'calibration-data', 'glyphs');
const small = 'calibration.data.preprocess={ resize: { height: 8, width: 8 }, scale: 1/255, mean: 0.5, std: 0.25 }';

describe('quantize train', () => {
  it('trains a model on data, and writes it with a report', async () => {
    const out = path.join(temp, 'out');
    const argv = ['train', model, '--data', path.join(glyphs, 'calibration.tar'), '--loss', 'cross-entropy'];
    const flags = [
      '--steps',
      '5',
      '--batch',
      '16',
      '--rate',
      '0.01',
      '--seed',
      '3',
      '--out',
      out,
      '--set',
      'train.checkpoint=false',
    ];
    const { code, out: said, err } = await run(...argv, ...flags, '--set', small, '--set', 'train.samples=60');
    expect([code, err.includes('model · loss') || err.includes('5 steps, loss')]).toEqual([0, true]);
    expect(
      said
        .trim()
        .split('\n')
        .map((f) => path.basename(f)),
    ).toEqual(['model.onnx', 'training.json', 'training.md']);
    expect([...loadModel(path.join(out, 'model.onnx')).graph.initializers]).toHaveLength(7);
    expect(readFileSync(path.join(out, 'training.md'), 'utf8')).toContain('| model | 744 |');
  });
  it('takes a recipe, changed by flags, and prints what it measured', async () => {
    const file = path.join(temp, 'r.yaml');
    const train = { steps: 50, batch: 16, samples: 60, checkpoint: false, validation: false };
    writeFileSync(file, stringify({ ...base, train }));
    const out = path.join(temp, 'out2');
    const { code, out: said } = await run('train', '-r', file, '--steps', '3', '--out', out, '--json', '--quiet');
    expect(code).toBe(0);
    const facts = JSON.parse(said) as { fitted: { steps: number }[]; scores: { name: string }[] };
    expect(facts.fitted.map((f) => f.steps)).toEqual([3]);
    expect(facts.scores.map((s) => s.name)).toEqual(['before', 'trained']);
    expect(existsSync(path.join(out, 'model.onnx'))).toBe(true);
  });
  it.each<[string[], number, RegExp]>([
    [['train'], 2, /no model was given to train/],
    [['train', model], 2, /names no calibration\.data/],
    [['train', model, '--data', glyphs, '--loss', 'crossentropy'], 2, /Did you mean "cross-entropy"/i],
    [['train', model, '--data', path.join(glyphs, 'calibration.tar'), '--steps', 'many'], 2, /train\.steps/],
  ])('%s', async (argv, code, words) => {
    const result = await run(...argv, '--out', path.join(temp, 'none'));
    expect(result.err).toMatch(words);
    expect(result.code).toBe(code);
  });
});
