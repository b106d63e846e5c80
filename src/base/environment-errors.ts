/**
 * Errors of the system that no one foresaw where they happened: no bugs, but files, memory or limits that are
 * missing.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fail, QuantError } from './errors.js';
import { reason } from './files.js';

const HINTS: Readonly<Record<string, string>> = {
  EMFILE: 'raise the limit of open files: `ulimit -n 1024`',
  ENFILE: 'the whole system has too many open files; close programs',
  ENOSPC: 'make room there',
  EDQUOT: 'make room there',
  ENOMEM: 'close programs, or take a machine with more memory',
};
const FOREIGN: ReadonlySet<string> = new Set([
  'EMFILE',
  'ENFILE',
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'EACCES',
  'EPERM',
  'ENOMEM',
  'EIO',
  'ENOENT',
  'ENOTDIR',
  'ELOOP',
  'EBUSY',
]);

/**
 * OUTPUT_WRITE with the path and what to do, for an error of the file system that nobody caught; undefined for any
 * other.
 */
export function asSystemError(error: unknown): QuantError | undefined {
  for (let e = error, depth = 0; e instanceof Error && depth < 5; e = e.cause, depth++) {
    if (e instanceof QuantError) return undefined;
    const { code, syscall, path: file } = e as NodeJS.ErrnoException; // fields of errors that Node makes
    // Native code and the module loader say it in words only.
    const words = /\bEMFILE\b|[Tt]oo many open files/.test(e.message) || isUnopenedPackage(e);
    const said = words ? 'EMFILE' : code;
    if (said === undefined || !FOREIGN.has(said) || (syscall === undefined && said !== 'EMFILE')) continue;
    return new QuantError(
      'OUTPUT_WRITE',
      'the system ' +
        `refuses${syscall === undefined ? '' : ` '${syscall}'`}${file === undefined ? '' : ` of '${file}'`}: ` +
        (said === 'EMFILE' ? 'too many open files' : reason(e)),
      { where: file === undefined ? {} : { file }, hint: HINTS[said], cause: error },
    );
  }
  return undefined;
}

/** Whether the module loader, out of open files, took a package for missing that it could not read. */
function isUnopenedPackage({ message }: Error): boolean {
  const folder = /^Cannot find package '(.+)[\\/]index\.js' imported from /.exec(message)?.[1];
  if (folder === undefined) return false;
  try {
    fs.closeSync(fs.openSync(path.join(folder, 'package.json'), 'r'));
    return false;
  } catch (e) {
    return (e as NodeJS.ErrnoException).code === 'EMFILE'; // Node's file system throws these
  }
}

/** A new folder for what is not kept. Throws OUTPUT_WRITE naming the folder of temporary files and what sets it. */
export function temporaryFolder(): string {
  const parent = os.tmpdir();
  try {
    return fs.mkdtempSync(path.join(parent, 'quantbench-'));
  } catch (cause) {
    return fail(
      'OUTPUT_WRITE',
      `cannot make a temporary folder in '${parent}': ${reason(cause)}`,
      { file: parent },
      'set TMPDIR to a folder that can be written',
      cause,
    );
  }
}

/** Makes sure that {@link temporaryFolder} will work, before anything slow. Throws OUTPUT_WRITE. */
export function requireTemporaryFolder(): void {
  fs.rmSync(temporaryFolder(), { recursive: true, force: true });
}
