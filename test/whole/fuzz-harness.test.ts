/** The fuzz harness itself, in processes of its own. `.ci/run` has a longer run of it. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the fuzz harness', () => {
  it('finds nothing in 3 seconds', () => {
    const { status, stdout } = spawnSync(
      process.execPath,
      [path.join(root, 'scripts/fuzz.mjs'), '--seconds', '3', '--seed', '1'],
      { encoding: 'utf8' },
    );
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^\d+ inputs \(.*\), seed 1: no findings\n$/)]);
  }, 120_000);
  it('tells of a hang, of an end of the process, and of an error that is no QuantError', () => {
    const run = (broken: string): string => {
      const { stdout } = spawnSync(
        process.execPath,
        [path.join(root, 'scripts/fuzz.mjs'), '--only', '0', '--patience', '2'],
        { encoding: 'utf8', env: { ...process.env, QUANTBENCH_FUZZ_BREAK: broken } },
      );
      return stdout;
    };
    expect(run('throw')).toContain('finding 0: Error: broken on purpose');
    expect(run('exit')).toContain('finding 0: the process ended with 7');
    expect(run('hang')).toContain('finding 0: no answer');
  }, 120_000);
});
