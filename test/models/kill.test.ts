/** kill -9 at every change of a file, through the real process. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { earlier, lay } from '../conformance/bad-inputs.js';
import { argvOf, start } from '../conformance/process.js';

const visible = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder)
      .filter((n) => !n.startsWith('.'))
      .map((n) => [n, readFileSync(path.join(folder, n), 'latin1')]),
  );

/** Every file of an output folder is the earlier one, or new and whole. */
function expectWhole(out: string, model: string): void {
  const files = visible(out);
  expect(Object.keys(files).sort()).toEqual(Object.keys(earlier).sort());
  if (files['model.onnx'] !== earlier['model.onnx']) expect(files['model.onnx'] === model).toBe(true);
  if (files['run.json'] !== earlier['run.json'])
    expect(JSON.parse(files['run.json']!)).toMatchObject({ outcome: 'ok' });
  if (files['report.html'] !== earlier['report.html'])
    expect(files['report.html']!.trimEnd().endsWith('</html>')).toBe(true);
}

/** Loaded before the program: kills the process at the n-th change of a file, half-way through where it is a write. */
const KILLER = `import fs from 'node:fs'; import { syncBuiltinESMExports } from 'node:module';
const at = Number(process.env.KILL_AT); let n = 0;
const die = () => { process.kill(process.pid, 'SIGKILL'); for (;;); };
for (const name of ['mkdtempSync', 'mkdirSync', 'openSync', 'writeSync', 'fsyncSync', 'renameSync', 'rmSync']) {
  const real = fs[name];
  fs[name] = (...a) => {
    if (name === 'openSync' && (a[1] ?? 'r') === 'r' || name === 'openSync' && typeof a[1] === 'number') return real(...a);
    if (n++ === at) { if (name === 'writeSync' && a[3] > 1) real(a[0], a[1], a[2], a[3] >> 1); die(); }
    return real(...a);
  };
}
syncBuiltinESMExports();
// Not in processes that it starts, which may end after it.
process.on('exit', () => { if (at < 0 && process.argv[1]) fs.writeFileSync(process.env.KILL_COUNT, String(n)); });`;

describe('kill -9', () => {
  it(
    'at every change of a file leaves whole files, and the next run finishes the work',
    { timeout: 110_000 },
    async () => {
      const base = lay({ name: 'reference' });
      const killer = path.join(base, 'killer.mjs');
      writeFileSync(killer, KILLER);
      const env = (n: number): Record<string, string> => ({
        NODE_OPTIONS: `--import ${killer}`,
        KILL_AT: String(n),
        KILL_COUNT: path.join(base, 'count'),
      });
      const whole = await start(argvOf(base, '--quiet', '--set', 'calibration.cache=true'), { env: env(-1) });
      expect([whole.code, whole.err]).toEqual([0, '']);
      const model = visible(path.join(base, 'out'))['model.onnx']!;
      const count = Number(readFileSync(path.join(base, 'count'), 'utf8'));
      expect(count).toBeGreaterThanOrEqual(20); // 5 files of 4 steps each, and the moves
      const points = Array.from({ length: count }, (_, i) => i);
      const one = async (n: number): Promise<void> => {
        const folder = lay({ name: `killed at ${n}` });
        const killed = await start(argvOf(folder, '--quiet', '--set', 'calibration.cache=true'), { env: env(n) });
        expect([n, killed.signal]).toEqual([n, 'SIGKILL']);
        expectWhole(path.join(folder, 'out'), model);
        if (n % 5 !== 0) return; // a second run for some of them
        const again = await start(argvOf(folder, '--quiet', '--set', 'calibration.cache=true'));
        expect([again.code, again.err]).toEqual([0, '']);
        // what the killed run left is gone
        expect(readdirSync(path.join(folder, 'out')).sort()).toEqual(Object.keys(earlier).sort());
        expect(visible(path.join(folder, 'out'))['model.onnx'] === model).toBe(true);
      };
      const worker = async (): Promise<void> => {
        for (let n = points.shift(); n !== undefined; n = points.shift()) await one(n);
      };
      await Promise.all([worker(), worker()]);
    },
  );
});
