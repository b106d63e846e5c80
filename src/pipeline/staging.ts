/** The output folder: everything is made in a hidden folder inside it, and moved into place at the end by renames. */
import { createHash } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { fail } from '../base/errors.js';
import { reason, syncDirectory } from '../base/files.js';

const PREFIX = '.staging-';
/** Process ids mean nothing on another machine that shares the folder: what it left is only swept after a day. */
const OTHERS_MS = 864e5;
const machine = (): string => createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

/**
 * A new folder inside the output folder, so that publishing is a rename. Leftovers of killed runs are swept. Throws
 * OUTPUT_WRITE.
 */
export function stagingDir(outDir: string): string {
  try {
    makeFolders(path.resolve(outDir));
    for (const name of readdirSync(outDir))
      if (name.startsWith(PREFIX) && isLeftover(path.join(outDir, name)))
        rmSync(path.join(outDir, name), { recursive: true, force: true });
    return mkdtempSync(path.join(outDir, `${PREFIX}${machine()}-${process.pid}-`));
  } catch (cause) {
    return fail('OUTPUT_WRITE', `cannot write into '${outDir}': ${reason(cause)}`, { file: outDir }, undefined, cause);
  }
}

/** As mkdir -p. Level by level: on file systems that refuse new folders, Node's recursive form never returns. */
function makeFolders(dir: string): void {
  if (existsSync(dir)) return;
  makeFolders(path.dirname(dir));
  try {
    mkdirSync(dir);
  } catch (e) {
    if (!existsSync(dir)) throw e;
  } // another run may have made it
}

/** Whether the run that made a staging folder is gone. */
function isLeftover(folder: string): boolean {
  const stat = statSync(folder, { throwIfNoEntry: false });
  if (!stat) return false; // its run has just finished
  const [of, pid] = path.basename(folder).slice(PREFIX.length).split('-');
  if (of !== machine() || !/^\d+$/.test(pid ?? '')) return Date.now() - stat.mtimeMs > OTHERS_MS;
  if (Number(pid) === process.pid) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (e) {
    return e instanceof Error && 'code' in e && e.code === 'ESRCH';
  }
}

/**
 * Moves files into place in the given order: data before the model that points to them, the record last. What cannot
 * be replaced is found before anything is moved, so that a refusal leaves the earlier files as they were. Throws
 * OUTPUT_WRITE.
 */
export function publish(staging: string, outDir: string, names: readonly string[]): void {
  const refuse = (file: string, why: string, cause?: unknown): never =>
    fail('OUTPUT_WRITE', `cannot write '${file}': ${why}`, { file }, 'give another folder with --out', cause);
  for (const name of names) {
    const file = path.join(outDir, name);
    const there = lstatSync(file, { throwIfNoEntry: false });
    if (!there) continue;
    // A folder gives way to a folder where an earlier run has made it.
    const folder = statSync(path.join(staging, name)).isDirectory();
    if (there.isDirectory() && !(folder && existsSync(path.join(outDir, 'run.json'))))
      refuse(file, 'it is a directory');
    if (folder && !there.isDirectory()) refuse(file, 'it is a file, and a folder is to be there');
  }
  for (const name of names) {
    const file = path.join(outDir, name);
    try {
      if (name.includes('/')) mkdirSync(path.dirname(file), { recursive: true });
      if (lstatSync(file, { throwIfNoEntry: false })?.isDirectory())
        renameSync(file, path.join(staging, `.before-${name}`));
      renameSync(path.join(staging, name), file);
    } catch (cause) {
      refuse(file, reason(cause), cause);
    }
  }
  syncDirectory(outDir);
}
