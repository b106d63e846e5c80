/** kill −9 while a model is trained: the next run goes on, and its weights are those of one that was left alone. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { start } from '../conformance/process.js';
import { tinyRecipe } from '../rooms/search/tiny.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-train-kill-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));

/** Loaded before the program: ends the process at once when a checkpoint is in place for the n-th time. */
const KILLER = `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
let n = 0;
const real = fs.renameSync;
fs.renameSync = (from, to) => {
  real(from, to);
  if (String(to).endsWith('.qbtrain') && ++n === Number(process.env.KILL_AT)) { process.kill(process.pid, 'SIGKILL'); for (;;); }
};
const now = performance.now.bind(performance); let skew = 0;
performance.now = () => now() + (skew += 400); // checkpoints fall due after every few steps
syncBuiltinESMExports();`;

it('gives the same bytes after every kill', { timeout: 300_000 }, async () => {
  const train = {
    ...{ steps: 60, batch: 16, ema: 0.9, augment: ['flip', 'crop', 'mixup'], accumulate: 2, checkpoint: 'kept' },
    ...{ optimiser: 'sgd', rate: 0.05, validation: { share: 0.1, every: 7 } },
  };
  writeFileSync(
    path.join(temp, 'r.yaml'),
    stringify({ ...tinyRecipe(temp), train, calibration: { ...tinyRecipe(temp).calibration, samples: 200 } }),
  );
  const killer = path.join(temp, 'killer.mjs');
  writeFileSync(killer, KILLER);
  const argv = (out: string, ...more: string[]): string[] => [
    'train',
    '-r',
    path.join(temp, 'r.yaml'),
    '--out',
    path.join(temp, out),
    ...more,
  ];
  const whole = await start(argv('whole', '--set', 'train.checkpoint=false'));
  expect(whole.code, whole.err).toBe(0);
  let kills = 0;
  for (const at of [1, 2, 1, 3]) {
    const killed = await start(argv('resumed'), { env: { NODE_OPTIONS: `--import ${killer}`, KILL_AT: String(at) } });
    if (killed.signal === 'SIGKILL') kills++;
    else expect(killed.code, killed.err).toBe(0);
  }
  expect(kills).toBeGreaterThanOrEqual(2);
  expect(readdirSync(path.join(temp, 'kept')).filter((f) => f.endsWith('.qbtrain'))).toHaveLength(1);
  const resumed = await start(argv('resumed'));
  expect(resumed.code, resumed.err).toBe(0);
  const facts = JSON.parse(readFileSync(path.join(temp, 'resumed', 'training.json'), 'utf8')) as {
    fitted: { resumedAt: number }[];
  };
  expect(facts.fitted[0]!.resumedAt).toBeGreaterThan(0);
  const bytes = (out: string): Buffer => readFileSync(path.join(temp, out, 'model.onnx'));
  expect(bytes('resumed').equals(bytes('whole'))).toBe(true);
});
