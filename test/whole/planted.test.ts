/** Planted errors, on one of them: without it the tests of its room pass, in a copy of the tree; with it they do not. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const script = fileURLToPath(new URL('../../scripts/planted-errors.mjs', import.meta.url));

it('a planted error is caught, and tests that have none pass', () => {
  const what = 'ArgMax gives int32';
  const { status, stdout } = spawnSync(process.execPath, [script, '--only', what], {
    cwd: path.parse(script).root,
    encoding: 'utf8',
  });
  expect(stdout).toMatch(/^without an error the tests pass, in \d+ s\n1\/1 caught .*: ArgMax gives int32\n/);
  expect(status).toBe(0);
}, 120_000);
