/**
 * Plants errors one at a time in a copy of the working tree, runs the tests that should notice, and tells which share
 * was caught. `npm run planted` takes all; `-- --only TEXT` those whose file or words hold the text, `-- --list` tells them
 * without running. Exits with 1 where an error survives in more than one of twenty cases, or no longer fits its file.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { planted } from './planted-errors.list.mjs';

const root = path.join(import.meta.dirname, '..');
/** What the copy does without: modules are linked, the rest no test reads. */
const LEFT = new Set(['.git', '.cache', 'node_modules', 'reports']);
/** The least share that must be caught. */
const AIM = 0.95;
const MINUTES = 10;

const { values: options } = parseArgs({ options: { only: { type: 'string' }, list: { type: 'boolean' } } });
const chosen = planted.filter((p) => !options.only || `${p.file} ${p.what}`.includes(options.only));

const testsOf = (p) => p.tests ?? [p.file.replace(/^src\/([^/]+)\/.*/, 'test/rooms/$1')];
const say = (text) => process.stdout.write(`${text}\n`);

/** The file with the error in it; undefined where its text is not there exactly once. */
function withError(text, { from, to }) {
  const parts = text.split(from);
  return parts.length === 2 ? parts.join(to) : undefined;
}

/** Whether the tests pass. */
function passes(dir, tests) {
  const { status, signal, error } = spawnSync(
    process.execPath,
    [path.join(root, 'node_modules', 'vitest', 'vitest.mjs'), 'run', '--bail', '1', '--reporter', 'dot', ...tests],
    { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'], timeout: MINUTES * 60_000, env: { ...process.env, CI: '1' } },
  );
  // An endless loop is noticed, too.
  if (error && !signal) throw error;
  return status === 0;
}

function main() {
  const stale = chosen.filter((p) => {
    const file = path.join(root, p.file);
    return !existsSync(file) || withError(readFileSync(file, 'utf8'), p) === undefined;
  });
  for (const p of stale) say(`fits no more: ${p.file}: ${p.what}`);
  if (options.list) {
    for (const p of chosen) say(`${p.file}: ${p.what}`);
    say(`${chosen.length} errors`);
  }
  if (stale.length) return 1;
  if (options.list) return 0;

  const dir = mkdtempSync(path.join(os.tmpdir(), 'planted-'));
  try {
    for (const name of readdirSync(root))
      if (!LEFT.has(name)) cpSync(path.join(root, name), path.join(dir, name), { recursive: true });
    symlinkSync(path.join(root, 'node_modules'), path.join(dir, 'node_modules'));
    const before = Date.now();
    if (!passes(dir, [...new Set(chosen.flatMap(testsOf))])) {
      say('the tests fail without an error: nothing can be told');
      return 1;
    }
    say(`without an error the tests pass, in ${Math.round((Date.now() - before) / 1000)} s`);
    const survived = [];
    for (const [i, p] of chosen.entries()) {
      const file = path.join(dir, p.file);
      const text = readFileSync(file, 'utf8');
      const start = Date.now();
      writeFileSync(file, withError(text, p));
      const caught = !passes(dir, testsOf(p));
      writeFileSync(file, text);
      if (!caught) survived.push(p);
      const seconds = Math.round((Date.now() - start) / 1000);
      say(`${i + 1}/${chosen.length} ${caught ? 'caught  ' : 'SURVIVED'} ${seconds} s  ${p.file}: ${p.what}`);
    }
    const share = 1 - survived.length / chosen.length;
    say(`caught ${chosen.length - survived.length} of ${chosen.length}, ${(100 * share).toFixed(1)} %`);
    return share >= AIM ? 0 : 1;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

process.exitCode = main();
