/** The demo once through every stage, from its recipe to its reports, with few samples. Part of `npm run smoke`. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runRecordSpec } from '../src/record/run.js';
import { runCli } from './rooms/cli/run-cli.js';

const out = mkdtempSync(path.join(os.tmpdir(), 'quantbench-smoke-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

it('the demo runs in integers, keeps its accuracy and passes its gate', async () => {
  const set = [
    'calibration.samples=32',
    'calibration.cache=false',
    'evaluation.samples=100',
    'evaluation.sensitivity=false',
    'evaluation.profile=false',
    'evaluation.latency=false',
    'gate={ accuracyDrop: { max: 5 points }, sizeRatio: { max: 0.4 } }', // 100 samples cannot tell 1 point
  ];
  const recipe = path.join(import.meta.dirname, '..', 'recipes', 'int8-kl.yaml');
  const r = await runCli('--recipe', recipe, ...set.flatMap((s) => ['--set', s]), '--out', out, '--json');
  expect(r.code, r.err).toBe(0);
  const record = runRecordSpec.parse(JSON.parse(r.out));
  expect(record.gate?.rules.map((g) => [g.name, g.verdict])).toEqual([
    ['accuracyDrop', 'pass'],
    ['sizeRatio', 'pass'],
  ]);
  expect(record.runtime).toMatchObject({ integerMacsShare: 1, unfused: [] });
  expect(record.evaluation?.metrics[0]?.quantized).toBeGreaterThan(96);
  expect(readdirSync(out).sort()).toEqual(['model.onnx', 'report.html', 'report.md', 'run.json']);
});
