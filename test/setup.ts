/** Before all tests and after them: scripts that are up to date, and one folder for all that tests leave behind. */
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { TestProject } from 'vitest/node';
import { updateScripts } from '../scripts/scripts-of-dist.mjs';

let temporary: string | undefined;

export function setup(project: TestProject): void {
  const root = path.join(import.meta.dirname, '..');
  updateScripts(root);
  project.onTestsRerun(() => updateScripts(root));
  temporary = mkdtempSync(path.join(os.tmpdir(), 'quantbench-tests-'));
  process.env.TMPDIR = temporary; // processes that run tests have it from this one
}

export function teardown(): void {
  if (temporary) rmSync(temporary, { recursive: true, force: true });
}
