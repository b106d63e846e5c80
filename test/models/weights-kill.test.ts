/** kill −9 while codes of weights are chosen: the next run goes on behind the layers that are done, to the same bytes. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { start } from '../conformance/process.js';
import { tinyRecipe } from '../rooms/search/tiny.js';

const temp = mkdtempSync(path.join(tmpdir(), 'quantbench-weights-kill-'));
afterAll(() => rmSync(temp, { recursive: true, force: true }));

/** Loaded before the program: ends the process at once before, or behind, the n-th step that is written down. */
const KILLER = `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
let n = 0;
const die = () => { process.kill(process.pid, 'SIGKILL'); for (;;); };
const real = fs.renameSync;
fs.renameSync = (from, to) => {
  const last = /step-[0-9]{4}$/.test(String(to)) && ++n === Number(process.env.KILL_AT);
  if (last && process.env.KILL_BEFORE) die();
  real(from, to);
  if (last) die();
};
syncBuiltinESMExports();`;

it('gives the same bytes after every kill', { timeout: 300_000 }, async () => {
  const weights = {
    dtype: 'int8',
    bits: 4,
    method: 'gptq',
    correct: ['bias', 'scale'],
    samples: 40,
    checkpoint: 'kept',
  };
  const recipe = tinyRecipe(temp);
  writeFileSync(path.join(temp, 'r.yaml'), stringify({ ...recipe, quantize: { weights } }));
  const killer = path.join(temp, 'killer.mjs');
  writeFileSync(killer, KILLER);
  const argv = (out: string, ...more: string[]): string[] => [
    '--recipe',
    path.join(temp, 'r.yaml'),
    '--out',
    path.join(temp, out),
    ...more,
  ];
  const whole = await start(argv('whole', '--set', 'quantize.weights.checkpoint=false'));
  expect(whole.code, whole.err).toBe(0);
  expect(readdirSync(temp)).not.toContain('kept');
  for (const [at, before] of [
    ['2', ''],
    ['1', 'yes'],
    ['1', ''],
  ]) {
    const env = { NODE_OPTIONS: `--import ${killer}`, KILL_AT: at!, KILL_BEFORE: before! };
    expect((await start(argv('resumed'), { env })).signal).toBe('SIGKILL');
  }
  const [folder] = readdirSync(path.join(temp, 'kept'));
  const steps = (): string[] => readdirSync(path.join(temp, 'kept', folder!)).filter((f) => f.startsWith('step-'));
  expect(steps().filter((f) => !f.includes('.'))).toEqual(['step-0000', 'step-0001', 'step-0002']);
  const resumed = await start(argv('resumed'));
  expect(resumed.code, resumed.err).toBe(0);
  const bytes = (out: string): Buffer => readFileSync(path.join(temp, out, 'model.onnx'));
  expect(bytes('resumed').equals(bytes('whole'))).toBe(true);
  expect(readdirSync(path.join(temp, 'kept', folder!)).filter((f) => f.startsWith('given-'))).toEqual([]);
});
